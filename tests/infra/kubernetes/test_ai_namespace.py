"""AiNamespace: its objects against Kubernetes' published schema, and what it refuses. That quota, limits and policy bite is
proven on a cluster, not here."""

import itertools
import math
from collections.abc import Mapping
from typing import Any, cast

import kubernetes_validate
import pulumi
import pulumi_kubernetes as k8s
import pytest
from pulumi.provider.experimental.analyzer import Analyzer

from slipway import AiNamespace
from slipway.kubernetes.ai_namespace_args import AiNamespaceArgs, NamespaceSettings
from slipway.kubernetes.network import dns
from slipway.plan import Plan, plan_program

EVERYTHING: AiNamespaceArgs = {
    "namespace": "ai-prod",
    "pod_security": "baseline",  # pyright: ignore[reportAssignmentType] -- as YAML and other languages give an enum
    "quota": {
        "gpus": 16,
        "extended_resources": {"nvidia.com/mig-3g.40gb": 4},
        "cpu": "128",
        "memory": "1Ti",
        "memory_limits": "2Ti",
        "storage": "10Ti",
        "volumes": 20,
        "pods": 100,
        "load_balancers": 0,
    },
    "container_defaults": {"requests": {"cpu": "50m"}, "limits": {"memory": "512Mi"}},
    "container_max": {"memory": "640Gi"},
    "labels": {"istio-injection": "enabled"},
    "annotations": {"example.com/owner": "team-a"},
}


def planned(args: AiNamespaceArgs | None = None, name: str = "ai", **more: Any) -> Plan:
    given = cast("AiNamespaceArgs", {**(args or {}), **more})
    return plan_program(lambda: AiNamespace(name, given))


def refused(args: Mapping[str, Any], name: str = "ai") -> dict[str, str]:
    faults: dict[str, str] = {}
    try:
        NamespaceSettings.of(name, cast("AiNamespaceArgs", args))
    except pulumi.InputPropertiesError as error:
        for fault in error.errors or []:
            path = fault["property_path"].removeprefix("args.")
            faults[path] = "; ".join(filter(None, [faults.get(path), fault["reason"]]))
    return faults


@pytest.mark.parametrize(("args", "count"), [({}, 3), (EVERYTHING, 4), ({"default_deny": False}, 2)])
def test_every_manifest_passes_the_published_schema_strictly(args: AiNamespaceArgs, count: int) -> None:
    made = [dict(r.inputs) for r in planned(args) if r.custom]
    assert [kubernetes_validate.validate(m, "1.36", strict=True) for m in made] == ["1.36"] * count


def test_without_a_word_it_is_restricted_and_closed_and_has_no_quota() -> None:
    plan = planned()
    metadata = plan["ai-namespace"].inputs["metadata"]
    assert metadata["name"] == "ai"
    levels = {k: v for k, v in metadata["labels"].items() if k.startswith("pod-security.kubernetes.io/")}
    assert levels == {f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "audit", "warn")}
    assert "ai-quota" not in plan
    assert plan["ai-limits"].inputs["spec"] == {
        "limits": [{"type": "Container", "defaultRequest": {"cpu": "100m", "memory": "128Mi"}}]
    }


def test_its_policy_selects_every_pod_and_lets_them_reach_dns_alone() -> None:
    def program() -> None:
        AiNamespace("ai", {})
        k8s.networking.v1.NetworkPolicy("dns", spec={"pod_selector": {}, "egress": [dns()]})

    plan = plan_program(program)
    spec = plan["ai-default-deny"].inputs["spec"]
    assert spec["podSelector"] == {}
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in spec
    assert spec["egress"] == plan["dns"].inputs["spec"]["egress"]
    assert "ai-default-deny" not in planned(default_deny=False)


