"""Plans of small programs: what is known, unknown, secret; errors; the SDK left as it was."""

import asyncio
import contextvars
import gc
import logging
import threading
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pytest
from pulumi.dynamic import CreateResult, Resource, ResourceProvider
from pulumi.runtime import settings as sdk_settings
from pulumi.runtime.proto import resource_pb2

from slipway.plan import UNKNOWN, PlanError, Secret, plan_program, sdk_work
from slipway.plan.monitor import Monitor
from slipway.plan.run import run_program


class Web(pulumi.ComponentResource):
    """A role, a service, and a map that names them both."""

    def __init__(self, name: str, args: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("test:index:Web", name, args, opts)
        role = aws.iam.Role(f"{name}-role", assume_role_policy="{}", opts=pulumi.ResourceOptions(parent=self))
        service = k8s.core.v1.Service(
            f"{name}-service", metadata={"name": f"{name}-service"}, opts=pulumi.ResourceOptions(parent=self)
        )
        self.url = pulumi.Output.concat("http://", service.metadata["name"])
        k8s.core.v1.ConfigMap(
            f"{name}-map",
            metadata={"name": f"{name}-map"},
            data={"arn": role.arn, "role": role.id, "url": self.url, "joined": pulumi.Output.concat("for ", role.arn)},
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["data"]),
        )
        self.register_outputs({"url": self.url, "arn": role.arn})


def web() -> None:
    Web("shop", {"replicas": 2, "factor": 1.5})


def service(name: str, opts: pulumi.ResourceOptions | None = None) -> k8s.core.v1.Service:
    return k8s.core.v1.Service(name, metadata={"name": name}, opts=opts)


def test_what_was_given_is_known_and_what_a_provider_computes_is_not() -> None:
    plan = plan_program(web)
    assert plan["shop-map"].inputs["data"] == {
        "arn": UNKNOWN,
        "role": UNKNOWN,
        "url": "http://shop-service",
        "joined": UNKNOWN,
    }
    assert plan["shop"].inputs == {"replicas": 2, "factor": 1.5}
    assert plan["shop"].outputs == {"url": "http://shop-service", "arn": UNKNOWN}


def test_urns_and_parents_are_those_of_the_engine() -> None:
    plan = plan_program(web, project="site", stack="dev")
    shop = plan["shop"]
    assert (shop.urn, shop.parent, shop.custom) == ("urn:pulumi:dev::site::test:index:Web::shop", None, False)
    child = plan["shop-service"]
    assert child.urn == "urn:pulumi:dev::site::test:index:Web$kubernetes:core/v1:Service::shop-service"
    assert (child.parent, child.custom) == (shop.urn, True)
    assert [r.name for r in plan.children(shop)] == ["shop-role", "shop-map", "shop-service"]
    assert plan.of_type("kubernetes:core/v1:Service") == [child]


def test_urns_carry_the_types_of_all_parents() -> None:
    def program() -> None:
        outer = pulumi.ComponentResource("test:index:Outer", "outer")
        inner = pulumi.ComponentResource("test:index:Inner", "inner", opts=pulumi.ResourceOptions(parent=outer))
        service("leaf", pulumi.ResourceOptions(parent=inner))

    urn = plan_program(program)["leaf"].urn
    assert urn == "urn:pulumi:test::slipway::test:index:Outer$test:index:Inner$kubernetes:core/v1:Service::leaf"


def test_every_option_is_told() -> None:
    def program() -> None:
        first = service("first")
        service(
            "second",
            pulumi.ResourceOptions(
                protect=True,
                retain_on_delete=True,
                ignore_changes=["spec.replicas"],
                aliases=[pulumi.Alias(name="old"), "urn:pulumi:test::slipway::a:b:C::older"],
                depends_on=[first],
                delete_before_replace=False,
                replace_on_changes=["spec"],
                custom_timeouts=pulumi.CustomTimeouts(create="20m"),
                deleted_with=first,
                import_="ai/second",
                provider=k8s.Provider("cluster", context="kind"),
            ),
        )

    plan = plan_program(program)
    first = plan["first"].urn
    assert plan["first"].options == {
        "protect": False,
        "retainOnDelete": False,
        "ignoreChanges": [],
        "aliases": [],
        "dependsOn": [],
    }
    assert plan["second"].options == {
        "protect": True,
        "retainOnDelete": True,
        "ignoreChanges": ["spec.replicas"],
        "aliases": [{"name": "old"}, "urn:pulumi:test::slipway::a:b:C::older"],
        "dependsOn": [first],
        "deleteBeforeReplace": False,
        "replaceOnChanges": ["spec"],
        "customTimeouts": {"create": "20m"},
        "deletedWith": first,
        "import": "ai/second",
        "provider": plan["cluster"].urn,
    }


