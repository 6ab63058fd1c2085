# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""LiteLLM's library as a client."""

import json
import os

# Else it loads a table of prices from elsewhere before it does anything.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import litellm
import prompts
from pydantic import BaseModel
from script import ASKED, KEY, NAME, PUSH, URL, left, run, until_broken

SETTINGS = {"api_base": f"{URL}/v1", "num_retries": 0, "max_retries": 0, "timeout": 120}
TOOL = {
    "type": "function",
    "function": {
        "name": prompts.WEATHER["name"],
        "description": prompts.WEATHER["description"],
        "parameters": prompts.WEATHER["schema"],
    },
}
litellm.suppress_debug_info = True


class Sure(BaseModel):
    sure: bool


def forced(model):
    return {"tools": [TOOL], "tool_choice": "required", **PUSH.get(model, {})}


def complete(model, said, *, key=KEY, most=200, **more):
    messages = said if isinstance(said, list) else [{"role": "user", "content": said}]
    return litellm.completion(model=f"openai/{model}", messages=messages, api_key=key, max_tokens=most, **SETTINGS, **more)


def told(answer):
    choice, used = answer.choices[0], answer.usage
    return {
        "text": choice.message.content,
        "finish": choice.finish_reason,
        "prompt_tokens": used.prompt_tokens,
        "answer_tokens": used.completion_tokens,
    }


def call_of(answer):
    (call,) = answer.choices[0].message.tool_calls
    arguments = json.loads(call.function.arguments)
    return {"name": call.function.name, "arguments": arguments, "finish": answer.choices[0].finish_reason}


def chat(model):
    return told(complete(model, prompts.HELLO))


def stream(model):
    parts = list(complete(model, prompts.HELLO, stream=True, stream_options={"include_usage": True}))
    return told(litellm.stream_chunk_builder(parts))


def tools(model):
    asked = [{"role": "user", "content": prompts.CALL}]
    answer = complete(model, asked, **forced(model))
    message = answer.choices[0].message
    result = {"role": "tool", "tool_call_id": message.tool_calls[0].id, "content": "rain"}
    return {
        **call_of(answer),
        "text": told(complete(model, [*asked, message.model_dump(), result], tools=[TOOL], most=20))["text"],
    }


def streamed_tools(model):
    parts = list(complete(model, prompts.CALL, **forced(model), stream=True))
    return call_of(litellm.stream_chunk_builder(parts))


def schema(model):
    return json.loads(told(complete(model, prompts.HELLO, response_format=Sure))["text"])


def embeddings(model):
    answer = litellm.embedding(model=f"openai/{model}", input=["one", "two"], api_key=KEY, **SETTINGS)
    return {"vectors": [d["embedding"] for d in answer.data]}


def wrong_key(model):
    complete(model, prompts.HELLO, key="wrong")


def unknown_model(model):
    complete("no-such-model", prompts.HELLO)


def says(said):
    return lambda model: complete(model, said)


def refused(model):
    says(ASKED["refused"].get(model, prompts.REFUSED))(model)


def cut(model):
    return until_broken(c.delta.content or "" for p in complete(model, prompts.CUT, stream=True) for c in p.choices)


def cancel(model):
    parts = complete(model, prompts.ENDLESS + NAME, stream=True)
    for _, _part in zip(range(4), parts, strict=False):
        pass
    return left(parts.completion_stream.close)


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
