"""Filebeat with the very configuration that a stack renders: it follows files laid out as kubelet does, and sends to what answers
as Elasticsearch's bulk API does. Without `filebeat` on the path, which is not in Debian, its configuration alone is looked at.
"""

import base64
import gzip
import json
import shutil
import threading
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from tests.infra.kubernetes.observability.real_loki import program, running, until
from tests.infra.kubernetes.observability.real_prometheus import free_port
from tests.infra.kubernetes.observability.services import model, router

from slipway.kubernetes.observability.filebeat import HEALTH_PORT, PASSWORD, configuration
from slipway.kubernetes.observability.log_agent import FILES, Destination
from slipway.kubernetes.observability.log_index import FIELDS, INDEX, LEVEL
from slipway.kubernetes.observability.passwords import PUSH_KEY, PUSH_USERNAME

API, LLAMA = router(), model()
TO = Destination("", PUSH_USERNAME, "held", PUSH_KEY, None, [])
REQUEST = json.dumps(
    {"level": "WARNING", "message": "request", "request_id": 7, "trace_id": "4bf9", "span_id": "00f0", "more": {}}
)


def read(url: str = "http://elasticsearch:9200", to: Destination = TO) -> dict[str, Any]:
    return cast("dict[str, Any]", yaml.safe_load(configuration([API, LLAMA], url, to)["filebeat.yml"]))


def test_the_watched_namespaces_are_read_and_no_others() -> None:
    assert read()["filebeat.inputs"][0]["paths"] == [f"{FILES}/ai_*/*/*.log"]


def test_the_password_is_in_its_environment_alone() -> None:
    out = read()["output.elasticsearch"]
    assert (out["username"], out["password"], out["index"]) == ("agent", f"${{{PASSWORD}}}", INDEX)
    assert not {"username", "password"} & read(to=Destination("", "x", None, "", None, []))["output.elasticsearch"].keys()


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("http://a.b", "http://a.b:80"),
        ("https://a.b/c", "https://a.b:443/c"),
        ("http://a:1/c", "http://a:1/c"),
        ("http://[::1]", "http://[::1]:80"),
    ],
)
def test_an_address_without_a_port_is_that_of_its_scheme(url: str, asked: str) -> None:
    assert read(url)["output.elasticsearch"]["hosts"] == [asked]


