"""Vertex AI where OpenAI's API is spoken: by Google for its own models and many others, or by a container of one's own.

After "Call Vertex AI models by using the OpenAI library" in Google Cloud's guide, and `projects.locations.endpoints.rawPredict`
and `streamRawPredict` in Vertex AI's API reference.
"""

from slipway_router.answer import Answer
from slipway_router.providers.google import GoogleProvider, to_error
from slipway_router.providers.translated import Whole, read_whole
from slipway_router.request import Asked
from slipway_router.schema import Task


class Vertex(GoogleProvider):
    """`url` is the endpoint with its version, such as
    `https://europe-west4-aiplatform.googleapis.com/v1/projects/P/locations/europe-west4/endpoints/openapi`, where `model` is
    `google/gemini-2.5-flash`; or the same with the id of an endpoint of one's own in place of `openapi`.
    """

    async def understand(self, asked: Asked, answer: Answer) -> Answer:  # noqa: ARG002 -- a stream is passed on as it is
        if answer.status < 400:
            return answer
        self.refused(answer.status)
        retry = [h for h in answer.headers if h[0] == b"retry-after"]
        return Whole(answer.status, retry, to_error(answer.status, await read_whole(answer)))


class VertexRaw(Vertex):
    """A container of one's own that has OpenAI's API at its predict route. `url` is its endpoint's, at the region's address or at
    the endpoint's own: `https://ID.REGION-NUMBER.prediction.vertexai.goog/v1/projects/P/locations/REGION/endpoints/ID`.
    """

    def path(self, task: Task) -> str:  # noqa: ARG002 -- the container's one route is the endpoint's business
        return f"{self._base}:rawPredict"

    def request(self, asked: Asked, request_id: bytes, tracing: bytes) -> tuple[bytes, bytes]:
        head, body = super().request(asked, request_id, tracing)
        return (head.replace(b":rawPredict ", b":streamRawPredict ", 1) if asked.stream else head), body