def test_a_child_gets_what_the_engine_hands_down_unless_it_says_otherwise() -> None:
    def program() -> None:
        parent = pulumi.ComponentResource(
            "test:index:Store", "store", opts=pulumi.ResourceOptions(retain_on_delete=True, protect=True)
        )
        service("kept", pulumi.ResourceOptions(parent=parent))
        service("dropped", pulumi.ResourceOptions(parent=parent, retain_on_delete=False, protect=False))

    plan = plan_program(program)
    assert (plan["kept"].options["retainOnDelete"], plan["kept"].options["protect"]) == (True, True)
    assert (plan["dropped"].options["retainOnDelete"], plan["dropped"].options["protect"]) == (False, False)


def test_secrets_stay_marked_where_they_are_and_where_they_flow() -> None:
    def program() -> None:
        password = pulumi.Output.secret("hush")
        db = k8s.core.v1.ConfigMap("db", metadata={"name": "db"}, data={"user": "me", "password": password})
        key = aws.iam.AccessKey("key", user="me")
        k8s.core.v1.ConfigMap("app", data={"again": db.data["password"], "url": pulumi.Output.concat("x:", password)})
        k8s.core.v1.ConfigMap("cloud", data={"key": key.secret})
        pulumi.export("password", password)

    plan = plan_program(program)
    assert plan["db"].inputs["data"] == {"user": "me", "password": Secret("hush")}
    assert plan["app"].inputs["data"] == {"again": Secret("hush"), "url": Secret("x:hush")}
    # The provider's own secret is unknown, and secret all the same.
    assert plan["cloud"].inputs["data"] == {"key": Secret(UNKNOWN)}
    assert plan.outputs == {"password": Secret("hush")}
    assert "hush" not in repr(plan)


def test_a_name_that_the_cluster_chooses_is_unknown() -> None:
    def program() -> None:
        nameless = k8s.core.v1.Service("nameless", metadata={"labels": {"a": "b"}})
        bare = k8s.core.v1.Service("bare")
        names = {"a": nameless.metadata["name"], "b": bare.metadata["name"], "label": nameless.metadata["labels"]["a"]}
        k8s.core.v1.ConfigMap("names", metadata={"name": "names"}, data=names)

    plan = plan_program(program)
    assert plan["names"].inputs["data"] == {"a": UNKNOWN, "b": UNKNOWN, "label": "b"}
    assert "name" not in plan["nameless"].inputs["metadata"]
    assert "metadata" not in plan["bare"].inputs


def test_a_read_resource_is_told_as_such() -> None:
    def program() -> None:
        found = k8s.core.v1.Namespace.get("found", "ai")
        k8s.core.v1.ConfigMap("map", data={"phase": found.status["phase"]})

    plan = plan_program(program)
    assert plan["found"].options["read"] == "ai"
    assert plan["map"].inputs["data"] == {"phase": UNKNOWN}


class _Provider(ResourceProvider):
    def create(self, props: dict[str, Any]) -> CreateResult:
        raise AssertionError("a plan creates nothing")


class Process(Resource):
    port: pulumi.Output[int]
    pid: pulumi.Output[int]

    def __init__(self, name: str, port: int) -> None:
        super().__init__(_Provider(), name, {"port": port, "pid": None})


