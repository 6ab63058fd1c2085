"""Wherever a stream is cut on its way, and however its lines end, the same comes of it."""

import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.app.messages import fake_openai as gpt
from tests.app.providers import fake_anthropic as claude
from tests.app.providers import fake_aws as aws
from tests.app.providers import fake_bedrock as bedrock
from tests.app.providers import fake_sagemaker

from slipway_router.messages.answer import MessageStream
from slipway_router.providers.anthropic_answer import CompletionStream, NativeStream
from slipway_router.providers.bedrock_answer import ConverseStream
from slipway_router.providers.sagemaker import PayloadStream

CALL = [{"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": "é\\n"}'}}]
OPENAI = gpt.chunks({"reasoning": "t"}, {"content": "häl"}, {"content": "lo\r\n\r\n"}, {"tool_calls": CALL})
ANTHROPIC = claude.events(claude.message(claude.text("hällo\n\nthere"), claude.tool_use("1", "f", {"a": "é"})))
BEDROCK = bedrock.events(bedrock.message(bedrock.text("hällo\n\nthere"), bedrock.tool_use("1", "f", {"a": "é"})))
STREAMS: dict[str, tuple[Callable[[], Any], bytes]] = {
    "openai's to anthropic's": (MessageStream, b"".join(OPENAI)),
    "anthropic's to openai's": (lambda: CompletionStream(include_usage=True), b"".join(ANTHROPIC)),
    "anthropic's own": (NativeStream, b"".join(ANTHROPIC)),
    "bedrock's": (lambda: ConverseStream("1", "m", include_usage=True), b"".join(BEDROCK)),
    "sagemaker's": (PayloadStream, b"".join(fake_sagemaker.part(e) for e in OPENAI)),
}
BINARY = ("bedrock's", "sagemaker's")


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] -- pytest uses it
    monkeypatch.setattr(time, "time", lambda: 1.0)


def said(make: Callable[[], Any], pieces: Sequence[bytes]) -> bytes:
    stream = make()
    return b"".join([*(stream.feed(p) for p in pieces), stream.end()])


@pytest.mark.parametrize("name", STREAMS)
def test_at_every_byte(name: str) -> None:
    make, data = STREAMS[name]
    whole = said(make, [data])
    assert len(whole) > 300
    assert said(make, [data[i : i + 1] for i in range(len(data))]) == whole
    assert [i for i in range(1, len(data)) if said(make, [data[:i], data[i:]]) != whole] == []


@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["crlf", "cr"])
@pytest.mark.parametrize("name", [n for n in STREAMS if n not in BINARY])
def test_with_lines_that_end_otherwise(name: str, end: bytes) -> None:
    make, data = STREAMS[name]
    whole, other = said(make, [data]), data.replace(b"\n", end)
    assert said(make, [other]) == whole
    assert [i for i in range(1, len(other)) if said(make, [other[:i], other[i:]]) != whole] == []


@pytest.mark.parametrize("name", [n for n in STREAMS if n not in BINARY])
def test_among_comments_and_fields_of_no_meaning(name: str) -> None:
    make, data = STREAMS[name]
    other = data.replace(b"data: ", b": ping\n\nid: 7\nretry: 10\ndata:")
    assert said(make, [b":\n\n", other]) == said(make, [data])


def test_frames_of_aws_are_checked() -> None:
    good = fake_sagemaker.part(OPENAI[1])
    assert aws.STREAM
    for i in range(len(good)):
        broken = good[:i] + bytes([good[i] ^ 1]) + good[i + 1 :]
        stream = PayloadStream()
        try:
            told = stream.feed(broken)
        except Exception as error:  # noqa: BLE001 -- what it is is looked at
            assert type(error).__name__ == "UpstreamError", error  # noqa: PT017
        else:
            assert told == b"", "a broken frame was taken"
