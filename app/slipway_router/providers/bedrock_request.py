"""A chat completion, asked for in Amazon Bedrock's Converse API.

After "Converse" in Amazon Bedrock Runtime's API reference and "Create chat completion" in OpenAI's. Bytes are base64 in JSON, as
they are in data URLs.
"""

import re
from typing import Any

import orjson

from slipway_router.providers.chat import call_arguments, check_sayable, data_url, image_url
from slipway_router.providers.shapes import Faults, Object, an_object, objects, text

_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/jpg": "jpeg", "image/gif": "gif", "image/webp": "webp"}
_DOCUMENTS = {
    "application/pdf": "pdf",
    "text/csv": "csv",
    "application/msword": "doc",
    "application/vnd.openxmlformats-officedocument.wordprocessingml.document": "docx",
    "application/vnd.ms-excel": "xls",
    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet": "xlsx",
    "text/html": "html",
    "text/plain": "txt",
    "text/markdown": "md",
}
_NO_PARAMETERS: Object = {"type": "object", "properties": {}}
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9\-()\[\] ]+|\s{2,}")
_MODELS_OWN = ("thinking", "top_k")
"""Fields of some models, which Converse hands on as they are."""
_EFFORTS = {"minimal": "low"}


def to_converse(fields: Object) -> tuple[dict[str, Any], Faults]:
    """The body of a Converse or ConverseStream request, and what of the chat completion it cannot say.

    Hints without a counterpart (`seed`, penalties, `user`, `metadata`, `store` and the like) are left out: the answer keeps its
    shape and its meaning. A temperature above 1, the most there is here, becomes 1.

    Args:
        fields: A chat completion's body.
    """
    faults: Faults = []
    check_sayable(fields, faults)
    system, messages = _conversation(fields, faults)
    body: dict[str, Any] = {"messages": messages}
    if system:
        body["system"] = system
    if inference := _inference(fields):
        body["inferenceConfig"] = inference
    if more := {name: fields[name] for name in _MODELS_OWN if fields.get(name) is not None}:
        body["additionalModelRequestFields"] = more
    _tools(fields, body, faults)
    _output(fields, body, faults)
    return body, faults


def _inference(fields: Object) -> dict[str, Any]:
    found: dict[str, Any] = {}
    most = fields.get("max_completion_tokens") or fields.get("max_tokens")
    if most:
        found["maxTokens"] = most
    for name, named in (("temperature", "temperature"), ("top_p", "topP")):
        value = fields.get(name)
        if value is not None:
            found[named] = min(value, 1) if isinstance(value, int | float) else value
    stop = fields.get("stop")
    if stop:
        found["stopSequences"] = [stop] if isinstance(stop, str) else stop
    return found


def _conversation(fields: Object, faults: Faults) -> tuple[list[Object], list[dict[str, Any]]]:
    """The system prompt's blocks, and the turns; one after another of the same role are joined."""
    system: list[Object] = []
    turns: list[dict[str, Any]] = []
    for i, message in enumerate(objects(fields.get("messages"))):
        path = f"messages[{i}]"
        role = message.get("role")
        if role in ("system", "developer"):
            system += _system(message.get("content"), f"{path}.content", faults)
            continue
        if role == "user":
            speaker, blocks = "user", _blocks(message.get("content"), f"{path}.content", faults)
        elif role == "assistant":
            speaker, blocks = "assistant", _assistant(message, path, faults)
        elif role == "tool":
            content = _blocks(message.get("content"), f"{path}.content", faults)
            speaker, blocks = "user", [{"toolResult": {"toolUseId": message.get("tool_call_id"), "content": content}}]
        else:
            faults.append((f"{path}.role", f"is {str(role)[:64]!r}; give system, developer, user, assistant or tool"))
            continue
        if turns and turns[-1]["role"] == speaker:
            turns[-1]["content"] += blocks
        elif blocks:
            turns.append({"role": speaker, "content": blocks})
    if not turns and not faults:
        faults.append(("messages", "must have a message of the user that is not empty"))
    return system, turns


def _system(content: object, path: str, faults: Faults) -> list[Object]:
    blocks = _blocks(content, path, faults)
    if any(not block.keys() <= {"text", "cachePoint"} for block in blocks):
        faults.append((path, "must be text"))
    return blocks


def _assistant(message: Object, path: str, faults: Faults) -> list[Object]:
    blocks = _blocks(message.get("content"), f"{path}.content", faults)
    if message.get("function_call"):
        faults.append((f"{path}.function_call", "must be left out; give 'tool_calls'"))
    for k, call in enumerate(objects(message.get("tool_calls"))):
        function = an_object(call.get("function"))
        given = call_arguments(function, f"{path}.tool_calls[{k}]", faults)
        blocks.append({"toolUse": {"toolUseId": call.get("id"), "name": function.get("name"), "input": given}})
    return blocks


