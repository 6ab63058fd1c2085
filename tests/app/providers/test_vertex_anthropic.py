"""Claude on Vertex AI. What the router sends is held against what Anthropic's own client for Vertex AI sends."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anthropic
import pytest
from anthropic.lib.vertex import AnthropicVertex
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, FakeUpstream
from tests.app.providers import fake_anthropic as claude
from tests.app.providers.fake_google import Google
from tests.app.serving import Served, backend, serving, upstream

from slipway_router.probe import probe

MESSAGES: Any = {"max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}


def api(answer: Any = None, **more: Any) -> Behaviour:
    return claude.api(answer, refusal=claude.vertex_refusal, **more)


@asynccontextmanager
async def vertex(
    behaviour: Behaviour, folder: Path, patch: pytest.MonkeyPatch, *others: dict[str, Any], **more: Any
) -> AsyncGenerator[tuple[Served, FakeUpstream], None]:
    google = Google()
    async with upstream(google.api(behaviour, path=None)) as up:
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", google.key_file(folder, up.port))
        given: dict[str, Any] = {"protocol": "vertex-anthropic", "model": claude.VERTEX_MODEL, **more}
        async with serving({**backend(f"http://127.0.0.1:{up.port}{claude.VERTEX_PATH}", "claude"), **given}, *others) as served:
            yield served, up


def chats(up: FakeUpstream) -> list[fake.Got]:
    return [g for g in up.posts if g.path != "/token"]


async def test_a_chat_completion_whole_and_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with vertex(api(), tmp_path, monkeypatch) as (served, up):
        whole = await served.chat(temperature=0.5)
        streamed = await served.chat(stream=True, stream_options={"include_usage": True})
    assert whole.json()["choices"][0]["message"]["content"] == "hello there"
    assert whole.json()["usage"]["prompt_tokens"] == 17
    events = [json.loads(line[6:]) for line in streamed.text.split("\n\n") if line.startswith("data: {")]
    assert "".join(c["delta"].get("content") or "" for e in events for c in e["choices"]) == "hello there"
    assert events[-1]["usage"]["completion_tokens"] == 7
    assert [g.headers["authorization"] for g in chats(up)] == ["Bearer ya29.token-1"] * 2
    assert chats(up)[0].json["anthropic_version"] == "vertex-2023-10-16"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
async def test_it_sends_what_anthropics_own_client_for_vertex_sends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, stream: bool
) -> None:
    def said(client: Any, model: str) -> Any:
        if not stream:
            return client.messages.create(**MESSAGES, model=model).content[0]
        with client.messages.stream(**MESSAGES, model=model) as answer:
            return answer.get_final_message().content[0]

    def own(port: int) -> Any:
        with AnthropicVertex(
            region="europe-west1", project_id="p", access_token="ya29.token-1", base_url=f"http://127.0.0.1:{port}/v1"
        ) as client:
            return said(client, claude.VERTEX_MODEL)

    def through(port: int) -> Any:
        with anthropic.Anthropic(base_url=f"http://127.0.0.1:{port}", api_key="none", max_retries=0) as client:
            return said(client, "claude")

    async with vertex(api(), tmp_path, monkeypatch) as (served, up):
        await served.chat()  # the token is there
        theirs = await asyncio.to_thread(own, up.port)
        ours = await asyncio.to_thread(through, served.port)
    assert ours == theirs
    theirs, ours = chats(up)[1:]
    assert (ours.method, ours.path.replace("@", "%40"), ours.json) == ("POST", theirs.path.replace("@", "%40"), theirs.json)
    assert ours.headers["authorization"] == theirs.headers["authorization"]


async def test_a_beta_goes_on_in_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with vertex(api(), tmp_path, monkeypatch) as (served, up):
        headers = {"anthropic-beta": "context-1m-2025-08-07", "anthropic-version": "2023-06-01"}
        answer = await served.client.post("/v1/messages", json={**MESSAGES, "model": "claude"}, headers=headers)
    assert answer.status_code == 200
    assert chats(up)[0].headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert chats(up)[0].json["anthropic_version"] == "vertex-2023-10-16"


REFUSED = {"code": 400, "message": "Publisher model is not enabled.", "status": "FAILED_PRECONDITION"}
GOOGLES = json.dumps([{"error": REFUSED}]).encode()
ANTHROPICS = claude.error("invalid_request_error", "max_tokens: too large")


@pytest.mark.parametrize(
    ("body", "code", "said"),
    [
        (GOOGLES, "failed_precondition", "Publisher model is not enabled."),
        (ANTHROPICS, "invalid_request_error", "max_tokens: too large"),
    ],
    ids=["google", "anthropic"],
)
async def test_errors_of_google_and_of_anthropic_in_the_clients_shape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, code: str, said: str
) -> None:
    async with vertex(fake.whole(body, "400 Bad Request"), tmp_path, monkeypatch) as (served, _):
        openais = await served.chat()
        anthropics = await served.client.post("/v1/messages", json={**MESSAGES, "model": "claude"})
    assert (openais.status_code, openais.json()["error"]["code"], openais.json()["error"]["message"]) == (400, code, said)
    told = anthropics.json()
    assert (told["type"], told["error"]) == ("error", {"type": "invalid_request_error", "message": said})


async def test_throttling_and_a_refused_token_go_to_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = json.dumps({"error": {"code": 429, "message": "Quota exceeded.", "status": "RESOURCE_EXHAUSTED"}}).encode()
    first: dict[str, Any] = {"quality": "high"}
    async with upstream() as other:
        behaviour = fake.whole(full, "429 Too Many Requests", "retry-after: 3")
        async with vertex(behaviour, tmp_path, monkeypatch, backend(other, "two"), **first) as (served, _):
            elsewhere = await served.chat(headers={"x-quality": "high", "x-user-tier": "enterprise"})
            alone = await served.chat(model="claude")
    assert elsewhere.headers["x-slipway-backend"] == "two"
    assert (alone.status_code, alone.headers["retry-after"]) == (429, "3")


async def test_what_the_messages_api_cannot_say_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with vertex(api(), tmp_path, monkeypatch) as (served, up):
        refused = await served.chat(logprobs=True)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "unsupported")
    assert chats(up) == []


async def test_the_probe_asks_for_no_permission_that_a_caller_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with vertex(api(), tmp_path, monkeypatch) as (served, up):
        up.models = fake.whole(b"<html>", "404 Not Found", kind="text/html")
        await probe(served.router.targets["claude"])
        assert served.router.targets["claude"].status.reachable
    got = next(g for g in up.got if g.method == "GET")
    assert got.path == f"{claude.VERTEX_PATH}/publishers/anthropic/models/{claude.VERTEX_MODEL}/models"
