"""Bedrock behind OpenAI's own SDK: chat completions come out right, whole and streamed. The fake is held against AWS's client."""

import asyncio
import base64
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import botocore.session
import openai
import pytest
from botocore.config import Config as BotocoreConfig
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour
from tests.app.providers import fake_aws as aws
from tests.app.providers import fake_bedrock as bedrock
from tests.app.serving import backend, serving, upstream

import slipway_router.providers
from slipway_router.config import Config, ConfigError
from slipway_router.probe import probe
from slipway_router.router import Router

HELLO: Any = [{"role": "user", "content": "hello"}]
SCHEMA: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"], "additionalProperties": False}
WEATHER: Any = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather in a city.", "parameters": SCHEMA, "strict": True},
}
NOW: Any = {"type": "function", "function": {"name": "now"}}
PIXEL = base64.b64encode(b"pixel").decode()


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] -- pytest uses it
    aws.be_somebody(monkeypatch)


def at(port: int, **more: Any) -> dict[str, Any]:
    given = {"protocol": "bedrock", "region": aws.REGION, "model": bedrock.MODEL, "self_hosted": False}
    return {**backend(f"http://127.0.0.1:{port}", "claude"), **given, **more}


@asynccontextmanager
async def sdk(behaviour: Behaviour) -> AsyncGenerator[openai.AsyncOpenAI, None]:
    async with (
        upstream(behaviour) as up,
        serving(at(up.port)) as served,
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


CALLS = bedrock.message(
    bedrock.reasoning("Hm."),
    bedrock.text("Let me look."),
    bedrock.tool_use("tooluse_1", "weather", {"city": "Bern"}),
    bedrock.tool_use("tooluse_2", "now", {}),
    stop_reason="tool_use",
)


async def test_awss_own_client_takes_the_fake_for_bedrock() -> None:
    def call(port: int) -> tuple[Any, list[Any]]:
        settings = BotocoreConfig(retries={"total_max_attempts": 1})
        session: Any = botocore.session.Session()
        client = session.create_client(
            "bedrock-runtime", region_name=aws.REGION, endpoint_url=f"http://127.0.0.1:{port}", config=settings
        )
        asked: Any = {
            "modelId": bedrock.MODEL,
            "messages": [
                {"role": "user", "content": [{"image": {"format": "png", "source": {"bytes": b"pixel"}}}, {"text": "hi"}]}
            ],
        }
        answer = client.converse(**asked)
        stream = list(client.converse_stream(**asked)["stream"])
        with pytest.raises(client.exceptions.ValidationException, match="Roles must alternate"):
            client.converse(modelId=bedrock.MODEL, messages=asked["messages"] * 2)
        client.close()
        return answer, stream

    async with upstream(bedrock.api(CALLS)) as up:
        answer, stream = await asyncio.to_thread(call, up.port)
    assert answer["output"] == CALLS["output"]
    assert (answer["stopReason"], answer["usage"]) == ("tool_use", bedrock.USAGE)
    assert "".join(e["contentBlockDelta"]["delta"].get("text", "") for e in stream if "contentBlockDelta" in e) == "Let me look."
    assert stream[-1]["metadata"]["usage"] == bedrock.USAGE


async def test_a_whole_answer() -> None:
    answer = await whole(bedrock.api())
    choice = answer.choices[0]
    assert (answer.id, answer.model, answer.object) == ("chatcmpl-r1", bedrock.MODEL, "chat.completion")
    assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", "hello there", "stop")
    assert choice.message.tool_calls is None
    assert answer.usage is not None
    assert (answer.usage.prompt_tokens, answer.usage.completion_tokens, answer.usage.total_tokens) == (17, 7, 24)
    assert answer.usage.prompt_tokens_details is not None
    assert answer.usage.prompt_tokens_details.cached_tokens == 5


async def test_a_streamed_answer_and_its_usage_where_asked_for() -> None:
    plain = await streamed(bedrock.api())
    *chunks, last = await streamed(bedrock.api(), stream_options={"include_usage": True})
    for found in (plain, chunks):
        assert [c.choices[0].delta.content for c in found] == ["hello", " there", None]
        assert found[0].choices[0].delta.role == "assistant"
        assert [c.choices[0].finish_reason for c in found] == [None, None, "stop"]
        assert {(c.id, c.model, c.object) for c in found} == {("chatcmpl-r1", bedrock.MODEL, "chat.completion.chunk")}
    assert last.choices == []
    assert last.usage is not None
    assert (last.usage.prompt_tokens, last.usage.completion_tokens) == (17, 7)


async def test_tool_calls_and_reasoning_whole_and_streamed() -> None:
    choice = (await whole(bedrock.api(CALLS), tools=[WEATHER, NOW])).choices[0]
    said: Any = choice.message
    assert (choice.finish_reason, said.content, said.reasoning_content) == ("tool_calls", "Let me look.", "Hm.")
    wanted: list[Any] = [("tooluse_1", "weather", {"city": "Bern"}), ("tooluse_2", "now", {})]
    assert [(c.id, c.function.name, json.loads(c.function.arguments)) for c in said.tool_calls] == wanted

    chunks = await streamed(bedrock.api(CALLS), tools=[WEATHER, NOW])
    found: dict[int, list[str]] = {}
    for call in (c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or []):
        assert call.function is not None
        if call.id:
            found[call.index] = [call.id, call.function.name or "", ""]
        found[call.index][2] += call.function.arguments or ""
    assert [(i, name, json.loads(arguments)) for i, name, arguments in found.values()] == wanted
    deltas: list[Any] = [c.choices[0].delta for c in chunks]
    assert "".join(getattr(d, "reasoning_content", None) or "" for d in deltas) == "Hm."
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("stop_reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("guardrail_intervened", "content_filter"),
        ("content_filtered", "content_filter"),
    ],
)
async def test_stop_reasons(stop_reason: str, finish: str) -> None:
    answer = bedrock.message(bedrock.text("ab"), stop_reason=stop_reason)
    assert (await whole(bedrock.api(answer))).choices[0].finish_reason == finish
    assert (await streamed(bedrock.api(answer)))[-1].choices[0].finish_reason == finish