def test_a_dynamic_resource_has_no_pickled_code_in_its_inputs() -> None:
    def program() -> None:
        process = Process("router", 8000)
        k8s.core.v1.ConfigMap("map", data={"pid": process.pid.apply(str), "port": process.port.apply(str)})

    plan = plan_program(program)
    assert plan["router"].type == "pulumi-python:dynamic:Resource"
    assert plan["router"].inputs == {"port": 8000}
    assert plan["map"].inputs["data"] == {"pid": UNKNOWN, "port": "8000"}


def test_assets_and_references() -> None:
    def program() -> None:
        text = pulumi.StringAsset("hello")
        target = service("target")
        pulumi.ComponentResource("test:index:Any", "any", {"text": text, "folder": pulumi.FileArchive("src"), "to": target})

    plan = plan_program(program)
    assert plan["any"].inputs == {
        "text": {"$asset": {"text": "hello"}},
        "folder": {"$archive": {"path": "src"}},
        "to": plan["target"].urn,
    }


def test_configuration_reaches_the_program() -> None:
    def program() -> None:
        config = pulumi.Config()
        service(config.require("name"))
        k8s.core.v1.ConfigMap("map", data={"token": config.require_secret("token")})

    plan = plan_program(program, project="site", config={"site:name": "shop", "site:token": "t"}, secret_keys=["site:token"])
    assert "shop" in plan
    assert plan["map"].inputs["data"] == {"token": Secret("t")}


def test_a_coroutine_program() -> None:
    async def program() -> None:
        service("before")
        await asyncio.sleep(0)
        service("after")

    assert [r.name for r in plan_program(program)] == ["after", "before"]


def test_the_same_program_gives_the_same_plan() -> None:
    def program() -> None:
        for i in range(30):
            Web(f"shop-{i}", {})

    first = plan_program(program)
    assert len(first) == 120
    assert plan_program(program) == first


def test_what_a_call_returns_is_unknown() -> None:
    def program() -> None:
        k8s.core.v1.ConfigMap("map", data={"account": aws.get_caller_identity_output().account_id})

    assert plan_program(program)["map"].inputs["data"] == {"account": UNKNOWN}


def test_a_call_whose_result_is_needed_at_once_says_which() -> None:
    def program() -> None:
        aws.get_caller_identity().account_id.upper()

    with pytest.raises(Exception, match=r".") as refused:
        plan_program(program)
    assert "getCallerIdentity" in refused.value.__notes__[0]


def test_a_method_of_a_component_from_elsewhere_is_refused() -> None:
    def program() -> None:
        remote = pulumi.ComponentResource("other:index:Thing", "thing", remote=True)
        pulumi.runtime.call("other:index:Thing/kubeconfig", {}, remote)

    with pytest.raises(PlanError, match=r"other:index:Thing/kubeconfig"):
        plan_program(program)


def test_warnings_are_kept_once_and_infos_are_not() -> None:
    def program() -> None:
        target = service("target")
        for _ in range(2):
            pulumi.log.warn("it babbles")
        pulumi.log.info("fine")
        pulumi.log.warn("of one", target)

    assert plan_program(program).warnings == ("warning: it babbles", "warning: of one")


def test_transforms_that_a_plan_does_not_apply_are_told() -> None:
    def transform(args: pulumi.ResourceTransformArgs) -> pulumi.ResourceTransformResult:
        return pulumi.ResourceTransformResult(args.props, args.opts)

    def own() -> None:
        service("target", pulumi.ResourceOptions(transforms=[transform]))

    def everywhere() -> None:
        pulumi.runtime.register_resource_transform(transform)

    assert plan_program(own).warnings == plan_program(everywhere).warnings
    assert plan_program(own).warnings == ("warning: transforms are not applied to a plan",)


def test_two_resources_with_one_urn_are_refused_by_name() -> None:
    def program() -> None:
        for name in ("b", "a", "b", "a", "c"):
            service(name)

    with pytest.raises(PlanError) as refused:
        plan_program(program)
    urns = [line.strip() for line in str(refused.value).splitlines()[1:]]
    assert urns == [f"urn:pulumi:test::slipway::kubernetes:core/v1:Service::{n}" for n in "ab"]
    assert str(refused.value).startswith("registered twice")


class OwnError(Exception):
    pass


