# pyright: basic, reportMissingImports=false
"""Anthropic's SDK for Python."""

from typing import Any

import anthropic
import prompts
from pydantic import BaseModel
from script import ASKED, KEY, NAME, URL, left, run, until_broken

CLIENT: Any = anthropic.Anthropic(base_url=URL, api_key=KEY, max_retries=0, timeout=120)
TOOL = {"name": prompts.WEATHER["name"], "input_schema": prompts.WEATHER["schema"]}
FORCED = {"tools": [TOOL], "tool_choice": {"type": "any"}}


class Sure(BaseModel):
    sure: bool


def asked(model, said):
    return {"model": model, "max_tokens": 200, "messages": [{"role": "user", "content": said}]}


def usage(found):
    cached = (found.cache_read_input_tokens or 0) + (found.cache_creation_input_tokens or 0)
    return {"prompt_tokens": found.input_tokens + cached, "answer_tokens": found.output_tokens}


def told(message):
    text = "".join(b.text for b in message.content if b.type == "text")
    return {"text": text, "finish": message.stop_reason, **usage(message.usage)}


def call_of(message):
    (call,) = [b for b in message.content if b.type == "tool_use"]
    return {"name": call.name, "arguments": call.input, "finish": message.stop_reason}


def chat(model):
    return told(CLIENT.messages.create(**asked(model, prompts.HELLO)))


def stream(model):
    with CLIENT.messages.stream(**asked(model, prompts.HELLO)) as events:
        text = "".join(events.text_stream)
        return {**told(events.get_final_message()), "text": text}


def tools(model):
    given = asked(model, prompts.CALL)
    message = CLIENT.messages.create(**given, **FORCED)
    call = next(b for b in message.content if b.type == "tool_use")
    result = {"type": "tool_result", "tool_use_id": call.id, "content": "rain"}
    given["messages"] += [{"role": "assistant", "content": message.content}, {"role": "user", "content": [result]}]
    given["max_tokens"] = 20
    return {**call_of(message), "text": told(CLIENT.messages.create(**given, tools=[TOOL]))["text"]}


def streamed_tools(model):
    with CLIENT.messages.stream(**asked(model, prompts.CALL), **FORCED) as events:
        return call_of(events.get_final_message())


def schema(model):
    return CLIENT.messages.parse(**asked(model, prompts.HELLO), output_format=Sure).parsed_output.model_dump()


def wrong_key(model):
    CLIENT.with_options(api_key="wrong").messages.create(**asked(model, prompts.HELLO))


def unknown_model(model):
    CLIENT.messages.create(**asked("no-such-model", prompts.HELLO))


def says(said):
    return lambda model: CLIENT.messages.create(**asked(model, said))


def refused(model):
    says(ASKED["refused"].get(model, prompts.REFUSED))(model)


def cut(model):
    with CLIENT.messages.stream(**asked(model, prompts.CUT)) as events:
        return until_broken(events.text_stream)


def cancel(model):
    with CLIENT.messages.stream(**asked(model, prompts.ENDLESS + NAME)) as events:
        for _, _part in zip(range(4), events, strict=False):
            pass
        return left(events.close)


run(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "streamed tools": streamed_tools,
        "schema": schema,
        "wrong key": wrong_key,
        "unknown model": unknown_model,
        "refused": refused,
        "busy": says(prompts.BUSY),
        "failed": says(prompts.HELLO),
        "cut": cut,
        "cancel": cancel,
    }
)
