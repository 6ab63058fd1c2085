"""The metrics of OpenTelemetry's conventions for generative AI, counted here and sent by its SDK.

The SDK's own histograms cost a third of all the CPU time that the router takes for a request; these a tenth.
"""

import threading
import time
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricExportResult,
    MetricsData,
    ResourceMetrics,
    ScopeMetrics,
)
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from slipway_router.counting import Count, Times
from slipway_router.target import Target
from slipway_router.telemetry.otel_names import Attributes, common, error_of
from slipway_router.telemetry.record import Record

# The conventions' own, by metric.
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_FIRST_TOKEN = (0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
_OUTPUT_TOKEN = (0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5)
_TOKENS = (1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864)
MOST_SETS = 2000
"""How many sets of attributes are kept. There is one for each task, backend and kind of error; a reload may bring others."""

_ABOUT = {
    "server": ("gen_ai.server.request.duration", "s", "From a client's request to the end of its answer.", _SECONDS),
    "client": ("gen_ai.client.operation.duration", "s", "The same, as the caller of the backend.", _SECONDS),
    "first": ("gen_ai.server.time_to_first_token", "s", "From a client's request to the first token of a stream.", _FIRST_TOKEN),
    "each": ("gen_ai.server.time_per_output_token", "s", "Between the tokens of a stream after the first.", _OUTPUT_TOKEN),
    "input": ("gen_ai.client.token.usage", "{token}", "Tokens of prompts and answers.", _TOKENS),
    "output": ("gen_ai.client.token.usage", "{token}", "Tokens of prompts and answers.", _TOKENS),
}
"""Name, unit, meaning and bounds of each."""


class _Set:
    """What is counted of one set of attributes."""

    __slots__ = ("attributes", "each", "first", "input", "output", "seconds", "times")

    def __init__(self, attributes: Attributes, *, reached: bool) -> None:
        """
        Args:
            attributes: Which.
            reached: Whether a backend answered: then the client's time at the router is the router's at the backend.
        """
        self.attributes = attributes
        self.seconds, self.first, self.each, self.input, self.output = (
            Times(b) for b in (_SECONDS, _FIRST_TOKEN, _OUTPUT_TOKEN, _TOKENS, _TOKENS)
        )
        self.times: Mapping[str, Times] = {
            "server": self.seconds,
            **({"client": self.seconds} if reached else {}),
            "first": self.first,
            "each": self.each,
            "input": self.input,
            "output": self.output,
        }
        """All of them, as `_ABOUT` calls them."""


class OtelMetrics:
    """Counts requests, and sends what was counted every few seconds, in a thread of its own."""

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        seconds: float,
        send_seconds: float,
        resource: Resource,
        scope: InstrumentationScope,
        unsent: Count,
    ) -> None:
        """
        Args:
            endpoint: Full address.
            headers: To send with it.
            seconds: How often.
            send_seconds: How long the collector has.
            resource: Who tells.
            scope: By which library.
            unsent: Counts messages that the collector did not take.
        """
        self._exporter = OTLPMetricExporter(endpoint, headers=dict(headers), timeout=send_seconds)
        self._seconds = seconds
        self._resource, self._scope = resource, scope
        self._unsent = unsent
        self._began = time.time_ns()
        self._sets: dict[tuple[str, str | None, Target | None], _Set] = {}
        self._busy = threading.Lock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._work, name="telemetry-metrics", daemon=True)
        self._thread.start()

    def measure(self, records: Sequence[Record]) -> None:
        """Count requests."""
        sets = self._sets
        with self._busy:
            for record in records:
                error = None if record.error is None and record.status < 400 else error_of(record)
                target = record.target
                counted = sets.get((record.task, error, target)) or self._made(record, error)
                arrived, ended = record.arrived, record.ended
                counted.seconds.observe(ended - arrived)
                if target is None:
                    continue
                first_at = record.first_at if error is None and record.stream else 0.0
                if first_at:
                    counted.first.observe(first_at - arrived)
                tokens = record.tokens
                if tokens is not None:
                    prompt, answer = tokens
                    counted.input.observe(prompt)
                    counted.output.observe(answer)
                    if first_at and answer > 1:
                        counted.each.observe((ended - first_at) / (answer - 1))

    def close(self) -> None:
        """Send what was counted, and end."""
        self._ending.set()
        self._thread.join()
        self._exporter.shutdown()  # pyright: ignore[reportUnknownMemberType] -- the SDK's

    def _made(self, record: Record, error: str | None) -> _Set:
        target = record.target
        if len(self._sets) >= MOST_SETS:
            del self._sets[next(iter(self._sets))]
        told = common(record.task, target.backend if target is not None else None)
        made = self._sets[record.task, error, target] = _Set(
            {**told, "error.type": error} if error is not None else told, reached=target is not None
        )
        return made

    def _work(self) -> None:
        while not self._ending.wait(self._seconds):
            self._send()
        self._send()

    def _send(self) -> None:
        metrics = self._metrics()
        if metrics:
            scopes = [ScopeMetrics(self._scope, metrics, "")]
            told = MetricsData([ResourceMetrics(self._resource, scopes, "")])
            if self._exporter.export(told) is not MetricExportResult.SUCCESS:  # pyright: ignore[reportUnknownMemberType] -- the SDK's
                self._unsent.inc()

    def _metrics(self) -> Sequence[Metric]:
        now = time.time_ns()
        points: dict[tuple[str, str, str], list[HistogramDataPoint]] = {}
        with self._busy:
            for kept in self._sets.values():
                for which, times in kept.times.items():
                    count = sum(times.counts)
                    if not count:
                        continue
                    name, unit, text, bounds = _ABOUT[which]
                    told = {**kept.attributes, "gen_ai.token.type": which} if unit == "{token}" else kept.attributes
                    counts = list(times.counts)
                    # Least and greatest are optional in OTLP, and not kept.
                    point = HistogramDataPoint(told, self._began, now, count, times.sum, counts, list(bounds), None, None)  # pyright: ignore[reportArgumentType] -- its types know no absence
                    points.setdefault((name, unit, text), []).append(point)
        kind = AggregationTemporality.CUMULATIVE
        return [Metric(name, text, unit, Histogram(found, kind)) for (name, unit, text), found in points.items()]
