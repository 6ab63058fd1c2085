"""What tells Elasticsearch how its index is made, with a real bash and a real curl, and what answers in its place."""

import base64
import json
import os
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from tests.infra.kubernetes.observability.real_loki import program

from slipway.kubernetes.observability.elasticsearch_setup import PASSWORD, script
from slipway.kubernetes.observability.log_index import FIELDS, INDEX, days_together, policy


def told(answers: dict[str, int]) -> tuple[int, list[tuple[str, str, Any]]]:
    """The script's exit code, and what it asked.

    Args:
        answers: Status for paths; 200 for all others.
    """
    asked: list[tuple[str, str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            assert self.headers["Authorization"] == f"Basic {base64.b64encode(b'elastic:its-word').decode()}"
            asked.append((self.command, self.path, json.loads(body) if body else None))
            self.send_response(answers.get(self.path, 200))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            self.do_PUT()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as the base has it
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        program("curl")
        env = {"PATH": os.environ["PATH"], "URL": f"http://127.0.0.1:{server.server_port}", PASSWORD: "its-word", "no_proxy": "*"}
        done = subprocess.run([program("bash"), "-euc", script(30)], env=env, timeout=30, check=False)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    return done.returncode, asked


def test_the_agents_may_write_only_once_there_is_an_index_for_it() -> None:
    code, asked = told({})
    assert code == 0
    assert [path for method, path, _ in asked if method == "PUT"] == [
        "/_ilm/policy/slipway-logs",
        "/_index_template/slipway-logs",
        "/_security/role/slipway_agent",
    ]
    bodies = {path: body for _, path, body in asked}
    template = bodies["/_index_template/slipway-logs"]
    assert template["index_patterns"] == [INDEX]
    assert template["template"]["settings"]["index.lifecycle.name"] == "slipway-logs"
    assert set(FIELDS) < template["template"]["mappings"]["properties"].keys()
    (may,) = bodies["/_security/role/slipway_agent"]["indices"]
    assert may == {"names": [INDEX], "privileges": ["auto_configure", "create_doc"]}


def test_what_is_refused_ends_it_so_that_kubernetes_begins_again() -> None:
    code, asked = told({"/_index_template/slipway-logs": 503})
    assert code != 0
    assert asked[-1][1] == "/_index_template/slipway-logs"


@pytest.mark.parametrize(("days", "together"), [(1, 1), (14, 1), (90, 1), (91, 2), (365, 5)])
def test_what_is_deleted_together_leaves_few_indices(days: int, together: int) -> None:
    assert days_together(days) == together
    phases = policy(days)["policy"]["phases"]
    assert phases["hot"]["actions"]["rollover"]["max_age"] == f"{together}d"
    assert phases["delete"] == {"min_age": f"{days}d", "actions": {"delete": {}}}
