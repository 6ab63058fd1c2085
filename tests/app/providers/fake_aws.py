"""What the fakes of AWS's services share: signatures checked after AWS's description, streams framed after it."""

import hashlib
import hmac
import json
import struct
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote
from zlib import crc32

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, Got

ACCESS, SECRET, TOKEN, REGION = "AKIDEXAMPLE", "secret-key", "session-token", "eu-central-1"
STREAM = "application/vnd.amazon.eventstream"


def be_somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """The identity that the fakes know, in the environment."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", TOKEN)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


def frame(payload: bytes, **headers: str) -> bytes:
    """One message of an event stream ("Event stream encoding" in Amazon Transcribe's guide and Smithy's specification)."""
    encoded = b"".join(
        struct.pack("!B", len(name)) + name + b"\x07" + struct.pack("!H", len(value)) + value.encode()
        for name, value in ((b":" + n.replace("_", "-").encode(), v) for n, v in headers.items())
    )
    prelude = struct.pack("!II", 16 + len(encoded) + len(payload), len(encoded))
    message = prelude + struct.pack("!I", crc32(prelude)) + encoded + payload
    return message + struct.pack("!I", crc32(message))


def exception(kind: str, **fields: Any) -> bytes:
    return frame(json.dumps(fields).encode(), message_type="exception", exception_type=kind, content_type="application/json")


def error(status: str, kind: str, **fields: Any) -> Behaviour:
    return fake.whole(
        json.dumps(fields).encode(), status, f"x-amzn-ErrorType: {kind}:http://internal.amazon.com/", "x-amzn-RequestId: r1"
    )


def signed_rightly(got: Got, service: str, secret: str = SECRET) -> bool:
    """Signature Version 4, calculated anew ("Create a signed AWS API request" in IAM's guide)."""
    scheme, _, rest = got.headers.get("authorization", "").partition(" ")
    if scheme != "AWS4-HMAC-SHA256":
        return False
    given = dict(p.strip().split("=", 1) for p in rest.split(","))
    access, date, region, signed_for, end = given["Credential"].split("/")
    stamp = got.headers["x-amz-date"]
    age = datetime.now(UTC) - datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    names = given["SignedHeaders"].split(";")
    if (access, region, signed_for, end) != (ACCESS, REGION, service, "aws4_request") or abs(age.total_seconds()) > 300:
        return False
    if "host" not in names or ("x-amz-security-token" in got.headers) != ("x-amz-security-token" in names):
        return False
    if got.headers.get("x-amz-security-token", TOKEN) != TOKEN:
        return False
    canonical = "\n".join(
        [
            got.method,
            quote(got.path, safe="/~"),
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