def _blocks(content: object, path: str, faults: Faults) -> list[Object]:
    """A message's content as blocks. Empty texts are left out: the API refuses them."""
    if isinstance(content, str):
        return [{"text": content}] if content else []
    blocks: list[Object] = []
    for i, part in enumerate(objects(content)):
        block = _block(part, f"{path}[{i}]", faults)
        if block is None:
            continue
        blocks.append(block)
        # Anthropic's mark, as its clients and OpenRouter's set it: the prompt's cache ends here.
        if an_object(part.get("cache_control")):
            blocks.append({"cachePoint": {"type": "default"}})
    return blocks


def _block(part: Object, path: str, faults: Faults) -> Object | None:
    match part.get("type"):
        case "text" | "refusal" as kind:
            said = text(part.get(kind))
            return {"text": said} if said else None
        case "image_url":
            form, data = _bytes(image_url(part), _IMAGES, f"{path}.image_url.url", faults)
            return {"image": {"format": form, "source": {"bytes": data}}}
        case "file":
            file = an_object(part.get("file"))
            form, data = _bytes(text(file.get("file_data")), _DOCUMENTS, f"{path}.file.file_data", faults)
            stem = text(file.get("filename")).rpartition(".")[0] or text(file.get("filename"))
            name = _NOT_IN_A_NAME.sub(" ", stem).strip()[:200] or "document"
            return {"document": {"format": form, "name": name, "source": {"bytes": data}}}
        case "input_audio":
            audio = an_object(part.get("input_audio"))
            return {"audio": {"format": audio.get("format"), "source": {"bytes": audio.get("data")}}}
        case kind:
            faults.append((f"{path}.type", f"is {str(kind)[:64]!r}; give text, image_url, file or input_audio"))
            return None


def _bytes(url: str, kinds: dict[str, str], path: str, faults: Faults) -> tuple[str, str]:
    given = data_url(url)
    if given is None:
        faults.append((path, "must be 'data:TYPE;base64,...': no address is fetched"))
        return "", ""
    form = kinds.get(given[0])
    if form is None:
        faults.append((path, f"has the type {given[0][:64]!r}; give {', '.join(kinds)}"))
    return form or "", given[1]


def _tools(fields: Object, body: dict[str, Any], faults: Faults) -> None:
    tools: list[Object] = []
    for i, tool in enumerate(objects(fields.get("tools"))):
        function = an_object(tool.get("function"))
        if tool.get("type") != "function":
            faults.append((f"tools[{i}].type", f"is {str(tool.get('type'))[:64]!r}; give 'function'"))
            continue
        schema: object = function.get("parameters") or _NO_PARAMETERS
        made: dict[str, Any] = {"name": function.get("name"), "inputSchema": {"json": schema}}
        if function.get("description"):
            made["description"] = function["description"]
        if function.get("strict"):
            made["strict"] = True
        tools.append({"toolSpec": made})
    called = any(block.keys() & {"toolUse", "toolResult"} for turn in body["messages"] for block in turn["content"])
    if not tools:
        if called:
            faults.append(("tools", "must be given where the conversation has calls of tools"))
        return
    choice = fields.get("tool_choice")
    if choice == "none":
        if called:
            faults.append(("tool_choice", "must not be 'none' where the conversation has calls of tools"))
        return
    if fields.get("parallel_tool_calls") is False:
        faults.append(("parallel_tool_calls", "must not be false: there is no such limit"))
    config: dict[str, Any] = {"tools": tools}
    body["toolConfig"] = config
    named = an_object(choice)
    if named.get("type") == "function":
        config["toolChoice"] = {"tool": {"name": an_object(named.get("function")).get("name")}}
    elif choice == "required":
        config["toolChoice"] = {"any": {}}
    elif choice not in (None, "auto"):
        faults.append(("tool_choice", "must be 'auto', 'none', 'required' or a function"))


def _output(fields: Object, body: dict[str, Any], faults: Faults) -> None:
    config: dict[str, Any] = {}
    wanted = an_object(fields.get("response_format"))
    if wanted.get("type") == "json_schema":
        given = an_object(wanted.get("json_schema"))
        schema: dict[str, Any] = {"schema": orjson.dumps(given.get("schema") or {"type": "object"}).decode()}
        schema |= {name: given[name] for name in ("name", "description") if given.get(name) is not None}
        config["textFormat"] = {"type": "json_schema", "structure": {"jsonSchema": schema}}
    elif wanted.get("type") not in (None, "text"):
        faults.append(("response_format.type", "must be 'text' or 'json_schema': there is no JSON without a schema"))
    effort = fields.get("reasoning_effort")
    if effort not in (None, "none"):
        config["effort"] = _EFFORTS.get(str(effort), effort)
    if config:
        body["outputConfig"] = config
