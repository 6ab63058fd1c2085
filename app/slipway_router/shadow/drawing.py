"""Which requests are copied."""

import random
from collections.abc import Mapping
from typing import Any

from slipway_router.config import Config
from slipway_router.matching import Matching, Request
from slipway_router.shadow.metrics import Outcome, ShadowMetrics
from slipway_router.shadow.settings import Shadow
from slipway_router.strategies import draw
from slipway_router.target import Target

BUSY_SHARE = 0.5
"""Of what the lowest tier may have under way (`admission`): from there on nothing is copied."""
_TASKS = ("chat", "completions")


class ShadowAtWork:
    """One shadow and its candidate."""

    def __init__(self, settings: Shadow, target: Target, metrics: ShadowMetrics) -> None:
        """
        Args:
            settings: As configured.
            target: The candidate.
            metrics: Where it counts.
        """
        self.settings = settings
        self.name = settings.name
        self.target = target
        self.metrics = metrics
        self.in_flight = 0
        """Requests that are, or are to be, copied."""
        self.told_of_file = False
        """Whether the log has it that samples cannot be written."""
        self._mismatch = Matching(settings.match).mismatch
        self._tasks = tuple(t for t in _TASKS if t in target.backend.tasks)
        metrics.start(settings.name)

    def mismatch(self, request: Request) -> str | None:
        """Why a request is never copied: a condition of `match` by its name, or 'tasks' or 'abilities' where the candidate cannot
        do what is asked. None where it may be."""
        if request.task not in self._tasks:
            return "tasks"
        return self._mismatch(request) or (None if request.needs.isdisjoint(self.target.status.lacks) else "abilities")

    def certain(self, request: Request) -> bool | None:
        """Whether a request that matches is copied, as far as that is certain beforehand."""
        if self.settings.share >= 1:
            return True
        if self.settings.sticky and request.user is not None:
            return draw(request.user, self.name) < self.settings.share
        return None

    def draws(self, request: Request) -> bool:
        """Whether a request is one of the share."""
        if self.mismatch(request) is not None:
            return False
        certain = self.certain(request)
        return random.random() < self.settings.share if certain is None else certain  # noqa: S311 -- no secret depends on it

    def came_to(self, outcome: Outcome) -> None:
        """Count a request that was drawn."""
        self.metrics.came_to(self.name, outcome)


class Shadows:
    """All shadows of a configuration."""

    def __init__(self, config: Config, targets: Mapping[str, Target], metrics: ShadowMetrics, known: "Shadows | None") -> None:
        """
        Args:
            config: Proven, see `Config.parse`.
            targets: Every backend by its name.
            metrics: Where they count.
            known: Those before a reload; what is told as before goes on as it was.
        """
        before = {s.name: s for s in known.all} if known is not None else {}
        self.all: list[ShadowAtWork] = []
        for settings in config.shadows:
            old, target = before.get(settings.name), targets[settings.backend]
            same = old is not None and old.settings == settings and old.target is target
            self.all.append(old if old is not None and same else ShadowAtWork(settings, target, metrics))
        self.headers = frozenset(name.encode("latin-1") for s in config.shadows for name in s.match.headers)
        """Names of the headers that decide something."""
        room = config.admission.room(config.admission.max_in_flight)
        self._busy_from = min(room.values()) * BUSY_SHARE if room is not None else None

    def drawn(self, request: Request, under_way: int, *, draining: bool) -> list[ShadowAtWork]:
        """Which shadows copy a request. They hold a place for it each, until `in_flight` is taken back.

        Args:
            request: The request.
            under_way: How many are under way at the router.
            draining: Whether it is about to stop.
        """
        drawn: list[ShadowAtWork] = []
        for shadow in self.all:
            if not shadow.draws(request):
                continue
            if draining:
                shadow.came_to("draining")
            elif self._busy_from is not None and under_way >= self._busy_from:
                shadow.came_to("busy")
            elif shadow.in_flight >= shadow.settings.max_in_flight:
                shadow.came_to("full")
            else:
                shadow.in_flight += 1
                drawn.append(shadow)
        return drawn

    def explain(self, request: Request) -> list[dict[str, Any]]:
        """For each shadow, whether it would copy a request: true, false, or null where that is drawn by its share."""
        told: list[dict[str, Any]] = []
        for shadow in self.all:
            because = shadow.mismatch(request)
            copied = False if because is not None else shadow.certain(request)
            if because is None and copied is False:
                because = "share"
            told.append(
                {
                    "shadow": shadow.name,
                    "backend": shadow.target.name,
                    "share": shadow.settings.share,
                    "copied": copied,
                    "because": because,
                }
            )
        return told
