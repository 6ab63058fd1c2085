"""Spans and metrics as a collector gets them, by OpenTelemetry's own messages and constants."""

# The constants have moved to a package that is not released yet.
# pyright: reportDeprecated=false
import asyncio
import json
import socket
import sys
import time
from collections.abc import Mapping
from typing import Any

import pytest
from opentelemetry.semconv._incubating.attributes import gen_ai_attributes as gen_ai
from opentelemetry.semconv._incubating.attributes import http_attributes as http
from opentelemetry.semconv._incubating.metrics import gen_ai_metrics
from opentelemetry.semconv.attributes.error_attributes import ERROR_TYPE
from opentelemetry.semconv.attributes.server_attributes import SERVER_ADDRESS, SERVER_PORT
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, USAGE, event
from tests.app.serving import backend, serving, upstream
from tests.app.telemetry.receiver import Receiver, attributes, receiving

from slipway_router.config import Config, ConfigError
from slipway_router.telemetry.otel_names import OPERATIONS, PROVIDERS
from slipway_router.telemetry.start import recorder

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
PARENT = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "vendor=x"}
LAST = b"data: " + json.dumps({"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}).encode() + b"\n\n"
KEY = "k" * 40
SERVER, CLIENT, ERROR = 2, 3, 2


def telemetry(to: Receiver, **more: Any) -> dict[str, Any]:
    return {"otel": {"endpoint": to.url, "sample": 1, **more}}


def kinds(to: Receiver) -> tuple[list[Any], list[Any]]:
    """The spans of requests, and of attempts."""
    return [s for s in to.spans if s.kind == SERVER], [s for s in to.spans if s.kind == CLIENT]


async def test_a_request_is_two_spans_with_the_conventions_attributes_in_the_clients_trace() -> None:
    with receiving() as to:
        async with upstream() as up, serving(backend(up), telemetry=telemetry(to)) as served:
            await served.chat({**PARENT, "x-request-id": "r-1"}, temperature=0.5, max_tokens=7, n=2, seed=3)
            parent = up.posts[0].headers["traceparent"]
            assert up.posts[0].headers["tracestate"] == "vendor=x"
        (request,), (attempt,) = kinds(to)
    assert {s.trace_id.hex() for s in to.spans} == {TRACE}
    assert (request.parent_span_id.hex(), attempt.parent_span_id) == (SPAN, request.span_id)
    # The backend goes on from the attempt's span.
    assert parent == f"00-{TRACE}-{attempt.span_id.hex()}-01"
    assert (request.name, attempt.name) == ("POST /v1/chat/completions", "chat mock")
    told = attributes(request)
    assert told[http.HTTP_REQUEST_METHOD] == "POST"
    assert (told[http.HTTP_RESPONSE_STATUS_CODE], told["slipway.request_id"], told["slipway.key"]) == (200, "r-1", "anonymous")
    told = attributes(attempt)
    assert told == {
        gen_ai.GEN_AI_OPERATION_NAME: gen_ai.GenAiOperationNameValues.CHAT.value,
        gen_ai.GEN_AI_PROVIDER_NAME: gen_ai.GenAiProviderNameValues.OPENAI.value,
        gen_ai.GEN_AI_REQUEST_MODEL: "mock",
        gen_ai.GEN_AI_REQUEST_TEMPERATURE: 0.5,
        gen_ai.GEN_AI_REQUEST_MAX_TOKENS: 7,
        gen_ai.GEN_AI_REQUEST_CHOICE_COUNT: 2,
        gen_ai.GEN_AI_REQUEST_SEED: 3,
        gen_ai.GEN_AI_USAGE_INPUT_TOKENS: 32,
        gen_ai.GEN_AI_USAGE_OUTPUT_TOKENS: 64,
        SERVER_ADDRESS: "127.0.0.1",
        SERVER_PORT: up.port,
        "slipway.backend": "one",
    }
    assert request.start_time_unix_nano <= attempt.start_time_unix_nano < attempt.end_time_unix_nano
    assert attempt.end_time_unix_nano <= request.end_time_unix_nano
    assert abs(request.end_time_unix_nano / 1e9 - time.time()) < 60
    assert {r["service.name"] for r in to.resources} == {"slipway-router"}


def test_operations_and_providers_are_the_conventions_own() -> None:
    assert set(OPERATIONS.values()) <= {v.value for v in gen_ai.GenAiOperationNameValues}
    assert set(PROVIDERS.values()) - {"aws.sagemaker"} <= {v.value for v in gen_ai.GenAiProviderNameValues}


async def test_no_prompt_and_no_key_unless_switched_on() -> None:
    words = [{"role": "user", "content": "my secret diary"}, {"role": "user", "content": [{"type": "text", "text": "entry two"}]}]
    keys = [{"name": "team", "env": "TEAM"}]
    for switched_on in (False, True):
        with receiving() as to:
            async with (
                upstream(fake.whole(fake.completion("the answer's text"))) as up,
                serving(backend(up), keys=keys, environ={"TEAM": KEY}, telemetry=telemetry(to, content=switched_on)) as served,
            ):
                bearer = {"authorization": f"Bearer {KEY}"}
                await served.chat(bearer, messages=words, user="jane@example.com", model="auto", stop=["STOP-HERE"])
                await served.chat(bearer, messages=words, model="my secret model")
        assert len(to.spans) == 3
        assert (b"my secret diary" in to.raw) == switched_on
        for never in (KEY.encode(), b"jane@example.com", b"the answer's text", b"STOP-HERE", b"my secret model"):
            assert never not in to.raw
    (_, attempt) = (s for s in to.spans[:2])
    said = json.loads(attributes(attempt)[gen_ai.GEN_AI_INPUT_MESSAGES])
    assert said[0] == {"role": "user", "parts": [{"type": "text", "content": "my secret diary"}]}
    assert "entry two" in said[1]["parts"][0]["content"]


async def test_every_attempt_is_a_span_and_failures_say_why() -> None:
    with receiving() as to:
        async with (
            upstream(fake.whole(b"{}", "500 Internal Server Error")) as bad,
            upstream() as well,
            serving(backend(bad), backend(well, "two"), telemetry=telemetry(to)) as served,
        ):
            await served.chat()
            sent = [up.posts[0].headers["traceparent"].split("-")[2] for up in (bad, well)]
        (request,), attempts = kinds(to)
    assert [(attributes(a)["slipway.backend"], attributes(a).get(ERROR_TYPE), a.status.code) for a in attempts] == [
        ("one", "status", ERROR),
        ("two", None, 0),
    ]
    assert [a.span_id.hex() for a in attempts] == sent
    assert request.status.code == 0
    assert attributes(request)["slipway.attempts"] == 2


async def test_what_no_backend_could_answer_is_an_error() -> None:
    with receiving() as to:
        async with (
            upstream(fake.whole(b"{}", "500 Internal Server Error")) as up,
            serving(backend(up), telemetry=telemetry(to), retries={"rounds": 0}) as served,
        ):
            assert (await served.chat()).status_code == 502
            assert (await served.chat(model="nobody's")).status_code == 404
        (failed, unknown), (attempt,) = kinds(to)
    assert (attributes(failed)[ERROR_TYPE], failed.status.code) == ("backends_failed", ERROR)
    # A client's own mistake is no error of the server's span (HTTP conventions).
    assert (attributes(unknown)[ERROR_TYPE], unknown.status.code) == ("model_not_found", 0)
    assert attributes(attempt)[ERROR_TYPE] == "status"


async def test_a_stream_that_breaks_off_is_one_failed_attempt() -> None:
    with receiving() as to:
        async with (
            upstream(fake.cut_stream(event("a"), event("b"))) as up,
            serving(backend(up), telemetry=telemetry(to)) as served,
        ):
            await served.chat(stream=True)
        (request,), (attempt,) = kinds(to)
    assert (attributes(request)[ERROR_TYPE], request.status.code) == ("stream_broken", ERROR)
    assert (attributes(attempt)[ERROR_TYPE], attempt.status.code) == ("reset", ERROR)


async def test_a_client_that_leaves_is_told() -> None:
    with receiving() as to:
        async with upstream(fake.stream(*["x"] * 200, delay=0.02)) as up, serving(backend(up), telemetry=telemetry(to)) as served:
            async with served.client.stream("POST", "/v1/chat/completions", json=CHAT_STREAM) as answer:
                await anext(answer.aiter_bytes())
            await asyncio.wait_for(up.gone.wait(), 5)
        (request,), (attempt,) = kinds(to)
    assert [attributes(s)[ERROR_TYPE] for s in (request, attempt)] == ["client_gone"] * 2
    assert attributes(request)[http.HTTP_RESPONSE_STATUS_CODE] == 499


CHAT_STREAM = {"model": "auto", "stream": True, "messages": [{"role": "user", "content": "hello"}]}


async def test_an_ensembles_branches_are_requests_of_their_own_in_its_trace() -> None:
    with receiving() as to:
        async with upstream() as up, serving(backend(up), backend(up, "two"), telemetry=telemetry(to)) as served:
            body = {
                "messages": [{"role": "user", "content": "hello"}],
                "ensemble": {"models": ["one", "two"], "aggregate": "all"},
            }
            answer = await served.client.post("/v1/ensemble", json=body, headers=PARENT)
            assert answer.status_code == 200
        requests, attempts = kinds(to)
    whole = next(s for s in requests if s.parent_span_id.hex() == SPAN)
    assert {s.parent_span_id for s in requests if s is not whole} == {whole.span_id}
    assert (len(requests), len(attempts)) == (3, 2)
    assert {s.trace_id.hex() for s in to.spans} == {TRACE}


async def test_sampling_follows_the_client_and_else_the_share() -> None:
    with receiving() as to:
        async with upstream() as up, serving(backend(up), telemetry=telemetry(to, sample=0)) as served:
            for flag in ("01", "00"):
                await served.chat({"traceparent": f"00-{TRACE}-{SPAN}-{flag}"})
            await served.chat()
            flags = [g.headers["traceparent"][-2:] for g in up.posts]
            traces = [g.headers["traceparent"][3:35] for g in up.posts]
        assert len(to.spans) == 2
    assert flags == ["01", "00", "00"]
    assert traces[0] == traces[1] == TRACE != traces[2]


async def test_without_traces_the_clients_context_is_passed_on_as_it_came() -> None:
    with receiving() as to:
        async with upstream() as up, serving(backend(up), telemetry=telemetry(to, traces=False)) as served:
            await served.chat(PARENT)
            await served.chat()
            assert up.posts[0].headers["traceparent"] == PARENT["traceparent"]
            assert "traceparent" not in up.posts[1].headers
        assert to.spans == []


def points(to: Receiver, name: str) -> list[Any]:
    metric = to.metrics[name]
    return list(metric.histogram.data_points)


def by(found: list[Any], key: str) -> dict[Any, Any]:
    return {attributes(p).get(key): p for p in found}


async def test_metrics_by_the_conventions_of_all_requests_sampled_or_not() -> None:
    with receiving() as to:
        events = [event("a"), event("b"), event("", "stop"), LAST, DONE]
        async with upstream() as up, serving(backend(up), telemetry=telemetry(to, sample=0)) as served:
            await served.chat()
            up.behaviour = fake.stream(events=events, delay=0.02)
            await served.chat(stream=True)
            await served.chat(model="unknown")
        found = to.metrics
    assert set(found) == {
        gen_ai_metrics.GEN_AI_SERVER_REQUEST_DURATION,
        gen_ai_metrics.GEN_AI_CLIENT_OPERATION_DURATION,
        gen_ai_metrics.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN,
        gen_ai_metrics.GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN,
        gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE,
    }
    assert {m.unit for n, m in found.items() if n != gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE} == {"s"}
    assert found[gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE].unit == "{token}"
    required: Mapping[str, Any] = {gen_ai.GEN_AI_OPERATION_NAME: "chat", gen_ai.GEN_AI_PROVIDER_NAME: "openai"}
    for name in found:
        for point in points(to, name):
            told = attributes(point)
            assert told.get(ERROR_TYPE) or {k: told[k] for k in required} == required
    server = by(points(to, gen_ai_metrics.GEN_AI_SERVER_REQUEST_DURATION), ERROR_TYPE)
    assert (server[None].count, server["model_not_found"].count) == (2, 1)
    used = by(points(to, gen_ai_metrics.GEN_AI_CLIENT_TOKEN_USAGE), gen_ai.GEN_AI_TOKEN_TYPE)
    assert {k: (p.count, p.sum) for k, p in used.items()} == {"input": (2, 64), "output": (2, 128)}
    (first,) = points(to, gen_ai_metrics.GEN_AI_SERVER_TIME_TO_FIRST_TOKEN)
    assert (first.count, first.sum > 0.01, list(first.explicit_bounds)[:2]) == (1, True, [0.001, 0.005])
    assert not first.HasField("min")
    (each,) = points(to, gen_ai_metrics.GEN_AI_SERVER_TIME_PER_OUTPUT_TOKEN)
    assert each.sum == pytest.approx(0.08 / 63, rel=0.9)


async def test_the_collectors_token_is_sent_and_named_by_its_variable_alone() -> None:
    with receiving() as to:
        settings = telemetry(to, token_env="OTLP_TOKEN")
        async with upstream() as up, serving(backend(up), environ={"OTLP_TOKEN": "t0ken"}, telemetry=settings) as served:
            await served.chat()
    assert to.tokens == {"Bearer t0ken"}


async def test_a_collector_that_is_not_there_costs_no_request() -> None:
    async with (
        upstream() as up,
        serving(backend(up), telemetry={"otel": {"endpoint": "http://127.0.0.1:1", "sample": 1, "metrics": False}}) as served,
    ):
        codes = [(await served.chat()).status_code for _ in range(20)]
    assert codes == [200] * 20


async def test_a_collector_that_never_answers_holds_neither_requests_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_router.telemetry.recorder.CLOSE_SECONDS", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        to = f"http://127.0.0.1:{silent.getsockname()[1]}"
        async with upstream() as up, serving(backend(up), telemetry={"otel": {"endpoint": to, "sample": 1}}) as served:
            codes = [(await served.chat()).status_code for _ in range(5)]
            began = time.monotonic()
        assert time.monotonic() - began < 4
    assert codes == [200] * 5


def test_without_the_sdk_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    monkeypatch.delitem(sys.modules, "slipway_router.telemetry.otel")
    config = Config.parse({"backends": [backend("http://127.0.0.1:1/v1")], "telemetry": {"otel": {"endpoint": "http://c"}}})
    with pytest.raises(
        ConfigError, match=r"telemetry\.otel: needs OpenTelemetry's SDK; install it with: pip install 'slipway\[otel\]'"
    ):
        recorder(config.telemetry, {}, None, {})  # pyright: ignore[reportArgumentType] -- it does not get that far


async def test_what_the_collector_does_not_take_is_counted() -> None:
    for status, count in ((200, 0), (400, 1)):
        with receiving() as to:
            to.status = status
            async with upstream() as up, serving(backend(up), telemetry=telemetry(to)) as served:
                await served.chat()
                metrics = served.router.metrics
            told = metrics.text().decode()
        for signal in ("traces", "metrics"):
            assert f'slipway_router_telemetry_failed_exports_total{{signal="{signal}"}} {count}' in told, told
