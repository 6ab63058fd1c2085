"""A collector as far as OTLP over HTTP goes, by OpenTelemetry's own messages."""

import gzip
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest, ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse


class Receiver:
    """What it was told."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        """What it answers with."""
        self.raw = b""
        """Everything, as it came."""
        self.tokens: set[str | None] = set()
        self.resources: list[dict[str, Any]] = []
        self.spans: list[Any] = []
        self.metrics: dict[str, Any] = {}
        """The newest of each name."""

    def take(self, path: str, body: bytes) -> bytes:
        self.raw += body
        if path == "/v1/traces":
            for told in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resources.append(attributes(told.resource))
                self.spans += [span for scope in told.scope_spans for span in scope.spans]
            return ExportTraceServiceResponse().SerializeToString()
        assert path == "/v1/metrics"
        for told in ExportMetricsServiceRequest.FromString(body).resource_metrics:
            self.resources.append(attributes(told.resource))
            self.metrics |= {m.name: m for scope in told.scope_metrics for m in scope.metrics}
        return ExportMetricsServiceResponse().SerializeToString()


def attributes(of: Any) -> dict[str, Any]:
    """The attributes of a span, a resource or a data point."""
    return {a.key: getattr(a.value, a.value.WhichOneof("value")) for a in of.attributes}


@contextmanager
def receiving() -> Generator[Receiver]:
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            receiver.tokens.add(self.headers["authorization"])
            answer = receiver.take(self.path, gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(receiver.status)
            self.send_header("content-type", "application/x-protobuf")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- the library's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        receiver.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield receiver
        finally:
            server.shutdown()
            thread.join()