def failing_before() -> None:
    raise OwnError


def failing_between() -> None:
    service("one")
    raise OwnError


def failing_with_something_that_never_comes() -> None:
    never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    k8s.core.v1.ConfigMap("stuck", data={"a": pulumi.Output.from_input(never)})
    raise OwnError


def failing_in_apply() -> None:
    def fail(name: str) -> str:
        raise OwnError

    k8s.core.v1.ConfigMap("late", data={"a": service("one").metadata["name"].apply(fail)})


def failing_in_two_ways() -> None:
    failing_in_apply()
    raise OwnError


def failing_in_apply_beside_something_that_never_comes() -> None:
    failing_in_apply()
    never: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    k8s.core.v1.ConfigMap("stuck", data={"a": pulumi.Output.from_input(never)})


async def failing_later() -> None:
    service("one")
    await asyncio.sleep(0)
    raise OwnError


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "program",
    [
        failing_before,
        failing_between,
        failing_with_something_that_never_comes,
        failing_in_apply,
        failing_in_two_ways,
        failing_in_apply_beside_something_that_never_comes,
        failing_later,
    ],
)
def test_an_error_of_the_program_comes_out_as_it_is(program: Callable[[], object], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(OwnError) as raised:
        plan_program(program)
    assert not hasattr(raised.value, "__notes__")
    assert caplog.records == []
    assert "shop" in plan_program(web)


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_the_end_of_the_process_is_an_error_of_the_program_too(error: BaseException) -> None:
    def program() -> None:
        raise error

    with pytest.raises(type(error)):
        plan_program(program)


def test_arguments_that_a_component_refuses_come_out_with_their_paths() -> None:
    def program() -> None:
        service("one")
        raise pulumi.InputPropertiesError("no", errors=[{"property_path": "args.replicas", "reason": "is -1"}])

    with pytest.raises(pulumi.InputPropertiesError) as refused:
        plan_program(program)
    assert refused.value.errors == [{"property_path": "args.replicas", "reason": "is -1"}]


async def test_within_a_running_loop() -> None:
    assert plan_program(web) == await asyncio.to_thread(plan_program, web)


def test_from_many_threads() -> None:
    wanted = plan_program(web)
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(plan_program(web))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [wanted] * 8


def test_a_plan_within_a_plan_is_refused() -> None:
    with pytest.raises(PlanError, match="of its own"):
        plan_program(lambda: plan_program(web))


def test_the_sdk_is_left_as_it_was() -> None:
    def state() -> tuple[object, ...]:
        s: Any = sdk_settings.SETTINGS
        root = sdk_settings.get_root_resource()
        return s.monitor, s.engine, s.project, s.stack, s.dry_run, s.rpc_manager, s.outputs, s.callbacks, root

    def in_empty_context() -> tuple[object, ...]:
        return contextvars.Context().run(state)

    assert gc.isenabled()
    before = state(), in_empty_context(), dict(pulumi.runtime.config.CONFIG.get())
    plan_program(web, project="other", stack="one", config={"other:a": "b"})
    with pytest.raises(OwnError):
        plan_program(failing_between)
    assert (state(), in_empty_context(), dict(pulumi.runtime.config.CONFIG.get())) == before
    assert gc.isenabled()


class Silent(Monitor):
    """Answers the SDK's own questions with nothing, which makes it leave outputs unresolved."""

    def Invoke(self, request: resource_pb2.ResourceInvokeRequest) -> resource_pb2.ResourceInvokeResponse:  # noqa: N802
        return resource_pb2.ResourceInvokeResponse()


@pytest.mark.timeout(20)
@pytest.mark.parametrize("put_off", [True, False])
def test_a_failure_that_the_sdk_would_wait_on_for_ever_is_raised(put_off: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sdk_work, "fits", lambda: put_off)

    def program() -> None:
        made = pulumi.ComponentResource("test:index:Any", "any", {"to": service("target")})
        pulumi.export("to", vars(made)["to"])

    with pytest.raises(ValueError, match="Value not set"):
        run_program(program, Silent("site", "dev"), config={}, secret_keys=(), dry_run=True)
