"""What is told of requests, as the configuration wants it."""

from collections.abc import Mapping

from slipway_router.config import ConfigError
from slipway_router.counting import Count
from slipway_router.telemetry.recorder import Recorder, Sink
from slipway_router.telemetry.settings import TelemetrySettings
from slipway_router.telemetry.trace import Sampler


def recorder(
    settings: TelemetrySettings, environ: Mapping[str, str], dropped: Count, unsent: Mapping[str, Count]
) -> Recorder | None:
    """Who is told of requests; None where nobody is.

    Args:
        settings: What was asked for.
        environ: Where secrets are.
        dropped: Counts requests that nobody is told of.
        unsent: Count messages that a collector did not take, by signal.

    Raises:
        ConfigError: OpenTelemetry is asked for and not installed.
    """
    if not settings.records:
        return None
    sinks: list[Sink] = []
    if settings.logs.requests:
        from slipway_router.telemetry.log import RequestLog

        sinks.append(RequestLog(settings.logs))
    sampler = None
    if settings.otel is not None:
        try:
            from slipway_router.telemetry.otel import Otel
        except ImportError as error:
            raise ConfigError([("telemetry.otel", str(error).removeprefix("'telemetry.otel' "))]) from None
        sinks.append(Otel(settings.otel, environ, unsent))
        if settings.otel.traces:
            sampler = Sampler(settings.otel.sample, follow_parent=settings.otel.follow_parent)
    return Recorder(sinks, sampler, dropped)
