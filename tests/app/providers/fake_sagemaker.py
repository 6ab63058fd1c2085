"""SageMaker's runtime on loopback."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, Exit
from tests.app.providers.fake_aws import SECRET, STREAM, error, frame, signed_rightly

ENDPOINT = "/endpoints/llama"


def part(payload: bytes) -> bytes:
    return frame(payload, message_type="event", event_type="PayloadPart", content_type="application/octet-stream")


def api(
    whole: Behaviour | None = None,
    streamed: Sequence[bytes] = (),
    *,
    check: Callable[[Any], None] = lambda _: None,
    secret: str = SECRET,
) -> Behaviour:
    """Answers rightly signed requests to the one endpoint.

    Args:
        whole: What InvokeEndpoint does. Default: a chat completion.
        streamed: Frames of InvokeEndpointWithResponseStream. Each comes in two chunks.
        check: Looks at the body.
        secret: The key that signatures must be made with.
    """

    async def behave(out: Exit) -> None:
        got = out.got
        if not signed_rightly(got, "sagemaker", secret):
            await error(
                "403 Forbidden", "InvalidSignatureException", message="The request signature we calculated does not match"
            )(out)
        elif not got.path.startswith(ENDPOINT + "/"):
            said = "Endpoint other of account 123456789012 not found."
            await error("400 Bad Request", "ValidationError", Message=said)(out)
        elif got.path == f"{ENDPOINT}/invocations":
            check(got.json)
            await (whole or fake.whole(fake.completion("hello"), "200 OK", "x-amzn-RequestId: r1"))(out)
        elif got.path == f"{ENDPOINT}/invocations-response-stream":
            check(got.json)
            lines = ("Transfer-Encoding: chunked", "X-Amzn-SageMaker-Content-Type: text/event-stream", "x-amzn-RequestId: r1")
            await out.write(fake.head("200 OK", STREAM, *lines))
            for one in streamed:
                for half in (one[:53], one[53:]):
                    await out.write(fake.chunk(half))
                await asyncio.sleep(0.01)
            await out.write(b"0\r\n\r\n")
        else:
            await error("404 Not Found", "UnknownOperationException")(out)

    return behave
