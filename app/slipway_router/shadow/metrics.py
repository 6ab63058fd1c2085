"""What shadows count. The labels are names of shadows and words of a fixed list."""

from typing import Literal, get_args

from prometheus_client import CollectorRegistry

from slipway_router.answer import Cause
from slipway_router.counting import Counters, Histograms
from slipway_router.shadow.compare import Aspect, Comparison, Verdict
from slipway_router.shadow.reading import Reading

Outcome = Literal["compared", "failed", "unanswered", "full", "busy", "draining", "resting"]
"""Of a request that was drawn. 'compared': both answered. 'failed': the candidate did not. The others were not copied:
'unanswered', its client got no whole answer; 'full', as many as may be were under way; 'busy' and 'draining', the router was;
'resting', the candidate had failed too often of late, or asked to be left alone."""
_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)
_SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 1.0)


class ShadowMetrics:
    """The metrics of all shadows."""

    def __init__(self, registry: CollectorRegistry) -> None:
        """
        Args:
            registry: What tells them to Prometheus.
        """
        prefix = "slipway_router_shadow"
        self._requests = Counters(
            f"{prefix}_requests", "Requests drawn to be copied, by what came of it.", ["shadow", "outcome"], registry=registry
        )
        self._failures = Counters(
            f"{prefix}_failures", "Copies that the candidate failed on, by cause.", ["shadow", "cause"], registry=registry
        )
        self._comparisons = Counters(
            f"{prefix}_comparisons",
            "Comparisons by aspect and verdict; 'better' and 'worse' are about the candidate.",
            ["shadow", "aspect", "verdict"],
            registry=registry,
        )
        self._similarity = Histograms(
            f"{prefix}_similarity", "Share of words in common, 0 to 1.", ["shadow"], registry=registry, bounds=_SHARES
        )
        self._first = Histograms(
            f"{prefix}_time_to_first_token_seconds",
            "Of streams that both answered: what the client saw ('answered'), and the candidate's.",
            ["shadow", "side"],
            registry=registry,
            bounds=_SECONDS,
        )
        self._duration = Histograms(
            f"{prefix}_duration_seconds",
            "To the end of what both answered, by side.",
            ["shadow", "side"],
            registry=registry,
            bounds=_SECONDS,
        )
        self._characters = Counters(
            f"{prefix}_characters", "Characters of what both answered, by side.", ["shadow", "side"], registry=registry
        )
        self._tokens = Counters(
            f"{prefix}_tokens", "Tokens of answers, where both sides tell them, by side.", ["shadow", "side"], registry=registry
        )

    def start(self, shadow: str) -> None:
        """Begin at 0, so that a rate is there from the first request on."""
        for outcome in get_args(Outcome):
            self._requests.labels(shadow, outcome)

    def came_to(self, shadow: str, outcome: Outcome) -> None:
        """Count a request that was drawn."""
        self._requests.labels(shadow, outcome).inc()

    def failed(self, shadow: str, cause: Cause) -> None:
        """Count a candidate's failure."""
        self.came_to(shadow, "failed")
        self._failures.labels(shadow, cause).inc()
        self._verdict(shadow, "status", "worse")

    def compared(self, shadow: str, answered: Reading, candidate: Reading, found: Comparison, *, stream: bool) -> None:
        """Count a comparison."""
        self.came_to(shadow, "compared")
        for aspect, verdict in found.verdicts.items():
            self._verdict(shadow, aspect, verdict)
        if found.similarity is not None:
            self._similarity.labels(shadow).observe(found.similarity)
        if not (answered.good and candidate.good):
            return
        tell_tokens = answered.answer_tokens > 0 and candidate.answer_tokens > 0
        for side, reading in (("answered", answered), ("candidate", candidate)):
            if stream:
                self._first.labels(shadow, side).observe(reading.first_seconds)
            self._duration.labels(shadow, side).observe(reading.seconds)
            self._characters.labels(shadow, side).inc(len(reading.text))
            if tell_tokens:
                self._tokens.labels(shadow, side).inc(reading.answer_tokens)

    def _verdict(self, shadow: str, aspect: Aspect, verdict: Verdict) -> None:
        self._comparisons.labels(shadow, aspect, verdict).inc()
