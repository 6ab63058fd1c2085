"""TrainingJob: its objects against Kubernetes' published schema, what starts another run and what does not, and what it refuses.
That GPUs train, and that nodes find each other by the names given here, is not proven: there are none.
"""

import itertools
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import kubernetes_validate
import pulumi
import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.kubernetes.model_server import env

from slipway import TrainingJob
from slipway.kubernetes.network import dns
from slipway.kubernetes.training_job_args import TrainingJobArgs
from slipway.kubernetes.training_job_settings import OWN_ENV, TrainingSettings
from slipway.plan import Plan, plan_program
from slipway.plan.render import render

TOKEN = "slipway:index:TrainingJob"
ARGS: Mapping[str, Any] = {
    "namespace": "ai",
    "image": "my-training-image:v1",
    "command": ["python", "train.py", "--epochs", "100"],
    "accelerator": "a100-80gb:4",
}
SEVERAL: Mapping[str, Any] = {
    "accelerator": "h100-80gb:8",
    "nodes": 4,
    "checkpoints": {"gib": 2000, "storage_class": "shared"},
}
EVERYTHING: Mapping[str, Any] = {
    **SEVERAL,
    "node_labels": "gke",
    "resources": {"requests": {"cpu": "64", "memory": "512Gi"}, "limits": {"memory": "1Ti"}},
    "shm_gib": 64,
    "scratch_gib": 100,
    "checkpoints": {"gib": 2000, "storage_class": "shared", "mount_path": "/mnt/state", "deletion_policy": "protect"},
    "env": {"WANDB_MODE": "offline"},
    "env_from_secrets": {"HF_TOKEN": {"name": "hub", "key": "token"}},
    "run": "second",
    "deadline_seconds": 3600,
    "backoff_limit": 10,
    "restart_policy": "Never",
    "fatal_exit_codes": [2, 1],
    "queue": "team-a",
    "ttl_seconds": 86_400,
    "grace_seconds": 300,
    "wait": True,
    "egress": [{"port": 443, "cidr": "10.0.0.0/8"}],
    "identity": {"gcp_service_account": "trainer@acme.iam.gserviceaccount.com"},
    "user": 1000,
    "node_selector": {"pool": "training"},
    "tolerations": [{"key": "spot"}, {"key": "dedicated", "value": "ml", "effect": "NoExecute"}],
    "priority_class": "batch",
}


def planned(name: str = "tune", /, **more: Any) -> Plan:
    given = cast("TrainingJobArgs", {**ARGS, **more})
    return plan_program(lambda: TrainingJob(name, given))


def refused(name: str = "tune", /, **more: Any) -> dict[str, str]:
    """Faults by path; several at one path are joined."""
    faults: dict[str, str] = {}
    try:
        TrainingSettings.of(name, cast("TrainingJobArgs", {**ARGS, **more}))
    except pulumi.InputPropertiesError as error:
        for fault in error.errors or []:
            path = fault["property_path"].removeprefix("args.")
            faults[path] = "; ".join(filter(None, [faults.get(path), fault["reason"]]))
    return faults


