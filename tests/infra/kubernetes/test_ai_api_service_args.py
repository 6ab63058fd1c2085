"""What AiApiService refuses: each fault with its path and the choice there is, all of them in one error, nothing registered."""

import copy
import itertools
import math
from collections.abc import Iterator, Mapping
from typing import Any, cast

import pulumi
import pytest

from slipway.backend import Backend
from slipway.kubernetes.ai_api_service import AiApiService
from slipway.kubernetes.ai_api_service_args import AiApiServiceArgs, ServiceType
from slipway.kubernetes.ai_api_service_settings import Resolved
from slipway.plan import plan_program
from slipway.vendors import vendor

OPENAI: Mapping[str, Any] = vendor("openai", name="openai", model="gpt-4o-mini", api_key={"name": "api-keys", "key": "openai"})
LLAMA: Mapping[str, Any] = {
    "name": "llama",
    "url": "http://llama.ai.svc:8000/v1",
    "model": "llama",
    "egress": {"port": 8000, "pod_labels": {"app": "llama"}},
}
ARGS: Mapping[str, Any] = {"image": "router:1.2.3", "namespace": "ai", "backends": [OPENAI]}


def refused(args: Mapping[str, Any], name: str = "ai-api") -> dict[str, str]:
    """Faults by path, without the prefix; several at one path are joined."""
    faults: dict[str, str] = {}
    try:
        Resolved.of(name, args)  # pyright: ignore[reportArgumentType] -- what a caller without a type checker gives
    except pulumi.InputPropertiesError as error:
        for fault in error.errors or []:
            path = fault["property_path"].removeprefix("args.")
            faults[path] = "; ".join(filter(None, [faults.get(path), fault["reason"]]))
    return faults


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"replicas": -1}, {"replicas": "is -1; give 0 or more"}),
    ({"replicas": 1.5}, {"replicas": "is 1.5; give a whole number"}),
    ({"replicas": 2, "scaling": {"max": 5}}, {"replicas": "cannot go with 'scaling'"}),
    ({"scaling": {"min": 5, "max": 4}}, {"scaling.min": "is 5, above scaling.max = 4"}),
    ({"scaling": {"minimum": 5}}, {"scaling.minimum": "did you mean 'min'?"}),
    ({"image": "router"}, {"image": "which means ':latest'"}),
    ({"image": "router:latest"}, {"image": "'latest' moves"}),
    ({"namespace": "AI"}, {"namespace": "is 'AI'; give lower case letters"}),
    ({"image": None, "namespace": None}, {"image": "is required", "namespace": "is required"}),
    ({"backends": []}, {"backends": "at least 1 item"}),
    ({"backends": "openai"}, {"backends": "give a list"}),
    ({"backends": ["openai"]}, {"backends[0]": "give a mapping"}),
    ({"backends": [OPENAI, OPENAI]}, {"backends[1].name": "'openai' is there twice, first as backends[0]"}),
    ({"backends": [{**OPENAI, "api_key": None}]}, {"backends[0].api_key": "is required, since the backend's key"}),
    ({"backends": [{**OPENAI, "api_key": {"name": "api-keys"}}]}, {"backends[0].api_key.key": "is required"}),
    ({"backends": [{**LLAMA, "api_key": {"name": "a", "key": "b"}}]}, {"backends[0].api_key": "goes with 'api_key_env'"}),
    ({"backends": [{**LLAMA, "url": "llama:8000"}]}, {"backends[0].url": "give http://HOST:PORT/v1"}),
    ({"backends": [{**LLAMA, "url": "http://ai-api.ai.svc/v1"}]}, {"backends[0].url": "the address of this service itself"}),
    ({"backends": [{**LLAMA, "url": "http://ai-api.ai.svc.cluster.local/v1"}]}, {"backends[0].url": "of this service itself"}),
    ({"backends": [{**LLAMA, "egress": None}]}, {"backends[0].egress": "is required, since the backend is on port 8000"}),
    ({"backends": [{**LLAMA, "url": "http://x/v1", "egress": None}]}, {"backends[0].egress": "is on port 80 "}),
    ({"backends": [{**LLAMA, "url": "http://x:99999/v1", "egress": None}]}, {"backends[0].url": "has the port 99999"}),
    ({"backends": [{**LLAMA, "egress": {"port": "http", "cidr": "::/0"}}]}, {"backends[0].egress.port": "give a whole number"}),
    ({"backends": [{**LLAMA, "egress": {"port": 8000}}]}, {"backends[0].egress": "has no address"}),
    ({"backends": [{**LLAMA, "timeouts": {"total": 0}}]}, {"backends[0].timeouts.total": "greater than 0"}),
    ({"backends": [{**LLAMA, "timeouts": {"total": float("inf")}}]}, {"backends[0].timeouts.total": "a finite number"}),
    ({"backends": [{**LLAMA, "timeouts": {"total": "1h"}}]}, {"backends[0].timeouts.total": "give a number"}),
    ({"settings": {"listen": {"port": 80}}}, {"settings.listen": "is set here"}),
    ({"settings": {"drain_seconds": 5}}, {"settings.drain_seconds": "change that instead"}),
    ({"settings": {"backends": []}}, {"settings.backends": "is an argument of its own"}),
    ({"settings": {"policy": {"best": "gpt"}}}, {"settings.policy.best": "names 'gpt', which is no backend; there are 'openai'"}),
    ({"settings": {"max_body": 8}}, {"settings.max_body": "is not a setting here"}),
    ({"settings": {"keys": [{"name": "a", "env": "TEAM_A"}]}}, {"settings.keys[0].env": "give env_from_secrets.TEAM_A"}),
    ({"resources": {"requests": {"cpu": "half"}}}, {"resources.requests.cpu": "is 'half'; give a quantity"}),
    ({"resources": {"limits": {"memory": "512Mi"}}}, {"resources.limits.memory": "below the request of '1Gi'"}),
    ({"resources": {"limit": {}}}, {"resources.limit": "did you mean 'limits'?"}),
    ({"allow_from": [{}]}, {"allow_from[0]": "names nobody"}),
    ({"prometheus": {"cidr": "here"}}, {"prometheus.cidr": "give an address range"}),
    ({"service_type": "Ingress"}, {"service_type": "give one of 'ClusterIP', 'NodePort', 'LoadBalancer'"}),
    ({"service_type": "LoadBalancer"}, {"allow_from": "is required with service_type 'LoadBalancer'"}),
    ({"pre_stop_seconds": -5}, {"pre_stop_seconds": "is -5; give 0 to 300"}),
    ({"rollout_seconds": 59}, {"rollout_seconds": "is 59; give 60 to 86400 seconds"}),
    ({"create_namespace": "yes"}, {"create_namespace": "give true or false"}),
    ({"env_from_secrets": {"A B": {"name": "a", "key": "b"}}}, {"env_from_secrets.A B": "is no name of an environment variable"}),
    ({"env_from_secrets": {"A": {"name": "A", "key": "b"}}}, {"env_from_secrets.A.name": "give a Secret's name"}),
    ({"annotations": {"a b": "c"}}, {"annotations.a b": "is no key; give a name of letters"}),
    ({"annotations": {"a": 3}}, {"annotations.a": "give text"}),
    ({"service_annotations": {"EXAMPLE.com/a": "b"}}, {"service_annotations.EXAMPLE.com/a": "or DOMAIN/NAME"}),
    ({"priority_class": "High Priority"}, {"priority_class": "give lower case letters"}),
    ({"node_selector": {"zone": "a zone"}}, {"node_selector.zone": "is 'a zone'; give letters, digits"}),
    ({"node_selector": {"-zone": "a"}}, {"node_selector.-zone": "is no key"}),
    ({"image_pull_secrets": ["ok", "Not_ok"]}, {"image_pull_secrets[1]": "is 'Not_ok'; give lower case letters"}),
    ({"replica": 3}, {"replica": "did you mean 'replicas'?"}),
]