def test_what_was_asked_for_is_there() -> None:
    plan = planned(EVERYTHING)
    metadata = plan["ai-namespace"].inputs["metadata"]
    assert metadata["name"] == "ai-prod"
    assert metadata["labels"]["pod-security.kubernetes.io/enforce"] == "baseline"
    assert metadata["labels"]["istio-injection"] == "enabled"
    assert metadata["annotations"] == {"example.com/owner": "team-a"}
    assert plan["ai-quota"].inputs["spec"]["hard"] == {
        "requests.nvidia.com/gpu": "16",
        "requests.nvidia.com/mig-3g.40gb": "4",
        "requests.cpu": "128",
        "requests.memory": "1Ti",
        "limits.memory": "2Ti",
        "requests.storage": "10Ti",
        "persistentvolumeclaims": "20",
        "pods": "100",
        "services.loadbalancers": "0",
    }
    assert plan["ai-limits"].inputs["spec"]["limits"] == [
        {
            "type": "Container",
            "defaultRequest": {"cpu": "50m", "memory": "128Mi"},
            "default": {"memory": "512Mi"},
            "max": {"memory": "640Gi"},
        }
    ]


def test_objects_in_it_are_named_after_the_component_and_wait_for_the_namespace() -> None:
    plan = planned(EVERYTHING)
    (component,) = plan.of_type("slipway:index:AiNamespace")
    for role in ("limits", "quota", "default-deny"):
        made = plan[f"ai-{role}"]
        assert made.inputs["metadata"]["name"] == f"ai-{role}"
        assert made.inputs["metadata"]["namespace"] == "ai-prod"
        assert plan["ai-namespace"].urn in made.options["dependsOn"]
        assert made.parent == component.urn
    assert component.outputs == {"namespace": "ai-prod"}


def test_what_takes_its_name_waits_until_it_is_closed() -> None:
    def program() -> None:
        space = AiNamespace("ai", {"quota": {"gpus": 0}})
        k8s.core.v1.ConfigMap("inside", metadata={"name": "inside", "namespace": space.namespace})

    plan = plan_program(program)
    inside = plan["inside"]
    assert inside.inputs["metadata"]["namespace"] == "ai"
    assert {plan[f"ai-{role}"].urn for role in ("namespace", "limits", "quota", "default-deny")} <= set(
        inside.options["dependsOn"]
    )


def test_two_namespaces_in_one_stack_do_not_meet() -> None:
    def program() -> None:
        AiNamespace("one", EVERYTHING)
        AiNamespace("two", {**EVERYTHING, "namespace": "ai-test"})

    objects = [
        (r.inputs["kind"], r.inputs["metadata"].get("namespace"), r.inputs["metadata"]["name"])
        for r in plan_program(program)
        if r.custom
    ]
    assert len(set(objects)) == len(objects) == 8


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"namespace": "AI"}, {"namespace": "is 'AI'; give lower case letters"}),
    ({"pod_security": "strict"}, {"pod_security": "give one of 'restricted', 'baseline', 'privileged'"}),
    ({"quota": 8}, {"quota": "give a mapping with the keys 'gpus'"}),
    ({"quota": {"gpu": 8}}, {"quota.gpu": "did you mean 'gpus'?"}),
    ({"quota": {"gpus": -1}}, {"quota.gpus": "is -1; give 0 or more, or leave it out for no bound"}),
    ({"quota": {"gpus": 1.5}}, {"quota.gpus": "give a whole number"}),
    ({"quota": {"pods": "many"}}, {"quota.pods": "give a whole number"}),
    ({"quota": {"volumes": -3}}, {"quota.volumes": "give 0 or more"}),
    ({"quota": {"load_balancers": -1}}, {"quota.load_balancers": "give 0 or more"}),
    ({"quota": {"extended_resources": {"gpu": 1}}}, {"quota.extended_resources.gpu": "give DOMAIN/NAME"}),
    ({"quota": {"extended_resources": {"amd.com/gpu": -1}}}, {"quota.extended_resources.amd.com/gpu": "give 0 or more"}),
    ({"quota": {"extended_resources": {"nvidia.com/gpu": 1}}}, {"quota.extended_resources.nvidia.com/gpu": "give 'quota.gpus'"}),
    ({"quota": {"cpu": "64 cores"}}, {"quota.cpu": "is '64 cores'; give a quantity such as '500m' or '2'"}),
    ({"quota": {"cpu": 64}}, {"quota.cpu": "is 64; give text"}),
    ({"quota": {"memory": "512"}}, {"quota.memory": "which is 512 bytes; for MiB write 'Mi'"}),
    ({"quota": {"memory_limits": "1TB"}}, {"quota.memory_limits": "give a quantity such as '512Mi'"}),
    ({"quota": {"storage": "2"}}, {"quota.storage": "which is 2 bytes"}),
    ({"container_defaults": {"request": {}}}, {"container_defaults.request": "did you mean 'requests'?"}),
    ({"container_defaults": {"requests": {"cpu": "0"}}}, {"container_defaults.requests.cpu": "give more than 0"}),
    (
        {"container_defaults": {"limits": {"memory": "64Mi"}}},
        {"container_defaults.limits.memory": "below the request of '128Mi'"},
    ),
    ({"container_max": {"cpu": "lots"}}, {"container_max.cpu": "is 'lots'; give a quantity"}),
    (
        {"container_max": {"memory": "64Mi"}},
        {"container_defaults.requests.memory": "is '128Mi', above container_max.memory = '64Mi'"},
    ),
    ({"default_deny": "yes"}, {"default_deny": "give true or false"}),
    (
        {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}},
        {"labels.pod-security.kubernetes.io/enforce": "give 'pod_security' instead"},
    ),
    ({"labels": {"mesh": "on/off"}}, {"labels.mesh": "is 'on/off'; give letters"}),
    ({"annotations": {"a/b/c": "d"}}, {"annotations.a/b/c": "is no key"}),
    ({"labels": ["mesh"]}, {"labels": "give a mapping"}),
    ({"annotations": {"a": 1}}, {"annotations.a": "give text"}),
    ({"name": "ai"}, {"name": "is not an argument; did you mean"}),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(wrong)
    assert faults.keys() == told.keys()
    assert all(reason in faults[path] for path, reason in told.items()), faults


