"""The OpenAPI document, held against the router as a process by schemathesis: good and bad requests made of the document."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.app.documented import documented, operations
from tests.app.fake_upstream import Exit, FakeUpstream, completion, models, stream, whole
from tests.app.process import running
from tests.app.serving import CHAT, backend, serving, upstream
from tests.clients.stage import in_thread

import slipway_router

KEY = "key-of-the-test"
UNDECIDABLE = "positive_data_acceptance"
"""A document cannot say which numbers, texts and kinds of content a backend takes; all other checks apply."""


async def answer(out: Exit) -> None:
    await (stream("hello", " there") if out.got.json.get("stream") else whole(completion()))(out)


@pytest.mark.timeout(600)
def test_the_router_does_what_its_document_says(tmp_path: Path) -> None:
    up = FakeUpstream(answer, models())
    with in_thread(up):
        config = tmp_path / "router.json"
        told = {"backends": [backend(up, tasks=["chat", "completions", "embeddings"])], "keys": [{"name": "k", "env": "A_KEY"}]}
        config.write_text(json.dumps(told))
        with running(config, {"A_KEY": KEY}) as (_, url, log):
            command = [
                str(Path(sys.executable).with_name("schemathesis")),
                "--no-color",
                "run",
                f"{url}/openapi.json",
                "--url",
                url,
                "-H",
                f"Authorization: Bearer {KEY}",
            ]
            command += ["--exclude-checks", UNDECIDABLE, "--phases", "coverage,fuzzing", "--seed", "1", "--max-examples", "10"]
            command += ["--request-timeout", "60", "--continue-on-failure", "--suppress-health-check", "all"]
            done = subprocess.run(command, capture_output=True, text=True, timeout=500, check=False, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Tested: " in done.stdout
    assert "unexpected" not in "".join(log)


NOT_OF_CLIENTS = {"405", "499"}
"""A method that a path does not take is not in a document; whoever went away is answered nothing."""


def statuses(tree: ast.AST) -> Iterator[str]:
    """Those that a part of the code refuses with: what its ApiErrors are made with, and what else it chooses from."""
    for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)):
        nodes = list(ast.walk(function))
        made = [n.args[0] for n in nodes if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "ApiError" and n.args]
        numbers = [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, int)]
        if any(isinstance(first, ast.Name) for first in made):
            yield from (str(n) for n in numbers if 400 <= n <= 599)
        yield from (str(first.value) for first in made if isinstance(first, ast.Constant))


def test_every_status_that_the_code_refuses_with_is_told_somewhere() -> None:
    told = {status for admin in (False, True) for found in operations(admin=admin).values() for status in found}
    found: dict[str, str] = {}
    for path in sorted(Path(slipway_router.__file__).parent.rglob("*.py")):
        text = path.read_text()
        if "ApiError(" in text:
            found |= dict.fromkeys(statuses(ast.parse(text)), path.name)
    assert {"400", "401", "403", "404", "408", "413", "429", "500", "502", "503", "504", "508"} <= found.keys()
    assert {status: name for status, name in found.items() if status not in told | NOT_OF_CLIENTS} == {}


@pytest.mark.parametrize(
    ("path", "status", "backends"),
    [
        ("/v1/models", 418, False),
        ("/v1/models/meta/llama", 403, False),
        ("/v1/route", 502, False),
        ("/v1/embeddings", 599, True),
        ("/admin/backends/one", 409, False),
    ],
)
async def test_an_answer_that_is_not_told_of_is_noticed(path: str, status: int, backends: bool) -> None:
    request = httpx.Request("POST" if path in ("/v1/route", "/v1/embeddings") else "GET", f"http://r{path}")
    headers = {"x-slipway-backend": "one"} if backends else {}
    with pytest.raises(AssertionError, match=f"answers {status}, and the OpenAPI document has"):
        await documented(httpx.Response(status, headers=headers, request=request), admin=path.startswith("/admin"))


REDIS = {"url": "redis://127.0.0.1:1", "keys": True}
PATHS = [("GET", "/v1/models"), ("GET", "/v1/models/one"), ("POST", "/v1/route"), ("POST", "/v1/chat/completions")]
MORE = [("POST", p) for p in ("/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/ensemble")]


async def test_before_the_keys_are_known_every_path_that_wants_one_says_so() -> None:
    async with serving(backend("http://127.0.0.1:9/v1"), redis=REDIS) as served:
        for method, path in (*PATHS, *MORE):
            answer = await served.client.request(method, path, json=CHAT, headers={"authorization": "Bearer k"})
            told = answer.json()["error"]
            assert (answer.status_code, told.get("code", "keys_unavailable")) == (503, "keys_unavailable"), path
            assert "not known here yet" in told["message"]


async def test_a_fault_of_ours_is_told_in_openais_shape_and_found_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: Any) -> Any:
        raise RuntimeError("a secret of a client's")

    async with upstream() as up, serving(backend(up)) as served:
        served.router.models = broken
        answer = await served.client.get("/v1/models")
        found = answer.headers["x-request-id"]
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
        assert found in answer.json()["error"]["message"]
    logged = [r.getMessage() for r in caplog.records if "unexpected" in r.getMessage()]
    assert len(logged) == 1
    assert f"request {found}: unexpected RuntimeError at broken" in logged[0]
    assert "secret" not in logged[0] + answer.text


async def test_going_round_and_drained_backends_are_told_of() -> None:
    async with upstream() as up, serving(backend(up)) as served:
        assert (await served.chat({"x-slipway-hops": "9"})).status_code == 508
        served.router.weights.set("one", 0.0)
        assert (await served.client.post("/v1/route", json=CHAT)).status_code == 503
