"""What every store of data can be asked for, checked in one place."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.kubernetes.backup_args import BackupSettings
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.names import check_image, check_labels, check_name, check_namespace, check_object_name
from slipway.kubernetes.network import Peer, check_peer

LONGEST = 63 - 11
"""Kubernetes makes a label, 63 characters at most, of a StatefulSet's name and 11 more. A CronJob's name has as much at most."""


@dataclass(frozen=True)
class StoreSettings:
    """What all stores have in common, checked, with every default filled in."""

    namespace: pulumi.Input[str]
    image: pulumi.Input[str]
    storage_gib: int
    """0: no volume."""
    storage_class: pulumi.Input[str] | None
    deletion_policy: DeletionPolicy
    resources: k8s.core.v1.ResourceRequirementsArgsDict
    allow_from: Sequence[Peer]
    node_selector: Mapping[str, str]
    backup: BackupSettings | None


def check_store(name: str, role: str, given: Mapping[str, Any], faults: Faults, *, keeps: bool = False) -> None:
    """Refuse what no store can have.

    Args:
        name: The component's name.
        role: What the name of its StatefulSet ends with.
        given: Its arguments.
        faults: Where to tell what is wrong.
        keeps: Whether it is nothing without a volume.
    """
    # A restore's CronJob has the longest of the other names.
    longest = LONGEST - max(len(role), len("restore")) - 1 if "backup" in given else LONGEST - len(role) - 1
    if len(name) > longest:
        faults.add(
            "name", f"is {name!r} ({len(name)} characters); give at most {longest}, since Kubernetes labels pods with more"
        )
    else:
        check_name(name, faults)
    for key, check in (("namespace", check_namespace), ("image", check_image), ("storage_class", check_object_name)):
        if not faults.at(key):
            known(given.get(key), lambda plain, key=key, check=check: check(key, plain, faults))
    storage = given.get("storage_gib", 8)
    if isinstance(storage, int) and storage < (1 if keeps else 0):
        reason = ": it keeps its data" if keeps else ", or 0 for no volume"
        faults.add("storage_gib", f"is {storage}; give 1 or more{reason}")
    elif storage == 0:
        for key in ("storage_class", "deletion_policy", "backup"):
            if key in given:
                faults.add(key, "goes with a volume, and storage_gib is 0; leave it out")
    for i, peer in enumerate(_listed(given, "allow_from")):
        if isinstance(peer, Mapping) and not faults.at(f"allow_from[{i}]"):
            check_peer(f"allow_from[{i}]", cast("Peer", peer), faults)
    if not faults.at("node_selector"):
        check_labels("node_selector", given.get("node_selector"), faults)


def _listed(given: Mapping[str, Any], key: str) -> Sequence[object]:
    value: object = given.get(key)
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
