"""Bedrock's runtime on loopback: signatures are checked, and requests held against botocore's own description of it."""

import asyncio
import base64
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import Any
from urllib.parse import unquote

import botocore.session
from botocore.validate import ParamValidator
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, Exit, Got
from tests.app.providers.fake_aws import SECRET, STREAM, error, exception, frame, signed_rightly

__all__ = ["MODEL", "USAGE", "api", "error", "exception", "message", "text", "tool_use"]

MODEL = "eu.anthropic.claude-test-20260101-v1:0"
USAGE = {"inputTokens": 10, "outputTokens": 7, "totalTokens": 24, "cacheReadInputTokens": 5, "cacheWriteInputTokens": 2}
_PATH = re.compile(r"/model/([^/]+)/(converse|converse-stream)")


@cache
def operation(name: str) -> Any:
    session: Any = botocore.session.Session()
    return session.get_service_model("bedrock-runtime").operation_model(name)


def message(*content: Mapping[str, Any], stop_reason: str = "end_turn") -> dict[str, Any]:
    """A whole answer."""
    made: dict[str, Any] = {
        "output": {"message": {"role": "assistant", "content": list(content)}},
        "stopReason": stop_reason,
        "usage": USAGE,
        "metrics": {"latencyMs": 12},
    }
    assert not faults(operation("Converse").output_shape, made)
    return made


def text(said: str) -> dict[str, Any]:
    return {"text": said}