class Bulk:
    """What was sent. It takes each id once, as a data stream does."""

    def __init__(self) -> None:
        self.lines: dict[str, dict[str, Any]] = {}
        self.allowed = False
        self.tries = 0
        self.twice = 0
        self.port = free_port()

    @contextmanager
    def serving(self) -> Generator[None]:
        """It answers in the meantime."""
        bulk = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                told = {"version": {"number": "7.17.29", "build_flavor": "default"}, "tagline": "You Know, for Search"}
                active = {"license": {"status": "active", "type": "basic", "uid": "x"}}
                self._answer(200, active if "license" in self.path else told)

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                text = gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body
                assert self.headers["Authorization"] == f"Basic {base64.b64encode(b'agent:its-word').decode()}"
                bulk.tries += 1
                if not bulk.allowed:
                    self._answer(403, {"error": {"type": "security_exception"}, "status": 403})
                    return
                rows = [json.loads(row) for row in text.splitlines()]
                self._answer(
                    200,
                    {"took": 1, "errors": False, "items": [bulk.take(*two) for two in zip(rows[::2], rows[1::2], strict=True)]},
                )

            def _answer(self, status: int, told: object) -> None:
                text = json.dumps(told).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("X-Elastic-Product", "Elasticsearch")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as the base has it
                """Quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            thread.join()
            server.server_close()

    def take(self, what: Mapping[str, Any], line: dict[str, Any]) -> dict[str, Any]:
        """One row, and the answer."""
        # A data stream takes nothing else.
        assert what["create"]["_index"] == INDEX
        name = what["create"]["_id"]
        known = name in self.lines
        self.twice += known
        self.lines.setdefault(name, line)
        return {"create": {"_index": INDEX, "_id": name, "status": 409 if known else 201}}


def flat(line: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    made: dict[str, Any] = {}
    for key, value in line.items():
        made |= flat(cast("Mapping[str, Any]", value), f"{before}{key}.") if isinstance(value, dict) else {before + key: value}
    return made


def test_lines_are_told_by_service_level_request_and_trace_and_none_is_lost_or_kept_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    filebeat = program("filebeat")
    monkeypatch.setenv(PASSWORD, "its-word")
    bulk, pods, home = Bulk(), tmp_path / "pods", tmp_path / "home"
    pods.mkdir()
    health = free_port()
    text = configuration([API, LLAMA], f"http://127.0.0.1:{bulk.port}", TO)["filebeat.yml"].replace(FILES, str(pods))
    text = text.replace("0.0.0.0", "127.0.0.1").replace(f"port: {HEALTH_PORT}", f"port: {health}")
    (tmp_path / "filebeat.yml").write_text(text)

    def write(pod: str, container: str, *lines: str, tag: str = "F") -> None:
        file = pods / f"{pod}_12345678-1234-1234-1234-123456789012" / container / "0.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as log:
            log.writelines(f"2026-11-26T12:00:00.{i:09}Z stderr {tag} {line}\n" for i, line in enumerate(lines))

    def agent(name: str) -> Any:
        folders = ["--path.home", str(home), "--path.data", str(home / "data")]
        return running([filebeat, "-e", "-c", str(tmp_path / "filebeat.yml"), *folders], tmp_path / name)

    write("ai_api-router-7d9f8b6c5d-abcde", "router", REQUEST, "no JSON", '{"level": {"a": 1}}', "{broken")
    write("ai_llama-server-0", "vllm", "INFO: ", tag="P")
    write("ai_llama-server-0", "vllm", "loading", "x" * 300_000)
    write("ai_worker-1", "celery", "a task")
    write("other_api-router-7d9f8b6c5d-abcde", "router", "not watched")
    with bulk.serving():
        with agent("first") as process:
            # Nobody has said yet that the agent may.
            until(lambda: bulk.tries > 1, process, 30)
            bulk.allowed = True
            until(lambda: len(bulk.lines) == 7, process, 40)
            process.kill()
        by_text = {line["message"][:20]: flat(line) for line in bulk.lines.values()}
        told = by_text[REQUEST[:20]]
        assert told["message"] == REQUEST
        assert {name: told[name] for name in (*FIELDS, LEVEL)} == {
            "service.name": "api",
            "k8s.namespace.name": "ai",
            "k8s.container.name": "router",
            "k8s.pod.name": "api-router-7d9f8b6c5d-abcde",
            "request_id": "7",
            "trace_id": "4bf9",
            "span_id": "00f0",
            "stream": "stderr",
            "log.level": "WARNING",
        }
        assert told.keys() == {*FIELDS, LEVEL, "@timestamp", "message", "log.offset"}
        services = {text: line["service.name"] for text, line in by_text.items()}
        assert {services["no JSON"], services['{"level": {"a": 1}}'], services["{broken"]} == {"api"}
        # No object, for which the index would refuse the line.
        assert isinstance(by_text['{"level": {"a": 1}}'][LEVEL], str)
        assert (services["INFO: loading"], services["a task"], services["x" * 20]) == ("llama", "celery", "llama")
        assert len(by_text["x" * 20]["message"]) == 256 * 1024
        # Killed before it wrote down what it read, another reads it again; what was kept is not kept twice.
        write("ai_worker-1", "celery", "the last")
        shutil.rmtree(home / "data" / "registry")
        with agent("second") as process:
            until(lambda: bulk.twice >= 7, process, 40)
            time.sleep(1)
        assert len(bulk.lines) == 8
