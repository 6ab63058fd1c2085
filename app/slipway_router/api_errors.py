"""Errors of FastAPI's paths, in the shape of OpenAI's API."""

from typing import Any, cast

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from slipway_router.asgi import JSON, ApiError, unexpected
from slipway_router.refusal import log_unexpected
from slipway_router.request import read_headers, request_id


async def on_api_error(request: Request, error: ApiError) -> Response:
    """An error of ours."""
    headers = {n.decode(): v.decode() for n, v in (JSON, *error.headers)}
    identity = request_id(read_headers(request.scope["headers"]))
    return Response(error.body(), error.status, {**headers, "x-request-id": identity.decode()})


async def on_http_error(request: Request, error: HTTPException) -> Response:
    """One of Starlette's: no such path, or another method."""
    headers = [(n.encode(), v.encode()) for n, v in (error.headers or {}).items()]
    if error.status_code == 404:
        message, code = f"There is no {request.url.path[:256]} here.", "not_found"
    elif error.status_code == 405:
        allowed = ", ".join(_methods(request))
        headers = [(b"allow", allowed.encode())]
        message, code = f"{request.url.path} does not take {request.method}; it takes {allowed}.", "method_not_allowed"
    else:
        message, code = str(error.detail), None
    return await on_api_error(request, ApiError(error.status_code, message, code=code, headers=headers))


async def on_unexpected(request: Request, error: Exception) -> Response:
    """A fault of ours. Starlette raises it again after this answer."""
    identity = log_unexpected(request.scope, error)
    return Response(unexpected(identity).body(), 500, {"content-type": "application/json", "x-request-id": identity})


def handle_errors(app: FastAPI) -> None:
    """Have an app answer in this shape whatever goes wrong."""
    # FastAPI's types for handlers are wider than what it calls them with.
    app.add_exception_handler(ApiError, cast("Any", on_api_error))
    app.add_exception_handler(HTTPException, cast("Any", on_http_error))
    app.add_exception_handler(Exception, on_unexpected)


def _methods(request: Request) -> list[str]:
    """All that a path takes. Starlette names those of the first that is declared for it."""
    routes = [r for r in request.app.routes if isinstance(r, Route) and r.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in routes for method in route.methods or ()})
