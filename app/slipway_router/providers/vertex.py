"""Vertex AI: OpenAI's API at Google, for its own models and for those deployed to endpoints, by the tokens of an identity.

After "Call Vertex AI models by using the OpenAI library" in Google Cloud's guide. The identity is found as Google's own libraries
find it (Application Default Credentials): the pod's service account, a key file, a user's login.
"""

import contextlib
import datetime
import time
from typing import Any

import orjson

from slipway_router.answer import Answer
from slipway_router.config import Backend, Task
from slipway_router.providers.fresh import Fresh
from slipway_router.providers.provider import Provider
from slipway_router.providers.shapes import Object, an_object, objects, text
from slipway_router.providers.translated import Whole, read_whole
from slipway_router.request import Asked

try:
    import google.auth
    from google.auth.transport.requests import Request
except ImportError as error:
    raise ImportError("the protocol vertex needs google-auth; install it with: pip install 'slipway[vertex]'") from error

SCOPE = "https://www.googleapis.com/auth/cloud-platform"


class Vertex(Provider):
    """`url` is the endpoint with its version, such as
    `https://europe-west4-aiplatform.googleapis.com/v1/projects/P/locations/europe-west4/endpoints/openapi`, where `model` is
    `google/gemini-2.5-flash`; or the same with the id of an endpoint of one's own in place of `openapi`.
    """

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

    async def understand(self, asked: Asked, answer: Answer) -> Answer:  # noqa: ARG002 -- a stream is passed on as it is
        if answer.status < 400:
            return answer
        if answer.status == 401:
            self._token.expire()
        retry = [h for h in answer.headers if h[0] == b"retry-after"]
        return Whole(answer.status, retry, to_error(answer.status, await read_whole(answer)))

    def _load(self) -> tuple[bytes, float]:
        google_auth: Any = google.auth
        if self._credentials is None:
            self._credentials, _ = google_auth.default(scopes=[SCOPE])
        self._credentials.refresh(Request())
        expiry: datetime.datetime | None = self._credentials.expiry
        # Google's library keeps it in UTC, without saying so.
        until = time.time() + 3600 if expiry is None else expiry.replace(tzinfo=datetime.UTC).timestamp()
        return self._credentials.token.encode(), until


def to_error(status: int, body: bytes) -> bytes:
    """Google's error, which may come in a list, in OpenAI's shape; its status is the code."""
    error: Object = {}
    with contextlib.suppress(orjson.JSONDecodeError):
        given: object = orjson.loads(body)
        first = next(iter(objects(given)), an_object(given))
        error = an_object(first.get("error"))
    told = {
        "message": text(error.get("message")) or f"Vertex AI answered {status} without a reason.",
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": None,
        "code": text(error.get("status")).lower() or None,
    }
    return orjson.dumps({"error": told})
