"""Each provider and each thing that can be asked: passed on, said in the vendor's terms, left out as a mere hint, or refused.

What the translated bodies look like in full, and that vendors take them, is tested provider by provider.
"""

from typing import Any

import orjson
import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, Behaviour
from tests.app.serving import backend, serving, upstream

from slipway_router.answer import UpstreamError
from slipway_router.config import Config
from slipway_router.providers.registry import provider_for
from slipway_router.request import parse

BACKENDS: dict[str, dict[str, Any]] = {
    "openai": {},
    "azure": {},
    "vertex": {},
    "vertex-raw": {},
    "sagemaker": {"region": "eu-central-1"},
    "anthropic": {},
    "vertex-anthropic": {},
    "bedrock": {"region": "eu-central-1"},
}
AS_IT_IS = ("openai", "azure", "vertex", "vertex-raw", "sagemaker")
TRANSLATED = ("anthropic", "vertex-anthropic", "bedrock")

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
FORMAT = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}


def said(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


PDF = {"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,AA=="}}
AUDIO = {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}}
CALLS = [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}]
RESULT = [
    {"role": "user", "content": "hi"},
    {"role": "assistant", "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
]

LEFT_OUT = object()
Outcome = Any
"""A pair of a path in the body and what is there; LEFT_OUT; or the path that the refusal names, as text."""

# feature: what is asked, what becomes of it in Anthropic's API, what in Bedrock's.
FEATURES: dict[str, tuple[dict[str, Any], Outcome, Outcome]] = {
    "system": (
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "hi"}]},
        ("system.0.text", "Be brief."),
        ("system.0.text", "Be brief."),
    ),
    "tools": ({"tools": [TOOL]}, ("tools.0.name", "weather"), ("toolConfig.tools.0.toolSpec.name", "weather")),
    "tool_choice": (
        {"tools": [TOOL], "tool_choice": "required"},
        ("tool_choice.type", "any"),
        ("toolConfig.toolChoice", {"any": {}}),
    ),
    "parallel_tool_calls": (
        {"tools": [TOOL], "parallel_tool_calls": False},
        ("tool_choice.disable_parallel_tool_use", True),
        "parallel_tool_calls",
    ),
    "tool_result": (
        {"messages": RESULT, "tools": [TOOL]},
        ("messages.2.content.0.tool_use_id", "c1"),
        ("messages.2.content.0.toolResult.toolUseId", "c1"),
    ),
    "image": (
        said(image("data:image/png;base64,AA==")),
        ("messages.0.content.0.source.media_type", "image/png"),
        ("messages.0.content.0.image.format", "png"),
    ),
    "image_by_address": (
        said(image("https://example.com/a.png")),
        ("messages.0.content.0.source.type", "url"),
        "messages[0].content[0].image_url.url",
    ),
    "document": (said(PDF), ("messages.0.content.0.title", "a.pdf"), ("messages.0.content.0.document.format", "pdf")),
    "audio": (said(AUDIO), "messages[0].content[0].type", ("messages.0.content.0.audio.format", "wav")),
    "json_schema": (
        {"response_format": FORMAT},
        ("output_config.format.schema", SCHEMA),
        ("outputConfig.textFormat.structure.jsonSchema.name", "answer"),
    ),
    "json_object": ({"response_format": {"type": "json_object"}}, "response_format.type", "response_format.type"),
    "logprobs": ({"logprobs": True}, "logprobs", "logprobs"),
    "top_logprobs": ({"top_logprobs": 3}, "top_logprobs", "top_logprobs"),
    "n": ({"n": 2}, "n", "n"),
    "logit_bias": ({"logit_bias": {"1": 5}}, "logit_bias", "logit_bias"),
    "functions": ({"functions": [{"name": "f"}]}, "functions", "functions"),
    "stop": ({"stop": "END"}, ("stop_sequences", ["END"]), ("inferenceConfig.stopSequences", ["END"])),
    "temperature": ({"temperature": 0.5}, ("temperature", 0.5), ("inferenceConfig.temperature", 0.5)),
    "top_p": ({"top_p": 0.5}, ("top_p", 0.5), ("inferenceConfig.topP", 0.5)),
    "max_tokens": ({"max_tokens": 5}, ("max_tokens", 5), ("inferenceConfig.maxTokens", 5)),
    "max_completion_tokens": ({"max_completion_tokens": 5}, ("max_tokens", 5), ("inferenceConfig.maxTokens", 5)),
    "reasoning_effort": ({"reasoning_effort": "high"}, ("output_config.effort", "high"), ("outputConfig.effort", "high")),
    "user": ({"user": "u1"}, ("metadata.user_id", "u1"), LEFT_OUT),
    "seed": ({"seed": 1}, LEFT_OUT, LEFT_OUT),
    "presence_penalty": ({"presence_penalty": 0.5}, LEFT_OUT, LEFT_OUT),
    "stream_options": ({"stream": True, "stream_options": {"include_usage": True}}, LEFT_OUT, LEFT_OUT),
}


def body_of(protocol: str, asked: dict[str, Any]) -> dict[str, Any]:
    given = {"name": "a", "url": "http://127.0.0.1/v1", "model": "m", "protocol": protocol, **BACKENDS[protocol]}
    (configured,) = Config.parse({"backends": [given]}).backends
    raw = orjson.dumps({"model": "x", "messages": [{"role": "user", "content": "hi"}], **asked})
    return orjson.loads(provider_for(configured, None).body(parse("chat", raw)))


