"""GkeCluster: its refusals, and the graph that it registers. That Google Cloud makes it is not proven here."""

import json
from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest
import yaml
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.sdk_types import faults
from tests.support.arguments import at, path, wrong_everywhere

from slipway import GkeCluster
from slipway.gcp.gke_cluster import GkeClusterArgs, GkeGpuPoolArgs, kubeconfig
from slipway.plan import Plan, Secret, plan_program

AUTOPILOT: GkeClusterArgs = {"location": "europe-west4", "project": "search"}
POOL: GkeGpuPoolArgs = {"machine_type": "g2-standard-24", "max_nodes": 4}
STANDARD: GkeClusterArgs = {
    "location": "europe-west4",
    "project": "search",
    "gpu_pools": {"l4": {**POOL, "min_nodes": 1, "spot": True, "zones": ["europe-west4-a"]}},
    "network": "net",
    "subnetwork": "sub",
    "deletion_protection": False,
    "labels": {"team": "search"},
}


def planned(args: GkeClusterArgs, name: str = "ai") -> Plan:
    return plan_program(lambda: cast("None", GkeCluster(name, args)))


@pytest.mark.parametrize("args", [AUTOPILOT, STANDARD], ids=["autopilot", "standard"])
def test_every_input_is_one_that_the_sdk_knows(args: GkeClusterArgs) -> None:
    plan = planned(args)
    made = [r for r in plan.resources if r.custom]
    assert {r.parent for r in made} == {plan["ai"].urn}
    assert [line for r in made if not r.type.startswith("pulumi:providers:") for line in faults(r)] == []
    assert isinstance(plan["ai-provider"].inputs["kubeconfig"], Secret)


def test_autopilot_by_itself() -> None:
    plan = planned(AUTOPILOT)
    assert {r.name for r in plan if r.custom} == {"ai-cluster", "ai-provider"}
    inputs = plan["ai-cluster"].inputs
    assert (inputs["enableAutopilot"], inputs["deletionProtection"]) == (True, True)


def test_a_standard_cluster_has_pools_that_act_as_pods_accounts() -> None:
    plan = planned(STANDARD)
    assert {r.name for r in plan if r.custom} == {
        "ai-cluster",
        "ai-nodes",
        "ai-nodes-role",
        "ai-system",
        "ai-gpu-l4",
        "ai-provider",
    }
    cluster = plan["ai-cluster"].inputs
    assert cluster["workloadIdentityConfig"] == {"workloadPool": "search.svc.id.goog"}
    assert (cluster["removeDefaultNodePool"], cluster["network"], cluster["deletionProtection"]) == (True, "net", False)
    pool = plan["ai-gpu-l4"].inputs
    assert pool["autoscaling"] == {"minNodeCount": 1, "maxNodeCount": 4}
    assert pool["nodeLocations"] == ["europe-west4-a"]
    config = pool["nodeConfig"]
    assert (config["machineType"], config["spot"]) == ("g2-standard-24", True)
    assert config["guestAccelerators"] == [
        {"type": "nvidia-l4", "count": 2, "gpuDriverInstallationConfig": {"gpuDriverVersion": "LATEST"}}
    ]
    assert config["workloadMetadataConfig"] == {"mode": "GKE_METADATA"}
    assert plan["ai-nodes-role"].inputs["role"] == "roles/container.defaultNodeServiceAccount"
    assert plan["ai-gpu-l4"].urn in plan["ai-provider"].options["dependsOn"]


def test_the_kubeconfig_holds_no_credential() -> None:
    told = yaml.safe_load(kubeconfig("ai", "10.0.0.1", "Q0E="))
    assert told == json.loads(kubeconfig("ai", "10.0.0.1", "Q0E="))
    assert told["clusters"][0]["cluster"] == {"server": "https://10.0.0.1", "certificate-authority-data": "Q0E="}
    assert told["users"][0]["user"]["exec"]["command"] == "gke-gcloud-auth-plugin"
    assert set(told["users"][0]["user"]) == {"exec"}


@pytest.mark.parametrize(
    ("wrong", "where", "words"),
    [
        ({"location": "Europe"}, "location", "a region such as"),
        ({"location": "europe-west4-a"}, "location", "so give 'europe-west4'"),
        ({"system_machine_type": "e2-standard-4", "autopilot": True}, "system_machine_type", "goes with 'autopilot': False"),
        ({"gpu_pools": {"l4": POOL}, "autopilot": True}, "gpu_pools", "nodes are Google's"),
        ({"gpu_pools": {"L4": POOL}}, "gpu_pools.L4", "at most 10"),
        ({"gpu_pools": {"a": {**POOL, "max_nodes": 0}}}, "gpu_pools.a.max_nodes", "1 to 1000"),
        ({"gpu_pools": {"a": {**POOL, "max_nodes": 1001}}}, "gpu_pools.a.max_nodes", "1 to 1000"),
        ({"gpu_pools": {"a": {**POOL, "min_nodes": 5}}}, "gpu_pools.a.min_nodes", "0 to 4"),
        ({"gpu_pools": {"a": {**POOL, "machine_type": "e2-standard-4"}}}, "gpu_pools.a.machine_type", "carries no GPUs"),
        ({"gpu_pools": {"a": {**POOL, "zones": ["us-east1-a"]}}}, "gpu_pools.a.zones[0]", "no zone of europe-west4"),
        (
            {"location": "europe-west1", "gpu_pools": {"a": {**POOL, "machine_type": "a2-ultragpu-1g"}}},
            "gpu_pools.a.machine_type",
            "which europe-west1 does not have",
        ),
    ],
)
def test_each_fault_is_told_by_its_path_and_nothing_beside_it(wrong: Mapping[str, Any], where: str, words: str) -> None:
    args: Any = {**AUTOPILOT, **wrong}
    with pytest.raises(pulumi.InputPropertiesError) as error:
        planned(args)
    (fault,) = error.value.errors or []
    assert fault["property_path"] == f"args.{where}"
    assert words in fault["reason"]


def test_names_leave_room_for_gke_s_limit() -> None:
    with pytest.raises(pulumi.InputPropertiesError, match="at most 24"):
        planned(AUTOPILOT, "a" * 25)


def test_every_argument_is_checked_for_its_type() -> None:
    for keys, value in wrong_everywhere(GkeClusterArgs):
        args: Any = at(keys, value, AUTOPILOT)
        with pytest.raises(pulumi.InputPropertiesError) as error:
            planned(args)
        assert any(f["property_path"].startswith(f"args.{path(keys)}") for f in error.value.errors or []), path(keys)


def test_it_can_be_hosted_for_other_languages() -> None:
    component = Analyzer("slipway").analyze([GkeCluster])["component_definitions"]["GkeCluster"]
    assert {name for name, given in component.inputs.items() if not given.optional} == {"location"}
    assert {"clusterName", "kubeconfig"} <= set(component.outputs)
