"""Anthropic behind OpenAI's own SDK: chat completions come out right, whole and streamed."""

import asyncio
import base64
import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour
from tests.app.providers import fake_anthropic as claude
from tests.app.serving import backend, serving, upstream

from slipway_router.probe import probe

HELLO: Any = [{"role": "user", "content": "hello"}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


def at(url: str, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"protocol": "anthropic", "api_key_env": "CLAUDE_KEY", "model": claude.MODEL, "self_hosted": False}
    return {**backend(url, "claude"), **given, **more}


ENVIRON = {"CLAUDE_KEY": claude.KEY}


@asynccontextmanager
async def sdk(behaviour: Behaviour, **more: Any) -> AsyncGenerator[openai.AsyncOpenAI, None]:
    async with (
        upstream(behaviour) as up,
        serving(at(up.url, **more), environ=ENVIRON) as served,
        openai.AsyncOpenAI(base_url=f"{served.url}/v1", api_key="unused", max_retries=0) as client,
    ):
        yield client


async def whole(behaviour: Behaviour, **fields: Any) -> ChatCompletion:
    async with sdk(behaviour) as client:
        create: Any = client.chat.completions.create
        return await create(**{"model": "auto", "messages": HELLO, **fields})


async def streamed(behaviour: Behaviour, **fields: Any) -> list[ChatCompletionChunk]:
    async with sdk(behaviour) as client:
        create: Any = client.chat.completions.create
        stream = await create(**{"model": "auto", "messages": HELLO, "stream": True, **fields})
        return [chunk async for chunk in stream]


async def test_a_whole_answer() -> None:
    answer = await whole(claude.api())
    choice = answer.choices[0]
    assert (answer.id, answer.model, answer.object) == ("msg_1", claude.MODEL, "chat.completion")
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "hello there", "stop")
    assert choice.message.tool_calls is None
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (17, 7, 24)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 5


async def test_a_streamed_answer() -> None:
    chunks = await streamed(claude.api())
    assert [c.choices[0].delta.content for c in chunks] == ["hello", " there", None]
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks] == [None, None, "stop"]
    assert {(c.id, c.model, c.object) for c in chunks} == {("msg_1", claude.MODEL, "chat.completion.chunk")}


