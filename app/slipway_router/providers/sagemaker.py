"""Amazon SageMaker: a container that speaks OpenAI's API behind `InvokeEndpoint` and `InvokeEndpointWithResponseStream`.

After "Amazon SageMaker Runtime" in SageMaker's API reference and "Authenticating Requests (AWS Signature Version 4)". The
identity is found as AWS's own libraries find it: the pod's role, the machine's role, the environment. There is no key.
"""

import re
import time
from typing import Any
from urllib.parse import urlsplit

import orjson

from slipway_router.answer import Answer, UpstreamError
from slipway_router.asgi import Header
from slipway_router.config import Backend
from slipway_router.providers.fresh import AHEAD_SECONDS, Fresh
from slipway_router.providers.provider import Provider
from slipway_router.providers.shapes import Object, an_object, count, text
from slipway_router.providers.sse import event
from slipway_router.providers.translated import Stream, Whole, is_stream, read_whole
from slipway_router.request import Asked

try:
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.eventstream import EventStreamBuffer
    from botocore.session import Session
except ImportError as error:
    raise ImportError("the protocol sagemaker needs botocore; install it with: pip install 'slipway[sagemaker]'") from error

SERVICE = "sagemaker"
"""Name under which requests are signed."""
CREDENTIALS_SECONDS = 300.0
"""Between two looks at the credentials: botocore hands out none with less than 10 minutes left, and gets new ones itself."""
_THROTTLED = frozenset({"ThrottlingException", "Throttling", "TooManyRequestsException"})
_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
_TAIL_BYTES = 4096


class SageMaker(Provider):
    """`url` is the endpoint's, such as `https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/NAME`; `model` is the name
    that its container serves the model by.
    """

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

    def request(self, asked: Asked, request_id: bytes, tracing: bytes) -> tuple[bytes, bytes]:
        body = self.body(asked)
        operation = "invocations-response-stream" if asked.stream else "invocations"
        url = f"{self._origin}{self._base}/{operation}"
        headers = {"Content-Type": "application/json", "X-Amzn-SageMaker-Accept": "application/json"}
        # botocore has no types.
        signed: Any = AWSRequest(method="POST", url=url, data=body, headers=headers)
        signer: Any = SigV4Auth(self._credentials.value, SERVICE, self._region)
        signer.add_auth(signed)
        lines = "".join(f"{name}: {value}\r\n" for name, value in signed.headers.items())
        head = f"POST {urlsplit(url).path} HTTP/1.1\r\n{self._common}{lines}content-length: {len(body)}\r\n".encode()
        return b"%b%bx-request-id: %b\r\n\r\n" % (head, tracing, request_id), body

    def probe(self) -> bytes:
        """Asks the service, not the endpoint: to see whether that is well, a model would have to run."""
        return f"GET /ping HTTP/1.1\r\n{self._common}\r\n".encode()

    def alive(self, status: int) -> bool:
        return status < 500

    async def understand(self, asked: Asked, answer: Answer) -> Answer:
        headers: list[Header] = [h for h in answer.headers if h[0] in (b"x-amzn-requestid", b"retry-after")]
        if answer.status == 200 and asked.stream:
            if not is_stream(answer, b"application/vnd.amazon.eventstream"):
                raise UpstreamError("protocol", "answered a streamed request without a stream")
            return Stream(answer, headers, PayloadStream())
        body = await read_whole(answer)
        if answer.status == 200:
            return Whole(200, headers, body)
        status, body = to_error(answer.status, _error_type(answer, body), body)
        if status in (401, 403):
            self._credentials.expire()
        return Whole(status, headers, body)

    def _load(self) -> tuple[Any, float]:
        if self._session is None:
            self._session = Session()
        found = self._session.get_credentials()
        if found is None:
            raise LookupError("found neither a role nor keys in the environment")
        return found.get_frozen_credentials(), time.time() + CREDENTIALS_SECONDS + AHEAD_SECONDS


class PayloadStream:
    """The container's own stream, taken out of AWS's ("application/vnd.amazon.eventstream")."""

    def __init__(self) -> None:
        self._buffer: Any = EventStreamBuffer()
        self._tail = b""
        self.unsaid = b""
        """See `StreamTranslator`. What the container says of its usage is passed on."""

    def feed(self, data: bytes) -> bytes:
        """See `StreamTranslator`."""
        self._buffer.add_data(data)
        said = b""
        try:
            for message in self._buffer:
                kind = str(message.headers.get(":exception-type") or message.headers.get(":error-code") or "")
                if kind or message.headers.get(":message-type") in ("exception", "error"):
                    raise UpstreamError("status", f"broke off with {kind[:64] or 'an error'}")
                if message.headers.get(":event-type") == "PayloadPart":
                    said += message.payload
        except UpstreamError:
            raise
        except Exception as error:  # noqa: BLE001 -- a broken frame, by whichever of botocore's names
            raise UpstreamError("protocol", f"answered with a malformed event stream ({type(error).__name__})") from None
        self._tail = (self._tail + said)[-_TAIL_BYTES:]
        return said

    def end(self) -> bytes:
        """See `StreamTranslator`. Not every container says `[DONE]`; an answer without a finish reason is not over."""
        if b"[DONE]" in self._tail[-64:]:
            return b""
        if not _FINISHED.search(self._tail):
            raise UpstreamError("reset", "ended its stream in the middle of its answer")
        return event(b"[DONE]")


def to_error(status: int, kind: str, body: bytes) -> tuple[int, bytes]:
    """Status and body in OpenAI's shape: the container's own error where it is that, else AWS's.

    Raises:
        UpstreamError: 'not_found' when SageMaker itself refuses the request, for the endpoint that it names is not there.
    """
    given = _parsed(body)
    if kind == "ModelError":
        told = count(given.get("OriginalStatusCode"))
        status = told if 400 <= told <= 599 else 500
        said = text(given.get("OriginalMessage"))
        if isinstance(_parsed(said.encode()).get("error"), dict):
            return status, said.encode()
    elif kind in _THROTTLED:
        status, said = 429, "SageMaker throttles this account."
    elif kind == "ModelNotReadyException":
        status, said = 503, "The model is not ready."
    elif kind == "ValidationError":
        raise UpstreamError("not_found", f"answered {status} (ValidationError)")
    else:
        said = text(given.get("Message")) or text(given.get("message"))
    error_body = {
        "message": said or f"SageMaker answered {status} without a reason.",
        "type": "invalid_request_error" if status < 500 else "server_error",
        "param": None,
        "code": kind or None,
    }
    return status, orjson.dumps({"error": error_body})


def _error_type(answer: Answer, body: bytes) -> str:
    told = next((v.decode("latin-1") for n, v in answer.headers if n == b"x-amzn-errortype"), "")
    told = told or text(_parsed(body).get("__type")) or text(_parsed(body).get("ErrorCode"))
    return told.split(":")[0].rpartition("#")[2]


def _parsed(body: bytes) -> Object:
    try:
        return an_object(orjson.loads(body))
    except orjson.JSONDecodeError:
        return {}
