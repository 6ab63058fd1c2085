"""llama.cpp's loader and its drain, run by a real shell and a real curl against a server on this machine.

The image's own shell and curl are another build of the same two programs. The drain is also run against llama.cpp itself, from
the wheel: that its metrics are called as the drain reads them.
"""

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from tests.infra.kubernetes.model_server import SMALL, env, following, planned, pod, server

from slipway.kubernetes.drain import WAIT_FOR_STREAMS
from slipway.kubernetes.llama_cpp import BUSY, LOADER

WEIGHTS = bytes(range(256)) * 400
SHA256 = hashlib.sha256(WEIGHTS).hexdigest()


@dataclass
class Hub:
    """Serves one file as a model hub does, ranges too, and remembers what it was asked."""

    url: str = ""
    asked: list[tuple[str | None, str | None]] = field(default_factory=list[tuple[str | None, str | None]])
    """The headers Range and Authorization of each request."""
    busy_for: int = 0
    """How often /metrics still tells of a request that is processed."""
    metrics_asked: int = 0
    ranges: bool = True


@contextmanager
def serving(hub: Hub) -> Generator[Hub]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path == "/metrics":
                hub.metrics_asked += 1
                processing = 1 if hub.metrics_asked <= hub.busy_for else 0
                self.answer(200, f"llamacpp:requests_processing {processing}\nllamacpp:requests_deferred 0\n".encode())
                return
            given = self.headers["Range"]
            hub.asked.append((given, self.headers["Authorization"]))
            if "missing" in self.path:
                self.answer(404, b"no such file")
                return
            start = int(given.removeprefix("bytes=").rstrip("-")) if given and hub.ranges else 0
            extra = {"Content-Range": f"bytes {start}-{len(WEIGHTS) - 1}/{len(WEIGHTS)}"} if start else {}
            self.answer(206 if start else 200, WEIGHTS[start:], extra)

        def answer(self, status: int, body: bytes, extra: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **(extra or {})}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as the base class has it
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving(Hub()) as running:
        yield running


def load(hub: Hub, target: Path, path: str = "/m.gguf", **env: str) -> subprocess.CompletedProcess[str]:
    told = {"URL": hub.url + path, "TARGET": str(target), "BYTES": str(len(WEIGHTS)), "SHA256": SHA256, **env}
    script, env = LOADER.replace("--retry 5", "--retry 0"), {"PATH": os.environ["PATH"], **told}
    return subprocess.run(
        ["/bin/sh", "-c", script],
        env={"PATH": os.environ["PATH"], **told},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_loads_once_and_then_leaves_what_is_there(hub: Hub, tmp_path: Path) -> None:
    target = tmp_path / "gguf" / "main" / "m.gguf"
    first = load(hub, target)
    assert (first.returncode, first.stderr) == (0, "")
    assert target.read_bytes() == WEIGHTS
    assert load(hub, target).returncode == 0
    assert len(hub.asked) == 1
    assert [p.name for p in target.parent.iterdir()] == ["m.gguf"]


def test_what_was_cut_is_resumed(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "m.gguf.part").write_bytes(WEIGHTS[:70_000])
    assert load(hub, tmp_path / "m.gguf").returncode == 0
    assert (tmp_path / "m.gguf").read_bytes() == WEIGHTS
    assert hub.asked == [("bytes=70000-", None)]


def test_a_file_that_was_whole_but_not_yet_named_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "m.gguf.part").write_bytes(WEIGHTS)
    assert load(hub, tmp_path / "m.gguf").returncode == 0
    assert (tmp_path / "m.gguf").read_bytes() == WEIGHTS
    assert hub.asked == []


def test_a_server_that_cannot_resume_is_asked_for_all_of_it_the_next_time(hub: Hub, tmp_path: Path) -> None:
    hub.ranges = False
    (tmp_path / "m.gguf.part").write_bytes(WEIGHTS[:70_000])
    assert load(hub, tmp_path / "m.gguf").returncode != 0
    assert not (tmp_path / "m.gguf").exists()
    assert load(hub, tmp_path / "m.gguf").returncode == 0
    assert (tmp_path / "m.gguf").read_bytes() == WEIGHTS


@pytest.mark.parametrize(
    ("env", "says"),
    [({"BYTES": "5"}, "102400 bytes, and 5 were told"), ({"SHA256": "0" * 64}, "has another SHA-256 than 000000")],
)
def test_another_content_never_gets_the_name(hub: Hub, tmp_path: Path, env: dict[str, str], says: str) -> None:
    done = load(hub, tmp_path / "m.gguf", **env)
    assert done.returncode == 1
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_not_there_is_an_error_with_its_address(hub: Hub, tmp_path: Path) -> None:
    done = load(hub, tmp_path / "m.gguf", path="/missing.gguf")
    assert done.returncode == 22
    assert f"cannot download {hub.url}/missing.gguf" in done.stderr
    assert not (tmp_path / "m.gguf").exists()


