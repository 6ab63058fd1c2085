"""Amazon Bedrock: a chat completion is said in its Converse API, and what that answers is said as a chat completion.

After "Converse" and "ConverseStream" in Amazon Bedrock Runtime's API reference.
"""

from urllib.parse import quote

from slipway_router.answer import Answer, UpstreamError
from slipway_router.backend import Backend
from slipway_router.providers.bedrock_request import to_converse
from slipway_router.providers.chat import encoded, include_usage, refuse
from slipway_router.providers.translated import Stream, Whole, is_stream, read_whole
from slipway_router.request import Asked

try:
    from slipway_router.providers import aws
except ImportError as error:
    raise ImportError("the protocol bedrock needs botocore; install it with: pip install 'slipway[bedrock]'") from error

from slipway_router.providers.bedrock_answer import ConverseStream, to_completion, to_error

_HEADERS = {"Content-Type": "application/json"}


class Bedrock(aws.AwsProvider):
    """`url` is the service's, such as `https://bedrock-runtime.eu-central-1.amazonaws.com`; `model` is the id of a model or an
    inference profile, or an ARN.
    """

    service = "bedrock"

    def __init__(self, backend: Backend, key: str | None) -> None:
        super().__init__(backend, key)
        self._path = f"{self._base}/model/{quote(self.model, safe='')}"

    def request(self, asked: Asked, request_id: bytes, tracing: bytes) -> tuple[bytes, bytes]:
        body = self.body(asked)
        operation = "converse-stream" if asked.stream else "converse"
        return self.signed(f"{self._path}/{operation}", _HEADERS, body, request_id, tracing), body

    def body(self, asked: Asked) -> bytes:
        body, faults = to_converse(asked.completion)
        refuse(faults, "Bedrock's Converse API")
        return encoded(body)

    async def understand(self, asked: Asked, answer: Answer) -> Answer:
        headers = aws.passed_on(answer)
        identity = f"chatcmpl-{next((v.decode('latin-1') for n, v in headers if n == b'x-amzn-requestid'), '')}"
        if answer.status == 200 and asked.stream:
            if not is_stream(answer, aws.EVENT_STREAM):
                raise UpstreamError("protocol", "answered a streamed request without a stream")
            return Stream(answer, headers, ConverseStream(identity, self.model, include_usage=include_usage(asked.fields)))
        body = await read_whole(answer)
        if answer.status == 200:
            return Whole(200, headers, to_completion(body, identity, self.model))
        status, body = to_error(answer.status, aws.error_type(answer, body), body)
        self.refused(status)
        return Whole(status, headers, body)
