"""Anthropic's own SDK over Anthropic: what no chat completion can say arrives all the same."""

import json
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import pytest
from anthropic.types import Message
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour
from tests.app.messages import fake_openai as gpt
from tests.app.providers import fake_anthropic as claude
from tests.app.serving import backend, serving, upstream

from slipway_router.answer import UpstreamError
from slipway_router.providers.anthropic_answer import CompletionStream, NativeStream
from slipway_router.providers.translated import StreamTranslator

HELLO: Any = [{"role": "user", "content": [{"type": "text", "text": "hello", "cache_control": {"type": "ephemeral"}}]}]
SEARCH: Any = {"type": "web_search_20250305", "name": "web_search"}
ENVIRON = {"CLAUDE_KEY": claude.KEY}
THOUGHT = claude.message({"type": "thinking", "thinking": "Hm.", "signature": "signed"}, claude.text("Yes."))


def at(url: str) -> dict[str, Any]:
    return {**backend(url, "claude"), "protocol": "anthropic", "api_key_env": "CLAUDE_KEY", "model": claude.MODEL}


@asynccontextmanager
async def sdk(behaviour: Behaviour) -> AsyncGenerator[anthropic.AsyncAnthropic, None]:
    async with (
        upstream(behaviour) as up,
        serving(at(up.url), environ=ENVIRON) as served,
        anthropic.AsyncAnthropic(base_url=served.url, api_key="unused", max_retries=0) as client,
    ):
        yield client


async def test_everything_arrives_and_comes_back() -> None:
    seen: list[Any] = []
    given: dict[str, Any] = {"model": "auto", "max_tokens": 9, "messages": HELLO, "tools": [SEARCH], "extra_body": {"top_k": 3}}
    async with sdk(claude.api(THOUGHT, check=seen.append)) as client:
        create: Any = client.messages.create
        whole = await create(**given)
        async with client.messages.stream(**given) as stream:
            streamed = await stream.get_final_message()
    answers: list[Message] = [whole, streamed]
    for answer in answers:
        thought, said = answer.content
        assert thought.type == "thinking"
        assert said.type == "text"
        assert (thought.thinking, thought.signature, said.text) == ("Hm.", "signed", "Yes.")
        assert answer.usage.cache_creation_input_tokens == 2
    assert seen[0] == {"model": claude.MODEL, "max_tokens": 9, "messages": HELLO, "tools": [SEARCH], "top_k": 3}
    assert seen[1] == {**seen[0], "stream": True}


async def test_the_beta_header_goes_on_and_no_mark_of_ours_comes_back() -> None:
    async with upstream(claude.api()) as up, serving(at(up.url), environ=ENVIRON) as served:
        body = json.dumps({"max_tokens": 5, "messages": HELLO})
        answer = await served.client.post("/v1/messages", content=body, headers={"anthropic-beta": "context-1m-2025-08-07"})
        async with anthropic.AsyncAnthropic(base_url=served.url, api_key="unused", max_retries=0) as client:
            await client.messages.create(model="auto", max_tokens=5, messages=HELLO)
    assert [g.headers["anthropic-version"] for g in up.posts] == ["2023-06-01", claude.SDK_VERSION]
    assert up.posts[0].headers["anthropic-beta"] == "context-1m-2025-08-07"
    assert "x-slipway-native" not in answer.headers
    assert answer.headers["x-slipway-backend"] == "claude"
    assert answer.json()["content"][0]["text"] == "hello there"


@pytest.mark.parametrize("make", [NativeStream, lambda: CompletionStream(include_usage=False)], ids=["native", "completion"])
def test_nothing_is_said_before_the_first_content(make: Callable[[], StreamTranslator]) -> None:
    start, ping, *rest = claude.events(claude.message(claude.text("ab")))
    stream = make()
    assert (stream.feed(start), stream.feed(ping)) == (b"", b"")
    assert b'"a"' in b"".join(stream.feed(e) for e in rest[:2])
    failing = make()
    failing.feed(start)
    with pytest.raises(UpstreamError, match="broke off with overloaded_error"):
        failing.feed(claude.error_event("overloaded_error"))


async def test_a_vendors_error_is_its_own() -> None:
    wrong = fake.whole(claude.error("invalid_request_error", "prompt is too long"), "400 Bad Request")
    async with sdk(wrong) as client:
        with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
            await client.messages.create(model="auto", max_tokens=5, messages=HELLO)
    async with sdk(fake.whole(claude.error("billing_error", "no money"), "402 Payment Required")) as client:
        with pytest.raises(anthropic.InternalServerError, match="claude answered 402"):
            await client.messages.create(model="auto", max_tokens=5, messages=HELLO)


@pytest.mark.parametrize("broken_by", [None, claude.error_event("overloaded_error"), b"data: {\n\n"])
async def test_a_stream_that_breaks_off_is_an_error(broken_by: bytes | None) -> None:
    async with (
        upstream(claude.api(cut_after=5, broken_by=broken_by)) as up,
        serving(at(up.url), environ=ENVIRON) as served,
    ):
        body = json.dumps({"max_tokens": 5, "messages": HELLO, "stream": True})
        answer = await served.client.post("/v1/messages", content=body)
    events = [e.split(b"\n", 1)[0] for e in answer.content.split(b"\n\n") if e]
    assert events[:2] == [b"event: message_start", b"event: ping"]
    assert events[-1] == b"event: error"
    assert b"message_stop" not in answer.content


async def test_where_it_fails_another_protocol_answers_the_same_client() -> None:
    good = gpt.api(gpt.completion(content="hello there"), gpt.chunks({"content": "hello there"}))
    for bad in (claude.api(cut_after=2, broken_by=claude.error_event("overloaded_error")), fake.failing()):
        async with (
            upstream(bad) as up,
            upstream(good) as other,
            serving(at(up.url), backend(other, "two"), environ=ENVIRON, policy={"preferences": ["claude", "two"]}) as served,
            anthropic.AsyncAnthropic(base_url=served.url, api_key="unused", max_retries=0) as client,
            client.messages.stream(model="auto", max_tokens=5, messages=HELLO) as stream,
        ):
            answer = await stream.get_final_message()
            assert stream.response.headers["x-slipway-backend"] == "two"
        assert answer.content[0].type == "text"
        assert answer.content[0].text == "hello there"
        assert len(up.posts) == 1
