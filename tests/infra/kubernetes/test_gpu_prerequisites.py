"""GpuPrerequisites: the release that it asks Helm for, and what it refuses. What the chart makes of it is shown beside, in
test_gpu_prerequisites_chart.py, where the chart is; there is no node with a GPU."""

from collections.abc import Mapping
from typing import Any, cast

import kubernetes_validate
import pulumi
import pytest
import yaml
from pulumi.provider.experimental.analyzer import Analyzer

from slipway import GpuPrerequisites, accelerators
from slipway.accelerators import GpuNodeLabels
from slipway.kubernetes.gpu_prerequisites_args import GpuPrerequisitesArgs, PrerequisiteSettings
from slipway.plan import Plan, plan_program
from slipway.plan.render import render

ARGS: Mapping[str, Any] = {"repository": "https://charts.example.com/nvidia"}
EVERYTHING: Mapping[str, Any] = {
    **ARGS,
    "version": "v25.3.4",
    "namespace": "nvidia",
    "driver": False,
    "toolkit": False,
    "shared_replicas": 8,
    "service_monitor": True,
    "values": {"migManager": {"enabled": False}, "devicePlugin": {"config": {"default": "shared"}}},
}


def planned(**more: Any) -> Plan:
    given = {key: value for key, value in {**ARGS, **more}.items() if value is not None}
    return plan_program(lambda: GpuPrerequisites("gpus", cast("GpuPrerequisitesArgs", given)))


def release(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", plan["gpus-operator"].inputs)


def configurations(plan: Plan) -> dict[str, Any]:
    return {key: yaml.safe_load(text) for key, text in release(plan)["values"]["devicePlugin"]["config"]["data"].items()}


def refused(name: str = "gpus", /, **more: Any) -> dict[str, str]:
    given = {key: value for key, value in {**ARGS, **more}.items() if value is not None}
    try:
        PrerequisiteSettings.of(name, cast("GpuPrerequisitesArgs", given))
    except pulumi.InputPropertiesError as error:
        return {f["property_path"].removeprefix("args."): f["reason"] for f in error.errors or []}
    return {}


@pytest.mark.parametrize("more", [{}, EVERYTHING])
def test_it_is_a_pinned_release_in_a_namespace_that_lets_it_work_on_nodes(more: Mapping[str, Any]) -> None:
    plan = planned(**more)
    home = plan["gpus-namespace"]
    assert kubernetes_validate.validate(dict(home.inputs), "1.36", strict=True) == "1.36"
    assert home.inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "privileged"
    asked = release(plan)
    assert (asked["chart"], asked["repositoryOpts"]) == ("gpu-operator", {"repo": ARGS["repository"]})
    assert (asked["version"], asked["namespace"]) == (more.get("version", "v26.7.0"), home.inputs["metadata"]["name"])
    assert home.urn in plan["gpus-operator"].options["dependsOn"]


def test_a_mirror_by_oci_is_part_of_the_charts_name() -> None:
    asked = release(planned(repository="oci://registry.example.com/charts/"))
    assert asked["chart"] == "oci://registry.example.com/charts/gpu-operator"
    assert "repositoryOpts" not in asked


def test_everything_that_can_be_asked_arrives_and_values_win() -> None:
    asked = release(planned(**EVERYTHING))["values"]
    assert (asked["driver"], asked["toolkit"], asked["migManager"]) == tuple([{"enabled": False}] * 3)
    assert asked["dcgmExporter"] == {"enabled": True, "serviceMonitor": {"enabled": True}}
    assert asked["devicePlugin"]["config"]["default"] == "shared"
    assert asked["devicePlugin"]["config"]["create"] is True
    assert release(planned())["values"]["devicePlugin"]["config"]["default"] == "whole"


def test_what_nodes_offer_is_what_model_servers_ask_for() -> None:
    by = GpuNodeLabels.GPU_FEATURE_DISCOVERY
    found = configurations(planned(shared_replicas=8))
    (turns,) = found["shared"]["sharing"]["timeSlicing"]["resources"]
    assert turns == {"name": "nvidia.com/gpu", "replicas": 8}
    # With this name, as the device plugin renames what it shares.
    assert found["shared"]["sharing"]["timeSlicing"]["renameByDefault"] is True
    assert accelerators.parse("l4/shared")[0].resource(by) == f"{turns['name']}.shared"
    # With this strategy slices have names of their own.
    assert {c["flags"]["migStrategy"] for c in found.values()} == {"mixed"}
    assert accelerators.parse("a100-80gb/3g.40gb")[0].resource(by) == "nvidia.com/mig-3g.40gb"
    assert configurations(planned()).keys() == {"whole"}


def test_where_the_cluster_has_it_nothing_is_made() -> None:
    plan = planned(repository=None, existing=True)
    assert [r.type for r in plan] == ["slipway:index:GpuPrerequisites"]


def test_up_waits_longer_than_helm() -> None:
    plan = planned()
    timeouts = plan["gpus-operator"].options["customTimeouts"]
    assert all(int(timeouts[key].removesuffix("s")) > release(plan)["timeout"] for key in ("create", "update"))


def test_rendered_it_is_told_as_what_no_manifest_can_make() -> None:
    assert [r.name for r in render(planned()).elsewhere] == ["gpus-operator"]


def test_other_languages_can_use_it() -> None:
    component = Analyzer("slipway").analyze([GpuPrerequisites])["component_definitions"]["GpuPrerequisites"]
    assert set(component.inputs_mapping.values()) == GpuPrerequisitesArgs.__annotations__.keys()
    assert all(definition.description for definition in component.inputs.values())
    assert set(component.outputs_mapping.values()) == planned().of_type("slipway:index:GpuPrerequisites")[0].outputs.keys()


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"repository": None}, {"repository": "is required: give where the chart 'gpu-operator' is, or 'existing': true"}),
    ({"repository": "nvidia/charts"}, {"repository": "is 'nvidia/charts'; give an address"}),
    ({"version": "latest"}, {"version": "is 'latest'; give one version, such as 'v26.7.0'"}),
    ({"version": ">=25"}, {"version": "is '>=25'; give one version"}),
    ({"namespace": "GPU"}, {"namespace": "is 'GPU'; give lower case"}),
    ({"driver": "no"}, {"driver": "give true or false"}),
    ({"toolkit": 1}, {"toolkit": "give true or false"}),
    ({"shared_replicas": 1}, {"shared_replicas": "is 1; give 2 to 64"}),
    ({"shared_replicas": 65}, {"shared_replicas": "is 65; give 2 to 64"}),
    ({"service_monitor": {}}, {"service_monitor": "give true or false"}),
    ({"values": []}, {"values": "give a mapping"}),
    ({"existing": "yes"}, {"existing": "give true or false"}),
    ({"existing": True}, {"repository": "does nothing with 'existing'"}),
    ({"existing": True, "repository": None, "driver": False}, {"driver": "does nothing with 'existing'"}),
    ({"repo": "x"}, {"repo": "is not an argument"}),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(**wrong)
    assert faults.keys() == told.keys(), faults
    assert all(reason in faults[path] for path, reason in told.items()), faults


def test_every_argument_has_a_wrong_value_in_the_table() -> None:
    assert {key for wrong, _ in WRONG for key in wrong} >= GpuPrerequisitesArgs.__annotations__.keys()


def test_a_name_that_the_chart_cannot_add_to_is_refused() -> None:
    assert "at most 34" in refused("g" * 35)["name"]
    assert "give lower case letters" in refused("GPUs")["name"]
    assert refused("g" * 34) == {}
