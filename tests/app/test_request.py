"""Bodies and headers: what the router understands of them, and how it refuses."""

from typing import Any

import orjson
import pytest

from slipway_router.asgi import ApiError
from slipway_router.policy import RoutingContext
from slipway_router.request import parse, request_id, routing_context, tracing
from slipway_router.schema import Task

HELLO = [{"role": "user", "content": "hello"}]


def body(**fields: Any) -> bytes:
    return orjson.dumps(fields)


ESTIMATES: list[tuple[Task, dict[str, Any], int]] = [
    ("chat", {"messages": [{"role": "user", "content": "a" * 400}]}, 100),
    ("chat", {"messages": [{"role": "user", "content": "a" * 400}], "max_tokens": 50}, 150),
    ("chat", {"messages": HELLO, "max_tokens": 5, "max_completion_tokens": 70}, 71),
    ("chat", {"messages": [{"role": "user", "content": [{"type": "text", "text": "a" * 40}, {"type": "image_url"}]}]}, 10),
    ("chat", {"messages": [{"role": "assistant", "content": None, "tool_calls": [{}]}]}, 0),
    ("completions", {"prompt": "a" * 80, "max_tokens": 3}, 23),
    ("completions", {"prompt": ["a" * 40, "b" * 40]}, 20),
    ("completions", {"prompt": [1, 2, 3]}, 3),
    ("embeddings", {"input": [[1, 2], [3]]}, 3),
]


@pytest.mark.parametrize(("task", "fields", "tokens"), ESTIMATES)
def test_tokens_are_estimated_from_prompt_and_answer(task: Task, fields: dict[str, Any], tokens: int) -> None:
    assert parse(task, body(**fields)).estimated_tokens == tokens


@pytest.mark.parametrize(
    ("task", "raw", "param", "said"),
    [
        ("chat", b"", None, "not JSON"),
        ("chat", b"{", None, "not JSON"),
        ("chat", b"\xff\xfe", None, "not JSON"),
        ("chat", b"[]", None, "JSON object"),
        ("chat", b"{}", "messages", "'messages' is required"),
        ("chat", b'{"messages":[]}', "messages", "at least one message"),
        ("chat", b'{"messages":"hi"}', "messages", "a list"),
        ("chat", b'{"messages":["hi"]}', "messages[0]", "must be an object"),
        ("chat", b'{"messages":[{"role":"user","content":"a"},{"content":7}]}', "messages[1].role", "messages[1].content"),
        ("completions", b"{}", "prompt", "is required"),
        ("completions", b'{"prompt":7}', "prompt", "must be text"),
        ("embeddings", b'{"input":[]}', "input", "must be text"),
        ("embeddings", b'{"input":["a",1]}', "input", "must be text"),
        ("chat", body(model=7, messages=HELLO), "model", "name of a model"),
        ("chat", body(messages=HELLO, stream="yes"), "stream", "true or false"),
        ("chat", body(messages=HELLO, max_tokens=True), "max_tokens", "whole number"),
        ("chat", body(messages=HELLO, max_tokens=-1), "max_tokens", "whole number"),
        ("chat", body(messages=HELLO, max_tokens=2**53), "max_tokens", "0 to 9007199254740991"),
        ("completions", body(prompt=[[{}]]), "prompt", "list of lists of tokens"),
        ("embeddings", body(input=[[1], [True]]), "input", "list of lists of tokens"),
    ],
)
def test_what_cannot_be_understood_is_refused_by_name(task: Task, raw: bytes, param: str | None, said: str) -> None:
    with pytest.raises(ApiError) as refused:
        parse(task, raw)
    assert (refused.value.status, refused.value.param) == (400, param)
    assert said in refused.value.message


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ApiError) as refused:
        parse("chat", body(model=None, stream=1, max_tokens="many"))
    for name in ("model", "stream", "max_tokens", "messages"):
        assert f"'{name}'" in refused.value.message


def test_the_bytes_pass_unchanged_where_the_model_has_its_name_already() -> None:
    raw = b'{ "model": "mock",\n "messages": [{"role": "user", "content": "h\\u00e9"}] }'
    asked = parse("chat", raw)
    assert asked.body_for("mock") is raw
    renamed = orjson.loads(asked.body_for("other"))
    assert renamed == {**orjson.loads(raw), "model": "other"}


def test_a_missing_model_leaves_the_choice_to_the_policy() -> None:
    asked = parse("chat", body(messages=HELLO))
    assert asked.model == "auto"
    assert orjson.loads(asked.body_for("mock"))["model"] == "mock"


def test_a_body_too_deep_to_write_again_is_refused() -> None:
    deep = b'{"messages":[{"role":"user","content":"a"}],"x":' + b"[" * 400 + b"]" * 400 + b"}"
    with pytest.raises(ApiError, match="nested too deeply"):
        parse("chat", deep).body_for("mock")


def test_headers_make_the_context() -> None:
    headers = {b"x-user-tier": b"Enterprise", b"x-task-type": b"code", b"x-latency-budget-ms": b"400", b"x-quality": b"high"}
    assert routing_context(headers, None, 7) == RoutingContext("enterprise", "code", 7, 400, "high")
    assert routing_context({}, None, 7) == RoutingContext("free", "chat", 7, 60_000, "medium")


def test_the_tier_of_the_key_wins_over_what_the_client_says() -> None:
    assert routing_context({b"x-user-tier": b"enterprise"}, "free", 0).user_tier == "free"


def test_every_wrong_header_is_told_with_its_choice() -> None:
    wrong = {b"x-user-tier": b"gold", b"x-quality": b"best", b"x-latency-budget-ms": b"soon", b"x-task-type": b"poem"}
    with pytest.raises(ApiError) as refused:
        routing_context(wrong, None, 0)
    assert refused.value.status == 400
    for said in ("'free', 'paid', 'enterprise'", "'low', 'medium', 'high'", "whole milliseconds", "'summarization'"):
        assert said in refused.value.message


@pytest.mark.parametrize(("given", "kept"), [(b"a-1_b.c:d", True), (b"", False), (b"a b", False), (b"a" * 129, False)])
def test_a_request_id_is_kept_if_it_is_well_formed(given: bytes, kept: bool) -> None:
    told = request_id({b"x-request-id": given})
    assert (told == given) is kept
    assert len(told) > 0
    assert request_id({}) != request_id({})


def test_trace_context_is_passed_on() -> None:
    assert tracing({b"traceparent": b"00-a-b-01", b"x-quality": b"low"}) == b"traceparent: 00-a-b-01\r\n"
    assert tracing({}) == b""
