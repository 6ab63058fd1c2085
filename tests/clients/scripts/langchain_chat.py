# pyright: basic, reportMissingImports=false, reportAttributeAccessIssue=false, reportOptionalMemberAccess=false
"""LangChain's chat models, of `langchain_openai` or `langchain_anthropic`, as the first argument says."""

import sys

import prompts
from langchain_core.messages import HumanMessage, ToolMessage
from pydantic import BaseModel
from script import ASKED, KEY, NAME, PUSH, URL, left, run, until_broken

SETTINGS = {"max_retries": 0, "timeout": 120}
if sys.argv[1] == "openai":
    from langchain_openai import ChatOpenAI, OpenAIEmbeddings

    def made(model, key=KEY, **more):
        return ChatOpenAI(model=model, base_url=f"{URL}/v1", api_key=key, stream_usage=True, max_tokens=200, **SETTINGS, **more)

else:
    from langchain_anthropic import ChatAnthropic

    def made(model, key=KEY, **more):
        return ChatAnthropic(model=model, base_url=URL, api_key=key, max_tokens=200, **SETTINGS, **more)


TOOL = {
    "type": "function",
    "function": {
        "name": prompts.WEATHER["name"],
        "description": prompts.WEATHER["description"],
        "parameters": prompts.WEATHER["schema"],
    },
}


class Sure(BaseModel):
    """Whether it is sure."""

    sure: bool


def told(message):
    found = message.response_metadata
    return {
        "text": message.text,
        "finish": found.get("finish_reason") or found.get("stop_reason"),
        "prompt_tokens": message.usage_metadata["input_tokens"],
        "answer_tokens": message.usage_metadata["output_tokens"],
    }


def together(parts):
    whole = None
    for part in parts:
        whole = part if whole is None else whole + part
    return whole


def call_of(message):
    (call,) = message.tool_calls
    return {"name": call["name"], "arguments": call["args"], "finish": told(message)["finish"]}


def chat(model):
    return told(made(model).invoke(prompts.HELLO))


def stream(model):
    return told(together(made(model).stream(prompts.HELLO)))


def tools(model):
    asked = [HumanMessage(prompts.CALL)]
    message = made(model).bind_tools([TOOL], tool_choice="any", **PUSH.get(model, {})).invoke(asked)
    result = ToolMessage("rain", tool_call_id=message.tool_calls[0]["id"])
    return {**call_of(message), "text": made(model).bind_tools([TOOL], max_tokens=20).invoke([*asked, message, result]).text}


def streamed_tools(model):
    return call_of(together(made(model).bind_tools([TOOL], tool_choice="any", **PUSH.get(model, {})).stream(prompts.CALL)))


def schema(model):
    return made(model).with_structured_output(Sure, method="json_schema").invoke(prompts.HELLO).model_dump()


def embeddings(model):
    # Unless it is told not to, it cuts texts into tokens of OpenAI's, for which it loads a table from elsewhere.
    embedding = OpenAIEmbeddings(model=model, base_url=f"{URL}/v1", api_key=KEY, check_embedding_ctx_length=False, **SETTINGS)
    return {"vectors": embedding.embed_documents(["one", "two"])}


def wrong_key(model):
    made(model, "wrong").invoke(prompts.HELLO)


def unknown_model(model):
    made("no-such-model").invoke(prompts.HELLO)


def says(said):
    return lambda model: made(model).invoke(said)


def refused(model):
    says(ASKED["refused"].get(model, prompts.REFUSED))(model)


def cut(model):
    return until_broken(part.text for part in made(model).stream(prompts.CUT))


def cancel(model):
    parts = made(model).stream(prompts.ENDLESS + NAME)
    for _, _part in zip(range(4), parts, strict=False):
        pass
    return left(parts.close)


FEATURES = {
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
run(FEATURES | ({"embeddings": embeddings} if sys.argv[1] == "openai" else {}))
