"""OpenTelemetry: spans and metrics by the semantic conventions for generative AI, sent by OTLP over HTTP.

Everything here runs in the recorder's thread and the SDK's own. Spans are made of a request that is over, from what the recorder
kept of it: the SDK's tracer, which makes them while it runs, would cost a request more than the router itself does.
"""

import uuid
from collections.abc import Mapping, Sequence

try:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExportResult
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    from slipway_router.telemetry.otel_metrics import OtelMetrics
except ImportError as error:
    raise ImportError("'telemetry.otel' needs OpenTelemetry's SDK; install it with: pip install 'slipway[otel]'") from error

from slipway_router.counting import Count
from slipway_router.telemetry.otel_names import NUMBERS, Attributes, common, content, error_of
from slipway_router.telemetry.record import Record, Tried
from slipway_router.telemetry.settings import OtelSettings
from slipway_router.version import VERSION

SEND_SECONDS = 5.0
"""How long a collector has for one message."""


class _Traces(OTLPSpanExporter):
    """Counts messages that were not taken."""

    def __init__(self, endpoint: str, headers: dict[str, str], unsent: Count) -> None:
        super().__init__(endpoint, headers=headers, timeout=SEND_SECONDS)
        self._unsent = unsent

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = super().export(spans)
        if result is not SpanExportResult.SUCCESS:
            self._unsent.inc()
        return result


class Otel:
    """Tells a collector of requests."""

    def __init__(self, settings: OtelSettings, environ: Mapping[str, str], unsent: Mapping[str, Count]) -> None:
        """
        Args:
            settings: Where, and what.
            environ: Where the token is, if one is named.
            unsent: Count messages that the collector did not take, by signal.
        """
        token = environ[settings.token_env] if settings.token_env else None
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        instance = str(uuid.uuid4())
        about = {"service.name": settings.service_name, "service.version": VERSION, "service.instance.id": instance}
        self._resource = resource = Resource.create(about)
        self._scope = InstrumentationScope("slipway_router", VERSION)
        self._content = settings.content
        self._spans: BatchSpanProcessor | None = None
        if settings.traces:
            exporter = _Traces(f"{settings.endpoint}/v1/traces", headers, unsent["traces"])
            self._spans = BatchSpanProcessor(exporter, schedule_delay_millis=1000)
        self._metrics: OtelMetrics | None = None
        if settings.metrics:
            to, every = f"{settings.endpoint}/v1/metrics", settings.interval_seconds
            self._metrics = OtelMetrics(to, headers, every, SEND_SECONDS, resource, self._scope, unsent["metrics"])

    @property
    def every(self) -> bool:
        """See `Sink`: metrics are of all requests."""
        return self._metrics is not None

    def take(self, records: Sequence[Record]) -> None:
        """See `Sink`."""
        if self._metrics is not None:
            self._metrics.measure(records)
        for record in records:
            if self._spans is not None and record.trace is not None and record.trace.sampled:
                for span in self._spans_of(record):
                    self._spans.on_end(span)

    def close(self) -> None:
        """See `Sink`."""
        if self._spans is not None:
            self._spans.shutdown()
        if self._metrics is not None:
            self._metrics.close()

    def _spans_of(self, record: Record) -> list[ReadableSpan]:
        assert record.trace is not None
        told: Attributes = {
            "http.request.method": "POST",
            "http.route": record.path,
            "url.path": record.path,
            "url.scheme": "http",
            "http.response.status_code": record.status,
            "slipway.request_id": record.request_id.decode(),
            "slipway.key": record.key,
            "slipway.tier": record.tier,
            "slipway.model": record.model,
            "slipway.attempts": record.attempts,
        }
        if record.rule is not None:
            told["slipway.rule"] = record.rule
        if record.target is not None:
            told["slipway.backend"] = record.target.name
        error = error_of(record)
        if error is not None:
            told["error.type"] = error
        fault = record.status >= 500 or (error is not None and record.target is not None)
        spans = [
            self._span(
                record, f"POST {record.path}", SpanKind.SERVER, record.trace.span_id, record.arrived, record.ended, told, fault
            )
        ]
        for attempt in record.tried:
            about = self._attempt(record, attempt)
            name = f"{about['gen_ai.operation.name']} {about['gen_ai.request.model']}"
            failed = attempt.cause is not None
            spans.append(self._span(record, name, SpanKind.CLIENT, attempt.span_id, attempt.began, attempt.ended, about, failed))
        return spans

    def _attempt(self, record: Record, attempt: Tried) -> Attributes:
        told = common(record.task, attempt.target.backend)
        told["slipway.backend"] = attempt.target.name
        fields = record.fields or {}
        for field, attribute in NUMBERS.items():
            value: object = fields.get(field)
            if isinstance(value, int | float) and not isinstance(value, bool) and not (field == "n" and value == 1):
                told[attribute] = value
        if self._content:
            told |= content(record.task, fields)
        if attempt.cause is not None:
            told["error.type"] = attempt.cause
        elif record.tokens is not None and attempt.target is record.target:
            told["gen_ai.usage.input_tokens"], told["gen_ai.usage.output_tokens"] = record.tokens
        return told

    def _span(
        self,
        record: Record,
        name: str,
        kind: SpanKind,
        span_id: bytes,
        began: float,
        ended: float,
        told: Attributes,
        failed: bool,
    ) -> ReadableSpan:
        trace = record.trace
        assert trace is not None

        def context(identity: bytes, *, remote: bool) -> SpanContext:
            return SpanContext(int(trace.trace_id, 16), int(identity, 16), remote, TraceFlags(TraceFlags.SAMPLED))

        if kind is SpanKind.SERVER:
            parent = context(trace.parent_id, remote=True) if trace.parent_id is not None else None
        else:
            parent = context(trace.span_id, remote=False)
        return ReadableSpan(
            name,
            context=context(span_id, remote=False),
            parent=parent,
            resource=self._resource,
            attributes=told,
            kind=kind,
            status=Status(StatusCode.ERROR) if failed else Status(StatusCode.UNSET),
            start_time=_nanoseconds(record, began),
            end_time=_nanoseconds(record, ended),
            instrumentation_scope=self._scope,
        )


def _nanoseconds(record: Record, moment: float) -> int:
    return int((record.at - (record.ended - moment)) * 1e9)
