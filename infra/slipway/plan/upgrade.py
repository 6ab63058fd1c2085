"""Whether one plan can follow another: what holds data, or an address that others use, is neither deleted nor replaced."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from slipway.plan.diff import Change, Kind, compare, is_stateful
from slipway.plan.plan import Plan

_ADDRESS = re.compile(
    r"kubernetes:(core/v1:Service|networking\.k8s\.io/v1:Ingress|gateway\.networking\.k8s\.io/v1:Gateway)$"
    r"|aws:(sagemaker/endpoint:Endpoint|lb/loadBalancer:LoadBalancer|route53/zone:Zone)$"
    r"|gcp:(vertex/aiEndpoint\w*:\w+|compute/(globalAddress|address):\w+|dns/managedZone:ManagedZone)$"
)


@dataclass(frozen=True)
class Loss:
    """A resource that an upgrade would not leave as it is."""

    change: Change
    holds: str
    """'data', or 'address'."""
    renamed_to: tuple[str, ...] = ()
    """Names of new resources of the same type, one of which may be this one under another name."""

    @property
    def reason(self) -> str:
        """What would happen, and the choice there is."""
        resource, kind = self.change.resource, self.change.resource.type.rpartition(":")[2]
        if self.change.replaced:
            from_ = ", ".join(path.path.removeprefix("inputs.") for path in self.change.paths)
            return (
                f"{resource.name} ({kind}) is replaced, with the {self.holds} that it holds, since what cannot be changed in"
                f" place differs ({from_}); keep that as it was, or make another beside it and move over"
            )
        moved = f"; if it is {' or '.join(repr(n) for n in self.renamed_to)} now, say so with an alias" if self.renamed_to else ""
        return f"{resource.name} ({kind}) is deleted, with the {self.holds} that it holds{moved}"


def losses(old: Plan, new: Plan) -> list[Loss]:
    """What an upgrade from one plan to the other would lose, by URN. A resource that names its old URN as an alias is the same.

    A field that a cloud refuses to change is not known to a plan, so of clouds' resources only deletions are found, of
    Kubernetes' replacements too. What the option `retainOnDelete` leaves behind is a loss all the same: what comes after does
    not have it.
    """
    changes = compare(old, new)
    return [loss for change in changes if (loss := _loss(change, changes)) is not None]


def _loss(change: Change, changes: Sequence[Change]) -> Loss | None:
    type_ = change.resource.type
    holds = "data" if is_stateful(type_) else "address" if _ADDRESS.match(type_) else None
    if holds is None or not (change.kind is Kind.DELETED or change.replaced):
        return None
    new = [other.resource.name for other in changes if other.kind is Kind.ADDED and other.resource.type == type_]
    return Loss(change, holds, tuple(new) if change.kind is Kind.DELETED else ())