@pytest.mark.parametrize(("one", "two"), list(itertools.pairwise(WRONG)))
def test_any_two_faults_are_told_together(one: tuple[Any, dict[str, str]], two: tuple[Any, dict[str, str]]) -> None:
    # Where both are about one argument, the second replaced the first.
    expected = [*two[1], *(one[1] if not one[0].keys() & two[0].keys() else ())]
    assert set(expected) <= refused({**one[0], **two[0]}).keys()


def test_every_argument_has_a_wrong_value_in_the_table() -> None:
    assert {key for wrong, _ in WRONG for key in wrong} >= AiNamespaceArgs.__annotations__.keys()


def test_no_value_however_wrong_wherever_it_stands_gives_anything_but_a_refusal() -> None:
    wrong: list[object] = [None, 3, -1, 1.5, math.nan, math.inf, True, "", "text", [], [1], {}, {"a": {"b": 1}}, {3: 4}, object()]
    args = cast("dict[str, Any]", EVERYTHING)
    tried: list[str] = []

    def program() -> None:
        for value in (*wrong, pulumi.Output.from_input("made")):
            for key in args:
                # Any other error ends the test.
                tried.extend(refused({**args, key: value}))
                if isinstance(args[key], dict):
                    for inner in args[key]:
                        tried.extend(refused({**args, key: {**args[key], inner: value}}))

    plan_program(program)
    assert len(tried) > 200


def test_a_name_that_no_namespace_can_have_is_refused_before_anything_is_made() -> None:
    assert "give lower case letters" in refused({}, "My_Namespace")["name"]
    seen: list[str] = []

    def program() -> None:
        try:
            AiNamespace("ai", {"quota": {"gpus": -1}})
        except pulumi.InputPropertiesError as error:
            seen.append(str(error))

    assert len(plan_program(program)) == 0
    assert seen[0].startswith("AiNamespace 'ai' cannot be built as asked, 1 fault:\n  args.quota.gpus: is -1")


def test_other_languages_can_use_it() -> None:
    component = Analyzer("slipway").analyze([AiNamespace])["component_definitions"]["AiNamespace"]
    assert set(component.inputs_mapping.values()) == AiNamespaceArgs.__annotations__.keys()
    assert all(definition.description for definition in component.inputs.values())
    assert list(component.outputs) == ["namespace"]
