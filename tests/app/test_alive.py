"""What tells a good answer from one that only begins like one."""

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, Behaviour, event
from tests.app.serving import backend, serving, upstream

from slipway_router.alive import check_whole, stream_is_alive
from slipway_router.answer import UpstreamError

ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""},"finish_reason":null}]}\n\n'


def said(delta: bytes) -> bytes:
    return b'data: {"choices":[{"index":0,"delta":{%b},"finish_reason":null}]}\n\n' % delta


@pytest.mark.parametrize(
    ("data", "alive"),
    [
        (b"da", False),
        (ROLE, False),
        (b": processing\n\n" + ROLE, False),
        (b": processing\n\n" * 3, True),
        (said(b'"content": "a"')[:-1], False),
        (said(b'"content": "a"'), True),
        (ROLE + said(b'"content":" "'), True),
        (said(b'"content":null,"reasoning_content":"hm"'), True),
        (said(b'"tool_calls":[{"index":0,"id":"c","type":"function"}]'), True),
        (b'data: {"choices":[{"index":0,"text":"a"}]}\r\n\r\n', True),
        (b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n', True),
        (DONE, True),
        (b"data: " + b"x" * 1024 * 1024, True),
    ],
)
def test_a_stream_proves_alive_with_its_first_token(data: bytes, alive: bool) -> None:
    assert stream_is_alive(data) is alive


@pytest.mark.parametrize(
    ("data", "cause"),
    [
        (b"<html>", "protocol"),
        (b'{"error":1}', "protocol"),
        (b'data: {"error":{"message":"no"}}\n\n', "status"),
        (b'event: error\ndata: {"error":{}}\n\n', "status"),
    ],
)
def test_a_stream_that_is_none_or_begins_with_an_error_is_refused(data: bytes, cause: str) -> None:
    with pytest.raises(UpstreamError) as refused:
        stream_is_alive(data)
    assert refused.value.cause == cause


@pytest.mark.parametrize("body", [b"", b"  ", b"<html>", b"[]", b'{"a":', b'"text"'])
def test_a_body_that_is_no_object_is_refused(body: bytes) -> None:
    with pytest.raises(UpstreamError):
        check_whole(body, cut=False)


def test_an_object_is_taken_with_white_space_and_in_part() -> None:
    check_whole(b' {"a": 1}\n', cut=False)
    check_whole(b'{"a":', cut=True)


@pytest.mark.parametrize(
    ("behaviour", "stream"),
    [
        (fake.whole(b""), False),
        (fake.whole(b"<html>log in</html>", kind="text/html"), False),
        (fake.whole(b"<html>log in</html>", kind="text/event-stream"), True),
        (fake.stream(events=[b'data: {"error":{"message":"engine died"}}\n\n']), True),
        (fake.stream(events=[ROLE]), True),
        (fake.cut_stream(ROLE), True),
        (fake.cut_stream(event("abc")[:20]), True),
    ],
    ids=["empty", "html", "html stream", "error first", "role only", "cut after role", "half an event"],
)
async def test_the_next_backend_answers_for_one_that_says_nothing(behaviour: Behaviour, stream: bool) -> None:
    good = fake.stream("a") if stream else fake.whole()
    async with upstream(behaviour) as bad, upstream(good) as well, serving(backend(bad), backend(well, "two")) as served:
        answer = await served.chat(stream=stream)
        assert served.router.targets["one"].status.error_rate == pytest.approx(0.1)
    assert (answer.status_code, answer.headers["x-slipway-backend"]) == (200, "two")
    assert answer.content == (event("a") + event("", "stop") + DONE if stream else fake.completion())


async def test_what_was_held_is_passed_on_unchanged() -> None:
    events = [ROLE, b": comment\n\n", event("a"), DONE]
    async with upstream(fake.stream(events=events, delay=0.01)) as up, serving(backend(up)) as served:
        answer = await served.chat(stream=True)
    assert answer.content == b"".join(events)
