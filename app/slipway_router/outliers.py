"""Which of several peers does so much worse than the others that it is left out for a while. Pure: told outcomes and the time.

See `replica_settings.OutlierSettings` for what it goes by.
"""

from collections.abc import Callable
from statistics import median
from time import monotonic

from slipway_router.replica_settings import OutlierSettings

LEAST_SLOWER_SECONDS = 0.1
"""Differences in latency below this are never held against a peer, whatever the factor."""


class _Peer:
    __slots__ = ("failures", "in_a_row", "outcomes", "seconds", "timed", "times", "until")

    def __init__(self) -> None:
        self.until = 0.0
        self.times = 0
        self.anew()

    def anew(self) -> None:
        self.outcomes = self.failures = self.in_a_row = self.timed = 0
        self.seconds = 0.0


class Outliers:
    """The peers of one group. An outcome costs O(1), and once in an interval O(peers)."""

    __slots__ = ("_clock", "_due", "_peers", "_settings", "_until")

    def __init__(self, settings: OutlierSettings, clock: Callable[[], float] = monotonic) -> None:
        """
        Args:
            settings: What it goes by.
            clock: Seconds that only go forward.
        """
        self._settings = settings
        self._clock = clock
        self._peers: dict[str, _Peer] = {}
        self._due = 0.0
        self._until = 0.0
        """When the last of those that were left out so far is back."""

    @property
    def ejecting(self) -> bool:
        """Whether any peer may be left out now."""
        return bool(self._until) and self._clock() < self._until

    def join(self, name: str) -> None:
        """A peer is there, and nothing is known of it."""
        self._peers[name] = _Peer()

    def leave(self, name: str) -> None:
        """A peer is gone."""
        self._peers.pop(name, None)

    def ejected_seconds(self, name: str) -> float:
        """For how long a peer is still left out; 0 where it is not."""
        peer = self._peers.get(name)
        return max(0.0, peer.until - self._clock()) if peer is not None and peer.until else 0.0

    def succeeded(self, name: str, seconds: float | None) -> str | None:
        """Take in a good answer.

        Args:
            name: Whose.
            seconds: Time to its first byte; None where it was not timed.

        Returns:
            Who is left out because of it, and why, in words; mostly None.
        """
        peer = self._peers.get(name)
        if peer is None:
            return None
        peer.outcomes += 1
        peer.in_a_row = 0
        if seconds is not None:
            peer.timed += 1
            peer.seconds += seconds
        return self._compare() if self._clock() >= self._due else None

    def failed(self, name: str) -> str | None:
        """Take in a failure of a peer. See `succeeded`."""
        peer = self._peers.get(name)
        if peer is None:
            return None
        peer.outcomes += 1
        peer.failures += 1
        peer.in_a_row += 1
        if peer.in_a_row >= self._settings.consecutive_failures:
            return self._eject(name, peer, f"{peer.in_a_row} failures in a row")
        return self._compare() if self._clock() >= self._due else None

    def _compare(self) -> str | None:
        settings, now = self._settings, self._clock()
        first = not self._due
        self._due = now + settings.interval_seconds
        if first:
            return None
        told: list[str] = []
        counted = {n: p for n, p in self._peers.items() if p.outcomes >= settings.least_outcomes and now >= p.until}
        worst_first = sorted(counted.items(), key=lambda item: item[1].failures / item[1].outcomes, reverse=True)
        for name, peer in worst_first:
            others = [p for p in counted.values() if p is not peer and now >= p.until]
            why = self._stands_out(peer, others) if others else None
            if why is not None:
                said = self._eject(name, peer, why)
                told += [said] if said is not None else []
        for peer in self._peers.values():
            if now >= peer.until:
                peer.times = max(0, peer.times - 1)
                peer.anew()
        return "; ".join(told) or None

    def _stands_out(self, peer: _Peer, others: list[_Peer]) -> str | None:
        settings = self._settings
        share = peer.failures / peer.outcomes
        theirs = sum(p.failures for p in others) / sum(p.outcomes for p in others)
        if share - theirs >= settings.error_margin:
            return f"{share:.0%} of its requests failed, {theirs:.0%} of the others'"
        means = [p.seconds / p.timed for p in others if p.timed >= settings.least_outcomes]
        if means and peer.timed >= settings.least_outcomes:
            mean, usual = peer.seconds / peer.timed, median(means)
            if mean >= usual * settings.latency_factor and mean >= usual + LEAST_SLOWER_SECONDS:
                return f"its first bytes took {mean:.2f} s, the others' {usual:.2f} s"
        return None

    def _eject(self, name: str, peer: _Peer, why: str) -> str | None:
        settings, now = self._settings, self._clock()
        out = sum(now < p.until for p in self._peers.values())
        most = max(1, int(settings.most_ejected * len(self._peers))) if settings.most_ejected else 0
        if now < peer.until or out + 1 > min(most, len(self._peers) - 1):
            return None
        peer.times += 1
        seconds = min(settings.ejection_seconds * peer.times, settings.most_ejection_seconds)
        peer.until = now + seconds
        self._until = max(self._until, peer.until)
        peer.anew()
        return f"{name} is left out for {seconds:g} s: {why}"
