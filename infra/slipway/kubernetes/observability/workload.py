"""What tells no metrics of its own, as monitoring needs to know it: by what Kubernetes tells of its objects."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, known
from slipway.kubernetes.data_store_args import StoreSettings
from slipway.kubernetes.names import check_name, check_namespace, check_object_name


class WatchedWorkload(TypedDict):
    """Objects of one component: `watched()` of it, or fields of your own. What is not given is not watched."""

    name: str
    """Name in alerts; unique in its namespace."""
    namespace: pulumi.Input[str]
    """Namespace of the objects."""
    stateful_set: NotRequired[str]
    """A StatefulSet all of whose replicas must be ready."""
    claims: NotRequired[Sequence[str]]
    """PersistentVolumeClaims that must not fill."""
    backup: NotRequired[str]
    """A CronJob that makes backups."""
    autoscaler: NotRequired[str]
    """The HorizontalPodAutoscaler of workers."""
    job: NotRequired[str]
    """A Job that must not fail: the beginning of its name, before a last '-' and what comes behind it."""


@dataclass(frozen=True)
class Workload:
    """The same, with its namespace known."""

    name: str
    namespace: str
    stateful_set: str | None = None
    claims: Sequence[str] = ()
    backup: str | None = None
    autoscaler: str | None = None
    job: str | None = None

    @classmethod
    def of(cls, given: WatchedWorkload) -> "Workload":
        """What was given, checked before."""
        return cls(**cast("Any", given))

    @property
    def labels(self) -> dict[str, str]:
        """What its alerts are labelled with."""
        return {"namespace": self.namespace, "service": self.name}

    def which(self, more: str) -> str:
        """A selector of series about its objects."""
        return f'{{namespace="{self.namespace}",{more}}}'


def store_workload(component: str, name: str, role: str, store: StoreSettings, *, elsewhere: bool) -> WatchedWorkload:
    """A store of data.

    Args:
        component: The component's class, for errors.
        name: The component's name.
        role: What its StatefulSet's name ends with.
        store: Its settings.
        elsewhere: Whether somebody else runs it.

    Raises:
        pulumi.RunError: somebody else runs it.
    """
    if elsewhere:
        raise pulumi.RunError(f"{component} '{name}' runs elsewhere: there is nothing here to watch; leave it out")
    made: WatchedWorkload = {"name": name, "namespace": store.namespace, "stateful_set": f"{name}-{role}"}
    claims = [f"data-{name}-{role}-0"] if store.storage_gib else []
    if store.backup is not None:
        made["backup"] = f"{name}-backup"
        if store.backup.bucket is None:
            claims.append(f"{name}-backups")
    if claims:
        made["claims"] = claims
    return made


def check_workloads(path: str, workloads: Sequence[Any], faults: Faults) -> None:
    """Refuse what names no object that can be."""
    for i, given in enumerate(workloads):
        here = f"{path}[{i}]"
        if not isinstance(given, Mapping) or faults.at(here):
            continue
        workload, fields = cast("WatchedWorkload", given), cast("Mapping[str, object]", given)
        checked = Faults("")
        check_name(workload["name"], checked)
        if checked:
            faults.add(f"{here}.name", f"is {workload['name']!r}; give lower case letters, digits and '-'")
        known(workload["namespace"], lambda plain, here=here: check_namespace(f"{here}.namespace", plain, faults))
        for key in ("stateful_set", "backup", "autoscaler", "job"):
            if key in workload:
                check_object_name(f"{here}.{key}", str(fields[key]), faults)
        for n, claim in enumerate(workload.get("claims", ())):
            check_object_name(f"{here}.claims[{n}]", claim, faults)