def job(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", plan["tune-job"].inputs)


def pod(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", job(plan)["spec"]["template"]["spec"])


def trainer(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", pod(plan)["containers"][0])


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({}, 3),
        ({"accelerator": None}, 3),
        ({"checkpoints": {"gib": 100}}, 4),
        ({"checkpoints": {"claim": "data"}}, 3),
        (SEVERAL, 5),
        (EVERYTHING, 5),
    ],
)
def test_every_object_passes_the_published_schema_strictly(more: Mapping[str, Any], count: int) -> None:
    made = [dict(r.inputs) for r in planned(**more) if r.custom]
    assert [kubernetes_validate.validate(m, "1.36", strict=True) for m in made] == ["1.36"] * count


def test_the_seeds_example_comes_out_as_in_the_seed() -> None:
    plan = planned(resources={"limits": {"cpu": "16", "memory": "64Gi"}})
    assert trainer(plan)["image"] == "my-training-image:v1"
    assert trainer(plan)["command"] == ["python", "train.py", "--epochs", "100"]
    assert trainer(plan)["resources"] == {
        "requests": {"nvidia.com/gpu": "4"},
        "limits": {"nvidia.com/gpu": "4", "cpu": "16", "memory": "64Gi"},
    }
    assert pod(plan)["restartPolicy"] == "OnFailure"
    assert pod(plan)["nodeSelector"] == {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
    assert pod(plan)["tolerations"] == [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    spec = job(plan)["spec"]
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("NonIndexed", 1, 1)


def test_without_a_word_it_is_restricted_closed_and_bounded() -> None:
    plan = planned()
    assert plan["tune-account"].inputs["automountServiceAccountToken"] is False
    assert pod(plan)["automountServiceAccountToken"] is False
    assert pod(plan)["securityContext"]["runAsNonRoot"] is True
    assert trainer(plan)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    # Nobody in, nothing out, not even to DNS.
    assert plan["tune-network"].inputs["spec"] == {
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "training-job", "app.kubernetes.io/instance": "tune"}},
        "policyTypes": ["Ingress", "Egress"],
    }
    spec = job(plan)["spec"]
    assert (spec["activeDeadlineSeconds"], spec["backoffLimit"]) == (86_400, 3)
    assert "ttlSecondsAfterFinished" not in spec
    assert job(plan)["metadata"]["annotations"] == {"pulumi.com/skipAwait": "true"}
    assert {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "16Gi"}} in pod(plan)["volumes"]
    assert trainer(plan)["resources"]["limits"]["memory"] == "80Gi"


def test_everything_that_can_be_asked_arrives() -> None:
    plan = planned(**EVERYTHING)
    spec, made, container = job(plan)["spec"], pod(plan), trainer(plan)
    assert (spec["activeDeadlineSeconds"], spec["backoffLimit"], spec["ttlSecondsAfterFinished"]) == (3600, 10, 86_400)
    assert spec["podFailurePolicy"]["rules"] == [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": container["name"], "operator": "In", "values": [1, 2]}},
    ]
    assert job(plan)["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"
    assert "suspend" not in spec
    assert spec["template"]["metadata"]["annotations"] == {"slipway/run": "second"}
    assert "annotations" not in job(plan)["metadata"]
    assert made["restartPolicy"] == "Never"
    assert made["terminationGracePeriodSeconds"] == 300
    assert made["securityContext"]["runAsUser"] == 1000
    assert made["priorityClassName"] == "batch"
    assert made["nodeSelector"] == {"cloud.google.com/gke-accelerator": "nvidia-h100-80gb", "pool": "training"}
    assert {"key": "spot", "operator": "Exists"} in made["tolerations"]
    assert {"key": "dedicated", "operator": "Equal", "value": "ml", "effect": "NoExecute"} in made["tolerations"]
    assert container["resources"]["requests"] == {"cpu": "64", "memory": "512Gi", "nvidia.com/gpu": "8"}
    assert {"name": "tmp", "emptyDir": {"sizeLimit": "100Gi"}} in made["volumes"]
    assert {"name": "checkpoints", "mountPath": "/mnt/state"} in container["volumeMounts"]
    told = env(container)
    assert told["WANDB_MODE"] == "offline"
    assert told["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert told["CHECKPOINT_DIR"] == "/mnt/state"
    assert plan["tune-account"].inputs["metadata"]["annotations"] == {
        "iam.gke.io/gcp-service-account": "trainer@acme.iam.gserviceaccount.com"
    }
    ways = plan["tune-network"].inputs["spec"]["egress"]
    assert {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}], "ports": [{"protocol": "TCP", "port": 443}]} in ways
    # GKE's metadata server, for the identity's credentials.
    assert any(way["to"] == [{"ipBlock": {"cidr": "169.254.169.252/32"}}] for way in ways)
    assert len(plan["tune-checkpoints"].options) > 0
    assert plan["tune-checkpoints"].options["protect"] is True
    assert plan["tune-checkpoints"].options["retainOnDelete"] is True


def test_one_node_reaches_dns_and_what_was_asked_for_and_is_reached_by_nobody() -> None:
    network = planned(egress=[{"port": 443, "cidr": "10.0.0.0/8"}])["tune-network"].inputs["spec"]
    assert "ingress" not in network
    assert [{p["port"] for p in way["ports"]} for way in network["egress"]] == [{53}, {443}]


