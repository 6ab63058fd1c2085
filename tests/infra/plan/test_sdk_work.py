# pyright: reportPrivateUsage=false
"""That a plan is the same whether the SDK's work is put off or not, in what it holds and in what it refuses."""

import inspect
from collections.abc import Callable
from typing import Any

import pulumi
import pulumi_aws as aws
import pulumi_kubernetes as k8s
import pytest
from bench.plan_servers import SERVER
from pulumi import _types as sdk_types
from pulumi.runtime import rpc as sdk_rpc

from slipway import GpuModelServer
from slipway.plan import Plan, plan_program, sdk_work


class Store(pulumi.ComponentResource):
    """A component with an output of the name of an input, which itself goes by another name than before."""

    def __init__(self, name: str, args: dict[str, Any], opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("test:index:Store", name, args, opts)
        below = pulumi.ResourceOptions(parent=self, aliases=[pulumi.Alias(name="earlier")])
        role = aws.iam.Role(f"{name}-role", assume_role_policy="{}", tags={"Of": name}, opts=below)
        service = k8s.core.v1.Service(
            f"{name}-service", metadata={"labels": {"a": "b"}}, spec={"ports": [{"port": 80}]}, opts=below
        )
        self.url = pulumi.Output.concat("http://", service.metadata["name"], ":", args["port"])
        k8s.core.v1.ConfigMap(
            f"{name}-map",
            metadata={"name": f"{name}-map", "labels": service.metadata["labels"]},
            data={"tags": pulumi.Output.json_dumps(role.tags), "id": role.id, "port": service.spec.ports[0].port.apply(str)},
            opts=pulumi.ResourceOptions(parent=service, depends_on=[role]),
        )
        self.register_outputs({"url": self.url, "role": role, "none": service.spec.cluster_ip})


def stores() -> None:
    first = Store("first", {"port": "80", "url": "given"}, pulumi.ResourceOptions(aliases=["urn:pulumi:a::b::c:d:E::f"]))
    pulumi.export("port", vars(first)["port"].apply(int))
    Store("second", {"port": first.url, "url": pulumi.Output.secret("hidden"), "whole": first})
    k8s.core.v1.Secret("key", string_data={"a": pulumi.Output.secret("b")}, metadata={"name": first.url.apply(len).apply(str)})
    read = k8s.core.v1.Service.get("read", "ai/read")
    pulumi.export("read", read.status)
    pulumi.export("role", aws.iam.Role.get("of-others", "others").arn)
    pulumi.export("url", first.url)


def servers() -> None:
    served = [GpuModelServer(f"llama-{i}", SERVER) for i in range(2)]
    pulumi.export("urls", [server.url for server in served])


def without(monkeypatch: pytest.MonkeyPatch, program: Callable[[], None]) -> Plan:
    """The plan as the SDK alone makes it."""
    with monkeypatch.context() as patched:
        patched.setattr(sdk_work, "fits", lambda: False)
        return plan_program(program)


@pytest.mark.parametrize("program", [stores, servers])
def test_the_plan_is_the_same(program: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    plan = plan_program(program)
    assert plan == without(monkeypatch, program)
    assert None not in plan.outputs.values()
    assert any(r.outputs for r in plan)


def test_properties_that_nobody_reads_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    transfer = sdk_work._SDK["transfer_properties"]

    def counted(res: Any, props: Any, custom: bool) -> Any:
        made.append(res._name)
        return transfer(res, props, custom)

    monkeypatch.setattr(sdk_work, "_SDK", {**sdk_work._SDK, "transfer_properties": counted})

    def program() -> None:
        services = [k8s.core.v1.Service(name, metadata={"name": name}) for name in ("read", "unread")]
        pulumi.export("name", services[0].metadata["name"])
        pulumi.export("again", services[0].metadata["name"])

    assert plan_program(program).outputs == {"name": "read", "again": "read"}
    assert made == ["read"]


class Strict(pulumi.CustomResource):
    """Says that a text comes back."""

    text: pulumi.Output[str] = pulumi.property("text")

    def __init__(self, name: str, text: Any) -> None:
        super().__init__("test:index:Strict", name, {"text": text})


def misread(strict: Strict) -> None:
    pulumi.export("text", strict.text.apply(len))


def passed_on(strict: Strict) -> None:
    Strict("second", strict.text)


@pytest.mark.parametrize("use", [misread, passed_on])
def test_an_output_of_the_wrong_type_is_told_where_it_is_read(
    use: Callable[[Strict], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def program() -> None:
        use(Strict("strict", {"a": "mapping"}))

    said = r"expected a value of type `<class 'str'>` .* at resource `strict`, property `text`"
    with pytest.raises(AssertionError, match=said):
        plan_program(program)
    with pytest.raises(AssertionError, match=said):
        without(monkeypatch, program)
    assert len(plan_program(lambda: Strict("strict", {"a": "mapping"}) and None)) == 1


def test_what_waits_for_a_failed_registration_fails_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def program() -> None:
        failing: Any = object()
        first = k8s.core.v1.ConfigMap("first", data=failing)
        k8s.core.v1.ConfigMap("second", data=first.data, metadata={"name": first.kind})
        pulumi.export("data", first.data)

    said = "unexpected input of type object for data"
    with pytest.raises(ValueError, match=said):
        plan_program(program)
    with pytest.raises(ValueError, match=said):
        without(monkeypatch, program)


@pytest.mark.parametrize("alias", [pulumi.Alias(name=None), pulumi.Alias(type_=None)])
def test_an_alias_of_nothing_is_refused_as_by_the_sdk(alias: pulumi.Alias, monkeypatch: pytest.MonkeyPatch) -> None:
    def program() -> None:
        k8s.core.v1.ConfigMap("named", opts=pulumi.ResourceOptions(aliases=[alias]))

    with pytest.raises(Exception, match="passed in for alias"):
        plan_program(program)
    with pytest.raises(Exception, match="passed in for alias"):
        without(monkeypatch, program)


@pytest.mark.parametrize("parent", ["urn:pulumi:a::b::c:d:E::f", "urn:pulumi:a::b::c:d:E$g:h:I::j", "", None])
async def test_urns_are_those_of_the_sdk(parent: str | None) -> None:
    told = ("name", "k:l:M", parent, "project", "stack")
    assert await sdk_work._create_urn(*told).future() == await sdk_work._SDK["create_urn"](*told).future()


def test_types_are_unwrapped_as_by_the_sdk() -> None:
    unwrapped = sdk_work._Unwrapped()
    seen = 0
    for module in (k8s.core.v1, k8s.apps.v1, aws.sagemaker):
        for _, made in inspect.getmembers(module, sdk_types.is_input_type):
            for hint in sdk_types._raw_return_hints(made).values():
                assert unwrapped(hint) is unwrapped(hint)
                assert unwrapped(hint) == sdk_work._SDK["unwrap_type"](hint)
                seen += 1
    assert seen > 1000
    # Equal, and yet not the same.
    first: Any = dict[str, str] | str
    second: Any = str | dict[str, str]
    assert first == second
    apart = [sdk_work._SDK["unwrap_type"](hint) for hint in (first, second)]
    assert apart[0] != apart[1]
    assert [unwrapped(first), unwrapped(second)] == apart


def test_it_fits_the_sdk_that_is_installed() -> None:
    assert sdk_work.fits()


def other(res: Any, props: Any) -> None:
    """A function that takes other parameters."""


@pytest.mark.parametrize("by", [None, other])
def test_an_sdk_made_in_another_way_is_left_alone(by: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sdk_rpc.transfer_properties
    monkeypatch.setattr(sdk_work, "_SDK", {**sdk_work._SDK, "transfer_properties": by})
    sdk_work.fits.cache_clear()
    try:
        with sdk_work.put_off():
            assert sdk_rpc.transfer_properties is before
    finally:
        sdk_work.fits.cache_clear()


def test_the_sdk_is_put_back_after_a_failure() -> None:
    before = [getattr(owner, name) for owner, name, _, _ in sdk_work._REPLACED]

    def fails() -> None:
        assert [getattr(owner, name) for owner, name, _, _ in sdk_work._REPLACED] != before
        raise KeyError("on purpose")

    with pytest.raises(KeyError):
        plan_program(fails)
    assert [getattr(owner, name) for owner, name, _, _ in sdk_work._REPLACED] == before
