"""Backends of the same model beside each other: one that does so much worse than the others that it is left out for a while.

By the same rules as the replicas of one backend (`outliers`). One that is left out is asked only where no other one is left.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import TYPE_CHECKING, Any, cast

from slipway_router.outliers import Outliers
from slipway_router.replica_settings import OutlierSettings

if TYPE_CHECKING:
    from slipway_router.policy import ProviderStatus

logger = logging.getLogger("slipway_router")


class Peers:
    """All backends of one model."""

    __slots__ = ("_outliers", "settings", "statuses")

    def __init__(
        self, settings: OutlierSettings, statuses: "Mapping[str, ProviderStatus]", clock: Callable[[], float] = monotonic
    ) -> None:
        """
        Args:
            settings: What it goes by.
            statuses: Theirs, by name.
            clock: Seconds that only go forward.
        """
        self.settings = settings
        self.statuses = statuses
        self._outliers = Outliers(settings, clock)
        for name in statuses:
            self._outliers.join(name)

    def succeeded(self, name: str, seconds: float) -> None:
        """Take in a good answer, and how long its first byte took."""
        said = self._outliers.succeeded(name, seconds)
        if said is not None:
            self._leave_out(said)

    def failed(self, name: str) -> None:
        """Take in a failure of a backend's own."""
        said = self._outliers.failed(name)
        if said is not None:
            self._leave_out(said)

    def _leave_out(self, said: str) -> None:
        logger.warning("backend %s", said)
        for name, status in self.statuses.items():
            seconds = self._outliers.ejected_seconds(name)
            if seconds:
                status.eject(seconds)


def same_model(backends: Sequence[Mapping[str, Any]]) -> list[list[str]]:
    """The names of those that share the name of a model, in `model` or `serves`, directly or through others; two or more each."""
    groups: list[tuple[set[str], list[str]]] = []
    for backend in backends:
        name, serves = backend.get("name"), backend.get("serves", ())
        listed = cast("Sequence[object]", serves) if isinstance(serves, list | tuple) else ()
        models = {m for m in (backend.get("model"), *listed) if isinstance(m, str)}
        members = [name] if isinstance(name, str) else []
        for group in [g for g in groups if g[0] & models]:
            groups.remove(group)
            models |= group[0]
            members = [*group[1], *members]
        groups.append((models, members))
    return [members for _, members in groups if len(members) > 1]


def peer_faults(outliers: object, answering: Sequence[Mapping[str, Any]]) -> list[tuple[str, str]]:
    """Settings for peers where nobody has one.

    Args:
        outliers: The settings, as given.
        answering: The backends that clients' requests can go to.
    """
    if outliers is None or same_model(answering):
        return []
    told = "is for backends of the same model, and no two share a name in 'model' or 'serves'; name it there, or leave it out"
    return [("outliers", told)]
