"""A chat completion, asked for in Anthropic's Messages API.

After "Messages" in Anthropic's API reference and "Create chat completion" in OpenAI's.
"""

from typing import Any

from slipway_router.providers.chat import call_arguments, check_sayable, data_url, image_url
from slipway_router.providers.shapes import Faults, Object, an_object, objects, text

_AS_THEY_ARE = ("thinking", "top_k", "stream")
_EFFORTS = {"minimal": "low"}


def to_messages(fields: Object, model: str, default_max_tokens: int) -> tuple[dict[str, Any], Faults]:
    """The body of a Messages request, and what of the chat completion it cannot say.

    Hints without a counterpart (`seed`, penalties, `metadata`, `store` and the like) are left out: the answer keeps its shape and
    its meaning. A temperature above 1, the most there is here, becomes 1.

    Args:
        fields: A chat completion's body.
        model: The model's name at Anthropic.
        default_max_tokens: Most tokens of the answer where the client does not say; the Messages API wants a number.
    """
    faults: Faults = []
    check_sayable(fields, faults)
    system, messages = _conversation(fields, faults)
    most = fields.get("max_completion_tokens") or fields.get("max_tokens") or default_max_tokens
    body: dict[str, Any] = {"model": model, "max_tokens": most, "messages": messages}
    if system:
        body["system"] = system
    for name in _AS_THEY_ARE:
        if fields.get(name) is not None:
            body[name] = fields[name]
    _sampling(fields, body)
    _tools(fields, body, faults)
    _output(fields, body, faults)
    user = fields.get("safety_identifier") or fields.get("user")
    if isinstance(user, str):
        body["metadata"] = {"user_id": user}
    return body, faults


def _sampling(fields: Object, body: dict[str, Any]) -> None:
    # Newer models take no sampling parameters at all, so that the defaults of both APIs are left unsaid.
    for name in ("temperature", "top_p"):
        value = fields.get(name)
        if isinstance(value, int | float) and value < 1:
            body[name] = value
    stop = fields.get("stop")
    if stop:
        body["stop_sequences"] = [stop] if isinstance(stop, str) else stop


def _conversation(fields: Object, faults: Faults) -> tuple[list[Object], list[dict[str, Any]]]:
    """The system prompt's blocks, and the turns; one after another of the same role are joined."""
    system: list[Object] = []
    turns: list[dict[str, Any]] = []
    for i, message in enumerate(objects(fields.get("messages"))):
        path = f"messages[{i}]"
        role = message.get("role")
        content = message.get("content")
        if role in ("system", "developer"):
            system += _blocks(content, f"{path}.content", faults)
            continue
        if role == "user":
            speaker, blocks = "user", _blocks(content, f"{path}.content", faults)
        elif role == "assistant":
            speaker, blocks = "assistant", _assistant(message, path, faults)
        elif role == "tool":
            speaker, blocks = "user", [_tool_result(message, path, faults)]
        else:
            faults.append((f"{path}.role", f"is {str(role)[:64]!r}; give system, developer, user, assistant or tool"))
            continue
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": speaker, "content": blocks})
    _trim_prefill(turns)
    if not turns and not faults:
        faults.append(("messages", "must have a message of the user that is not empty"))
    return system, turns


def _trim_prefill(turns: list[dict[str, Any]]) -> None:
    """A last turn of the assistant is what the answer goes on from; the API takes no white space at its end."""
    if not turns or turns[-1]["role"] != "assistant" or turns[-1]["content"][-1]["type"] != "text":
        return
    *before, last = turns[-1]["content"]
    trimmed = last["text"].rstrip()
    turns[-1]["content"] = [*before, {**last, "text": trimmed}] if trimmed else before
    if not turns[-1]["content"]:
        turns.pop()


def _assistant(message: Object, path: str, faults: Faults) -> list[Object]:
    blocks = _blocks(message.get("content"), f"{path}.content", faults)
    if message.get("function_call"):
        faults.append((f"{path}.function_call", "must be left out; give 'tool_calls'"))
    for k, call in enumerate(objects(message.get("tool_calls"))):
        function = an_object(call.get("function"))
        given = call_arguments(function, f"{path}.tool_calls[{k}]", faults)
        blocks.append({"type": "tool_use", "id": call.get("id"), "name": function.get("name"), "input": given})
    return blocks


