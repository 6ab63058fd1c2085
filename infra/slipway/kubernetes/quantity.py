"""Kubernetes' quantities of CPU and memory, and the requests and limits made of them."""

from collections.abc import Mapping
from typing import NotRequired, TypedDict, cast

import pulumi_kubernetes as k8s

from slipway.args import Faults
from slipway.quantities import parse


class ComputeQuantities(TypedDict):
    """An amount of CPU and of memory."""

    cpu: NotRequired[str]
    """Cores, such as `500m` (half a core) or `2`."""
    memory: NotRequired[str]
    """Bytes, such as `1Gi`."""


class ComputeResources(TypedDict):
    """What a container is promised and what it may take at most."""

    requests: NotRequired[ComputeQuantities]
    """What the scheduler sets aside."""
    limits: NotRequired[ComputeQuantities]
    """Above its CPU limit a container is slowed down; above its memory limit it is killed. At least the requests."""


def fill(
    path: str, given: ComputeResources, defaults: ComputeResources, faults: Faults
) -> k8s.core.v1.ResourceRequirementsArgsDict:
    """Complete resources from defaults, and refuse what Kubernetes would, or would take for something else than meant.

    Args:
        path: Where they stand in the arguments.
        given: What the user gave; any of the four figures may be absent.
        defaults: What stands where nothing is given.
        faults: Where to tell what is wrong.
    """
    requests = {**_texts(defaults.get("requests")), **_texts(given.get("requests"))}
    limits = {**_texts(defaults.get("limits")), **_texts(given.get("limits"))}
    for group, quantities in (("requests", requests), ("limits", limits)):
        for kind, text in quantities.items():
            check(f"{path}.{group}.{kind}", kind, text, faults)
    for kind in sorted(requests.keys() & limits.keys()):
        refused = faults.at(f"{path}.requests.{kind}") or faults.at(f"{path}.limits.{kind}")
        if not refused and parse(limits[kind]) < parse(requests[kind]):
            faults.add(
                f"{path}.limits.{kind}",
                f"is '{limits[kind]}', below the request of '{requests[kind]}'; raise the limit or lower the request",
            )
    return {"requests": requests, "limits": limits}


def check(path: str, kind: str, text: str, faults: Faults) -> None:
    """Refuse an amount of 'cpu', 'memory' or 'storage' that is none, or that is a slip of its unit."""
    try:
        amount = parse(text)
    except ValueError:
        example = "'500m' or '2'" if kind == "cpu" else "'512Mi' or '4Gi'"
        faults.add(path, f"is {text!r}; give a quantity such as {example}")
        return
    if amount <= 0:
        faults.add(path, f"is {text!r}; give more than 0")
    elif kind != "cpu" and amount < 1024**2:
        faults.add(path, f"is {text!r}, which is {amount:f} bytes; for MiB write 'Mi', for GiB 'Gi'")


def _texts(quantities: object) -> dict[str, str]:
    """What is text of them; `check_shape` told of the rest."""
    plain: Mapping[str, object] = cast("Mapping[str, object]", quantities) if isinstance(quantities, Mapping) else {}
    return {kind: value for kind, value in plain.items() if isinstance(value, str)}
