# pyright: basic, reportMissingImports=false
"""OpenAI's SDK for Python."""

import json
from typing import Any

import openai
import prompts
from pydantic import BaseModel
from script import ASKED, KEY, NAME, PUSH, URL, left, run, until_broken

CLIENT: Any = openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY, max_retries=0, timeout=120)
TOOL = {
    "type": "function",
    "function": {"name": prompts.WEATHER["name"], "parameters": prompts.WEATHER["schema"], "strict": True},
}
LIMIT = {"max_completion_tokens": 200}


class Sure(BaseModel):
    sure: bool


def forced(model):
    return {"tools": [TOOL], "tool_choice": "required", **PUSH.get(model, {})}


def user(said):
    return [{"role": "user", "content": said}]


def usage(found):
    return {"prompt_tokens": found.prompt_tokens, "answer_tokens": found.completion_tokens}


def chat(model):
    answer = CLIENT.chat.completions.create(model=model, messages=user(prompts.HELLO), **LIMIT)
    choice = answer.choices[0]
    return {"text": choice.message.content, "finish": choice.finish_reason, **usage(answer.usage)}


def stream(model):
    options = {"include_usage": True}
    text, finish, used = "", None, None
    for part in CLIENT.chat.completions.create(
        model=model, messages=user(prompts.HELLO), stream=True, stream_options=options, **LIMIT
    ):
        used = part.usage or used
        for choice in part.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    return {"text": text, "finish": finish, **usage(used)}


def call_of(message, finish):
    (call,) = message.tool_calls
    return {"name": call.function.name, "arguments": json.loads(call.function.arguments), "finish": finish}


def tools(model):
    asked = user(prompts.CALL)
    answer = CLIENT.chat.completions.create(model=model, messages=asked, **forced(model), **LIMIT)
    message = answer.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
    told = CLIENT.chat.completions.create(model=model, messages=[*asked, message, result], tools=[TOOL], max_completion_tokens=20)
    return {**call_of(message, answer.choices[0].finish_reason), "text": told.choices[0].message.content}


def streamed_tools(model):
    with CLIENT.chat.completions.stream(model=model, messages=user(prompts.CALL), **forced(model), **LIMIT) as events:
        choice = events.get_final_completion().choices[0]
    return call_of(choice.message, choice.finish_reason)


def schema(model):
    answer = CLIENT.chat.completions.parse(model=model, messages=user(prompts.HELLO), response_format=Sure, **LIMIT)
    return answer.choices[0].message.parsed.model_dump()


def embeddings(model):
    answer = CLIENT.embeddings.create(model=model, input=["one", "two"])
    return {"vectors": [d.embedding for d in answer.data]}


def wrong_key(model):
    other = CLIENT.with_options(api_key="wrong")
    other.chat.completions.create(model=model, messages=user(prompts.HELLO))


def unknown_model(model):
    CLIENT.chat.completions.create(model="no-such-model", messages=user(prompts.HELLO))


def says(said):
    return lambda model: CLIENT.chat.completions.create(model=model, messages=user(said))


def refused(model):
    says(ASKED["refused"].get(model, prompts.REFUSED))(model)


def cut(model):
    parts = CLIENT.chat.completions.create(model=model, messages=user(prompts.CUT), stream=True)
    return until_broken(c.delta.content or "" for p in parts for c in p.choices)


def cancel(model):
    parts = CLIENT.chat.completions.create(model=model, messages=user(prompts.ENDLESS + NAME), stream=True)
    for _, _part in zip(range(4), parts, strict=False):
        pass
    return left(parts.close)


run(
    {
        "chat": chat,
        "stream": stream,
        "tools": tools,
        "streamed tools": streamed_tools,
        "schema": schema,
        "embeddings": embeddings,
        "wrong key": wrong_key,
        "unknown model": unknown_model,
        "refused": refused,
        "busy": says(prompts.BUSY),
        "failed": says(prompts.HELLO),
        "cut": cut,
        "cancel": cancel,
    }
)