def test_every_argument_has_a_wrong_value_here_or_in_a_test_of_its_own() -> None:
    elsewhere = {
        "ingress",
        "http_route",
        "canary",
        "identity",
        "external_secrets",
        "service_monitor",
        "recommend_resources",
        "mesh",
        "make_identity",
        "federation",
        "admin",
        "telemetry",
        "redis",
    }
    here = {key for wrong, _ in WRONG for key in wrong}
    assert here | elsewhere >= AiApiServiceArgs.__annotations__.keys()


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused({**ARGS, **wrong})
    assert faults.keys() == told.keys()
    assert all(reason in faults[path] for path, reason in told.items()), faults


@pytest.mark.parametrize(("one", "two"), list(itertools.pairwise(WRONG)))
def test_any_two_faults_are_told_together(one: tuple[Any, dict[str, str]], two: tuple[Any, dict[str, str]]) -> None:
    both = {**one[0], **two[0]}
    # Where both are about one argument, the second replaced the first.
    expected = [*two[1], *(one[1] if not one[0].keys() & two[0].keys() else ())]
    assert set(expected) <= refused({**ARGS, **both}).keys()


@pytest.mark.parametrize("name", ["AI", "1st", "a" * 64, "ai_api"])
def test_a_name_that_no_service_can_have_is_refused(name: str) -> None:
    assert "at most 63" in refused(ARGS, name)["name"]


