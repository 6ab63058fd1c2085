"""Downloads from a small hub on loopback, by the Hugging Face library itself."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.infra.local.place import free_port, serving

from slipway.local.download import Download
from slipway.local.tiny_model import write_tiny_model

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.mark.parametrize(
    "text",
    [
        "org/repo/x.gguf",
        "org/repo/x.gguf@main",
        f"repo/x.gguf@{COMMIT}",
        f"org/repo/x.bin@{COMMIT}",
        f"org/repo/x.gguf@{COMMIT[1:]}",
    ],
)
def test_a_download_names_repository_file_and_commit(text: str) -> None:
    with pytest.raises(ValueError, match=r"give ORGANISATION/REPOSITORY/FILE\.gguf@COMMIT"):
        Download.parse(text)
    assert Download.parse(f"org/repo.x/sub/x-q4.gguf@{COMMIT}") == Download("org/repo.x", "sub/x-q4.gguf", COMMIT)


class Hub(http.server.BaseHTTPRequestHandler):
    """The two answers of the Hugging Face Hub that a download of one file needs."""

    files: dict[str, bytes]
    asked: list[str]

    def do_HEAD(self) -> None:
        self.answer(b"")

    def do_GET(self) -> None:
        self.answer(self.files.get(self.path, b""))

    def answer(self, body: bytes) -> None:
        self.asked.append(f"{self.command} {self.path}")
        found = self.files.get(self.path)
        self.send_response(404 if found is None else 200)
        if found is not None:
            self.send_header("ETag", f'"{hashlib.sha256(found).hexdigest()}"')
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", str(len(found)))
        else:
            self.send_header("X-Error-Code", "EntryNotFound")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[str, list[str]]]:
    write_tiny_model(tmp_path / "tiny.gguf")
    served: dict[str, Any] = {"files": {f"/org/repo/resolve/{COMMIT}/x.gguf": (tmp_path / "tiny.gguf").read_bytes()}, "asked": []}
    handler = type("Served", (Hub,), served)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}", served["asked"]
        server.shutdown()
        thread.join()


def test_a_model_is_downloaded_once_with_its_progress_in_the_log(
    tmp_path: Path, hub: tuple[str, list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, asked = hub
    monkeypatch.setenv("HF_ENDPOINT", address)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    monkeypatch.setenv("HF_HUB_DISABLE_TELEMETRY", "1")
    source = ["--download", f"org/repo/x.gguf@{COMMIT}", "--cache", str(tmp_path / "models")]
    for log in ("first", "second"):
        with serving(tmp_path / log, *source) as (_, url), urllib.request.urlopen(f"{url}/v1/models") as answer:
            assert json.load(answer)["data"][0]["id"] == "tiny"
    assert [a for a in asked if a.startswith("GET")] == [f"GET /org/repo/resolve/{COMMIT}/x.gguf"]
    assert "slipway.local: downloaded 0.3 of 0.3 MiB (100 %)" in (tmp_path / "first").read_text()
    assert "slipway.local: downloaded" not in (tmp_path / "second").read_text()


def test_a_download_that_fails_is_one_line(tmp_path: Path, hub: tuple[str, list[str]]) -> None:
    source = ["--download", f"org/repo/missing.gguf@{COMMIT}", "--cache", str(tmp_path / "models")]
    command = [sys.executable, "-m", "slipway.local.llama_server", "--port", "1", "--alias", "x", *source]
    command[command.index("1")] = str(free_port())
    done = subprocess.run(command, env={**os.environ, "HF_ENDPOINT": hub[0]}, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"error: org/repo/missing.gguf@{COMMIT} cannot be downloaded: " in done.stdout.splitlines()[-1]
    assert "Traceback" not in done.stdout + done.stderr
