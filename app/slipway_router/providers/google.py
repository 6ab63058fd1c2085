"""What Google Cloud's services have in common: tokens of an identity, errors by status.

The identity is found as Google's own libraries find it (Application Default Credentials): the pod's service account, a key file,
a user's login.
"""

import contextlib
import datetime
import time
from typing import Any

import orjson

from slipway_router.backend import Backend
from slipway_router.providers.fresh import Fresh
from slipway_router.providers.provider import Provider
from slipway_router.providers.shapes import Object, an_object, objects, text
from slipway_router.schema import Task

try:
    import google.auth
    from google.auth.transport.requests import Request
except ImportError as error:
    raise ImportError(
        "the protocols vertex, vertex-raw and vertex-anthropic need google-auth; install it with: pip install 'slipway[vertex]'"
    ) from error

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class GoogleProvider(Provider):
    """Asks with a token, which is got anew before it expires."""

    prepares = True
    translates = True

    def __init__(self, backend: Backend, key: str | None) -> None:
        super().__init__(backend, key)
        self._credentials: Any = None
        self._token = Fresh(self._load, "token of Google")

    async def prepare(self) -> None:
        await self._token.ensure()

    def head(self, task: Task, size: int, request_id: bytes, tracing: bytes) -> bytes:
        return super().head(task, size, request_id, b"%bauthorization: Bearer %b\r\n" % (tracing, self._token.value))

    def probe(self) -> bytes:
        return super().probe()[:-2] + b"authorization: Bearer %b\r\n\r\n" % self._token.value

    def refused(self, status: int) -> None:
        """Google answered with this error: a token that it does not take is got anew."""
        if status == 401:
            self._token.expire()

    def _load(self) -> tuple[bytes, float]:
        google_auth: Any = google.auth
        if self._credentials is None:
            self._credentials, _ = google_auth.default(scopes=[SCOPE])
        self._credentials.refresh(Request())
        expiry: datetime.datetime | None = self._credentials.expiry
        # Google's library keeps it in UTC, without saying so.
        until = time.time() + 3600 if expiry is None else expiry.replace(tzinfo=datetime.UTC).timestamp()
        return self._credentials.token.encode(), until


def googles(body: bytes) -> Object | None:
    """Google's own error in this body, which may come in a list. None where the error is a container's or a publisher's."""
    with contextlib.suppress(orjson.JSONDecodeError):
        given: object = orjson.loads(body)
        error = an_object(next(iter(objects(given)), an_object(given)).get("error"))
        return None if "type" in error else error
    return {}


def to_error(status: int, body: bytes) -> bytes:
    """An error in OpenAI's shape, as it is where it has that; the code of Google's is its status."""
    error = googles(body)
    if error is None:
        return body
    told = {
        "message": text(error.get("message")) or f"Vertex AI answered {status} without a reason.",
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": None,
        "code": text(error.get("status")).lower() or None,
    }
    return orjson.dumps({"error": told})