async def test_an_answer_that_the_service_calls_malformed_is_none() -> None:
    answer = bedrock.message(bedrock.text("{"), stop_reason="malformed_tool_use")
    async with upstream(bedrock.api(answer)) as up, serving(at(up.port)) as served:
        refused = await served.chat()
        broken = await served.chat(stream=True)
    assert refused.status_code == 502
    assert "gave up an answer of its model (malformed_tool_use)" in refused.json()["error"]["message"]
    assert b"stream_broken" in broken.content
    assert b"[DONE]" not in broken.content


CONVERSATION: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [
        {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}},
        {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}},
        {"type": "file", "file": {"filename": "a_b.pdf", "file_data": f"data:application/pdf;base64,{PIXEL}"}},
    ]},
    {"role": "assistant", "content": None, "tool_calls": [
        {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": '{"city":"Bern"}'}},
        {"id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}}]},
    {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    {"role": "tool", "tool_call_id": "call_2", "content": ""},
    {"role": "user", "content": "And?"},
]  # fmt: skip


async def test_everything_that_can_be_asked_is_of_the_published_shape() -> None:
    seen: list[Any] = []
    wanted = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}}
    await whole(
        bedrock.api(check=seen.append),
        messages=CONVERSATION,
        tools=[WEATHER, NOW],
        tool_choice={"type": "function", "function": {"name": "weather"}},
        response_format=wanted,
        stop="END",
        temperature=1.5,
        top_p=0.9,
        max_tokens=50,
        seed=1,
        user="u",
        reasoning_effort="minimal",
        extra_body={"top_k": 5},
    )
    body = seen[0]
    assert body["system"] == [{"text": "Be brief."}]
    assert [(m["role"], [next(iter(b)) for b in m["content"]]) for m in body["messages"]] == [
        ("user", ["text", "cachePoint", "image", "document"]),
        ("assistant", ["toolUse", "toolUse"]),
        ("user", ["toolResult", "toolResult", "text"]),
    ]
    assert body["messages"][0]["content"][2:] == [
        {"image": {"format": "png", "source": {"bytes": PIXEL}}},
        {"document": {"format": "pdf", "name": "a b", "source": {"bytes": PIXEL}}},
    ]
    assert body["messages"][2]["content"][0] == {"toolResult": {"toolUseId": "call_1", "content": [{"text": "sunny"}]}}
    assert body["inferenceConfig"] == {"maxTokens": 50, "temperature": 1, "topP": 0.9, "stopSequences": ["END"]}
    weather, now = (t["toolSpec"] for t in body["toolConfig"]["tools"])
    assert weather == {
        "name": "weather",
        "description": "The weather in a city.",
        "inputSchema": {"json": SCHEMA},
        "strict": True,
    }
    assert now["inputSchema"] == {"json": {"type": "object", "properties": {}}}
    assert body["toolConfig"]["toolChoice"] == {"tool": {"name": "weather"}}
    output = body["outputConfig"]
    assert json.loads(output["textFormat"]["structure"]["jsonSchema"]["schema"]) == SCHEMA
    assert output["effort"] == "low"
    assert body["additionalModelRequestFields"] == {"top_k": 5}


@pytest.mark.parametrize(("choice", "said"), [("auto", None), ("required", {"any": {}}), (None, None)])
async def test_tool_choices(choice: str | None, said: object) -> None:
    seen: list[Any] = []
    await whole(bedrock.api(check=seen.append), tools=[WEATHER], **({"tool_choice": choice} if choice else {}))
    assert seen[0]["toolConfig"].get("toolChoice") == said


async def test_no_tool_is_named_where_none_may_be_called() -> None:
    seen: list[Any] = []
    await whole(bedrock.api(check=seen.append), tools=[WEATHER], tool_choice="none", parallel_tool_calls=False)
    assert "toolConfig" not in seen[0]


def image(url: str) -> Any:
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]


UNSAYABLE: list[tuple[Any, str]] = [
    ({"messages": image("https://example.com/a.png")}, "messages[0].content[0].image_url.url' must be 'data:TYPE;base64"),
    ({"messages": image("data:image/tiff;base64,AA==")}, "has the type 'image/tiff'; give image/png"),
    ({"messages": [{"role": "user", "content": [{"type": "video", "video": {}}]}]}, "is 'video'; give text, image_url"),
    ({"messages": [{"role": "function", "content": "x"}]}, "messages[0].role' is 'function'"),
    ({"messages": [{"role": "user", "content": ""}]}, "must have a message of the user that is not empty"),
    ({"messages": CONVERSATION}, "'tools' must be given where the conversation has calls of tools"),
    ({"messages": CONVERSATION, "tools": [WEATHER], "tool_choice": "none"}, "'tool_choice' must not be 'none'"),
    ({"tools": [WEATHER], "tool_choice": "sometimes"}, "'tool_choice' must be 'auto'"),
    ({"tools": [WEATHER], "parallel_tool_calls": False}, "'parallel_tool_calls' must not be false"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type' is 'web_search'"),
    ({"response_format": {"type": "json_object"}}, "'response_format.type' must be 'text' or 'json_schema'"),
    ({"logprobs": True, "n": 2}, "'n' must be 1; 'logprobs' must be left out"),
    (
        {"messages": [{"role": "assistant", "function_call": {"a": 1}, "tool_calls": [{"function": {"arguments": "["}}]}]},
        "[0].function_call' must be left out; give 'tool_calls'; 'messages[0].tool_calls[0].function.arguments' must",
    ),
    ({"messages": [{**image(f"data:image/png;base64,{PIXEL}")[0], "role": "system"}]}, "messages[0].content' must be text"),
]


@pytest.mark.parametrize(("fields", "said"), UNSAYABLE)
async def test_what_the_api_cannot_say_is_refused_by_name(fields: dict[str, Any], said: str) -> None:
    async with upstream(bedrock.api()) as up, serving(at(up.port)) as served:
        answer = await served.chat(**fields)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, "unsupported")
    assert said in error["message"]
    assert up.posts == []


async def test_what_only_anthropics_api_knows_is_refused_to_its_clients() -> None:
    body: dict[str, Any] = {"model": "claude", "max_tokens": 9, "messages": HELLO}
    async with upstream(bedrock.api()) as up, serving(at(up.port)) as served:
        good = await served.client.post("/v1/messages", json=body)
        refused = await served.client.post("/v1/messages", json={**body, "tools": [{"type": "bash_20250124", "name": "bash"}]})
    assert good.json()["content"] == [{"type": "text", "text": "hello there", "citations": None}]
    assert refused.status_code == 400
    assert "'tools[0].type' cannot be 'bash_20250124'" in refused.json()["error"]["message"]


@pytest.mark.parametrize(
    ("behaviour", "status", "said"),
    [
        (aws.error("429 Too Many Requests", "ThrottlingException", message="Too many tokens"), 429, "429 (ThrottlingException)"),
        (aws.error("400 Bad Request", "ServiceQuotaExceededException", message="x"), 429, "answered 429"),
        (aws.error("400 Bad Request", "ValidationException", message="top_k: too large"), 400, "top_k: too large"),
        (
            aws.error("424 Failed Dependency", "ModelErrorException", message="model said no", originalStatusCode=400),
            400,
            "model said no",
        ),
        (aws.error("424 Failed Dependency", "ModelErrorException", message="x"), 502, "answered 500 (ModelErrorException)"),
        (aws.error("429 Too Many Requests", "ModelNotReadyException", message="x"), 502, "503 (ModelNotReadyException)"),
        (aws.error("408 Request Timeout", "ModelTimeoutException", message="x"), 504, "408 (ModelTimeoutException)"),
        (aws.error("500 Internal Server Error", "InternalServerException", message="x"), 502, "500 (InternalServerException)"),
        (aws.error("503 Service Unavailable", "ServiceUnavailableException", message="x"), 502, "503 (ServiceUnavailable"),
        (aws.error("403 Forbidden", "AccessDeniedException", message="account 123456789012"), 502, "403 (AccessDenied"),
        (aws.error("404 Not Found", "ResourceNotFoundException", message="x"), 502, "404 (ResourceNotFoundException)"),
        (fake.whole(b"<html>", "502 Bad Gateway", kind="text/html"), 502, "answered 502"),
        (fake.whole(b"{}"), 502, "answered with something that is no message"),
        (fake.whole(b"{"), 502, "answered with something that is no message"),
    ],
)
async def test_errors_keep_their_cause(behaviour: Behaviour, status: int, said: str) -> None:
    async with upstream(bedrock.api(whole=behaviour)) as up, serving(at(up.port)) as served:
        answer = await served.chat()
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]
    assert "123456789012" not in answer.text
    if status == 400:
        assert answer.json()["error"]["code"] in ("ValidationException", "ModelErrorException")


