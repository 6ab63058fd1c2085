"""The vendors' APIs on loopback, as a client's features need them: what is answered goes by what the last message says."""

import asyncio
import base64
import json
import struct
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Exit, FakeUpstream
from tests.app.messages import fake_openai as gpt
from tests.app.providers import fake_anthropic as claude
from tests.app.providers import fake_aws, fake_google, fake_sagemaker
from tests.app.providers import fake_bedrock as bedrock
from tests.clients.scripts import prompts

HELLO = "hello there"
CALL = ("call_1", "weather", {"city": "Oslo"})
JSON = {"sure": True}
VECTORS = [[0.5, 0.25], [0.125, -1.0]]
REFUSED = "The model cannot do that."
BUSY = "The quota is used up."
GPT_KEY = "gpt-key"
Answering = Callable[[Exit], Awaitable[None]]


@dataclass
class Vendor:
    """One API, and what its clients did."""

    name: str
    title: str
    """In the guide's table."""
    settings: Mapping[str, Any]
    """Of the router's backend, without its address."""
    base: str
    """Path of the backend's address."""
    tasks: Sequence[str]
    prompt_tokens: int
    answering: Answering
    request_ids: list[str] = field(default_factory=list[str])
    """Of the requests that were refused."""
    ended: dict[str, float] = field(default_factory=dict[str, float])
    """When the router closed an answer without end, by the client's name, in `time.monotonic` seconds."""

    def upstream(self) -> FakeUpstream:
        return FakeUpstream(self._behave, fake.models())

    async def _behave(self, out: Exit) -> None:
        if b"/token" in out.got.path.encode():
            await self.answering(out)
            return
        last = _last(out.got.json)
        if last == prompts.REFUSED:
            self.request_ids.append(out.got.headers["x-request-id"])
        if not last.startswith(prompts.ENDLESS):
            await self.answering(out)
            return
        try:
            await self.answering(out)
        finally:
            self.ended[last.removeprefix(prompts.ENDLESS)] = time.monotonic()