def test_every_variable_that_it_sets_is_known_as_its_own() -> None:
    told = set(env(trainer(planned(**SEVERAL))))
    # Kubernetes itself sets the index.
    assert told == OWN_ENV - {"JOB_COMPLETION_INDEX"}


def test_several_nodes_find_and_reach_each_other_and_nobody_else() -> None:
    plan = planned(**SEVERAL)
    spec, selector = job(plan)["spec"], {"app.kubernetes.io/name": "training-job", "app.kubernetes.io/instance": "tune"}
    assert (spec["completionMode"], spec["completions"], spec["parallelism"]) == ("Indexed", 4, 4)
    service = plan["tune-nodes"].inputs
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["publishNotReadyAddresses"] is True
    assert service["spec"]["selector"] == selector
    assert pod(plan)["subdomain"] == service["metadata"]["name"]
    told = env(trainer(plan))
    assert told["MASTER_ADDR"] == told["PET_MASTER_ADDR"] == "$(JOB_NAME)-0.tune-nodes"
    assert told["JOB_NAME"] == {"fieldRef": {"fieldPath": "metadata.labels['batch.kubernetes.io/job-name']"}}
    assert (told["PET_NNODES"], told["PET_NPROC_PER_NODE"]) == ("4", "8")
    # Kubernetes puts a variable into those after it, and into none before it.
    order = [e["name"] for e in trainer(plan)["env"]]
    assert order.index("JOB_NAME") < order.index("MASTER_ADDR")
    network = plan["tune-network"].inputs["spec"]
    assert network["ingress"] == [{"from": [{"podSelector": {"matchLabels": selector}}]}]
    assert network["egress"][1:] == [{"to": [{"podSelector": {"matchLabels": selector}}]}]
    assert network["egress"][0]["ports"] == dns().get("ports")
    assert plan["tune-checkpoints"].inputs["spec"]["accessModes"] == ["ReadWriteMany"]


@pytest.mark.parametrize(
    "change",
    [
        {"image": "my-training-image:v2"},
        {"command": ["python", "train.py", "--epochs", "200"]},
        {"accelerator": "a100-80gb:8"},
        {"nodes": 2},
        {"env": {"SEED": "2"}},
        {"env_from_secrets": {"HF_TOKEN": {"name": "hub", "key": "token"}}},
        {"resources": {"requests": {"cpu": "8"}}},
        {"restart_policy": "Never"},
        {"checkpoints": {"gib": 10}},
        {"run": "again"},
        {"grace_seconds": 60},
        {"user": 1000},
        {"queue": "team-b"},
    ],
)
def test_what_kubernetes_lets_nobody_change_is_another_run_under_another_name(change: Mapping[str, Any]) -> None:
    before, after = planned(), planned(**change)
    assert job(before)["metadata"]["name"] != job(after)["metadata"]["name"]
    assert before["tune-job"].name == after["tune-job"].name
    assert after["tune-job"].options["deleteBeforeReplace"] is True


@pytest.mark.parametrize(
    "change", [{"deadline_seconds": 10}, {"backoff_limit": 9}, {"ttl_seconds": 60}, {"wait": True}, {"egress": []}]
)
def test_what_can_be_changed_while_it_runs_starts_no_other_run(change: Mapping[str, Any]) -> None:
    before, after = planned(), planned(**change)
    assert job(before)["metadata"]["name"] == job(after)["metadata"]["name"]
    assert job(before)["spec"]["template"] == job(after)["spec"]["template"]


def test_the_name_of_the_job_follows_from_its_content_alone() -> None:
    names = {job(planned())["metadata"]["name"] for _ in range(2)}
    output = {job(planned(image=pulumi.Output.from_input("my-training-image:v1")))["metadata"]["name"]}
    (name,) = names
    assert name.startswith("tune-")
    assert len(name) == len("tune-") + 10
    # An Output's image is known too late for the label of its version, so that is another template.
    assert output != names
    assert all(len(n) == len(name) for n in output)