def tool_use(identity: str, name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    return {"toolUse": {"toolUseId": identity, "name": name, "input": given}}


def reasoning(thought: str) -> dict[str, Any]:
    return {"reasoningContent": {"reasoningText": {"text": thought, "signature": "s"}}}


def events(answer: Mapping[str, Any]) -> list[bytes]:
    """The frames by which ConverseStream gives an answer: texts and arguments in halves."""
    made: list[tuple[str, dict[str, Any]]] = [("messageStart", {"role": "assistant"})]
    for i, block in enumerate(answer["output"]["message"]["content"]):
        start, deltas = _deltas(block)
        if start:
            made.append(("contentBlockStart", {"start": start, "contentBlockIndex": i}))
        made += [("contentBlockDelta", {"delta": d, "contentBlockIndex": i}) for d in deltas]
        made.append(("contentBlockStop", {"contentBlockIndex": i}))
    made += [("messageStop", {"stopReason": answer["stopReason"]})]
    made += [("metadata", {"usage": answer["usage"], "metrics": answer["metrics"]})]
    shapes = operation("ConverseStream").output_shape.members["stream"].members
    for kind, payload in made:
        assert not faults(shapes[kind], payload)
    return [
        # `p` is Bedrock's padding, which hides how long a token is.
        frame(
            json.dumps({**payload, "p": "abcdefgh"}).encode(),
            message_type="event",
            event_type=kind,
            content_type="application/json",
        )
        for kind, payload in made
    ]


def _halves(said: str) -> list[str]:
    return [p for p in (said[: len(said) // 2], said[len(said) // 2 :]) if p]


def _deltas(block: Mapping[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    if "text" in block:
        return {}, [{"text": p} for p in _halves(block["text"])]
    if "reasoningContent" in block:
        thought = block["reasoningContent"]["reasoningText"]
        deltas = [{"text": p} for p in _halves(thought["text"])] + [{"signature": thought["signature"]}]
        return {}, [{"reasoningContent": d} for d in deltas]
    call = block["toolUse"]
    given = _halves(json.dumps(call["input"])) if call["input"] else []
    return {"toolUse": {k: call[k] for k in ("toolUseId", "name")}}, [{"toolUse": {"input": p}} for p in given]


def api(
    answer: Mapping[str, Any] | None = None,
    *,
    whole: Behaviour | None = None,
    check: Callable[[Any], None] = lambda _: None,
    secret: str = SECRET,
    cut_after: int | None = None,
    broken_by: bytes | None = None,
) -> Behaviour:
    """Answers right requests that are rightly signed, and refuses others with the service's own errors.

    Args:
        answer: What it answers, streamed or whole as asked. Default: the text 'hello there'.
        whole: What a right request meets instead.
        check: Looks at the body that came.
        secret: The key that signatures must be made with.
        cut_after: Ends a stream after so many frames, as if it were over.
        broken_by: A frame that takes the place of those that are cut.
    """
    told = message(text("hello there")) if answer is None else answer

    async def behave(out: Exit) -> None:
        refusal = _refusal(out.got, secret)
        if refusal is not None:
            await refusal(out)
            return
        check(out.got.json)
        if whole is not None:
            await whole(out)
        elif out.got.path.endswith("/converse"):
            await fake.whole(json.dumps(told).encode(), "200 OK", "x-amzn-RequestId: r1")(out)
        else:
            await out.write(fake.head("200 OK", STREAM, "Transfer-Encoding: chunked", "x-amzn-RequestId: r1"))
            for sent in events(told)[:cut_after] + ([broken_by] if broken_by else []):
                for half in (sent[:53], sent[53:]):
                    await out.write(fake.chunk(half))
                    await asyncio.sleep(0)
            await out.write(b"0\r\n\r\n")

    return behave


def _refusal(got: Got, secret: str) -> Behaviour | None:
    if not signed_rightly(got, "bedrock", secret):
        return error("403 Forbidden", "InvalidSignatureException", message="The request signature we calculated does not match")
    path = _PATH.fullmatch(got.path)
    if path is None:
        return error("404 Not Found", "UnknownOperationException")
    if unquote(path[1]) != MODEL:
        return error("400 Bad Request", "ValidationException", message="The provided model identifier is invalid.")
    shape = operation("ConverseStream" if path[2] == "converse-stream" else "Converse").input_shape
    found = faults(shape, {**got.json, "modelId": unquote(path[1])}) + list(_empty(got.json))
    return error("400 Bad Request", "ValidationException", message="; ".join(found)) if found else None


def _empty(body: Any) -> Iterator[str]:
    """What the service refuses beyond its published shapes ("Converse": `messages`, `toolConfig`)."""
    turns: list[Any] = body.get("messages", [])
    if any(b.get("text") == "" for turn in turns for b in turn["content"]):
        yield "The text field in the ContentBlock object is blank."
    if any(a["role"] == b["role"] for a, b in pairwise(turns)):
        yield "Roles must alternate."
    called = any({"toolUse", "toolResult"} & b.keys() for turn in turns for b in turn["content"])
    if called and "toolConfig" not in body:
        yield "The toolConfig field must be defined when using toolUse and toolResult content blocks."


def faults(shape: Any, given: Any) -> list[str]:
    """What botocore's validator has against these JSON data, and its choices and patterns, which that leaves unchecked."""
    validator: Any = ParamValidator()
    report = validator.validate(_python(shape, given), shape)
    return [report.generate_report()] if report.has_errors() else list(_wrong_texts(shape, given, ""))


def _python(shape: Any, given: Any) -> Any:
    """JSON as Python has it: blobs as bytes. What has another shape than it should is left for the validator to find."""
    if getattr(shape, "is_document_type", False):
        return given
    match shape.type_name:
        case "structure" if isinstance(given, dict):
            known = shape.members
            return {k: _python(known[k], v) if k in known else v for k, v in given.items()}  # pyright: ignore[reportUnknownVariableType]
        case "list" if isinstance(given, list):
            return [_python(shape.member, v) for v in given]  # pyright: ignore[reportUnknownVariableType]
        case "blob" if isinstance(given, str):
            return base64.b64decode(given, validate=True)
        case _:
            return given


def _wrong_texts(shape: Any, given: Any, path: str) -> Iterator[str]:
    if getattr(shape, "is_document_type", False):
        return
    match shape.type_name:
        case "structure":
            if getattr(shape, "is_tagged_union", False) and len(given) != 1:
                yield f"{path} must have one member"
            for name, value in given.items():
                yield from _wrong_texts(shape.members[name], value, f"{path}.{name}")
        case "list":
            for i, value in enumerate(given):
                yield from _wrong_texts(shape.member, value, f"{path}[{i}]")
        case "string":
            choices: Sequence[str] = shape.metadata.get("enum", ())
            pattern: str | None = shape.metadata.get("pattern")
            if choices and given not in choices:
                yield f"{path} is not one of {', '.join(choices)}"
            if pattern and not re.fullmatch(pattern, given):
                yield f"{path} does not match {pattern[:60]}"
        case _:
            pass
