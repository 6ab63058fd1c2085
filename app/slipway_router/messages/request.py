"""A Messages request, understood, and said as a chat completion.

After "Messages" in Anthropic's API reference and "Create chat completion" in OpenAI's.
"""

from dataclasses import dataclass, fields
from typing import Any

import orjson

from slipway_router.answer import UpstreamError
from slipway_router.asgi import ApiError, Header
from slipway_router.providers.shapes import Faults, Object, an_object, objects, text
from slipway_router.request import MOST_TOKENS, Asked, parse
from slipway_router.schema import AUTO

NATIVE: Header = (b"x-slipway-native", b"messages")
"""Marks an answer of a backend that has this API itself, on its way from the provider to the client."""
_EFFORTS = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}


@dataclass(slots=True, kw_only=True)
class AskedInMessages(Asked):
    """A Messages request. `raw` and `fields` are the chat completion that it comes to."""

    messages: Object
    """The body as it came."""
    version: bytes | None
    """The header `anthropic-version`: what the body's shape goes by, for a backend that has this API itself."""
    beta: bytes | None
    """The header `anthropic-beta`, likewise."""
    unsayable: Faults
    """What no chat completion can say."""

    @property
    def completion(self) -> Object:
        """See `Asked`.

        Raises:
            UpstreamError: 'unsupported', with every field that only Anthropic's own API knows.
        """
        if self.unsayable:
            told = "; ".join(f"'{path}' {reason}" for path, reason in self.unsayable)
            raise UpstreamError("unsupported", f"does not have the Messages API, and in a chat completion {told}")
        return self.fields

    def body_for(self, model: str) -> bytes:
        """See `Asked`.

        Raises:
            UpstreamError: As `completion` does.
        """
        _ = self.completion
        return Asked.body_for(self, model)


def understood(raw: bytes, version: bytes | None = None, beta: bytes | None = None) -> AskedInMessages:
    """Understand a body.

    Args:
        raw: As it came.
        version: The header `anthropic-version`.
        beta: The header `anthropic-beta`.

    Raises:
        ApiError: 400 with every fault there is.
    """
    try:
        given: object = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"The body is not JSON: {error}.", code="invalid_json") from None
    body = an_object(given)
    if not isinstance(given, dict):
        raise ApiError(400, "The body must be a JSON object.", code="invalid_body")
    faults = _shape_faults(body)
    if faults:
        told = "; ".join(f"'{path}' {reason}" for path, reason in faults)
        raise ApiError(400, f"{told[0].upper()}{told[1:]}.", param=faults[0][0], code="invalid_body")
    completion, unsayable = to_completion_request(body)
    try:
        said = orjson.dumps(completion)
    except orjson.JSONEncodeError:
        raise ApiError(400, "The body is nested too deeply.", code="invalid_body") from None
    asked = parse("chat", said)
    told = {f.name: getattr(asked, f.name) for f in fields(asked)}
    return AskedInMessages(**told, messages=body, version=version, beta=beta, unsayable=unsayable)


def _shape_faults(body: Object) -> Faults:
    """What the router itself must be able to rely on; the rest is the backend's to judge."""
    faults: Faults = []
    if not isinstance(body.get("model", AUTO), str):
        faults.append(("model", "must be the name of a model, as text"))
    if not isinstance(body.get("stream"), bool | None):
        faults.append(("stream", "must be true or false"))
    most = body.get("max_tokens")
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST_TOKENS:
        faults.append(("max_tokens", f"is required: a whole number, 1 to {MOST_TOKENS}"))
    if not isinstance(body.get("system", ""), str | list):
        faults.append(("system", "must be text or a list of blocks"))
    messages = body.get("messages")
    if not isinstance(messages, list) or not messages or len(objects(messages)) < len(messages):  # pyright: ignore[reportUnknownArgumentType] -- JSON
        faults.append(("messages", "must be a list of at least one message"))
        return faults
    for i, message in enumerate(objects(messages)):  # pyright: ignore[reportUnknownArgumentType] -- JSON
        if message.get("role") not in ("user", "assistant", "system"):
            faults.append((f"messages[{i}].role", "must be 'user', 'assistant' or 'system'"))
        if not isinstance(message.get("content"), str | list):
            faults.append((f"messages[{i}].content", "must be text or a list of blocks"))
    return faults


def to_completion_request(body: Object) -> tuple[dict[str, Any], Faults]:
    """The chat completion, and what of the Messages request it cannot say.

    Earlier thinking, where the prompt's cache ends, `top_k` and other hints without a counterpart are left out.
    """
    faults: Faults = []
    messages: list[dict[str, Any]] = []
    system = _texts(body.get("system"), "system", faults)
    if system:
        messages.append({"role": "system", "content": system})
    for i, message in enumerate(objects(body.get("messages"))):
        path = f"messages[{i}].content"
        match message.get("role"):
            case "assistant":
                messages.append(_assistant(message.get("content"), path, faults))
            case "system":
                messages.append({"role": "system", "content": _texts(message.get("content"), path, faults)})
            case _:
                messages += _user(message.get("content"), path, faults)
    # OpenAI's newer models refuse `max_tokens`; model servers take both.
    asked: dict[str, Any] = {
        "model": body.get("model", AUTO),
        "messages": messages,
        "max_completion_tokens": body.get("max_tokens"),
    }
    for name in ("temperature", "top_p"):
        if body.get(name) is not None:
            asked[name] = body[name]
    if body.get("stop_sequences"):
        asked["stop"] = body["stop_sequences"]
    if body.get("stream"):
        asked |= {"stream": True, "stream_options": {"include_usage": True}}
    user = an_object(body.get("metadata")).get("user_id")
    if isinstance(user, str):
        asked["user"] = user
    _tools(body, asked, faults)
    _output(body, asked)
    if body.get("mcp_servers"):
        faults.append(("mcp_servers", "must be left out"))
    return asked, faults


