"""The command as a process: how it starts, refuses, drains and ends."""

import json
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.app.fake_upstream import DONE, chunk, event, head
from tests.app.process import COMMAND, running
from tests.app.serving import CHAT

START_SECONDS = 20


class Endless(BaseHTTPRequestHandler):
    """Streams without end."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.wfile.write(head("200 OK", "application/json", "Content-Length: 2") + b"{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.wfile.write(head("200 OK", "text/event-stream", "Transfer-Encoding: chunked"))
        while True:
            self.wfile.write(chunk(event("x" * 65536)))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        pass


class Slow(BaseHTTPRequestHandler):
    """Streams ten events over about two seconds."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.wfile.write(head("200 OK", "application/json", "Content-Length: 2") + b"{}")

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.wfile.write(head("200 OK", "text/event-stream", "Transfer-Encoding: chunked"))
        for i in range(10):
            self.wfile.write(chunk(event(f"w{i}")))
            time.sleep(0.2)
        self.wfile.write(chunk(DONE) + b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        pass


class Quiet(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no news."""


@contextmanager
def http_upstream(handler: type[BaseHTTPRequestHandler]) -> Generator[str]:
    with Quiet(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def slow_upstream() -> Iterator[str]:
    with http_upstream(Slow) as url:
        yield url


def write(folder: Path, url: str, **more: Any) -> Path:
    path = folder / "router.json"
    path.write_text(json.dumps({"backends": [{"name": "slow", "url": url, "model": "mock", "self_hosted": True}], **more}))
    return path


def refused(*arguments: str, environ: dict[str, str] | None = None) -> tuple[int, str]:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=START_SECONDS, check=False, env=environ)
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_it_starts_answers_and_ends(tmp_path: Path, slow_upstream: str) -> None:
    with running(write(tmp_path, slow_upstream)) as (process, url, log):
        assert httpx.get(f"{url}/health").json() == {"status": "ok"}
        deadline = time.monotonic() + 10
        while httpx.get(f"{url}/ready").status_code != 200 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert httpx.get(f"{url}/ready").json()["status"] == "ready"
        assert httpx.get(f"{url}/v1/models").json()["data"][1]["id"] == "slow"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert "Traceback" not in "".join(log)


def backends(url: str) -> list[str]:
    return [b["name"] for b in httpx.get(f"{url}/ready").json()["backends"]]


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_sighup_and_a_changed_file_reload_the_configuration_and_a_bad_one_is_refused(tmp_path: Path, slow_upstream: str) -> None:
    path = write(tmp_path, slow_upstream)
    good = path.read_text()
    with running(path) as (process, url, log):
        assert backends(url) == ["slow"]
        path.write_text(good.replace("slow", "changed"))
        until(lambda: backends(url) == ["changed"])
        path.write_text(good.replace("slow", "Not A Name"))
        process.send_signal(signal.SIGHUP)
        until(lambda: "backends[0].name: is 'Not A Name'" in "".join(log))
        assert backends(url) == ["changed"]
        path.write_text(good.replace("slow", "again"))
        process.send_signal(signal.SIGHUP)
        until(lambda: backends(url) == ["again"])
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert "Traceback" not in "".join(log)


def test_on_sigterm_it_is_not_ready_and_streams_finish(tmp_path: Path, slow_upstream: str) -> None:
    with running(write(tmp_path, slow_upstream)) as (process, url, _):
        with httpx.stream("POST", f"{url}/v1/chat/completions", json={**CHAT, "stream": True}, timeout=10) as answer:
            parts = answer.iter_raw()
            body = next(parts)
            process.send_signal(signal.SIGTERM)
            time.sleep(0.1)
            ready = httpx.get(f"{url}/ready")
            assert (ready.status_code, ready.json()["status"]) == (503, "draining")
            assert httpx.get(f"{url}/health").status_code == 200
            body += b"".join(parts)
        assert body == b"".join(event(f"w{i}") for i in range(10)) + DONE
        assert process.wait(10) == 0


@pytest.mark.parametrize("hurry", ["drain_seconds", "second signal"])
def test_what_does_not_finish_in_time_is_cut_with_an_error(tmp_path: Path, slow_upstream: str, hurry: str) -> None:
    drain = 0.4 if hurry == "drain_seconds" else 60
    with running(write(tmp_path, slow_upstream, drain_seconds=drain)) as (process, url, _):
        with httpx.stream("POST", f"{url}/v1/chat/completions", json={**CHAT, "stream": True}, timeout=10) as answer:
            parts = answer.iter_raw()
            body = next(parts)
            process.send_signal(signal.SIGTERM)
            if hurry == "second signal":
                time.sleep(0.1)
                process.send_signal(signal.SIGINT)
            body += b"".join(parts)
        assert b"the router stops" in body
        assert b"[DONE]" not in body
        assert process.wait(10) == 0


def test_a_client_that_never_reads_does_not_keep_the_process(tmp_path: Path) -> None:
    with http_upstream(Endless) as upstream, running(write(tmp_path, upstream, drain_seconds=0.3)) as (process, url, _):
        address = httpx.URL(url)
        with socket.create_connection((address.host, address.port or 0)) as deaf:
            body = json.dumps({**CHAT, "stream": True}).encode()
            deaf.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            time.sleep(1)
            process.send_signal(signal.SIGTERM)
            assert process.wait(15) == 0


def test_a_wrong_configuration_is_one_list_of_faults(tmp_path: Path) -> None:
    path = write(tmp_path, "ftp://h", listen={"port": 0}, more=1)
    for command in (("check",), ("serve", "--config"), ("--config",)):
        code, said = refused(*command, str(path))
        assert code == 2
        for fault in ("3 faults", "backends[0].url", "listen.port", "more: is not a setting here"):
            assert fault in said
    assert refused("--config", str(tmp_path / "none.yaml"))[0] == 2


def test_a_right_configuration_passes_the_check(tmp_path: Path) -> None:
    path = write(tmp_path, "http://h/v1")
    done = subprocess.run([*COMMAND, "check", str(path)], capture_output=True, text=True, check=True)
    assert "is right; backends: slow" in done.stdout


def test_unset_variables_are_named_together(tmp_path: Path) -> None:
    backends = [{"name": n, "url": "http://h/v1", "model": "m", "api_key_env": v} for n, v in (("a", "KEY_A"), ("b", "KEY_B"))]
    path = tmp_path / "router.json"
    path.write_text(json.dumps({"backends": backends, "keys": [{"name": "app", "env": "KEY_C"}]}))
    code, said = refused("--config", str(path), environ={"KEY_B": "two words"})
    assert code == 2
    for told in ("3 faults", "backends[0].api_key_env", "KEY_A", "not set", "KEY_B", "is no key", "keys[0].env", "KEY_C"):
        assert told in said
    assert "two words" not in said


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    path = write(tmp_path, "http://h/v1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = refused("--config", str(path), "--port", str(port))
    assert code == 1
    (line,) = said.splitlines()
    assert line.startswith(
        f"slipway-router: cannot listen on 127.0.0.1:{port}: address already in use; choose another with --host"
    )


def test_a_wrong_port_is_refused_by_name(tmp_path: Path) -> None:
    code, said = refused("--config", "x", "--port", "70000")
    assert code == 2
    assert "'70000' is no port; give 0 to 65535" in said
