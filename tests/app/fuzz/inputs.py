"""Bad input, drawn from a seed: what a client may send, and what a backend may answer."""

import json
import random
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.app import fake_upstream as fake
from tests.app.messages import fake_openai as gpt
from tests.app.messages.test_odd_json import CHAT, MESSAGES, mutated
from tests.app.providers import fake_anthropic as claude
from tests.app.providers import fake_aws as aws
from tests.app.providers import fake_bedrock as bedrock
from tests.app.providers import fake_sagemaker

PATHS = (
    "/v1/chat/completions",
    "/v1/completions",
    "/v1/embeddings",
    "/v1/messages",
    "/v1/ensemble",
    "/v1/route",
    "/v1/models/x",
    "/nowhere",
)
HEADERS = (
    "authorization", "x-user-tier", "x-task-type", "x-latency-budget-ms", "x-quality", "x-request-id", "content-type",
    "x-user-id", "traceparent", "anthropic-version", "anthropic-beta", "x-api-key", "expect", "accept-encoding", "x-team",
    "cookie",
)  # fmt: skip
SEVERAL = {"n": 1, "model": "m", "prompt": "p", "input": ["a", "b"], "messages": [{"role": "user", "content": "hello"}]}
ENSEMBLE = {
    "messages": [{"role": "user", "content": "a"}],
    "ensemble": {
        "models": ["openai", {"model": "auto", "deadline_seconds": 2}, "anthropic"],
        "aggregate": "judge",
        "deadline_seconds": 3,
        "min_answers": 1,
        "judge": {"model": "openai", "deadline_seconds": 2, "instructions": "short"},
    },
}
CALL = [{"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@dataclass(frozen=True)
class Answer:
    """What a backend sends, segment by segment, and how that ends."""

    segments: Sequence[bytes]
    end: str
    """'close', 'reset', or 'hold': the connection stays open."""


def request(dice: random.Random) -> bytes:
    """A client's request, from its first line to its last byte."""
    path = dice.choice(PATHS)
    if dice.random() < 0.1:
        path += dice.choice(["?" + "a" * 3000, "//", "%00", "/..", "?x=%ff"])
    body = _body(dice, ensemble="ensemble" in path)
    lines = [f"{dice.choice(('POST',) * 9 + ('PUT',))} {path} HTTP/1.1", "host: x"]
    lines += [f"{dice.choice(HEADERS)}: {_value(dice)}" for _ in range(dice.randint(0, 4))]
    if dice.random() < 0.05:
        lines += [f"x-flood-{i}: {'a' * dice.randint(0, 200)}" for i in range(300)]
    how = dice.random()
    if how < 0.8:
        lines.append(f"content-length: {len(body)}")
        sent = body
    elif how < 0.9:
        lines.append("transfer-encoding: chunked")
        sent = b"".join(fake.chunk(p) for p in _cut(dice, body) if p) + b"0\r\n\r\n"
    else:
        lines.append(
            f"content-length: {dice.choice(['-1', 'x', '1e3', str(len(body) + 5), str(max(0, len(body) - 3)), '9' * 30])}"
        )
        sent = body
    return "\r\n".join([*lines, "connection: close", "", ""]).encode("latin-1") + sent


def _body(dice: random.Random, *, ensemble: bool) -> bytes:
    how = dice.random()
    if how < 0.1:
        return dice.randbytes(dice.randint(0, 300))
    document = ENSEMBLE if ensemble else dice.choice([CHAT, MESSAGES, SEVERAL, SEVERAL])
    if ensemble and dice.random() < 0.7:
        aggregate = dice.choice(["first", "all", "majority", "longest"])
        document = {**ENSEMBLE, "ensemble": {"models": ["openai", "openai"], "aggregate": aggregate}}
    body = json.dumps(mutated({**document, "stream": dice.random() < 0.5}, dice) if how < 0.8 else document).encode()
    if dice.random() < 0.1:
        body = body.replace(b'"a"', dice.choice([b"[" * 2000 + b"]" * 2000, b"1e999", b'"\\ud800"', b'"\xff"', b"9" * 400]))
    return _scratched(dice, body) if dice.random() < 0.1 else body


def _value(dice: random.Random) -> str:
    kind = dice.randint(0, 4)
    if kind == 0:
        return dice.choice(["", "free", "high", "code", "400", "-1", "9" * 40, "Bearer ", "gzip", "100-continue", "2023-06-01"])
    letters = (
        "".join(chr(c) for c in range(33, 127)) if kind < 3 else "".join(chr(c) for c in (9, *range(32, 127), *range(160, 256)))
    )
    return "".join(dice.choice(letters) for _ in range(dice.randint(0, 60)))


def answer(dice: random.Random, protocol: str, *, stream: bool) -> Answer:
    """A backend's answer, good at heart, with up to three things wrong with it."""
    kind, body = _good(dice, protocol, stream=stream)
    for _ in range(dice.randint(0, 3)):
        body = dice.choice(_FAULTS)(dice, body)
    status = dice.choice(
        ["200 OK"] * 12 + ["204 No Content", "304 Not Modified", "400 Bad", "429 Slow", "500 No", "299 Odd", "999 X", "101 Up"]
    )
    head = [
        f"HTTP/1.1 {status}",
        f"Content-Type: {kind if dice.random() < 0.9 else dice.choice(['text/html', '', 'text/event-stream'])}",
    ]
    if dice.random() < 0.1:
        head += [f"X-Flood-{i}: {'a' * dice.randint(1, 400)}" for i in range(dice.choice([20, 400]))]
    if dice.random() < 0.1:
        head.append(
            f"{dice.choice(['Retry-After', 'x-ratelimit-remaining-requests', 'x-amzn-errortype', 'request-id'])}: {_value(dice)}"
        )
    if dice.random() < 0.05:
        head.append("Content-Encoding: gzip")
        body = zlib.compress(body, wbits=31)
    before = [b"HTTP/1.1 100 Continue\r\n\r\n"] if dice.random() < 0.05 else []
    framed = _framed(dice, head, body)
    if dice.random() < 0.1:
        framed = _scratched(dice, framed)
    return Answer([*before, *_cut(dice, framed)], dice.choice(["close", "close", "reset", "hold"]))


def _good(dice: random.Random, protocol: str, *, stream: bool) -> tuple[str, bytes]:
    match protocol, stream:
        case "anthropic", True:
            return fake.SSE, b"".join(
                claude.events(claude.message(claude.text("hello there"), claude.tool_use("1", "f", {"a": 1})))
            )
        case "anthropic", False:
            return "application/json", json.dumps(claude.message(claude.text("hello"))).encode()
        case "bedrock", True:
            return aws.STREAM, b"".join(
                bedrock.events(bedrock.message(bedrock.text("hello there"), bedrock.tool_use("1", "f", {})))
            )
        case "bedrock", False:
            return "application/json", json.dumps(bedrock.message(bedrock.text("hello"))).encode()
        case "sagemaker", True:
            return aws.STREAM, b"".join(fake_sagemaker.part(e) for e in gpt.chunks({"content": "hello"}, {"tool_calls": CALL}))
        case _, True:
            return fake.SSE, b"".join(gpt.chunks({"content": "hel"}, {"content": "lo"}, {"tool_calls": CALL}))
        case _:
            return "application/json", gpt.completion(content="hello")


def _framed(dice: random.Random, head: Sequence[str], body: bytes) -> bytes:
    how = dice.random()
    if how < 0.45:
        line, sent = "Transfer-Encoding: chunked", b"".join(fake.chunk(p) for p in _cut(dice, body) if p) + b"0\r\n\r\n"
    elif how < 0.7:
        line, sent = f"Content-Length: {len(body)}", body
    elif how < 0.8:
        line, sent = f"Content-Length: {dice.choice([0, max(0, len(body) - 7), len(body) + 7, 10**15])}", body
    elif how < 0.85:
        line, sent = "Transfer-Encoding: chunked", b"5\r\nab\r\nZZ\r\n" + body
    elif how < 0.9:
        line, sent = f"Content-Length: {len(body)}\r\nTransfer-Encoding: chunked", b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    else:
        line, sent = "Connection: close", body
    return "\r\n".join([*head, line, "", ""]).encode("latin-1") + sent


def _cut(dice: random.Random, data: bytes) -> list[bytes]:
    """The data in pieces: whole, a few, or single bytes around one place."""
    if dice.random() < 0.3 or len(data) < 2:
        return [data]
    at = sorted(dice.sample(range(1, len(data)), min(len(data) - 1, dice.randint(1, 12))))
    return [data[a:b] for a, b in zip([0, *at], [*at, len(data)], strict=True)]


def _scratched(dice: random.Random, data: bytes) -> bytes:
    """A few bytes changed, taken away or put in."""
    made = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        at = dice.randrange(len(made) + 1)
        made[at : at + dice.randint(0, 3)] = dice.choice([b"", b"\0", b"\xff\xfe", b"\r", b"\n\n", b'"', b"}", dice.randbytes(3)])
    return bytes(made)


def _crlf(dice: random.Random, body: bytes) -> bytes:
    return body.replace(b"\n", dice.choice([b"\r\n", b"\r"]))


def _comments(dice: random.Random, body: bytes) -> bytes:
    return body.replace(b"data: ", dice.choice([b": ping\n\ndata: ", b"id: 1\nretry: 5\ndata: ", b"data:", b"data: \ndata: "]))


def _without_end(dice: random.Random, body: bytes) -> bytes:
    return body.replace(fake.DONE, b"")[: len(body) - dice.choice([0, 0, 1, 40, 200])]


def _huge(dice: random.Random, body: bytes) -> bytes:
    return body.replace(b"hel", b"hel" + b"x" * dice.choice([70_000, 300_000, 1_200_000]), 1)


def _twice(dice: random.Random, body: bytes) -> bytes:
    return body + body[: dice.randrange(len(body) + 1)]


def _odd_json(dice: random.Random, body: bytes) -> bytes:
    """One line of JSON in it, changed."""
    lines = body.split(b"\n")
    at = [i for i, line in enumerate(lines) if b"{" in line]
    if not at:
        return body
    i = dice.choice(at)
    start = lines[i].index(b"{")
    try:
        document = json.loads(lines[i][start:])
    except ValueError:
        return body
    lines[i] = lines[i][:start] + json.dumps(mutated(document, dice)).encode()
    return b"\n".join(lines)


_FAULTS: Sequence[Callable[[random.Random, bytes], bytes]] = (
    _scratched, _crlf, _comments, _without_end, _huge, _twice, _odd_json, _odd_json,
)  # fmt: skip
