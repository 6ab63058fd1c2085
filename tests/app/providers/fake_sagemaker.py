"""SageMaker's runtime on loopback: signatures are checked after AWS's description, streams are framed after it."""

import asyncio
import hashlib
import hmac
import json
import struct
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any
from zlib import crc32

from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, Exit, Got

ACCESS, SECRET, TOKEN, REGION = "AKIDEXAMPLE", "secret-key", "session-token", "eu-central-1"
ENDPOINT = "/endpoints/llama"
STREAM = "application/vnd.amazon.eventstream"


def frame(payload: bytes, **headers: str) -> bytes:
    """One message of an event stream ("Event stream encoding" in Amazon Transcribe's guide and Smithy's specification)."""
    encoded = b"".join(
        struct.pack("!B", len(name)) + name + b"\x07" + struct.pack("!H", len(value)) + value.encode()
        for name, value in ((b":" + n.replace("_", "-").encode(), v) for n, v in headers.items())
    )
    prelude = struct.pack("!II", 16 + len(encoded) + len(payload), len(encoded))
    message = prelude + struct.pack("!I", crc32(prelude)) + encoded + payload
    return message + struct.pack("!I", crc32(message))


def part(payload: bytes) -> bytes:
    return frame(payload, message_type="event", event_type="PayloadPart", content_type="application/octet-stream")


def exception(kind: str, said: str) -> bytes:
    return frame(
        json.dumps({"Message": said}).encode(), message_type="exception", exception_type=kind, content_type="application/json"
    )


def error(status: str, kind: str, **fields: Any) -> Behaviour:
    return fake.whole(
        json.dumps(fields).encode(), status, f"x-amzn-ErrorType: {kind}:http://internal.amazon.com/", "x-amzn-RequestId: r1"
    )


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
        if not signed_rightly(got, secret):
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


def signed_rightly(got: Got, secret: str) -> bool:
    """Signature Version 4, calculated anew ("Create a signed AWS API request" in IAM's guide)."""
    scheme, _, rest = got.headers.get("authorization", "").partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        return False
    given = dict(p.strip().split("=", 1) for p in rest.split(","))
    access, date, region, service, end = given["Credential"].split("/")
    stamp = got.headers["x-amz-date"]
    age = datetime.now(UTC) - datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    names = given["SignedHeaders"].split(";")
    if (access, region, service, end) != (ACCESS, REGION, "sagemaker", "aws4_request") or abs(age.total_seconds()) > 300:
        return False
    if "host" not in names or ("x-amz-security-token" in got.headers) != ("x-amz-security-token" in names):
        return False
    if got.headers.get("x-amz-security-token", TOKEN) != TOKEN:
        return False
    canonical = "\n".join(
        [
            got.method,
            got.path,
            "",
            *(f"{n}:{' '.join(got.headers[n].split())}" for n in names),
            "",
            ";".join(names),
            hashlib.sha256(got.body).hexdigest(),
        ]
    )
    scope = f"{date}/{region}/{service}/{end}"
    to_sign = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for step in (date, region, service, end):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return hmac.compare_digest(hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest(), given["Signature"])