TRAINING = """
import os, pathlib, time
last = pathlib.Path(os.environ["CHECKPOINT_DIR"]) / "step"
step = int(last.read_text()) if last.exists() else 0
print("from", step, flush=True)
while step < 30:
    time.sleep(0.05)
    step += 1
    partial = last.with_suffix(".partial")
    partial.write_text(str(step))
    partial.replace(last)
print("done", step, flush=True)
"""


def test_a_run_that_is_killed_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    # With the command and the variables of the pod; the volume is a folder that outlives the process, as it outlives the pod.
    plan = planned(command=[sys.executable, "-c", TRAINING], checkpoints={"gib": 1, "mount_path": "/mnt/state"})
    made = trainer(plan)
    variables = {name: value.replace("/mnt/state", str(tmp_path)) for name, value in env(made).items()}
    begun = subprocess.Popen(made["command"], env=variables, stdout=subprocess.PIPE, text=True)
    until = time.monotonic() + 20
    while not ((tmp_path / "step").exists() and int((tmp_path / "step").read_text()) >= 5):
        assert time.monotonic() < until
        time.sleep(0.02)
    begun.kill()
    assert begun.communicate(timeout=5)[0].startswith("from 0")
    again = subprocess.run(made["command"], env=variables, capture_output=True, text=True, timeout=30, check=True)
    first, last = again.stdout.split("\n")[:2]
    assert int(first.split()[1]) >= 5
    assert last == "done 30"


def test_checkpoints_outlive_the_run_unless_said_otherwise() -> None:
    kept, gone = planned(checkpoints={"gib": 10}), planned(checkpoints={"gib": 10, "deletion_policy": "delete"})
    assert kept["tune-checkpoints"].options["retainOnDelete"] is True
    assert not gone["tune-checkpoints"].options.get("retainOnDelete")
    assert not kept["tune-checkpoints"].options.get("protect")
    claims = [v for v in pod(kept)["volumes"] if v["name"] == "checkpoints"]
    assert claims == [{"name": "checkpoints", "persistentVolumeClaim": {"claimName": "tune-checkpoints"}}]
    there = planned(checkpoints={"claim": "from-before"})
    assert "tune-checkpoints" not in there
    assert {"name": "checkpoints", "persistentVolumeClaim": {"claimName": "from-before"}} in pod(there)["volumes"]


def test_up_waits_as_long_as_training_may_take_where_it_waits() -> None:
    timeouts = planned(wait=True, deadline_seconds=3600)["tune-job"].options["customTimeouts"]
    assert timeouts["create"] == "3660s"


def test_a_slice_of_a_gpu_is_asked_for_by_its_own_name() -> None:
    assert trainer(planned(accelerator="a100-80gb/3g.40gb"))["resources"]["limits"]["nvidia.com/mig-3g.40gb"] == "1"


def test_on_cpus_it_asks_for_no_gpu_and_goes_anywhere() -> None:
    plan = planned(accelerator=None)
    assert trainer(plan)["resources"]["limits"].keys() == {"memory"}
    assert "nodeSelector" not in pod(plan)
    assert "tolerations" not in pod(plan)
    assert "PET_NPROC_PER_NODE" not in env(trainer(plan))


def test_its_outputs_are_the_names_of_job_and_claim() -> None:
    plan = planned(checkpoints={"gib": 10})
    (component,) = plan.of_type(TOKEN)
    assert component.outputs == {"job_name": job(plan)["metadata"]["name"], "checkpoint_claim": "tune-checkpoints"}
    assert {r.parent for r in plan if r.custom} == {component.urn}
    waited = set(plan["tune-job"].options["dependsOn"])
    assert {plan[f"tune-{role}"].urn for role in ("account", "network", "checkpoints")} <= waited


def test_two_do_not_meet_and_render_the_same_each_time() -> None:
    def program() -> None:
        for name in ("one", "two"):
            TrainingJob(name, cast("TrainingJobArgs", {**ARGS, **SEVERAL}))

    first, second = render(plan_program(program)), render(plan_program(program))
    assert len(first.files) == 10
    assert first.files == second.files