async def test_a_wrong_model_is_no_clients_mistake() -> None:
    async with (
        upstream(bedrock.api()) as up,
        upstream() as other,
        serving(at(up.port, model="no.such-model"), backend(other, "two", self_hosted=False)) as served,
    ):
        answer = await served.chat(model="auto")
        alone = await served.chat(model="claude")
    assert answer.headers["x-slipway-backend"] == "two"
    assert "claude answered 400 (ValidationException)" in alone.json()["error"]["message"]


@pytest.mark.parametrize(
    ("broken_by", "said"),
    [
        (None, "in the middle of its answer"),
        (aws.exception("modelStreamErrorException", message="x", originalStatusCode=500), "modelStreamErrorException"),
        (aws.exception("throttlingException", message="x"), "throttlingException"),
        (aws.exception("internalServerException", message="x"), "internalServerException"),
        (aws.frame(b"{", message_type="event", event_type="contentBlockDelta"), "not JSON"),
        (aws.frame(b"{}", message_type="event", event_type="metadata")[:-1] + b"\0", "malformed event stream"),
    ],
)
async def test_a_stream_that_breaks_off_says_so_or_is_asked_for_elsewhere(broken_by: bytes | None, said: str) -> None:
    async with upstream(bedrock.api(cut_after=2, broken_by=broken_by)) as up, serving(at(up.port)) as served:
        answer = await served.chat(stream=True)
    assert b'"hello"' in answer.content
    error = json.loads(answer.content.removesuffix(b"\n\n").rpartition(b"data: ")[2])["error"]
    assert error["code"] == "stream_broken"
    assert said in error["message"]
    assert b"[DONE]" not in answer.content
    first: dict[str, Any] = {"policy": {"preferences": ["claude", "two"]}}
    async with (
        upstream(bedrock.api(cut_after=1, broken_by=broken_by)) as up,
        upstream(fake.stream("x")) as other,
        serving(at(up.port), backend(other, "two"), **first) as served,
    ):
        answer = await served.chat(stream=True)
    assert (answer.headers["x-slipway-backend"], answer.headers["x-slipway-attempts"]) == ("two", "2")


