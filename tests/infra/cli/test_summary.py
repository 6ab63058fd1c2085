"""What a user sees once a stack is up, with a real HTTP server in the router's place."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from slipway.cli.summary import router_state, show

BACKENDS = [
    {"name": "llama", "model": "llama-70b", "available": True, "latency_ms": 12.4},
    {"name": "gpt", "model": "gpt-4o", "available": False, "latency_ms": 0.0},
]


class Answering:
    """What the server answers to `/ready`."""

    status = 200
    body = b""


@pytest.fixture
def url() -> Iterator[str]:
    Answering.status, Answering.body = 200, json.dumps({"status": "ready", "backends": BACKENDS}).encode()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/ready"
            self.send_response(Answering.status)
            self.end_headers()
            self.wfile.write(Answering.body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- as in http.server
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()
    thread.join()


def shown(outputs: dict[str, Any]) -> str:
    text = StringIO()
    show(outputs, Console(file=text, width=200))
    return text.getvalue()


def test_a_router_that_answers_is_shown_with_its_backends_and_a_line_to_paste(url: str) -> None:
    text = shown({"url": url, "llama-babbles": True, "gpt-babbles": False})
    rows = [line.split() for line in text.splitlines()]
    assert ["llama", "available", "llama-70b", "12", "ms"] in rows
    assert ["gpt", "unavailable", "gpt-4o", "-"] in rows
    assert "llama is a tiny model, generated here with random weights: it babbles." in text
    assert "gpt is a tiny" not in text
    (curl,) = [line for line in text.splitlines() if "curl" in line]
    assert curl.startswith(f"  curl {url}/v1/chat/completions ")


def test_a_router_that_is_not_ready_still_tells_its_backends(url: str) -> None:
    Answering.status = 503
    assert [b["name"] for b in router_state(url) or []] == ["llama", "gpt"]


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff"])
def test_what_is_no_router_shows_the_outputs_alone(url: str, body: bytes) -> None:
    Answering.body = body
    assert shown({"url": url, "name": "x"}).splitlines() == ["name: x", f"url: {url}"]


def test_no_router_shows_the_outputs() -> None:
    assert shown({"endpoint": "llama-8b-endpoint"}) == "endpoint: llama-8b-endpoint\n"
    assert router_state("http://127.0.0.1:9") is None