async def test_a_streamed_usage_is_kept_where_it_is_asked_for() -> None:
    *rest, last = await streamed(claude.api(), stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (17, 7)
    assert all(c.usage is None for c in rest)


CALLS = claude.message(
    claude.text("Let me look."),
    claude.tool_use("toolu_1", "weather", {"city": "Bern"}),
    claude.tool_use("toolu_2", "now", {}),
    stop_reason="tool_use",
)


async def test_tool_calls() -> None:
    choice = (await whole(claude.api(CALLS), tools=[WEATHER])).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me look."
    calls: Any = choice.message.tool_calls
    assert [(c.id, c.type, c.function.name, json.loads(c.function.arguments)) for c in calls] == [
        ("toolu_1", "function", "weather", {"city": "Bern"}),
        ("toolu_2", "function", "now", {}),
    ]


async def test_streamed_tool_calls() -> None:
    chunks = await streamed(claude.api(CALLS), tools=[WEATHER])
    found: dict[int, list[str]] = {}
    for call in (c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or []):
        assert call.function is not None
        if call.id:
            found[call.index] = [call.id, call.function.name or "", ""]
        found[call.index][2] += call.function.arguments or ""
    assert [(*named, json.loads(arguments)) for *named, arguments in found.values()] == [
        ("toolu_1", "weather", {"city": "Bern"}),
        ("toolu_2", "now", {}),
    ]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


async def test_thinking_is_reasoning_content() -> None:
    answer = claude.message({"type": "thinking", "thinking": "Hm.", "signature": "s"}, claude.text("Yes."))
    said: Any = (await whole(claude.api(answer))).choices[0].message
    assert (said.reasoning_content, said.content) == ("Hm.", "Yes.")
    deltas: list[Any] = [c.choices[0].delta for c in await streamed(claude.api(answer))]
    assert "".join(getattr(d, "reasoning_content", None) or "" for d in deltas) == "Hm."
    assert "".join(d.content or "" for d in deltas) == "Yes."


@pytest.mark.parametrize(
    ("stop_reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("refusal", "content_filter"),
    ],
)
async def test_stop_reasons(stop_reason: str, finish: str) -> None:
    answer = claude.message(claude.text("ab"), stop_reason=stop_reason)
    assert (await whole(claude.api(answer))).choices[0].finish_reason == finish
    assert (await streamed(claude.api(answer)))[-1].choices[0].finish_reason == finish


async def test_a_clients_mistake_comes_back_with_the_vendors_reason() -> None:
    async with sdk(claude.api()) as client:
        with pytest.raises(openai.BadRequestError, match="name: Input should be a valid string") as wrong:
            await client.chat.completions.create(
                model="auto",
                messages=HELLO,
                tools=[{"type": "function", "function": {"name": 3}}],  # pyright: ignore[reportArgumentType] -- wrong on purpose
            )
    assert (wrong.value.code, wrong.value.type) == ("invalid_request_error", "invalid_request_error")


async def test_what_the_api_cannot_say_goes_to_a_backend_that_can() -> None:
    async with upstream(claude.api()) as up, upstream() as other:
        first = {"preferences": ["claude", "two"]}
        async with serving(at(up.url), backend(other, "two"), environ=ENVIRON, policy=first) as served:
            answer = await served.chat(logprobs=True, n=2)
            metrics = (await served.client.get("/metrics")).text
            status = served.router.targets["claude"].status
        async with serving(at(up.url), environ=ENVIRON) as served:
            refused = await served.chat(logprobs=True, n=2, response_format={"type": "json_object"})
    assert (answer.headers["x-slipway-backend"], answer.headers["x-slipway-attempts"]) == ("two", "2")
    assert 'backend="claude",cause="unsupported"} 1.0' in metrics
    assert status.error_rate == 0
    assert up.posts == []
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["type"]) == (400, "unsupported", "invalid_request_error")
    assert all(f"'{name}'" in error["message"] for name in ("n", "logprobs", "response_format.type"))


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (fake.whole(claude.error("overloaded_error", "Overloaded"), "529 Overloaded"), "claude answered 529"),
        (fake.whole(claude.error("authentication_error", "no"), "401 Unauthorized"), "claude answered 401"),
        (fake.whole(b"<html>", "200 OK"), "claude answered with something that is not JSON"),
        (fake.whole(b'{"type":"other"}', "200 OK"), "claude answered with something that is no message"),
        (fake.whole(b'{"content":[]', "200 OK"), "claude answered with something that is not JSON"),
    ],
    ids=["529", "401", "html", "other", "cut"],
)
async def test_a_failing_vendor_is_left_for_the_next(behaviour: Behaviour, said: str) -> None:
    first: dict[str, Any] = {"policy": {"preferences": ["claude", "two"]}, "environ": ENVIRON}
    async with upstream(behaviour) as up, upstream() as other:
        async with serving(at(up.url, self_hosted=True), backend(other, "two", quality="low"), **first) as served:
            answer = await served.chat()
        async with serving(at(up.url), environ=ENVIRON) as served:
            refused = await served.chat()
    assert answer.headers["x-slipway-backend"] == "two"
    assert refused.status_code == 502
    assert said in refused.json()["error"]["message"]


async def test_a_stream_that_fails_before_its_first_content_is_asked_for_elsewhere() -> None:
    settings: dict[str, Any] = {"policy": {"preferences": ["claude", "two"]}, "environ": ENVIRON}
    async with (
        upstream(claude.api(cut_after=2, broken_by=claude.error_event("overloaded_error"))) as up,
        upstream(fake.stream("a")) as other,
        serving(at(up.url), backend(other, "two"), **settings) as served,
    ):
        answer = await served.chat(stream=True)
    assert answer.headers["x-slipway-backend"] == "two"
    assert b"[DONE]" in answer.content
    assert len(up.posts) == 1


