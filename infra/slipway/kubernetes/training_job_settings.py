"""What a TrainingJob becomes once its arguments are checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pulumi_kubernetes as k8s

from slipway import sizing
from slipway.accelerators import Accelerator, GpuNodeLabels
from slipway.args import Faults, check_shape, known
from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes import quantity, secret_env
from slipway.kubernetes.gpu_nodes import asked_gpus, check_tolerations
from slipway.kubernetes.identity import check_identity, identity_egress
from slipway.kubernetes.names import check_image, check_name, check_namespace, check_object_name
from slipway.kubernetes.network import check_egress
from slipway.kubernetes.quantity import ComputeResources
from slipway.kubernetes.training_job_args import TrainingCheckpoints, TrainingJobArgs, TrainingRestartPolicy

NAME_LENGTH = 46
"""A pod's host name, 63 characters at most, is the Job's name, here with 11 more characters, and its index, up to 999."""
MOST_NODES = 1000
CPUS_PER_GPU = 4
MEMORY_GIB_PER_GPU = 16
OWN_ENV = frozenset(
    {
        "HOME",
        "CHECKPOINT_DIR",
        "JOB_NAME",
        "JOB_COMPLETION_INDEX",
        "MASTER_ADDR",
        "MASTER_PORT",
        "PET_MASTER_ADDR",
        "PET_MASTER_PORT",
        "PET_NNODES",
        "PET_NODE_RANK",
        "PET_NPROC_PER_NODE",
    }
)
"""Variables that the component sets."""
_MOUNT = re.compile(r"(/[A-Za-z0-9._-]+)+")
_TAKEN = ("/dev", "/tmp", "/proc", "/sys")  # noqa: S108 -- mounts


@dataclass(frozen=True)
class TrainingSettings:
    """A TrainingJob's arguments, checked, with every default filled in."""

    args: TrainingJobArgs
    accelerator: Accelerator | None
    gpus: int
    """GPUs of each node."""
    nodes: int
    gpu_resource: Mapping[str, str]
    """What a pod asks Kubernetes for to get its GPUs, and how many."""
    node_selector: Mapping[str, str]
    resources: k8s.core.v1.ResourceRequirementsArgsDict
    """Of the host, without the GPUs."""
    shm_gib: int
    deadline_seconds: int
    grace_seconds: int
    egress: Sequence[Egress]
    secrets: Mapping[str, SecretKeyRef]

    @property
    def checkpoints(self) -> TrainingCheckpoints | None:
        """The volume asked for."""
        return self.args.get("checkpoints")

    @classmethod
    def of(cls, name: str, args: TrainingJobArgs) -> "TrainingSettings":
        """Check and decide.

        Raises:
            pulumi.InputPropertiesError: with every fault there is.
        """
        faults = Faults("TrainingJob")
        given = check_shape(args, TrainingJobArgs, faults)
        _check_texts(name, given, faults)
        _check_numbers(given, faults)
        _check_start_and_end(given, faults)
        accelerator, gpus = _accelerator(given, faults)
        nodes = given.get("nodes", 1)
        _check_checkpoints(given, nodes, faults)
        secrets = secret_env.own(given, OWN_ENV, faults)
        _check_places(given, faults)
        shm = given.get("shm_gib", sizing.shm_gib(gpus))
        resources = _resources(gpus, shm, given, faults)
        faults.refuse(name)
        labels = given.get("node_labels", GpuNodeLabels.GPU_FEATURE_DISCOVERY)
        identity = given.get("identity")
        return cls(
            args=cast("TrainingJobArgs", given),
            accelerator=accelerator,
            gpus=gpus,
            nodes=nodes,
            gpu_resource={accelerator.resource(labels): str(gpus)} if accelerator else {},
            node_selector={**(accelerator.labels[labels] if accelerator else {}), **given.get("node_selector", {})},
            resources=resources,
            shm_gib=shm,
            deadline_seconds=given.get("deadline_seconds", 86_400),
            grace_seconds=given.get("grace_seconds", 120),
            egress=[*given.get("egress", ()), *identity_egress(identity)],
            secrets=secrets,
        )


def _check_texts(name: str, given: dict[str, Any], faults: Faults) -> None:
    if len(name) > NAME_LENGTH:
        faults.add("name", f"is {name!r} ({len(name)} characters); give at most {NAME_LENGTH}, since the pods' names are longer")
    else:
        check_name(name, faults)
    for key, check in (("namespace", check_namespace), ("image", check_image), ("priority_class", check_object_name)):
        if not faults.at(key):
            known(given.get(key), lambda plain, key=key, check=check: check(key, plain, faults))
    if not faults.at("command") and given.get("command") == []:
        faults.add("command", 'is empty; give the program and its arguments, such as ["torchrun", "train.py"]')
    if given.get("run") == "":
        faults.add("run", "is empty; give a word, or leave it out")


def _check_numbers(given: dict[str, Any], faults: Faults) -> None:
    least = {
        "nodes": 1,
        "shm_gib": 1,
        "scratch_gib": 1,
        "deadline_seconds": 1,
        "backoff_limit": 0,
        "ttl_seconds": 0,
        "grace_seconds": 1,
        "user": 1,
    }
    for key, floor in least.items():
        value = given.get(key)
        if isinstance(value, int) and not isinstance(value, bool) and value < floor:
            reason = ", since pods under the restricted level do not run as root" if key == "user" else ""
            faults.add(key, f"is {value}; give {floor} or more{reason}")
    nodes = given.get("nodes")
    if isinstance(nodes, int) and nodes > MOST_NODES:
        faults.add("nodes", f"is {nodes}; give at most {MOST_NODES}")