async def test_a_stream_without_its_metadata_is_over_all_the_same() -> None:
    async with upstream(bedrock.api(cut_after=-1)) as up, serving(at(up.port)) as served:
        answer = await served.chat(stream=True)
    assert answer.content.endswith(b"data: [DONE]\n\n")


async def test_a_wrong_identity_goes_to_the_next_and_the_probe_takes_any_answer_for_life() -> None:
    async with (
        upstream() as other,
        upstream(bedrock.api(secret="another")) as up,
        serving(at(up.port), backend(other, "two"), policy={"preferences": ["claude", "two"]}) as served,
    ):
        answer = await served.chat()
        up.models = fake.whole(b"{}", "403 Forbidden")
        await probe(served.router.targets["claude"])
        assert served.router.targets["claude"].status.reachable
    assert answer.headers["x-slipway-backend"] == "two"
    assert up.got[-1].path == "/ping"


async def test_credentials_are_renewed_by_botocore_before_they_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role's credentials come from the container's address, as EKS Pod Identity gives them, and are asked for again in time."""
    given: list[str] = []

    async def agent(out: fake.Exit) -> None:
        given.append(out.got.headers["authorization"])
        soon = "2000-01-01T00:00:00Z" if len(given) == 1 else "2099-01-01T00:00:00Z"
        told = {"AccessKeyId": aws.ACCESS, "SecretAccessKey": aws.SECRET, "Token": aws.TOKEN, "Expiration": soon}
        await fake.whole(json.dumps(told).encode())(out)

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name)
    async with upstream(bedrock.api()) as up:
        up.models = agent
        monkeypatch.setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", f"http://127.0.0.1:{up.port}/v1/credentials")
        monkeypatch.setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "pod-token")
        async with serving(at(up.port)) as served:
            answers = [(await served.chat()).status_code for _ in range(3)]
    assert answers == [200, 200, 200]
    assert given == ["pod-token"] * 2


def test_without_the_package_the_configuration_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    for name in ("aws", "bedrock"):
        monkeypatch.delitem(sys.modules, f"slipway_router.providers.{name}", raising=False)
        monkeypatch.delattr(slipway_router.providers, name, raising=False)
    config = Config.parse({"backends": [at(1)]})
    with pytest.raises(ConfigError, match=r"backends\.claude\.protocol: the protocol bedrock needs botocore.*slipway\[bedrock\]"):
        Router(config, {})