def test_the_longest_name_still_makes_names_that_kubernetes_takes() -> None:
    name = "a" * 63
    plan = plan_program(lambda: AiApiService(name, {"image": "r:1", "namespace": "ai", "backends": [vendor_backend()]}))
    assert max(len(r.inputs["metadata"]["name"]) for r in plan if r.custom) == 63 + len("-config-") + 10


def vendor_backend() -> Backend:
    return vendor("openai", name="openai", model="gpt-4o-mini", api_key={"name": "api-keys", "key": "openai"})


def test_the_error_says_it_all_and_nothing_is_registered() -> None:
    seen: list[str] = []

    def program() -> None:
        try:
            AiApiService("ai-api", {**ARGS, "replicas": -1, "image": "router:latest"})  # pyright: ignore[reportArgumentType] -- from a Mapping
        except pulumi.InputPropertiesError as error:
            seen.append(str(error))

    assert len(plan_program(program)) == 0
    (text,) = seen
    assert text.startswith("AiApiService 'ai-api' cannot be built as asked, 2 faults:")
    assert "\n  args.image: is 'router:latest'" in text
    assert "\n  args.replicas: is -1; give 0 or more" in text


def test_a_program_gets_the_error_unchanged() -> None:
    with pytest.raises(pulumi.InputPropertiesError, match=r"args\.replicas: is -1"):
        plan_program(lambda: AiApiService("ai-api", {**ARGS, "replicas": -1}))  # pyright: ignore[reportArgumentType] -- from a Mapping


def test_defaults_and_numbers_as_other_languages_send_them() -> None:
    plain = Resolved.of("ai-api", ARGS)  # pyright: ignore[reportArgumentType] -- from a Mapping
    assert plain.service_type is ServiceType.CLUSTER_IP
    assert (plain.drain.pre_stop_seconds, plain.drain.stream_seconds) == (10, 900)
    floats: Any = {**ARGS, "scaling": {"min": 3.0}, "pre_stop_seconds": 5.0, "service_type": "ClusterIP"}
    given = Resolved.of("ai-api", floats)
    assert (given.replicas.minimum, type(given.replicas.minimum), given.drain.pre_stop_seconds) == (3, int, 5)


@pytest.mark.parametrize(
    ("totals", "longest"), [([None], 900), ([30], 30), ([30, 45.2], 46), ([30, None], 900), ([1800, None], 1800)]
)
def test_the_longest_stream_decides_how_long_a_replica_drains(totals: list[float | None], longest: int) -> None:
    backends = [{**LLAMA, "name": f"b{i}", **({"timeouts": {"total": t}} if t else {})} for i, t in enumerate(totals)]
    resolved = Resolved.of("ai-api", {**ARGS, "backends": backends})  # pyright: ignore[reportArgumentType] -- from a Mapping
    assert (resolved.drain.stream_seconds, resolved.settings["drain_seconds"]) == (longest, longest)


def test_what_another_resource_makes_is_taken_where_an_input_is_and_refused_elsewhere() -> None:
    told: dict[str, dict[str, str]] = {}

    def program() -> None:
        for key in AiApiServiceArgs.__annotations__:
            told[key] = refused({**ARGS, key: pulumi.Output.from_input("made")})

    plan_program(program)
    taken = {key for key, faults in told.items() if not faults}
    assert taken == {"image", "namespace", "priority_class", "node_selector"}
    plain = "comes from another resource; give a plain value, since the plan is checked with it"
    assert all(faults.get(key) == plain for key, faults in told.items() if key not in taken)