def all_vendors(folder: Path) -> tuple[list[Vendor], Callable[[Mapping[str, int]], dict[str, str]]]:
    """The vendors; and what the router's environment must have, once their ports are known.

    Args:
        folder: Where a key file may be written.
    """
    google = fake_google.Google()
    both = ["chat", "embeddings"]
    vendors = [
        Vendor("gpt", "OpenAI", {"api_key_env": "GPT_KEY"}, "/v1", both, 12, _with_key("authorization", f"Bearer {GPT_KEY}")),
        Vendor("azure", "Azure", {"protocol": "azure", "api_key_env": "GPT_KEY"}, "", both, 12, _with_key("api-key", GPT_KEY)),
        Vendor("claude", "Anthropic", {"protocol": "anthropic", "api_key_env": "CLAUDE_KEY"}, "/v1", ["chat"], 17, _claude),
        Vendor("gemini", "Vertex AI", {"protocol": "vertex"}, fake_google.PATH, ["chat"], 12, google.api(_google)),
        Vendor(
            "sagemaker",
            "SageMaker",
            {"protocol": "sagemaker", "region": fake_aws.REGION},
            fake_sagemaker.ENDPOINT,
            both,
            12,
            _sagemaker,
        ),
        Vendor(
            "bedrock",
            "Bedrock",
            {"protocol": "bedrock", "region": fake_aws.REGION, "model": bedrock.MODEL},
            "",
            ["chat"],
            17,
            _bedrock,
        ),
    ]

    def environ(ports: Mapping[str, int]) -> dict[str, str]:
        return {
            "GPT_KEY": GPT_KEY,
            "CLAUDE_KEY": claude.KEY,
            "GOOGLE_APPLICATION_CREDENTIALS": google.key_file(folder, ports["gemini"]),
            "AWS_ACCESS_KEY_ID": fake_aws.ACCESS,
            "AWS_SECRET_ACCESS_KEY": fake_aws.SECRET,
            "AWS_SESSION_TOKEN": fake_aws.TOKEN,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_CONFIG_FILE": "/dev/null",
            "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        }

    return vendors, environ


def _last(body: Any) -> str:
    """What the last message says; nothing where that is a tool's result."""
    content: Any = body["messages"][-1].get("content") if body.get("messages") else None
    parts: list[Any] = [{"text": content}] if isinstance(content, str | None) else content
    return next((p["text"] for p in parts if p.get("text")), "")


def _with_key(header: str, value: str) -> Answering:
    async def answer(out: Exit) -> None:
        if out.got.headers.get(header) != value:
            await fake.whole(_error("Incorrect API key provided.", "invalid_api_key"), "401 Unauthorized")(out)
        elif "/embeddings" in out.got.path:
            await fake.whole(_embedded(out.got.json))(out)
        else:
            await _openai(out)

    return answer


async def _google(out: Exit) -> None:
    last = _last(out.got.json)
    if last in (prompts.REFUSED, prompts.BUSY):
        code, kind, said = (400, "INVALID_ARGUMENT", REFUSED) if last == prompts.REFUSED else (429, "RESOURCE_EXHAUSTED", BUSY)
        told = [{"error": {"code": code, "message": said, "status": kind}}]
        await fake.whole(json.dumps(told).encode(), f"{code} Whatever")(out)
    else:
        await _openai(out)


async def _openai(out: Exit) -> None:
    body = out.got.json
    refused = gpt.refusal(body)
    last = _last(body)
    if refused is not None:
        await fake.whole(refused, "400 Bad Request")(out)
    elif last == prompts.REFUSED:
        await fake.whole(_error(REFUSED, "unsupported_value"), "400 Bad Request", "x-request-id: req_of_the_vendor")(out)
    elif last == prompts.BUSY:
        await fake.whole(_error(BUSY, "rate_limit_exceeded"), "429 Too Many Requests")(out)
    elif last == prompts.CUT:
        await fake.cut_stream(*gpt.chunks({"content": "hello"}, finish=None))(out)
    elif last.startswith(prompts.ENDLESS):
        await _endless(out, gpt.chunks({"content": "hello"}, finish=None), gpt.chunks({"content": "on"}, finish=None)[1])
    elif body.get("stream"):
        await fake.stream(events=_streamed(body))(out)
    else:
        await fake.whole(_whole(body))(out)


def _whole(body: Any) -> bytes:
    if _wants_call(body):
        identity, name, given = _call(body["tools"][0]["function"]["name"])
        function = {"name": name, "arguments": json.dumps(given)}
        return gpt.completion("tool_calls", content=None, tool_calls=[{"id": identity, "type": "function", "function": function}])
    return gpt.completion(content=_text(body))


def _streamed(body: Any) -> list[bytes]:
    if _wants_call(body):
        head = {"index": 0, "id": CALL[0], "type": "function", "function": {"name": CALL[1], "arguments": ""}}
        parts = [{"index": 0, "function": {"arguments": a}} for a in ('{"city"', ': "Oslo"}')]
        return gpt.chunks(*({"tool_calls": [c]} for c in (head, *parts)), finish="tool_calls")
    half = len(_text(body)) // 2
    return gpt.chunks({"content": _text(body)[:half]}, {"content": _text(body)[half:]})


def _wants_call(body: Any) -> bool:
    return bool(body.get("tools")) and body["messages"][-1]["role"] == "user"


def _call(tool: str) -> tuple[str, str, dict[str, Any]]:
    """A call of this tool. Some clients make one of a schema that they want an answer in."""
    return CALL if tool == CALL[1] else (CALL[0], tool, JSON)


def _text(body: Any) -> str:
    return json.dumps(JSON) if body.get("response_format", {}).get("type") == "json_schema" else HELLO


def _embedded(body: Any) -> bytes:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    assert len(texts) <= len(VECTORS)
    as_text = body.get("encoding_format") == "base64"
    vectors = [base64.b64encode(struct.pack("<2f", *v)).decode() if as_text else v for v in VECTORS[: len(texts)]]
    data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(vectors)]
    usage = {"prompt_tokens": 4, "total_tokens": 4}
    return json.dumps({"object": "list", "model": body["model"], "data": data, "usage": usage}).encode()


def _error(said: str, code: str) -> bytes:
    return json.dumps({"error": {"message": said, "type": "invalid_request_error", "param": None, "code": code}}).encode()


async def _endless(out: Exit, begin: Sequence[bytes], on: bytes, kind: str = fake.SSE) -> None:
    await out.write(fake.head("200 OK", kind, "Transfer-Encoding: chunked"))
    for event in begin:
        await out.write(fake.chunk(event))
    while True:
        await out.write(fake.chunk(on))
        await asyncio.sleep(0.02)


