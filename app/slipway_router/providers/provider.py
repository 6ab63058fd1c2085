"""What the data path asks of every provider, and the one that needs nothing: OpenAI's own API."""

from typing import ClassVar
from urllib.parse import urlsplit

from slipway_router.answer import Answer
from slipway_router.backend import Backend
from slipway_router.request import Asked
from slipway_router.schema import Task

PATHS: dict[Task, str] = {"chat": "/chat/completions", "completions": "/completions", "embeddings": "/embeddings"}
"""OpenAI's paths, below the version."""


class Provider:
    """How one backend's API is spoken.

    This class speaks OpenAI's, as vLLM, SGLang, llama.cpp, Ollama and OpenAI have it. Others override what differs. What they
    translate costs a request to them only: without `prepares` and `translates` nothing is called but `request`.
    """

    prepares: ClassVar[bool] = False
    """Whether `prepare` must be awaited before a request or a probe."""
    translates: ClassVar[bool] = False
    """Whether answers must go through `understand`."""

    def __init__(self, backend: Backend, key: str | None) -> None:
        """
        Args:
            backend: What the configuration says of it.
            key: The key that it wants, if any.
        """
        self.backend = backend
        self.model = backend.model
        url = urlsplit(backend.url)
        self._base = url.path
        self._common = "".join(
            f"{name}: {value}\r\n"
            for name, value in {
                "host": url.netloc,
                "accept-encoding": "identity",
                "user-agent": "slipway-router",
                **self.headers(key),
            }.items()
        )
        self._heads = {
            task: f"POST {self.path(task)} HTTP/1.1\r\n{self._common}content-type: application/json\r\n".encode()
            for task in PATHS
        }

    def headers(self, key: str | None) -> dict[str, str]:
        """Headers of every request: who asks, and in which version of the API."""
        return {} if key is None else {"authorization": f"Bearer {key}"}

    def path(self, task: Task) -> str:
        """Where a task is asked for."""
        return f"{self._base}{PATHS[task]}"

    async def prepare(self) -> None:
        """Make ready what a request needs, such as a token that expires. Called only where `prepares` is true.

        Raises:
            UpstreamError: 'auth' when there is no token to be had.
        """

    def request(self, asked: Asked, request_id: bytes, tracing: bytes) -> tuple[bytes, bytes]:
        """Head and body of a request.

        Args:
            asked: What the client wants.
            request_id: Sent on as `x-request-id`.
            tracing: More header lines.

        Raises:
            UpstreamError: 'unsupported', with every field that cannot be said in this provider's API.
        """
        body = self.body(asked)
        return self.head(asked.task, len(body), request_id, tracing), body

    def body(self, asked: Asked) -> bytes:
        """The body in this provider's shape."""
        return asked.body_for(self.model)

    def head(self, task: Task, size: int, request_id: bytes, tracing: bytes) -> bytes:
        """The head of a request with a body of this many bytes."""
        return b"%b%bx-request-id: %b\r\ncontent-length: %d\r\n\r\n" % (self._heads[task], tracing, request_id, size)

    async def understand(self, asked: Asked, answer: Answer) -> Answer:  # noqa: ARG002 -- those that translate read it
        """The answer in OpenAI's shape: status, headers, body and stream. Called only where `translates` is true.

        Raises:
            UpstreamError: when it is none.
        """
        return answer

    def alive(self, status: int) -> bool:
        """Whether this answer to `probe` shows a server that works, whatever it says of the question."""
        return status == 404

    def probe(self) -> bytes:
        """A cheap request that a well backend answers with anything but 401, 403, 408, 429 or 5xx: its list of models."""
        return f"GET {self._base}/models HTTP/1.1\r\n{self._common}\r\n".encode()