def test_other_languages_can_use_it() -> None:
    component = Analyzer("slipway").analyze([TrainingJob])["component_definitions"]["TrainingJob"]
    assert set(component.inputs_mapping.values()) == TrainingJobArgs.__annotations__.keys()
    assert all(definition.description for definition in component.inputs.values())
    assert set(component.outputs_mapping.values()) == planned(checkpoints={"gib": 1}).of_type(TOKEN)[0].outputs.keys()
    # They give whole numbers as floats.
    assert job(planned(nodes=2.0, backoff_limit=4.0)) == job(planned(nodes=2, backoff_limit=4))


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"namespace": "AI"}, {"namespace": "is 'AI'; give lower case letters"}),
    ({"image": "trainer:latest"}, {"image": "give a version or a digest"}),
    ({"command": []}, {"command": "is empty; give the program and its arguments"}),
    ({"command": "python train.py"}, {"command": "is the text 'python train.py'; give a list"}),
    ({"accelerator": "a100"}, {"accelerator": "did you mean 'a100-40gb' or"}),
    ({"accelerator": "a100-80gb:64"}, {"accelerator": "no machine of the catalogue has more than 8 of them; give 'a100-80gb:8'"}),
    ({"node_labels": "nvidia"}, {"node_labels": "give one of 'gpu-feature-discovery', 'gke', 'karpenter', 'eks-auto', 'aks'"}),
    ({"node_labels": "aks"}, {"node_labels": "has no label for a100-80gb; give"}),
    ({"accelerator": "a10g:1", "node_labels": "gke"}, {"node_labels": "has no label for a10g; give"}),
    ({"accelerator": None, "node_labels": "gke"}, {"node_labels": "goes with 'accelerator'"}),
    ({"fatal_exit_codes": [1]}, {"fatal_exit_codes": "goes with restart_policy 'Never'"}),
    ({"fatal_exit_codes": []}, {"fatal_exit_codes": "is empty; give an exit code or more"}),
    ({"fatal_exit_codes": [3, 256], "restart_policy": "Never"}, {"fatal_exit_codes[1]": "is 256; give 1 to 255"}),
    ({"fatal_exit_codes": [3, 3], "restart_policy": "Never"}, {"fatal_exit_codes[1]": "is 3, which is there already"}),
    ({"queue": "Team A"}, {"queue": "is 'Team A'; give lower case letters"}),
    ({"nodes": 0}, {"nodes": "is 0; give 1 or more"}),
    ({"nodes": 1001}, {"nodes": "give at most 1000"}),
    ({"resources": {"limits": {"cpu": "lots"}}}, {"resources.limits.cpu": "give a quantity"}),
    (
        {"shm_gib": 64, "resources": {"limits": {"memory": "32Gi"}}},
        {"shm_gib": "counts as the pod's memory, of which there is '32Gi'"},
    ),
    ({"shm_gib": 0}, {"shm_gib": "give 1 or more"}),
    ({"scratch_gib": 0}, {"scratch_gib": "give 1 or more"}),
    ({"checkpoints": {}}, {"checkpoints": "says of no volume; give 'gib' for a new one, or 'claim'"}),
    ({"checkpoints": {"gib": 10, "claim": "c"}}, {"checkpoints.gib": "excludes 'claim'"}),
    ({"checkpoints": {"gib": 0}}, {"checkpoints.gib": "give 1 or more"}),
    ({"checkpoints": {"claim": "My_Claim"}}, {"checkpoints.claim": "give lower case letters"}),
    ({"checkpoints": {"claim": "c", "storage_class": "s"}}, {"checkpoints.storage_class": "does nothing with 'claim'"}),
    ({"checkpoints": {"gib": 10, "mount_path": "/tmp/x"}}, {"checkpoints.mount_path": "give an absolute path"}),
    ({"checkpoints": {"gib": 10, "mount_path": "/a/../dev"}}, {"checkpoints.mount_path": "give an absolute path"}),
    ({"checkpoints": {"gib": 10, "mount_path": "relative"}}, {"checkpoints.mount_path": "give an absolute path"}),
    ({"checkpoints": {"gib": 10, "deletion_policy": "keep"}}, {"checkpoints.deletion_policy": "give one of 'delete', 'retain'"}),
    ({"nodes": 2, "checkpoints": {"gib": 10}}, {"checkpoints.storage_class": "is required with 2 nodes"}),
    ({"env": {"1A": "x"}}, {"env.1A": "is no name of an environment variable"}),
    ({"env": {"MASTER_ADDR": "x"}}, {"env.MASTER_ADDR": "is set by the component; leave it out"}),
    ({"env": {"A": 1}}, {"env.A": "is 1; give text"}),
    ({"env_from_secrets": {"HOME": {"name": "a", "key": "b"}}}, {"env_from_secrets.HOME": "is set by the component"}),
    ({"env_from_secrets": {"A": {"name": "Hub", "key": "b"}}}, {"env_from_secrets.A.name": "give a Secret's name"}),
    ({"env_from_secrets": {"A": {"name": "hub"}}}, {"env_from_secrets.A.key": "is required"}),
    ({"env": {"A": "x"}, "env_from_secrets": {"A": {"name": "a", "key": "b"}}}, {"env.A": "give it once"}),
    ({"run": ""}, {"run": "is empty; give a word"}),
    ({"deadline_seconds": 0}, {"deadline_seconds": "give 1 or more"}),
    ({"backoff_limit": -1}, {"backoff_limit": "give 0 or more"}),
    ({"restart_policy": "Always"}, {"restart_policy": "give one of 'OnFailure', 'Never'"}),
    ({"ttl_seconds": -1}, {"ttl_seconds": "give 0 or more"}),
    ({"grace_seconds": 0}, {"grace_seconds": "give 1 or more"}),
    ({"wait": "yes"}, {"wait": "give true or false"}),
    ({"egress": [{"port": 443}]}, {"egress[0]": "has no address; give 'pod_labels' or 'cidr'"}),
    ({"egress": [{"port": 0, "cidr": "10.0.0.0/8"}]}, {"egress[0].port": "give 1 to 65535"}),
    ({"identity": {}}, {"identity": "names nobody"}),
    ({"user": 0}, {"user": "is 0; give 1 or more, since pods under the restricted level do not run as root"}),
    ({"node_selector": ["a"]}, {"node_selector": "give a mapping"}),
    ({"tolerations": [{"key": "a", "effect": "Never"}]}, {"tolerations[0].effect": "give 'NoSchedule'"}),
    ({"priority_class": "High!"}, {"priority_class": "give lower case letters"}),
    ({"gpus": 4}, {"gpus": "is not an argument"}),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(**wrong)
    assert faults.keys() == told.keys()
    assert all(reason in faults[path] for path, reason in told.items()), faults


