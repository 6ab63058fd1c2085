"""What shadows count. The labels are names of shadows and words of a fixed list."""

from typing import Literal, get_args

from slipway_router import metric_table as table
from slipway_router.answer import Cause
from slipway_router.counting import Counters, Histograms, Registry
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

    def __init__(self, registry: Registry) -> None:
        """
        Args:
            registry: What tells them to Prometheus.
        """
        self._requests = Counters(table.SHADOW_REQUESTS, registry)
        self._failures = Counters(table.SHADOW_FAILURES, registry)
        self._comparisons = Counters(table.SHADOW_COMPARISONS, registry)
        self._similarity = Histograms(table.SHADOW_SIMILARITY, _SHARES, registry)
        self._first = Histograms(table.SHADOW_FIRST_TOKEN, _SECONDS, registry)
        self._duration = Histograms(table.SHADOW_DURATION, _SECONDS, registry)
        self._characters = Counters(table.SHADOW_CHARACTERS, registry)
        self._tokens = Counters(table.SHADOW_TOKENS, registry)

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
