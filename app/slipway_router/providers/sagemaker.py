"""Amazon SageMaker: a container that speaks OpenAI's API behind `InvokeEndpoint` and `InvokeEndpointWithResponseStream`.

After "Amazon SageMaker Runtime" in SageMaker's API reference.
"""

import re

from slipway_router.answer import Answer, UpstreamError
from slipway_router.backend import Backend
from slipway_router.providers.shapes import count, text
from slipway_router.providers.sse import event
from slipway_router.providers.translated import Stream, Whole, is_stream, read_whole
from slipway_router.request import Asked

try:
    from slipway_router.providers import aws
except ImportError as error:
    raise ImportError("the protocol sagemaker needs botocore; install it with: pip install 'slipway[sagemaker]'") from error

_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
# What is said of an inference component that was scaled to zero has no name of its own.
_NO_CAPACITY = re.compile(r"\bno capacity\b", re.IGNORECASE)
_TAIL_BYTES = 4096
_HEADERS = {"Content-Type": "application/json", "X-Amzn-SageMaker-Accept": "application/json"}


class SageMaker(aws.AwsProvider):
    """`url` is the endpoint's, such as `https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/NAME`; `model` is the name
    that its container serves the model by.
    """

    service = "sagemaker"

    def __init__(self, backend: Backend, key: str | None) -> None:
        super().__init__(backend, key)
        wanted = {
            "X-Amzn-SageMaker-Target-Variant": backend.target_variant,
            "X-Amzn-SageMaker-Inference-Component": backend.inference_component,
        }
        self._told = {**_HEADERS, **{name: value for name, value in wanted.items() if value is not None}}

    def request(self, asked: Asked, request_id: bytes, tracing: bytes) -> tuple[bytes, bytes]:
        body = self.body(asked)
        operation = "invocations-response-stream" if asked.stream else "invocations"
        return self.signed(f"{self._base}/{operation}", self._told, body, request_id, tracing), body

    async def understand(self, asked: Asked, answer: Answer) -> Answer:
        headers = aws.passed_on(answer)
        if answer.status == 200 and asked.stream:
            if not is_stream(answer, aws.EVENT_STREAM):
                raise UpstreamError("protocol", "answered a streamed request without a stream")
            return Stream(answer, headers, PayloadStream())
        body = await read_whole(answer)
        if answer.status == 200:
            return Whole(200, headers, body)
        status, body = to_error(answer.status, aws.error_type(answer, body), body)
        self.refused(status)
        return Whole(status, headers, body)


class PayloadStream:
    """The container's own stream, taken out of AWS's."""

    def __init__(self) -> None:
        self._frames = aws.EventFrames()
        self._tail = b""
        self.unsaid = b""
        """See `StreamTranslator`. What the container says of its usage is passed on."""

    def feed(self, data: bytes) -> bytes:
        """See `StreamTranslator`."""
        said = b"".join(payload for kind, payload in self._frames.feed(data) if kind == "PayloadPart")
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
    given = aws.parsed(body)
    if kind == "ModelError":
        told = count(given.get("OriginalStatusCode"))
        status = told if 400 <= told <= 599 else 500
        said = text(given.get("OriginalMessage"))
        if isinstance(aws.parsed(said.encode()).get("error"), dict):
            return status, said.encode()
    elif kind in aws.THROTTLED:
        status, said = 429, "SageMaker throttles this account."
    elif kind == "ModelNotReadyException":
        status, said = 503, "The model is not ready."
    elif kind == "ValidationError":
        if not _NO_CAPACITY.search(aws.said_of(body)):
            raise UpstreamError("not_found", f"answered {status} (ValidationError)")
        status, said = 503, "The inference component has no copy running; it is started if its scaling says so."
    else:
        said = aws.said_of(body)
    return status, aws.an_error(status, kind, said or f"SageMaker answered {status} without a reason.")