async def _claude(out: Exit) -> None:
    body = out.got.json
    last = _last(body)
    text = claude.message(claude.text(HELLO))
    if last == prompts.REFUSED:
        await fake.whole(claude.error("invalid_request_error", REFUSED), "400 Bad Request", "request-id: req_of_the_vendor")(out)
    elif last == prompts.BUSY:
        await fake.whole(claude.error("rate_limit_error", BUSY), "429 Too Many Requests")(out)
    elif last == prompts.CUT:
        await fake.cut_stream(*claude.events(claude.message(claude.text("hello")))[:4])(out)
    elif last.startswith(prompts.ENDLESS):
        events = claude.events(claude.message(claude.text("on and on")))
        await _endless(out, events[:4], events[3])
    elif body.get("tools") and not _has_result(body):
        await claude.api(claude.message(claude.tool_use(*_call(body["tools"][0]["name"])), stop_reason="tool_use"))(out)
    elif body.get("output_config", {}).get("format"):
        await claude.api(claude.message(claude.text(json.dumps(JSON))))(out)
    else:
        await claude.api(text)(out)


def _has_result(body: Any) -> bool:
    content: Any = body["messages"][-1]["content"]
    return not isinstance(content, str) and any(block["type"] == "tool_result" for block in content)


async def _bedrock(out: Exit) -> None:
    body = out.got.json
    last = _last(body)
    if last == prompts.REFUSED:
        await fake_aws.error("400 Bad Request", "ValidationException", message=REFUSED)(out)
    elif last == prompts.BUSY:
        await fake_aws.error("429 Too Many Requests", "ThrottlingException", message=BUSY)(out)
    elif last == prompts.CUT:
        await out.write(fake.head("200 OK", fake_aws.STREAM, "Transfer-Encoding: chunked"))
        for frame in bedrock.events(bedrock.message(bedrock.text("hello")))[:3]:
            await out.write(fake.chunk(frame))
        await asyncio.sleep(0.02)
        out.reset()
    elif last.startswith(prompts.ENDLESS):
        frames = bedrock.events(bedrock.message(bedrock.text("on and on")))
        await _endless(out, frames[:3], frames[2], fake_aws.STREAM)
    elif "toolConfig" in body and not any("toolResult" in block for block in body["messages"][-1]["content"]):
        call = _call(body["toolConfig"]["tools"][0]["toolSpec"]["name"])
        await bedrock.api(bedrock.message(bedrock.tool_use(*call), stop_reason="tool_use"))(out)
    elif "outputConfig" in body:
        await bedrock.api(bedrock.message(bedrock.text(json.dumps(JSON))))(out)
    else:
        await bedrock.api()(out)


async def _sagemaker(out: Exit) -> None:
    body = out.got.json
    if "input" in body:
        await fake_sagemaker.api(fake.whole(_embedded(body)))(out)
        return
    last = _last(body)
    if last == prompts.REFUSED:
        told = {"OriginalStatusCode": 400, "OriginalMessage": _error(REFUSED, "unsupported_value").decode(), "Message": "failed"}
        await fake_aws.error("424 Failed Dependency", "ModelError", **told)(out)
    elif last == prompts.BUSY:
        await fake_aws.error("400 Bad Request", "ThrottlingException", Message=BUSY)(out)
    elif last == prompts.CUT:
        frames = [fake_sagemaker.part(e) for e in gpt.chunks({"content": "hello"}, finish=None)]
        await out.write(fake.head("200 OK", fake_aws.STREAM, "Transfer-Encoding: chunked"))
        for frame in frames:
            await out.write(fake.chunk(frame))
        await asyncio.sleep(0.02)
        out.reset()
    elif last.startswith(prompts.ENDLESS):
        begin = [fake_sagemaker.part(e) for e in gpt.chunks({"content": "hello"}, finish=None)]
        await _endless(out, begin, begin[-1], fake_aws.STREAM)
    else:
        refused = gpt.refusal(body)
        assert refused is None, refused
        streamed = [fake_sagemaker.part(e) for e in _streamed(body)]
        await fake_sagemaker.api(fake.whole(_whole(body)), streamed)(out)