@pytest.mark.parametrize("broken_by", [None, claude.error_event("overloaded_error"), b"data: {\n\n"])
async def test_a_stream_that_breaks_off_ends_in_an_error_and_not_as_if_it_were_over(broken_by: bytes | None) -> None:
    async with upstream(claude.api(cut_after=4, broken_by=broken_by)) as up, serving(at(up.url), environ=ENVIRON) as served:
        answer = await served.chat(stream=True)
    last = answer.content.removesuffix(b"\n\n").rpartition(b"data: ")[2]
    assert b'"hello"' in answer.content
    assert json.loads(last)["error"]["code"] == "stream_broken"
    assert b"[DONE]" not in answer.content


async def test_the_remaining_requests_are_told_and_known() -> None:
    async with upstream(claude.api()) as up, serving(at(up.url), environ=ENVIRON) as served:
        answer = await served.chat()
    assert answer.headers["x-ratelimit-remaining-requests"] == "41"
    assert answer.headers["request-id"] == "req_1"


async def test_an_image_and_a_tools_result_arrive_as_they_were() -> None:
    pixel = base64.b64encode(b"pixel").decode()
    seen: list[Any] = []
    messages: Any = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{pixel}"}}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "toolu_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}]},
        {"role": "tool", "tool_call_id": "toolu_1", "content": "sunny"},
    ]  # fmt: skip
    await whole(claude.api(check=seen.append), messages=messages, tools=[WEATHER])
    body = seen[0]
    assert body["system"] == [{"type": "text", "text": "Be brief."}]
    assert [(m["role"], [b["type"] for b in m["content"]]) for m in body["messages"]] == [
        ("user", ["image"]),
        ("assistant", ["tool_use"]),
        ("user", ["tool_result"]),
    ]
    assert body["messages"][0]["content"][0]["source"] == {"type": "base64", "media_type": "image/png", "data": pixel}
    assert body["max_tokens"] == 4096


async def test_a_rate_limit_keeps_the_vendors_wish() -> None:
    limited = fake.whole(claude.error("rate_limit_error", "slow down"), "429 Too Many Requests", "retry-after: 9")
    async with upstream(limited) as up, serving(at(up.url), environ=ENVIRON) as served:
        answer = await served.chat()
        assert served.router.targets["claude"].status.error_rate == 0
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "9")


async def test_a_client_that_goes_away_ends_the_vendors_work() -> None:
    async def slow(out: fake.Exit) -> None:
        await out.write(fake.head("200 OK", "text/event-stream", "Transfer-Encoding: chunked"))
        for sent in claude.events(claude.message(claude.text("ab")))[:4]:
            await out.write(fake.chunk(sent))
        await asyncio.sleep(3600)

    async with upstream(slow) as up, serving(at(up.url), environ=ENVIRON) as served:
        body = {"messages": HELLO, "stream": True}
        async with served.client.stream("POST", "/v1/chat/completions", json=body) as answer:
            assert b'"a"' in await anext(answer.aiter_raw())
        await asyncio.wait_for(up.gone.wait(), 5)


async def test_a_health_check_by_a_token_is_asked_in_the_vendors_api() -> None:
    seen: list[Any] = []
    async with (
        upstream(claude.api(check=seen.append)) as up,
        serving(at(up.url, health_check="completion"), environ=ENVIRON) as served,
    ):
        target = served.router.targets["claude"]
        await probe(target)
        assert target.status.reachable
        up.behaviour = fake.whole(claude.error("overloaded_error", "Overloaded"), "529 Overloaded")
        for _ in range(2):  # one that has just answered is not asked the first time
            await probe(target)
        assert target.status.error_rate > 0
    assert (seen[0]["model"], seen[0]["max_tokens"]) == (claude.MODEL, 1)


async def test_the_usual_health_check_asks_for_the_models() -> None:
    async with upstream(claude.api()) as up, serving(at(up.url), environ=ENVIRON) as served:
        await probe(served.router.targets["claude"])
    told = up.got[0]
    assert (told.method, told.path, told.headers["x-api-key"]) == ("GET", "/v1/models", claude.KEY)
    assert told.headers["anthropic-version"] == "2023-06-01"
