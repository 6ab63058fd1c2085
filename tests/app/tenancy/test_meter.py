"""What a stream passes on is counted, and the usage that only the router asked for kept back."""

import json

import pytest
from tests.app.fake_upstream import DONE, event

from slipway_router.request import parse
from slipway_router.tenancy.meter import Meter, asks_usage, telling_usage

USAGE = b'data: {"id":"c1","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}\n\n'
FILTERED = b'data: {"choices":[],"prompt_filter_results":[{"prompt_index":0}]}\n\n'
WITH_CHOICES = event("b", "stop").replace(b'"choices"', b'"usage":{"prompt_tokens":7,"completion_tokens":3},"choices"')
NULL = event("a").replace(b'"choices"', b'"usage":null,"choices"')
TELLING = event("a").replace(b"]}\n", b'],"usage":{"prompt_tokens":7,"completion_tokens":1}}\n')


@pytest.mark.parametrize(
    ("pieces", "passed", "events", "tokens"),
    [
        ([event("a"), event("b"), USAGE, DONE], [event("a"), event("b"), b"", DONE], 4, (7, 3)),
        ([event("a") + event("b") + USAGE + DONE], [event("a") + event("b") + DONE], 4, (7, 3)),
        ([event("a") + USAGE.replace(b"\n", b"\r\n")], [event("a")], 1, (7, 3)),
        ([USAGE + DONE], [DONE], 2, (7, 3)),
        ([NULL * 3, FILTERED], [NULL * 3, FILTERED], 4, None),
        ([TELLING, DONE], [TELLING, DONE], 2, (7, 1)),
        ([b"event: message\n" + event("a"), b": ping\n\n"], [b"event: message\n" + event("a"), b": ping\n\n"], 2, None),
        (
            [event('"usage":{"prompt_tokens":1'), b"data: no JSON\n\n"],
            [event('"usage":{"prompt_tokens":1'), b"data: no JSON\n\n"],
            2,
            None,
        ),
    ],
)
def test_events_are_counted_and_only_the_event_of_the_usage_alone_is_kept_back(
    pieces: list[bytes], passed: list[bytes], events: int, tokens: tuple[int, int] | None
) -> None:
    meter = Meter(strips=True)
    assert [meter.feed(p) for p in pieces] == passed
    assert (meter.events, meter.tokens) == (events, tokens)


def test_a_client_that_asked_for_the_usage_gets_it() -> None:
    meter = Meter(strips=False)
    assert meter.feed(event("a") + USAGE + DONE) == event("a") + USAGE + DONE
    assert meter.tokens == (7, 3)


@pytest.mark.parametrize(
    "more",
    ["", ',"stream_options":null', ',"stream_options":{"include_usage":false,"x":1}', ',"stream_options":{"include_usage":true}'],
)
def test_a_stream_is_asked_to_tell_its_usage_whatever_else_is_asked(more: str) -> None:
    raw = f' {{"model":"m","messages":[{{"role":"user","content":"é"}}],"stream":true{more} }} \n'.encode()
    asked = parse("chat", raw)
    told = telling_usage(asked)
    fields = json.loads(told.raw)
    assert fields == told.fields
    assert fields["stream_options"] | {"x": 1} == {"include_usage": True, "x": 1}
    assert {k: v for k, v in fields.items() if k != "stream_options"} == {
        k: v for k, v in json.loads(raw).items() if k != "stream_options"
    }
    assert asks_usage(told)
    assert asks_usage(asked) == more.endswith("true}")