FULL: dict[str, Any] = {
    "image": "router:1.2.3",
    "namespace": "ai",
    "backends": [{**OPENAI, "timeouts": {"total": 3}, "serves": ["x"], "tasks": ["chat"]}, {**LLAMA}],
    "settings": {"keys": [{"name": "a", "env": "KEY_A"}], "policy": {"best": "openai"}},
    "scaling": {"by": "keda", "prometheus_url": "http://p", "min": 2, "max": 5, "cpu_percent": 50, "fallback_replicas": 3},
    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "8Gi"}},
    "env_from_secrets": {"KEY_B": {"name": "a", "key": "b"}},
    "external_secrets": {"store": "v", "values": {"KEY_A": {"key": "k", "property": "p"}}, "refresh_seconds": 60},
    "identity": {"aws_role_arn": "arn:aws:iam::123456789012:role/x", "eks_cluster": "c"},
    "federation": {
        "gcp_provider": "projects/1/locations/global/workloadIdentityPools/pool/providers/prod",
        "gcp_service_account": "router@p.iam.gserviceaccount.com",
    },
    "allow_from": [{"namespace": "w", "pod_labels": {"a": "b"}}, {"cidr": "10.0.0.0/8"}],
    "prometheus": {"namespace": "m"},
    "http_route": {
        "hosts": ["a.io"],
        "gateway": "g",
        "gateway_namespace": "n",
        "listener": "l",
        "proxies": [{"cidr": "::/0"}],
        "paths": ["/v1"],
        "timeout_seconds": 1000,
        "plain_http": False,
    },
    "canary": {"image": "router:2", "weight": 10, "replicas": 3},
    "service_monitor": {"labels": {"a": "b"}, "interval_seconds": 15},
    "admin": {"key": {"name": "a", "key": "b"}, "allow_from": [{"namespace": "o"}]},
    "telemetry": {
        "most_keys": 5,
        "logs": {"format": "json", "level": "info", "requests": True},
        "otel": {
            "endpoint": "http://o.m.svc:4318",
            "egress": {"port": 4318, "cidr": "10.0.0.0/8"},
            "token": {"name": "a", "key": "b"},
            "sample": 0.5,
        },
    },
    "recommend_resources": True,
    "mesh": {"kind": "linkerd"},
    "redis": {"host": "redis.ai.svc", "port": 6379, "password": {"name": "redis-password", "key": "password"}},
    "create_namespace": True,
    "service_type": "ClusterIP",
    "annotations": {"a": "b"},
    "service_annotations": {"a": "b"},
    "pre_stop_seconds": 10,
    "rollout_seconds": 600,
    "priority_class": "p",
    "node_selector": {"a": "b"},
    "image_pull_secrets": ["r"],
}


def places(value: object, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if path:
        yield path
    if isinstance(value, Mapping):
        for key, item in cast("Mapping[str, object]", value).items():
            yield from places(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(cast("list[object]", value)):
            yield from places(item, (*path, i))


def test_no_value_however_wrong_wherever_it_stands_gives_anything_but_a_refusal() -> None:
    assert refused(FULL) == {}
    assert AiApiServiceArgs.__annotations__.keys() - FULL.keys() == {"replicas", "ingress", "make_identity"}
    wrong: list[object] = [
        None,
        3,
        -1,
        1.5,
        math.nan,
        math.inf,
        True,
        "",
        "x",
        [],
        [1],
        [None],
        [[]],
        {},
        {"a": 1},
        {3: 4},
        object(),
    ]
    tried: list[tuple[Any, ...]] = []

    def program() -> None:
        for path in places(FULL):
            for value in (*wrong, pulumi.Output.from_input("made")):
                args = copy.deepcopy(FULL)
                at: Any = args
                for step in path[:-1]:
                    at = at[step]
                at[path[-1]] = value
                refused(args)  # any other error ends the test
                tried.append(path)

    plan_program(program)
    assert len(tried) > 1500
