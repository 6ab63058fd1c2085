"""The FastAPI app: models, metrics, documentation, and errors in OpenAI's shape for every path there is not.

The paths of the data path and of the probes are declared here too, so that the OpenAPI document lists them; they are answered by
`slipway_router.proxy` before FastAPI is asked.
"""

import time
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from fastapi.security import HTTPBearer

from slipway_router.api_errors import handle_errors
from slipway_router.asgi import ApiError
from slipway_router.body import read_body
from slipway_router.counting import CONTENT_TYPE
from slipway_router.document import (
    FAILS,
    KEYED,
    LOOKS,
    ChatBody,
    CompletionBody,
    EmbeddingBody,
    EnsembleBody,
    MessagesBody,
    MessagesError,
    answers,
    document,
    refusals,
)
from slipway_router.explain import explain_request
from slipway_router.request import read_headers
from slipway_router.router import Router
from slipway_router.version import VERSION


def create(router: Router) -> FastAPI:
    """Build the app over a router's state."""
    created = int(time.time())
    app = FastAPI(title="Slipway router", version=VERSION, summary="One OpenAI-compatible address in front of many models.")
    bearer = HTTPBearer(auto_error=False)
    handle_errors(app)

    def caller(request: Request, _: Annotated[object, Depends(bearer)]) -> None:
        authorization = request.headers.get("authorization")
        router.keys.caller(authorization.encode("latin-1") if authorization is not None else None)

    keyed = [Depends(caller)]
    errors, keyed_only = answers(), refusals(KEYED)
    app.openapi = lambda: document(app)  # as FastAPI's guide has it

    @app.get("/v1/models", tags=["models"], summary="Every name that can be asked for", responses=keyed_only, dependencies=keyed)
    async def models() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction] -- FastAPI keeps it
        return {"object": "list", "data": [_model(n, o, created) for n, o in router.models().items()]}

    @app.get(
        "/v1/models/{model:path}", tags=["models"], summary="One of them", responses=refusals((404, *KEYED)), dependencies=keyed
    )
    async def one_model(model: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        owners = router.models()
        if model not in owners:
            choices = ", ".join(f"'{m}'" for m in owners)
            raise ApiError(404, f"The model '{model[:128]}' does not exist here; there are {choices}.", code="model_not_found")
        return _model(model, owners[model], created)

    asked = [{"$ref": f"#/components/schemas/{name}"} for name in ("ChatBody", "CompletionBody", "EmbeddingBody")]

    @app.post(
        "/v1/route",
        tags=["operation"],
        summary="Say where a request would go, and why, without sending it anywhere",
        responses=refusals(LOOKS),
        dependencies=keyed,
        openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": {"anyOf": asked}}}}},
    )
    async def route(request: Request) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        headers = read_headers(request.scope["headers"], router.headers)
        raw = await read_body(headers.get(b"content-length"), router.max_body, request.receive)
        caller = router.keys.caller(headers.get(b"authorization"))
        return explain_request(router, headers, raw or b"", caller.tier)

    @app.get(
        "/metrics", tags=["operation"], summary="Metrics for Prometheus", response_class=Response, responses=refusals((500,))
    )
    async def metrics() -> Response:  # pyright: ignore[reportUnusedFunction]
        return Response(router.metrics.text(), headers={"content-type": CONTENT_TYPE})

    # From here on: declared for the OpenAPI document, which is all that their bodies are for.

    @app.post("/v1/chat/completions", tags=["inference"], summary="Answer a conversation", responses=errors, dependencies=keyed)
    async def chat(body: ChatBody) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction] # noqa: ARG001
        raise _not_here()

    @app.post(
        "/v1/ensemble",
        tags=["inference"],
        summary="Ask several models at once, and make one answer of theirs",
        responses=refusals(FAILS),
        dependencies=keyed,
    )
    async def ensemble(body: EnsembleBody) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction] # noqa: ARG001
        raise _not_here()

    @app.post(
        "/v1/messages",
        tags=["inference"],
        summary="Answer a conversation in Anthropic's Messages API",
        responses=answers(MessagesError),
        dependencies=keyed,
    )
    async def messages(body: MessagesBody) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction] # noqa: ARG001
        raise _not_here()

    @app.post("/v1/completions", tags=["inference"], summary="Go on with a text", responses=errors, dependencies=keyed)
    async def completions(body: CompletionBody) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction] # noqa: ARG001
        raise _not_here()

    @app.post("/v1/embeddings", tags=["inference"], summary="Embed texts", responses=errors, dependencies=keyed)
    async def embeddings(body: EmbeddingBody) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction] # noqa: ARG001
        raise _not_here()

    @app.get("/health", tags=["operation"], summary="Whether the process answers")
    async def health() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        raise _not_here()

    @app.get(
        "/ready",
        tags=["operation"],
        summary="Whether requests should be sent here; lists the backends",
        responses={503: {"description": "Draining, or no backend is reachable."}},
    )
    async def ready() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        raise _not_here()

    return app


def _model(name: str, owner: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": owner}


def _not_here() -> AssertionError:
    return AssertionError("slipway_router.proxy answers this path; the app was mounted without it")