def _texts(content: object, path: str, faults: Faults) -> str:
    """Text, or blocks of text as one."""
    if isinstance(content, str):
        return content
    for i, block in enumerate(objects(content)):
        if block.get("type") != "text":
            faults.append((f"{path}[{i}].type", "must be 'text'"))
    return "\n".join(text(b.get("text")) for b in objects(content))


def _assistant(content: object, path: str, faults: Faults) -> dict[str, Any]:
    said = text(content)
    calls: list[Object] = []
    for i, block in enumerate(objects(content)):
        match block.get("type"):
            case "text":
                said += text(block.get("text"))
            case "tool_use":
                function = {"name": block.get("name"), "arguments": orjson.dumps(block.get("input") or {}).decode()}
                calls.append({"id": block.get("id"), "type": "function", "function": function})
            case "thinking" | "redacted_thinking":
                pass
            case kind:
                faults.append((f"{path}[{i}].type", f"cannot be {str(kind)[:64]!r}"))
    message: dict[str, Any] = {"role": "assistant", "content": said or (None if calls else "")}
    return {**message, "tool_calls": calls} if calls else message


def _user(content: object, path: str, faults: Faults) -> list[dict[str, Any]]:
    """The results of tools as messages of their own, and what else the user says as one."""
    if isinstance(content, str):
        return [{"role": "user", "content": content}]
    results: list[dict[str, Any]] = []
    parts: list[Object] = []
    for i, block in enumerate(objects(content)):
        if block.get("type") == "tool_result":
            said, more = _result(block, f"{path}[{i}]", faults)
            results.append({"role": "tool", "tool_call_id": block.get("tool_use_id"), "content": said})
            parts += more
        else:
            parts += _parts(block, f"{path}[{i}]", faults)
    if not parts:
        return results or [{"role": "user", "content": ""}]
    only_text = all(p["type"] == "text" for p in parts)
    # Not every model server takes a list where text would do.
    joined: Any = "\n".join(p["text"] for p in parts) if only_text else parts
    return [*results, {"role": "user", "content": joined}]


def _result(block: Object, path: str, faults: Faults) -> tuple[str, list[Object]]:
    """A tool's result: its text, and what a message of the role 'tool' cannot hold."""
    content = block.get("content")
    parts = [p for i, b in enumerate(objects(content)) for p in _parts(b, f"{path}.content[{i}]", faults)]
    said = text(content) or "\n".join(p["text"] for p in parts if p["type"] == "text")
    if block.get("is_error") is True:
        said = f"Error: {said}"
    return said, [p for p in parts if p["type"] != "text"]


def _parts(block: Object, path: str, faults: Faults) -> list[Object]:
    source = an_object(block.get("source"))
    match block.get("type"), source.get("type"):
        case "text", _:
            return [{"type": "text", "text": text(block.get("text"))}]
        case "image", "base64":
            return [{"type": "image_url", "image_url": {"url": _data_url(source)}}]
        case "image", "url":
            return [{"type": "image_url", "image_url": {"url": text(source.get("url"))}}]
        case "document", "base64":
            name = text(block.get("title")) or "document.pdf"
            return [{"type": "file", "file": {"filename": name, "file_data": _data_url(source)}}]
        case "document", "text":
            return [{"type": "text", "text": text(source.get("data"))}]
        case "search_result", _:
            return [{"type": "text", "text": text(b.get("text"))} for b in objects(block.get("content"))]
        case kind, how:
            shown = str(kind)[:64] if how is None else f"{str(kind)[:64]} by {str(how)[:64]}"
            faults.append((path, f"cannot be {shown!r}"))
            return []


def _data_url(source: Object) -> str:
    return f"data:{text(source.get('media_type'))};base64,{text(source.get('data'))}"


def _tools(body: Object, asked: dict[str, Any], faults: Faults) -> None:
    tools: list[Object] = []
    for i, tool in enumerate(objects(body.get("tools"))):
        if tool.get("type") not in (None, "custom"):
            faults.append((f"tools[{i}].type", f"cannot be {str(tool['type'])[:64]!r}, only 'custom'"))
            continue
        function = {"name": tool.get("name"), "parameters": tool.get("input_schema")}
        function |= {k: tool[k] for k in ("description", "strict") if tool.get(k) is not None}
        tools.append({"type": "function", "function": function})
    if not tools:
        return
    asked["tools"] = tools
    choice = an_object(body.get("tool_choice"))
    match choice.get("type"):
        case "any":
            asked["tool_choice"] = "required"
        case "none" | "auto" as kind:
            asked["tool_choice"] = kind
        case "tool":
            asked["tool_choice"] = {"type": "function", "function": {"name": choice.get("name")}}
        case _:
            pass
    if choice.get("disable_parallel_tool_use") is True:
        asked["parallel_tool_calls"] = False


def _output(body: Object, asked: dict[str, Any]) -> None:
    config = an_object(body.get("output_config"))
    wanted = an_object(config.get("format"))
    if wanted.get("type") == "json_schema":
        schema = {"name": "answer", "schema": wanted.get("schema"), "strict": True}
        asked["response_format"] = {"type": "json_schema", "json_schema": schema}
    effort = _EFFORTS.get(text(config.get("effort")))
    if effort is not None:
        asked["reasoning_effort"] = effort
