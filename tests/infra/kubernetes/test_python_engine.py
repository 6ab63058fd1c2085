"""The startup probe of engines in Python, run as kubelet would run it, against a server on this machine.

The engines need a GPU and are not run.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from slipway.kubernetes.python_engine import ONE_TOKEN

QUESTION = json.dumps({"model": "llama", "prompt": "a", "max_tokens": 1})


class Model(HTTPServer):
    status = 200

    def __init__(self, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)
        self.asked: list[tuple[str, str | None, str]] = []


@pytest.fixture
def model() -> Iterator[Model]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            server.asked.append((self.path, self.headers["Content-Type"], body))
            self.send_response(server.status)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as the base class has it
            """Nothing."""

    server = Model(Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def probe(port: int) -> subprocess.CompletedProcess[str]:
    url = f"http://127.0.0.1:{port}/v1/completions"
    # A proxy in the environment is not asked for an address of the pod's own.
    env = {"http_proxy": "http://127.0.0.1:9"}
    return subprocess.run(
        [sys.executable, "-c", ONE_TOKEN, url, QUESTION], env=env, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_model_that_answers_has_started(model: Model) -> None:
    assert probe(model.server_port).returncode == 0
    assert model.asked == [("/v1/completions", "application/json", QUESTION)]


@pytest.mark.parametrize("status", [404, 500, 503])
def test_a_server_that_refuses_has_not_and_says_so_in_a_line(model: Model, status: int) -> None:
    model.status = status
    done = probe(model.server_port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"the model does not answer yet: HTTP Error {status}")
    assert done.stderr.count("\n") == 1


def test_nobody_there_has_not(model: Model) -> None:
    port = model.server_port
    model.shutdown()
    model.server_close()
    done = probe(port)
    assert done.returncode == 1
    assert "the model does not answer yet" in done.stderr