def _check_start_and_end(given: dict[str, Any], faults: Faults) -> None:
    codes = [code for code in _listed(given, "fatal_exit_codes") if isinstance(code, int)]
    if not faults.at("fatal_exit_codes"):
        if given.get("fatal_exit_codes") == []:
            faults.add("fatal_exit_codes", "is empty; give an exit code or more, or leave it out")
        elif codes and given.get("restart_policy") is not TrainingRestartPolicy.NEVER and not faults.at("restart_policy"):
            faults.add("fatal_exit_codes", "goes with restart_policy 'Never', the only one that Kubernetes takes it with")
        for i, code in enumerate(codes):
            if not 1 <= code <= 255:
                faults.add(f"fatal_exit_codes[{i}]", f"is {code}; give 1 to 255")
            elif code in codes[:i]:
                faults.add(f"fatal_exit_codes[{i}]", f"is {code}, which is there already; give it once")
    if isinstance(given.get("queue"), str):
        check_namespace("queue", given["queue"], faults)


def _accelerator(given: dict[str, Any], faults: Faults) -> tuple[Accelerator | None, int]:
    text = given.get("accelerator")
    if text is None and "node_labels" in given:
        faults.add("node_labels", "goes with 'accelerator', which it chooses nodes for; give both or neither")
    if not isinstance(text, str):
        return None, 0
    asked = asked_gpus(text, given, faults)
    if asked is None:
        return None, 0
    accelerator, gpus = asked
    most = max((max(n) for machines in accelerator.instances.values() for n in machines.values()), default=gpus)
    if gpus > most:
        faults.add(
            "accelerator",
            f"is '{text}', and no machine of the catalogue has more than {most} of them; "
            f"give '{accelerator.name}:{most}' and as many 'nodes' as it takes",
        )
    return accelerator, gpus


def _check_checkpoints(given: dict[str, Any], nodes: object, faults: Faults) -> None:
    if "checkpoints" not in given:
        return
    asked = _mapping(given, "checkpoints")
    if "gib" in asked and "claim" in asked:
        faults.add("checkpoints.gib", "excludes 'claim'; give the size of a new volume, or the claim of one that exists")
    elif not ("gib" in asked or "claim" in asked) and not faults.at("checkpoints"):
        faults.add("checkpoints", "says of no volume; give 'gib' for a new one, or 'claim' for one that exists")
    size, path = asked.get("gib"), asked.get("mount_path")
    if isinstance(size, int) and size < 1:
        faults.add("checkpoints.gib", f"is {size}; give 1 or more")
    if "claim" in asked:
        for key in ("storage_class", "deletion_policy"):
            if key in asked:
                faults.add(f"checkpoints.{key}", "is of a new volume, and does nothing with 'claim'; leave it out")
        if not faults.at("checkpoints.claim"):
            known(asked["claim"], lambda plain: check_object_name("checkpoints.claim", plain, faults))
    elif isinstance(nodes, int) and nodes > 1 and "storage_class" not in asked:
        faults.add(
            "checkpoints.storage_class",
            f"is required with {nodes} nodes, which all write to the volume at once; give a class with ReadWriteMany",
        )
    if isinstance(path, str) and (not _MOUNT.fullmatch(path) or ".." in path.split("/") or _within_taken(path)):
        faults.add("checkpoints.mount_path", f"is {path!r}; give an absolute path such as '/checkpoints', not below {_TAKEN}")


def _within_taken(path: str) -> bool:
    return any(path == taken or path.startswith(f"{taken}/") for taken in _TAKEN)


def _check_places(given: dict[str, Any], faults: Faults) -> None:
    for i, way in enumerate(_listed(given, "egress")):
        if isinstance(way, Mapping) and not faults.at(f"egress[{i}]"):
            check_egress(f"egress[{i}]", cast("Egress", way), faults)
    check_tolerations(given, faults)
    if "identity" in given and not faults.at("identity"):
        check_identity("identity", given["identity"], faults)


def _resources(gpus: int, shm: object, given: dict[str, Any], faults: Faults) -> k8s.core.v1.ResourceRequirementsArgsDict:
    if faults.at("resources") or faults.at("shm_gib") or not isinstance(shm, int):
        return {}
    share = max(1, gpus)
    cpu, memory = str(CPUS_PER_GPU * share), f"{MEMORY_GIB_PER_GPU * share + shm}Gi"
    asked: ComputeResources = given.get("resources", {})
    requests: dict[str, str] = {"cpu": cpu, "memory": memory}
    limits: dict[str, str] = {"memory": memory}
    for kind in ("cpu", "memory"):
        # A default belongs to the other default: with a limit alone, Kubernetes requests as much.
        if kind in asked.get("limits", {}) and kind not in asked.get("requests", {}):
            requests.pop(kind)
        if kind in asked.get("requests", {}) and kind not in asked.get("limits", {}):
            limits.pop(kind, None)
    defaults = cast("ComputeResources", {"requests": requests, "limits": limits})
    filled = quantity.fill("resources", asked, defaults, faults)
    limit = cast("Mapping[str, str]", filled.get("limits", {})).get("memory")
    if limit and not faults.at("resources.limits.memory") and quantity.parse(limit) <= shm * 1024**3:
        faults.add(
            "shm_gib",
            f"is {shm}, and counts as the pod's memory, of which there is '{limit}'; give less, or raise resources.limits.memory",
        )
    return filled


def _listed(given: Mapping[str, Any], key: str) -> Sequence[object]:
    value: object = given.get(key)
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()


def _mapping(given: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """What is there under a key, or nothing where `check_shape` told already that it is no mapping."""
    value: object = given.get(key)
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}
