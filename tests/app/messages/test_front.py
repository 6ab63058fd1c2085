"""Anthropic's own SDK as the client, over a backend that speaks chat completions."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import anthropic
import pytest
from anthropic.types import Message
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, event
from tests.app.messages import fake_openai as gpt
from tests.app.serving import Served, backend, serving, upstream

HELLO: Any = [{"role": "user", "content": "hello"}]
WEATHER: Any = {
    "name": "weather",
    "description": "The weather in a city.",
    "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
}
TEXT = gpt.api(gpt.completion(content="hello there"), gpt.chunks({"content": "hello"}, {"content": " there"}))
CALLS: list[Any] = [
    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}},
    {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}},
]
TOOLS = gpt.api(
    gpt.completion("tool_calls", content="Let me look.", tool_calls=CALLS),
    gpt.chunks(
        {"content": "Let me look."},
        {"tool_calls": [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"city"'}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": ':"Bern"}'}}]},
        {"tool_calls": [{"index": 1, "id": "call_2", "type": "function", "function": {"name": "now", "arguments": "{}"}}]},
        finish="tool_calls",
    ),
)


@asynccontextmanager
async def sdk(behaviour: Behaviour, key: str = "unused", **settings: Any) -> AsyncGenerator[anthropic.AsyncAnthropic, None]:
    async with (
        upstream(behaviour) as up,
        serving(backend(up), **settings) as served,
        anthropic.AsyncAnthropic(base_url=served.url, api_key=key, max_retries=0) as client,
    ):
        yield client


async def both(behaviour: Behaviour, **fields: Any) -> list[Message]:
    """The answer, asked for whole and streamed, as the SDK puts it together."""
    given: dict[str, Any] = {"model": "auto", "max_tokens": 50, "messages": HELLO, **fields}
    async with sdk(behaviour) as client:
        create: Any = client.messages.create
        whole: Message = await create(**given)
        async with client.messages.stream(**given) as stream:
            types = [e.type async for e in stream]
            streamed = await stream.get_final_message()
    assert types[0] == "message_start"
    assert types[-1] == "message_stop"
    assert types.count("content_block_start") == types.count("content_block_stop")
    return [whole, streamed]


async def test_text() -> None:
    for answer in await both(TEXT, system="Be brief."):
        assert [b.type for b in answer.content] == ["text"]
        assert answer.content[0].type == "text"
        assert answer.content[0].text == "hello there"
        assert (answer.id, answer.model, answer.role, answer.stop_reason) == ("msg_c1", "mock", "assistant", "end_turn")
        used = answer.usage
        assert (used.input_tokens, used.output_tokens, used.cache_read_input_tokens) == (8, 7, 4)


async def test_a_stream_is_text_as_it_comes() -> None:
    async with sdk(TEXT) as client, client.messages.stream(model="mock", max_tokens=5, messages=HELLO) as stream:
        assert [part async for part in stream.text_stream] == ["hello", " there"]


async def test_tool_calls() -> None:
    for answer in await both(TOOLS, tools=[WEATHER]):
        assert answer.stop_reason == "tool_use"
        said, *calls = answer.content
        assert said.type == "text"
        assert [(c.type, c.id, c.name, c.input) for c in calls if c.type == "tool_use"] == [
            ("tool_use", "call_1", "weather", {"city": "Bern"}),
            ("tool_use", "call_2", "now", {}),
        ]


async def test_reasoning_is_thinking() -> None:
    for name in ("reasoning_content", "reasoning"):
        behaviour = gpt.api(
            gpt.completion(content="Yes.", **{name: "Hm."}), gpt.chunks({name: "H"}, {name: "m."}, {"content": "Yes."})
        )
        for answer in await both(behaviour):
            thought, said = answer.content
            assert thought.type == "thinking"
            assert said.type == "text"
            assert (thought.thinking, said.text) == ("Hm.", "Yes.")


@pytest.mark.parametrize(("finish", "reason"), [("length", "max_tokens"), ("content_filter", "refusal"), ("stop", "end_turn")])
async def test_stop_reasons(finish: str, reason: str) -> None:
    behaviour = gpt.api(gpt.completion(finish, content="a"), gpt.chunks({"content": "a"}, finish=finish))
    assert [a.stop_reason for a in await both(behaviour)] == [reason, reason]


async def test_a_conversation_with_tools_images_and_a_schema_arrives_as_it_was() -> None:
    seen: list[Any] = []
    messages: Any = [
        {"role": "user", "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}]},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "Hm.", "signature": "s"},
            {"type": "text", "text": "I look."},
            {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"city": "Bern"}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "call_1", "content": [{"type": "text", "text": "sunny"}], "is_error": True},
            {"type": "text", "text": "And?"}]},
    ]  # fmt: skip
    behaviour = gpt.api(gpt.completion(content="{}"), gpt.chunks({"content": "{}"}), check=seen.append)
    schema: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}
    await both(
        behaviour,
        system=[{"type": "text", "text": "Be", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "brief."}],
        messages=messages,
        tools=[WEATHER],
        tool_choice={"type": "any", "disable_parallel_tool_use": True},
        stop_sequences=["END"],
        metadata={"user_id": "u1"},
        extra_body={"temperature": 0.5, "top_p": 0.9, "top_k": 3},
        output_config={"format": {"type": "json_schema", "schema": schema}, "effort": "max"},
    )
    whole, streamed = seen
    assert {k: v for k, v in streamed.items() if k not in ("stream", "stream_options")} == whole
    assert (streamed["stream"], streamed["stream_options"]) == (True, {"include_usage": True})
    call = {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    tool = {"name": "weather", "parameters": WEATHER["input_schema"], "description": "The weather in a city."}
    assert whole == {
        "model": "mock",
        "messages": [
            {"role": "system", "content": "Be\nbrief."},
            {"role": "user", "content": [{"type": "text", "text": "What is this?"}, image]},
            {"role": "assistant", "content": "I look.", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": "Error: sunny"},
            {"role": "user", "content": "And?"},
        ],
        "max_completion_tokens": 50,
        "temperature": 0.5,
        "top_p": 0.9,
        "stop": ["END"],
        "user": "u1",
        "tools": [{"type": "function", "function": tool}],
        "tool_choice": "required",
        "parallel_tool_calls": False,
        "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": True}},
        "reasoning_effort": "high",
    }


async def test_the_sdks_key_is_the_routers() -> None:
    keys = [{"name": "app", "env": "APP_KEY"}]
    async with sdk(TEXT, "right", keys=keys, environ={"APP_KEY": "right"}) as client:
        assert (await client.messages.create(model="auto", max_tokens=5, messages=HELLO)).stop_reason == "end_turn"
    async with sdk(TEXT, "wrong", keys=keys, environ={"APP_KEY": "right"}) as client:
        with pytest.raises(anthropic.AuthenticationError, match="not known here") as refused:
            await client.messages.create(model="auto", max_tokens=5, messages=HELLO)
    assert "wrong" not in str(refused.value)


async def test_a_key_may_come_in_either_header() -> None:
    keys = [{"name": "app", "env": "APP_KEY"}]
    body = json.dumps({"max_tokens": 5, "messages": HELLO})
    async with upstream(TEXT) as up, serving(backend(up), keys=keys, environ={"APP_KEY": "right"}) as served:
        for headers, status in (
            ({"x-api-key": "right"}, 200),
            ({"authorization": "Bearer right"}, 200),
            ({"x-api-key": "wrong"}, 401),
            ({}, 401),
        ):
            assert (await served.client.post("/v1/messages", content=body, headers=headers)).status_code == status


async def test_errors_are_the_sdks_own() -> None:
    async with sdk(fake.failing()) as client:
        with pytest.raises(anthropic.NotFoundError, match="The model 'claude' does not exist here") as unknown:
            await client.messages.create(model="claude", max_tokens=5, messages=HELLO)
        with pytest.raises(anthropic.BadRequestError, match=r"'max_tokens' is required.*'messages' must be a list"):
            await client.messages.create(model="auto", max_tokens=0, messages=[])
        with pytest.raises(anthropic.InternalServerError, match="one answered 500"):
            await client.messages.create(model="auto", max_tokens=5, messages=HELLO)
    body: Any = unknown.value.body
    assert (body["type"], body["error"]["type"]) == ("error", "not_found_error")
    assert body["request_id"] == unknown.value.response.headers["x-request-id"] == unknown.value.request_id


async def test_what_only_anthropic_has_is_refused_with_its_name() -> None:
    search: Any = {"type": "web_search_20250305", "name": "web_search"}
    async with sdk(TEXT) as client:
        with pytest.raises(anthropic.BadRequestError, match=r"'tools\[0\]\.type' cannot be 'web_search_20250305', only 'custom'"):
            await client.messages.create(model="auto", max_tokens=5, messages=HELLO, tools=[search])


@pytest.mark.parametrize(
    "behaviour",
    [
        fake.cut_stream(event("hello"), b'data: {"id":'),
        fake.stream(events=gpt.chunks({"content": "hello"}, finish=None)),
        fake.stream(events=[event("hello"), b"data: {\n\n"]),
        fake.stream(events=[event("hello"), b'data: {"error":{"message":"it is me"}}\n\n']),
    ],
    ids=["cut", "unfinished", "garbage", "error"],
)
async def test_a_broken_stream_is_an_error_and_not_a_short_answer(behaviour: Behaviour) -> None:
    parts: list[str] = []

    async def read(client: anthropic.AsyncAnthropic) -> None:
        async with client.messages.stream(model="auto", max_tokens=5, messages=HELLO) as stream:
            async for part in stream.text_stream:
                parts.append(part)  # noqa: PERF401 -- what came before the error stays

    async with sdk(behaviour) as client:
        with pytest.raises(anthropic.APIError):
            await read(client)
    assert parts == ["hello"]


async def test_an_answer_that_is_no_completion_is_an_error_of_the_backend() -> None:
    async with sdk(fake.whole(b"{}")) as client:
        with pytest.raises(anthropic.InternalServerError, match="no chat completion"):
            await client.messages.create(model="auto", max_tokens=5, messages=HELLO)


async def test_a_body_too_large_is_told_in_anthropics_shape() -> None:
    async with sdk(TEXT, max_body_mib=1) as client:
        with pytest.raises(anthropic.APIStatusError) as refused:
            await client.messages.create(model="auto", max_tokens=5, messages=[{"role": "user", "content": "x" * 1_200_000}])
    assert refused.value.status_code == 413
    body: Any = refused.value.body
    assert body["error"]["type"] == "request_too_large"


async def raw(served: Served, body: bytes) -> Any:
    return await served.client.post("/v1/messages", content=body)


async def test_bodies_that_are_no_request() -> None:
    async with upstream() as up, serving(backend(up)) as served:
        for body in (b"", b"{", b"[]", b'"x"', b"{}", b'{"max_tokens": true, "messages": [1]}', b'{"messages": {}, "system": 3}'):
            answer = await raw(served, body)
            assert answer.status_code == 400
            assert answer.json()["error"]["type"] == "invalid_request_error"
        told = await raw(served, b'{"model": 1, "stream": 2, "messages": [{"role": "x"}]}')
        assert all(f"'{p}'" in told.json()["error"]["message"] for p in ("model", "stream", "max_tokens", "messages[0].role"))
        assert "'stream' must be true or false" in (await raw(served, b'{"stream": 1}')).json()["error"]["message"]
        deep = json.dumps({"max_tokens": 1, "messages": [{"role": "user", "content": []}]})[:-4] + "[" * 300 + "]" * 300 + "}]}"
        assert (await raw(served, deep.encode())).status_code == 400
    assert up.posts == []


async def test_the_answers_headers_tell_the_backend() -> None:
    async with upstream(TEXT) as up, serving(backend(up)) as served:
        answer = await raw(served, json.dumps({"model": "auto", "max_tokens": 5, "messages": HELLO}).encode())
    assert answer.headers["x-slipway-backend"] == "one"
    assert answer.headers["content-length"] == str(len(answer.content))