def _tool_result(message: Object, path: str, faults: Faults) -> Object:
    content = _blocks(message.get("content"), f"{path}.content", faults)
    return {"type": "tool_result", "tool_use_id": message.get("tool_call_id"), "content": content}


def _blocks(content: object, path: str, faults: Faults) -> list[Object]:
    """A message's content as blocks. Empty texts are left out: the API refuses them."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    blocks: list[Object] = []
    for i, part in enumerate(objects(content)):
        block = _block(part, f"{path}[{i}]", faults)
        if block is not None:
            # Of Anthropic's own: where the prompt's cache ends.
            marked = part.get("cache_control")
            blocks.append(block if marked is None else {**block, "cache_control": marked})
    return blocks


def _block(part: Object, path: str, faults: Faults) -> Object | None:
    match part.get("type"):
        case "text" | "refusal" as kind:
            said = text(part.get(kind))
            return {"type": "text", "text": said} if said else None
        case "image_url":
            return {"type": "image", "source": _source(image_url(part), f"{path}.image_url.url", faults)}
        case "file":
            file = an_object(part.get("file"))
            document: dict[str, Any] = {
                "type": "document",
                "source": _source(text(file.get("file_data")), f"{path}.file.file_data", faults),
            }
            return {**document, "title": file["filename"]} if file.get("filename") else document
        case kind:
            faults.append((f"{path}.type", f"is {str(kind)[:64]!r}; give text, image_url or file"))
            return None


def _source(url: str, path: str, faults: Faults) -> Object:
    if url.startswith(("https://", "http://")):
        return {"type": "url", "url": url}
    given = data_url(url)
    if given is not None:
        return {"type": "base64", "media_type": given[0], "data": given[1]}
    faults.append((path, "must be an http address or 'data:TYPE;base64,...'"))
    return {}


def _tools(fields: Object, body: dict[str, Any], faults: Faults) -> None:
    tools: list[Object] = []
    for i, tool in enumerate(objects(fields.get("tools"))):
        function = an_object(tool.get("function"))
        if tool.get("type") != "function":
            faults.append((f"tools[{i}].type", f"is {str(tool.get('type'))[:64]!r}; give 'function'"))
            continue
        made: dict[str, Any] = {
            "name": function.get("name"),
            "input_schema": function.get("parameters") or {"type": "object", "properties": {}},
        }
        if function.get("description"):
            made["description"] = function["description"]
        if function.get("strict"):
            made["strict"] = True
        tools.append(made)
    if not tools:
        return
    body["tools"] = tools
    choice = _tool_choice(fields.get("tool_choice"), faults)
    if fields.get("parallel_tool_calls") is False and choice["type"] != "none":
        choice["disable_parallel_tool_use"] = True
    if choice != {"type": "auto"}:
        body["tool_choice"] = choice


def _tool_choice(choice: object, faults: Faults) -> dict[str, Any]:
    named = an_object(choice)
    if named.get("type") == "function":
        return {"type": "tool", "name": an_object(named.get("function")).get("name")}
    kinds = {None: "auto", "auto": "auto", "none": "none", "required": "any"}
    if isinstance(choice, str | None) and choice in kinds:
        return {"type": kinds[choice]}
    faults.append(("tool_choice", "must be 'auto', 'none', 'required' or a function"))
    return {"type": "auto"}


def _output(fields: Object, body: dict[str, Any], faults: Faults) -> None:
    config: dict[str, Any] = {}
    wanted = an_object(fields.get("response_format"))
    if wanted.get("type") == "json_schema":
        config["format"] = {"type": "json_schema", "schema": an_object(wanted.get("json_schema")).get("schema")}
    elif wanted.get("type") not in (None, "text"):
        faults.append(("response_format.type", "must be 'text' or 'json_schema': there is no JSON without a schema"))
    effort = fields.get("reasoning_effort")
    if effort == "none":
        body.setdefault("thinking", {"type": "disabled"})
    elif effort is not None:
        config["effort"] = _EFFORTS.get(str(effort), effort)
    if config:
        body["output_config"] = config
