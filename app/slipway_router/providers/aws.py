"""What AWS's services have in common: requests signed by the identity of the pod, the event stream, errors by name.

After "Authenticating Requests (AWS Signature Version 4)" and "Event stream encoding". The identity is found as AWS's own
libraries find it: the pod's role, the machine's role, the environment. There is no key.
"""

import time
from typing import Any, ClassVar
from urllib.parse import urlsplit

import orjson
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.eventstream import EventStreamBuffer
from botocore.session import Session

from slipway_router.answer import Answer, UpstreamError
from slipway_router.asgi import Header
from slipway_router.backend import Backend
from slipway_router.providers.fresh import AHEAD_SECONDS, Fresh
from slipway_router.providers.provider import Provider
from slipway_router.providers.shapes import Object, an_object, text

CREDENTIALS_SECONDS = 300.0
"""Between two looks at the credentials: botocore hands out none with less than 10 minutes left, and gets new ones itself."""
EVENT_STREAM = b"application/vnd.amazon.eventstream"
THROTTLED = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException", "throttlingException"})


class AwsProvider(Provider):
    """A service of AWS. Its requests are signed for the backend's region."""

    service: ClassVar[str]
    """Name under which requests are signed."""
    prepares = True
    translates = True

    def __init__(self, backend: Backend, key: str | None) -> None:
        super().__init__(backend, key)
        url = urlsplit(backend.url)
        self._origin = f"{url.scheme}://{url.netloc}"
        region = backend.resolved_region
        assert region is not None, "the configuration's check sees to it"
        self._region = region
        self._session: Any = None
        self._credentials = Fresh[Any](self._load, "AWS credentials")

    async def prepare(self) -> None:
        await self._credentials.ensure()

    def signed(self, path: str, headers: dict[str, str], body: bytes, request_id: bytes, tracing: bytes) -> bytes:
        """The head of a request to this path, which is quoted already."""
        # botocore has no types.
        asked: Any = AWSRequest(method="POST", url=self._origin + path, data=body, headers=headers)
        signer: Any = SigV4Auth(self._credentials.value, self.service, self._region)
        signer.add_auth(asked)
        lines = "".join(f"{name}: {value}\r\n" for name, value in asked.headers.items())
        head = f"POST {path} HTTP/1.1\r\n{self._common}{lines}content-length: {len(body)}\r\n".encode()
        return b"%b%bx-request-id: %b\r\n\r\n" % (head, tracing, request_id)

    def refused(self, status: int) -> None:
        """The service answered with this error: credentials that it does not take are got anew."""
        if status in (401, 403):
            # A session keeps what it found; where keys or a token were replaced, it would find the old ones again.
            self._session = None
            self._credentials.expire()

    def probe(self) -> bytes:
        """Asks the service, not the model: to see whether that is well, it would have to run."""
        return f"GET /ping HTTP/1.1\r\n{self._common}\r\n".encode()

    def alive(self, status: int) -> bool:
        return status < 500

    def _load(self) -> tuple[Any, float]:
        if self._session is None:
            self._session = Session()
        found = self._session.get_credentials()
        if found is None:
            raise LookupError("found neither a role nor keys in the environment")
        return found.get_frozen_credentials(), time.time() + CREDENTIALS_SECONDS + AHEAD_SECONDS


class EventFrames:
    """Takes an event stream's bytes as they come, gives whole events."""

    def __init__(self) -> None:
        self._buffer: Any = EventStreamBuffer()

    def feed(self, data: bytes) -> list[tuple[str, bytes]]:
        """Type and payload of the events that are whole with these bytes.

        Raises:
            UpstreamError: when the service says that it failed, or a frame is broken.
        """
        self._buffer.add_data(data)
        found: list[tuple[str, bytes]] = []
        try:
            for message in self._buffer:
                kind = str(message.headers.get(":exception-type") or message.headers.get(":error-code") or "")
                if kind or message.headers.get(":message-type") in ("exception", "error"):
                    raise UpstreamError(
                        "rate_limit" if kind in THROTTLED else "status", f"broke off with {kind[:64] or 'an error'}"
                    )
                found.append((str(message.headers.get(":event-type")), message.payload))
        except UpstreamError:
            raise
        except Exception as error:  # noqa: BLE001 -- a broken frame, by whichever of botocore's names
            raise UpstreamError("protocol", f"answered with a malformed event stream ({type(error).__name__})") from None
        return found


def passed_on(answer: Answer) -> list[Header]:
    """Headers for the client."""
    return [h for h in answer.headers if h[0] in (b"x-amzn-requestid", b"retry-after")]


def error_type(answer: Answer, body: bytes) -> str:
    """An error's name, which is in a header or in the body."""
    told = next((v.decode("latin-1") for n, v in answer.headers if n == b"x-amzn-errortype"), "")
    given = parsed(body)
    told = told or text(given.get("__type")) or text(given.get("ErrorCode"))
    return told.split(":")[0].rpartition("#")[2]


def said_of(body: bytes) -> str:
    """An error's message."""
    given = parsed(body)
    return text(given.get("Message")) or text(given.get("message"))


def an_error(status: int, kind: str, said: str) -> bytes:
    """An error in OpenAI's shape, with the service's name of it as the code."""
    told = {
        "message": said,
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": None,
        "code": kind or None,
    }
    return orjson.dumps({"error": told})


def parsed(body: bytes) -> Object:
    """A JSON object; an empty one where it is none."""
    try:
        return an_object(orjson.loads(body))
    except orjson.JSONDecodeError:
        return {}