def test_the_token_goes_with_the_request_and_on_no_command_line(hub: Hub, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    curl = tmp_path / "bin" / "curl"
    curl.parent.mkdir()
    curl.write_text(f'#!/bin/sh\nprintf "%s " "$@" > {seen}\nexec /usr/bin/env -i PATH="${{PATH#*:}}" curl "$@"\n')
    curl.chmod(0o755)
    done = load(hub, tmp_path / "m.gguf", HF_TOKEN="hf_hush\r\n", PATH=f"{curl.parent}:{os.environ['PATH']}")
    assert done.returncode == 0, done.stderr
    assert hub.asked == [(None, "Bearer hf_hush")]
    assert "--output" in seen.read_text()
    assert "hf_hush" not in seen.read_text() + done.stdout + done.stderr


def drain(hub: Hub, most: int) -> float:
    began = time.monotonic()
    port = hub.url.rsplit(":", 1)[1]
    done = subprocess.run(["/bin/sh", "-c", WAIT_FOR_STREAMS, "drain", "0", str(most), port, BUSY], timeout=60, check=False)
    assert done.returncode == 0
    return time.monotonic() - began


def test_the_drain_waits_for_requests_and_no_longer(hub: Hub) -> None:
    hub.busy_for = 2
    assert 2 <= drain(hub, 30) < 10
    assert hub.metrics_asked == 3


def test_the_drain_ends_when_its_time_is_up_and_where_nobody_answers(hub: Hub) -> None:
    hub.busy_for = 1000
    assert 1 <= drain(hub, 1) < 8
    assert drain(Hub(url="http://127.0.0.1:1"), 30) < 8


LLAMA = """
import signal, sys, xllamacpp
from pathlib import Path
from slipway.local.tiny_model import write_tiny_model
write_tiny_model(Path(sys.argv[1]))
params = xllamacpp.CommonParams()
params.model.path, params.hostnames, params.port = sys.argv[1], ["127.0.0.1"], int(sys.argv[2])
params.n_ctx, params.n_parallel, params.endpoint_metrics = 4096, 2, True
server = xllamacpp.Server(params)
signal.sigwait({signal.SIGTERM})
"""


@pytest.fixture
def llama(tmp_path: Path) -> Iterator[str]:
    """The address of llama.cpp with a tiny model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-c", LLAMA, str(tmp_path / "m.gguf"), str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        for _ in range(300):
            assert process.poll() is None
            try:
                if httpx.get(f"{url}/health").status_code == 200:
                    break
            except httpx.TransportError:
                time.sleep(0.1)
        yield url
    finally:
        process.kill()
        process.wait()


def test_the_drain_waits_for_a_stream_of_llama_cpp(llama: str) -> None:
    body = {"prompt": "a", "max_tokens": 2000, "stream": True, "ignore_eos": True}
    ended: list[float] = []
    with httpx.stream("POST", f"{llama}/v1/completions", json=body, timeout=60) as stream:
        lines = stream.iter_lines()
        next(lines)

        def rest() -> None:
            for _ in lines:
                pass
            ended.append(time.monotonic())

        reader = threading.Thread(target=rest)
        reader.start()
        drain(Hub(url=llama), 60)
        drained = time.monotonic()
        reader.join()
    # It looks once a second, and at most that much later.
    assert 0 <= drained - ended[0] < 10


def test_llama_cpp_gets_its_file_and_the_memory_for_it() -> None:
    plan = planned(base=SMALL, context_tokens=8192, parallel_requests=4, served_name="qwen")
    container, loader = server(plan), pod(plan)["initContainers"][0]
    target = "/model-cache/gguf/main/qwen2.5-1.5b-instruct-q4_k_m.gguf"
    assert env(loader) == {
        "URL": "https://huggingface.co/Qwen/Qwen2.5-1.5B-Instruct-GGUF/resolve/main/qwen2.5-1.5b-instruct-q4_k_m.gguf",
        "TARGET": target,
        "BYTES": "1117320736",
        "SHA256": "",
    }
    args = container["args"]
    assert (following(args, "--model"), following(args, "--alias")) == (target, "qwen")
    # Divided among four slots it is 8,192 for each.
    assert (following(args, "--ctx-size"), following(args, "--parallel")) == ("32768", "4")
    assert following(args, "--threads") == container["resources"]["requests"]["cpu"] == "4"
    # 1.04 GiB of weights + 1 + 32,768 x 28 KiB = 0.875.
    assert container["resources"]["requests"]["memory"] == container["resources"]["limits"]["memory"] == "3Gi"
    stranger = server(planned(base=SMALL, model="acme/stranger-GGUF", context_tokens=8192, parallel_requests=4))
    # 128 KiB a token, as of a model with 8 billion parameters.
    assert stranger["resources"]["limits"]["memory"] == "7Gi"
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert pod(plan)["nodeSelector"] == {}
    assert container["image"] == loader["image"]


def test_llama_cpp_for_embeddings_takes_a_whole_text_in_one_batch() -> None:
    args = server(planned(base=SMALL, tasks=["embeddings"], context_tokens=512))["args"]
    assert args[-5:] == ["--embeddings", "--batch-size", "512", "--ubatch-size", "512"]


def test_a_changed_checksum_is_another_file() -> None:
    gguf = {**SMALL["gguf"], "sha256": "ab" * 32}
    loader = pod(planned(base=SMALL, gguf=gguf))["initContainers"][0]
    assert env(loader)["TARGET"] == f"/model-cache/gguf/{'ab' * 8}/{gguf['file']}"