@pytest.mark.parametrize(("one", "two"), list(itertools.pairwise(WRONG)))
def test_any_two_faults_are_told_together(one: tuple[Any, dict[str, str]], two: tuple[Any, dict[str, str]]) -> None:
    # Where both are about one argument, the second replaced the first.
    expected = [*two[1], *(one[1] if not one[0].keys() & two[0].keys() else ())]
    assert set(expected) <= refused(**{**one[0], **two[0]}).keys()


def test_every_argument_has_a_wrong_value_in_the_table() -> None:
    assert {key for wrong, _ in WRONG for key in wrong} >= TrainingJobArgs.__annotations__.keys()


@pytest.mark.parametrize("value", [3, "text", [1], {"a": {"b": 1}}, True, float("nan"), -1])
def test_no_value_however_wrong_gives_anything_but_a_refusal(value: object) -> None:
    for key in TrainingJobArgs.__annotations__:
        refused(**{key: value})
    for key in ("gib", "claim", "storage_class", "mount_path", "deletion_policy"):
        assert all(path.startswith("checkpoints") for path in refused(checkpoints={"gib": 1, key: value}))


def test_a_name_that_no_pod_can_have_is_refused() -> None:
    assert "at most 46" in refused("t" * 47)["name"]
    assert refused("t" * 46) == {}
    assert "give lower case letters" in refused("My_Job")["name"]


def test_a_plain_value_must_decide_how_many_nodes_there_are() -> None:
    assert "comes from another resource" in refused(nodes=pulumi.Output.from_input(2))["nodes"]
