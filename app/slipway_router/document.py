"""What the OpenAPI document says of requests and errors. The router itself reads bodies in `slipway_router.request`."""

from typing import Annotated, Any, Literal

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel, ConfigDict, Field

from slipway_router.ensemble.asked import Settings
from slipway_router.request import MOST_TOKENS

MostTokens = Annotated[int, Field(ge=0, le=MOST_TOKENS)]
Tokens = Annotated[list[int], Field(min_length=1)]
Texts = Annotated[list[str], Field(min_length=1)]
Prompt = str | Texts | Tokens | Annotated[list[list[int]], Field(min_length=1)]


class _Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: str = Field("auto", description="A backend's name or model, another name that it serves, or 'auto'.")


class _Body(_Open):
    stream: bool | None = Field(None, description="Answer as server-sent events.")
    max_tokens: MostTokens | None = Field(None, description="Most tokens of the answer; counts for the policy's estimate.")
    max_completion_tokens: MostTokens | None = Field(None, description="The same, by its newer name.")


class Message(BaseModel):
    """One message of a conversation."""

    model_config = ConfigDict(extra="allow")

    role: str
    content: str | list[Any] | None = None


class ChatBody(_Body):
    """Of `/v1/chat/completions`."""

    messages: list[Message] = Field(min_length=1, description="The conversation so far. Every other field is passed on.")


class EnsembleBody(BaseModel):
    """Of `/v1/ensemble`."""

    model_config = ConfigDict(extra="allow")

    messages: list[Message] = Field(min_length=1, description="The conversation so far. Every other field is passed on.")
    max_tokens: MostTokens | None = Field(None, description="Most tokens of each answer.")
    max_completion_tokens: MostTokens | None = Field(None, description="The same, by its newer name.")
    stream: Literal[False] | None = Field(None, description="Answers are compared whole.")
    n: Literal[1] | None = Field(None, description="Every model gives one answer.")
    ensemble: Settings


class CompletionBody(_Body):
    """Of `/v1/completions`."""

    prompt: Prompt


class EmbeddingBody(_Body):
    """Of `/v1/embeddings`."""

    input: Prompt


class Turn(BaseModel):
    """One message in Anthropic's shape."""

    model_config = ConfigDict(extra="allow")

    role: Annotated[str, Field(pattern="^(user|assistant|system)$")]
    content: str | list[Any]


class MessagesBody(_Open):
    """Of `/v1/messages`."""

    stream: bool | None = None
    system: str | list[Any] = Field("", description="The system prompt.")
    messages: list[Turn] = Field(min_length=1, description="The conversation so far, in Anthropic's shape.")
    max_tokens: int = Field(ge=1, le=MOST_TOKENS, description="Most tokens of the answer.")


class _Fault(BaseModel):
    message: str
    type: str
    param: str | None
    code: str | None


class Error(BaseModel):
    """An error in OpenAI's shape."""

    error: _Fault


class _Cause(BaseModel):
    type: str
    message: str


class MessagesError(BaseModel):
    """An error in Anthropic's shape."""

    type: str
    error: _Cause
    request_id: str


KEYED = (401, 500, 503)
"""Statuses of every path that wants a key: 503 while the keys are not known yet, 500 for a fault of ours."""
LOOKS = (400, 404, 408, 413, *KEYED)
"""Statuses with which a request is refused that the router only reads."""
FAILS = (*LOOKS, 403, 429, 502, 504, 508)
"""And those of requests that go to a backend."""


def refusals(statuses: tuple[int, ...], model: type[BaseModel] = Error) -> dict[int | str, dict[str, Any]]:
    """For FastAPI's `responses`."""
    return {status: {"model": model} for status in statuses}


def answers(model: type[BaseModel] = Error) -> dict[int | str, dict[str, Any]]:
    """Of a path that answers as a backend does: JSON or events, or an error, a backend's own 4xx among them."""
    passed: dict[str, Any] = {
        "description": "A backend's refusal of the request, as it is.",
        "content": {"application/json": {"schema": {}}},
    }
    return {
        200: {"description": "The backend's answer.", "content": {"text/event-stream": {}}},
        **refusals(FAILS, model),
        "4XX": passed,
    }


def document(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI document, without FastAPI's 422: nothing here answers so."""
    if app.openapi_schema is None:
        made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
        for path in made["paths"].values():
            for operation in path.values():
                operation["responses"].pop("422", None)
        for name in ("HTTPValidationError", "ValidationError"):
            made["components"]["schemas"].pop(name, None)
        app.openapi_schema = made
    return app.openapi_schema
