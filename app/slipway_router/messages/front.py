"""Between a client of the Messages API and the data path, which speaks chat completions."""

from slipway_router.answer import UpstreamError
from slipway_router.asgi import Header, Message, Scope, Send
from slipway_router.messages.answer import MessageStream, an_error, to_error, to_message
from slipway_router.messages.request import NATIVE, AskedInMessages, understood
from slipway_router.schema import Task

PATH = "/v1/messages"


class Front:
    """One request of the Messages API: understands its body, and says what the data path answers in Anthropic's shape."""

    def __init__(self, scope: Scope, send: Send) -> None:
        """
        Args:
            scope: The request.
            send: Where its answer goes.
        """
        given: list[Header] = list(scope["headers"])
        found = dict(given)
        key = found.get(b"x-api-key")
        if key is not None and b"authorization" not in found:
            given.append((b"authorization", b"Bearer " + key))
        self.scope: Scope = {**scope, "headers": given}
        self._version = found.get(b"anthropic-version")
        self._beta = found.get(b"anthropic-beta")
        self._send = send
        self._start: Message = {}
        self._body: list[bytes] = []
        self._stream: MessageStream | None = None
        self._native = False
        self._sent = False

    def parse(self, task: Task, raw: bytes) -> AskedInMessages:
        """Understand a body. See `slipway_router.request.parse`."""
        assert task == "chat"
        return understood(raw, self._version, self._beta)

    async def send(self, message: Message) -> None:
        """Take in a part of the data path's answer."""
        if message["type"] == "http.response.start":
            await self._begin(message)
            return
        body: bytes = message.get("body", b"")
        more: bool = message.get("more_body", False)
        if self._stream is not None:
            await self._pass_stream(self._stream, body, more)
        elif self._sent:
            await self._send(message)
        elif self._start["status"] >= 400 or not more:
            await self._pass_whole(b"".join((*self._body, body)), more)
        else:
            self._body.append(body)

    async def _begin(self, message: Message) -> None:
        headers: list[Header] = list(message["headers"])
        self._native = NATIVE in headers
        headers = [h for h in headers if h != NATIVE]
        identity = next((v for n, v in headers if n == b"x-request-id"), None)
        if identity is not None and all(n != b"request-id" for n, _ in headers):
            # Where Anthropic's SDKs look for it. A vendor's own stays: its support knows that one.
            headers.append((b"request-id", identity))
        self._start = {**message, "headers": headers}
        if any(name == b"content-type" and value.startswith(b"text/event-stream") for name, value in headers):
            self._stream = MessageStream()
            self._sent = True
            await self._send(self._start)

    async def _pass_whole(self, body: bytes, more: bool) -> None:
        status: int = self._start["status"]
        if not self._native:
            identity = dict(self._start["headers"]).get(b"x-request-id", b"").decode("latin-1")
            try:
                body = to_error(status, body, identity) if status >= 400 else to_message(body)
            except UpstreamError as error:
                status = 502
                body = an_error(status, f"The backend {error.detail}.", identity)
        headers = [h for h in self._start["headers"] if h[0] != b"content-length"]
        self._sent = True
        await self._send({**self._start, "status": status, "headers": [*headers, (b"content-length", b"%d" % len(body))]})
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    async def _pass_stream(self, stream: MessageStream, body: bytes, more: bool) -> None:
        said = body
        # What the data path itself adds to a stream that breaks off is OpenAI's, whoever the backend is.
        if not self._native or body.startswith(b'data: {"error"'):
            try:
                said = stream.feed(body)
            except UpstreamError as error:
                said = stream.fail(f"The backend {error.detail}.")
        if not more and not self._native:
            said += stream.end()
        if said or not more:
            await self._send({"type": "http.response.body", "body": said, "more_body": more})
