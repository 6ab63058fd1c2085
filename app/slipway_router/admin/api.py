"""The admin API. Every path of it wants the admin key; none is on the port that clients use."""

import hashlib
import hmac
import logging
from collections.abc import Sequence
from typing import Any, cast

from fastapi import Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.security import HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from slipway_router.admin.keys import NewKey, created, listed, revoked
from slipway_router.admin.view import backend_of, state_of
from slipway_router.api_errors import handle_errors, on_api_error
from slipway_router.asgi import CLOSE, ApiError, App, Header, Receive, Scope, Send, respond
from slipway_router.document import document, refusals
from slipway_router.refusal import log_unexpected
from slipway_router.router import Router
from slipway_router.schema import path_of, reason_of
from slipway_router.target import Target
from slipway_router.version import VERSION

_ALWAYS = (401, 500)
"""Statuses of every path."""

logger = logging.getLogger("slipway_router")


class Weight(BaseModel):
    """How much of its traffic a backend gets."""

    model_config = ConfigDict(extra="forbid")

    weight: float = Field(ge=0, le=1, description="0: none, as when it is drained; 1: all; 0.1: a tenth of what it would get.")


def create(router: Router) -> App:
    """Build the app over a router's state. Nothing of it is reached without the key, not even that a path is not there."""
    app = described(router)

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and not allowed(router.admin_key, scope["headers"]):
            error = ApiError(
                401,
                "The admin key is missing or wrong; send it as 'Authorization: Bearer KEY'.",
                kind="authentication_error",
                code="invalid_admin_key",
                headers=(CLOSE,),
            )
            await respond(send, error.status, error.body(), error.headers)
            return
        try:
            await app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 -- it is answered already; the server would log what an operator wrote
            log_unexpected(scope, error)

    return guarded


def allowed(key: bytes | None, headers: Sequence[Header]) -> bool:
    """Whether these headers hold the key of this SHA-256.

    Digests are compared, and those in constant time: how long that takes tells nothing of the key, nor of its length.
    """
    told = next((value for name, value in headers if name == b"authorization"), b"")
    scheme, _, token = told.partition(b" ")
    same = hmac.compare_digest(hashlib.sha256(token.strip()).digest(), key or b"")
    return same and scheme.lower() == b"bearer"


def described(router: Router) -> FastAPI:
    """The paths, as their OpenAPI document tells them."""
    app = FastAPI(
        title="Slipway router, admin API",
        version=VERSION,
        summary="State, backends and keys of one replica of the router.",
        dependencies=[Depends(HTTPBearer(auto_error=False))],
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    handle_errors(app)
    app.add_exception_handler(RequestValidationError, cast("Any", _on_invalid))
    refused, unknown = refusals(_ALWAYS), refusals((404, *_ALWAYS))

    def target_of(name: str) -> Target:
        found = router.targets.get(name)
        if found is None:
            choices = ", ".join(f"'{n}'" for n in router.targets)
            raise ApiError(404, f"There is no backend '{name[:128]}'; there are {choices}.", code="backend_not_found")
        return found

    def give(name: str, share: float) -> dict[str, Any]:
        target = target_of(name)
        router.weights.set(name, share)
        logger.warning("admin: backend %s gets %g of its traffic, %d requests under way", name, share, target.in_flight)
        return backend_of(router, target)

    @app.get("/admin/openapi.json", tags=["documentation"], summary="This document", responses=refused)
    async def openapi() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction] -- FastAPI keeps it
        return document(app)

    @app.get("/admin/state", tags=["state"], summary="The router and all its backends", responses=refused)
    async def state() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        return state_of(router, router.metrics.under_way())

    @app.get("/admin/backends", tags=["backends"], summary="All backends", responses=refused)
    async def backends() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        return {"backends": [backend_of(router, t) for t in router.targets.values()]}

    @app.get("/admin/backends/{name}", tags=["backends"], summary="One of them", responses=unknown)
    async def one_backend(name: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        return backend_of(router, target_of(name))

    @app.post(
        "/admin/backends/{name}/drain",
        tags=["backends"],
        summary="Send it nothing new; what is under way at it ends as it began",
        responses=unknown,
    )
    async def drain(name: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        return give(name, 0.0)

    @app.post("/admin/backends/{name}/undrain", tags=["backends"], summary="Send it its share again", responses=unknown)
    async def undrain(name: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        return give(name, 1.0)

    @app.put(
        "/admin/backends/{name}/weight",
        tags=["backends"],
        summary="Send it a part of what it would get; the rest goes to those after it",
        responses=refusals((400, 404, *_ALWAYS)),
    )
    async def weight(name: str, body: Weight) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        return give(name, body.weight)

    @app.get(
        "/admin/keys",
        tags=["keys"],
        summary="All keys, without what would let anybody use one",
        responses=refusals((503, *_ALWAYS)),
    )
    async def keys() -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        return {"keys": await listed(router)}

    @app.post(
        "/admin/keys",
        tags=["keys"],
        status_code=201,
        summary="Make a key, which every router takes within a second; it is told this once and kept nowhere",
        responses=refusals((400, 409, 503, *_ALWAYS)),
    )
    async def create_key(body: NewKey, response: Response) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        response.headers["cache-control"] = "no-store"
        made = await created(router, body)
        logger.warning("admin: key %s is made", body.name)
        return made

    @app.delete(
        "/admin/keys/{name}",
        tags=["keys"],
        summary="Take a key no longer, on every router within a second",
        responses=refusals((404, 409, 503, *_ALWAYS)),
    )
    async def revoke_key(name: str) -> dict[str, Any]:  # pyright: ignore[reportUnusedFunction]
        done = await revoked(router, name)
        logger.warning("admin: key %s is revoked", name)
        return done

    return app


async def _on_invalid(request: Request, error: RequestValidationError) -> Response:
    faults = [(path_of(tuple(e["loc"])[1:]), reason_of(e)) for e in error.errors()]
    told = "; ".join(f"'{path}' {reason}" for path, reason in faults)
    return await on_api_error(request, ApiError(400, f"{told[0].upper()}{told[1:]}.", param=faults[0][0], code="invalid_body"))