def at(body: Any, path: str) -> Any:
    for part in path.split("."):
        body = body[int(part) if part.isdigit() else part]
    return body


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("protocol", AS_IT_IS)
def test_who_has_openais_api_gets_all_as_it_is(protocol: str, feature: str) -> None:
    asked = FEATURES[feature][0]
    body = body_of(protocol, asked)
    assert {name: body[name] for name in asked} == asked
    assert body["model"] == "m"


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("protocol", TRANSLATED)
def test_others_get_it_in_their_terms_or_refuse_it_by_name(protocol: str, feature: str) -> None:
    asked, *outcomes = FEATURES[feature]
    outcome = outcomes[protocol == "bedrock"]
    if isinstance(outcome, str):
        with pytest.raises(UpstreamError) as refused:
            body_of(protocol, asked)
        assert refused.value.cause == "unsupported"
        assert f"'{outcome}' " in refused.value.detail
    elif outcome is LEFT_OUT:
        assert not body_of(protocol, asked).keys() & (asked.keys() - {"stream"})
    else:
        path, value = outcome
        assert at(body_of(protocol, asked), path) == value


def test_every_protocol_is_in_the_table() -> None:
    assert set(BACKENDS) == set(AS_IT_IS) | set(TRANSLATED)
    for protocol in Config.model_json_schema()["$defs"]["Backend"]["properties"]["protocol"]["enum"]:
        assert protocol in BACKENDS


def chunk(delta: dict[str, Any], finish: str | None = None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish, **more}
    return b"data: " + orjson.dumps({"id": "c", "object": "chat.completion.chunk", "choices": [choice]}) + b"\n\n"


LOGPROBS = {"content": [{"token": "a", "logprob": -0.1, "bytes": [97], "top_logprobs": []}]}
CALL = {"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
STREAMS: dict[str, list[bytes]] = {
    # Ollama says a whole call at once, and no content with it.
    "ollama_tools": [
        chunk({"role": "assistant", "content": "", "tool_calls": [CALL]}),
        chunk({"content": ""}, "tool_calls"),
        DONE,
    ],
    # llama.cpp's first chunk has null for its content, its last has times.
    "llama_cpp": [
        chunk({"role": "assistant", "content": None}),
        chunk({"content": "a"}),
        b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"timings":{"prompt_n":3}}\n\n',
        DONE,
    ],
    # SGLang tells what ended it.
    "sglang": [chunk({"role": "assistant", "content": ""}), chunk({"content": "a"}, "stop", matched_stop=2), DONE],
    "vllm_reasoning": [chunk({"reasoning_content": "Hm."}), chunk({"content": "a"}, "stop", stop_reason=None), DONE],
    "logprobs": [chunk({"content": "a"}, None, logprobs=LOGPROBS), chunk({}, "stop"), DONE],
    "comments": [b": ping\n\n", chunk({"content": "a"}, "stop"), DONE],
}


@pytest.mark.parametrize("server", STREAMS)
async def test_streams_of_each_dialect_are_passed_on_byte_for_byte(server: str) -> None:
    async with upstream(fake.stream(events=STREAMS[server])) as up, serving(backend(up)) as served:
        answer = await served.chat(stream=True)
    assert answer.content == b"".join(STREAMS[server])


OPENAIS = b'{"error":{"message":"no","type":"invalid_request_error","param":"n","code":"bad"}}'


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (OPENAIS, {"message": "no", "type": "invalid_request_error", "param": "n", "code": "bad"}),
        (
            b'{"object":"error","message":"too long","type":"BadRequestError","param":null,"code":400}',
            {"message": "too long", "type": "BadRequestError", "param": None, "code": 400},
        ),
        (
            b'{"error":"`inputs` must be less","error_type":"validation"}',
            {"message": "`inputs` must be less", "type": "validation", "param": None, "code": None},
        ),
        (
            b'{"detail":[{"loc":["body","n"],"msg":"Input should be 1","type":"x"},{"loc":3,"msg":"more"}]}',
            {
                "message": "body.n: Input should be 1; body: more",
                "type": "invalid_request_error",
                "param": None,
                "code": None,
            },
        ),
        (
            b'{"detail":"model is loading"}',
            {"message": "model is loading", "type": "invalid_request_error", "param": None, "code": None},
        ),
        (b"bad request: n", {"message": "bad request: n", "type": "invalid_request_error", "param": None, "code": None}),
        *(
            (
                body,
                {
                    "message": "The backend answered 400 without a reason.",
                    "type": "invalid_request_error",
                    "param": None,
                    "code": None,
                },
            )
            for body in (b"", b"<html>Bad Request</html>", b"[]", b"{}")
        ),
    ],
)
@pytest.mark.parametrize("hedged", [False, True], ids=["first", "in_a_task"])
async def test_an_error_of_each_dialect_is_openais(body: bytes, error: dict[str, Any], *, hedged: bool) -> None:
    behaviour: Behaviour = fake.whole(body, "400 Bad Request", kind="text/plain")
    settings: dict[str, Any] = {"hedging": {}} if hedged else {}
    async with upstream(behaviour) as up, serving(backend(up), **settings) as served:
        answer = await served.chat()
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    if body is OPENAIS:
        assert answer.content == body
    else:
        assert answer.headers.get_list("content-type") == ["application/json"]
    assert int(answer.headers["content-length"]) == len(answer.content)
