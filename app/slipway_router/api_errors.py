"""Errors of FastAPI's paths, in the shape of OpenAI's API."""

from fastapi import Request, Response
from starlette.exceptions import HTTPException
from starlette.routing import Match, Route

from slipway_router.asgi import JSON, ApiError
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


def _methods(request: Request) -> list[str]:
    """All that a path takes. Starlette names those of the first that is declared for it."""
    routes = [r for r in request.app.routes if isinstance(r, Route) and r.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in routes for method in route.methods or ()})
