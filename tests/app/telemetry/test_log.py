"""The log: one line a request, in JSON where that is wanted, and nothing in it that a client wrote."""

import json
import logging
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, event
from tests.app.process import running
from tests.app.serving import CHAT, backend, serving, upstream
from tests.app.telemetry.test_otel import LAST, PARENT, TRACE

from slipway_router.telemetry.log import JsonFormatter, RequestLog
from slipway_router.telemetry.record import Record
from slipway_router.telemetry.recorder import MOST_WAITING, Recorder
from slipway_router.telemetry.settings import LogSettings

LOGS: dict[str, Any] = {"logs": {"format": "json", "requests": True}}
KEY = "sk-" + "a1b2c3d4" * 5
SECRET = "my diary"


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the request log writes to, in place of standard error."""
    file = tmp_path / "log"
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    original = RequestLog.__init__

    def to_file(self: RequestLog, settings: LogSettings) -> None:
        original(self, settings, descriptor)

    monkeypatch.setattr(RequestLog, "__init__", to_file)
    yield file
    os.close(descriptor)


def text(file: Path) -> list[str]:
    return file.read_text().splitlines()


def lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text(file)]


async def test_each_request_is_one_line_with_its_ids_backend_tokens_cost_and_times(written: Path) -> None:
    costs: dict[str, Any] = {"input_cost_per_1m_tokens": 2.5, "output_cost_per_1m_tokens": 10.0}
    keys = [{"name": "team", "env": "TEAM", "tier": "paid"}]
    bearer = {"authorization": f"Bearer {KEY}"}
    async with upstream() as up, serving(backend(up, **costs), keys=keys, environ={"TEAM": KEY}, telemetry=LOGS) as served:
        await served.chat({**bearer, **PARENT, "x-request-id": "r-1"})
        up.behaviour = fake.stream(events=[event("a"), event("", "stop"), LAST, DONE])
        await served.chat(bearer, stream=True)
        await served.chat(bearer, model="nobody's")
        await served.chat({"authorization": "Bearer wrong"})
        await served.client.get("/health")
        await served.client.get("/metrics")
    whole, stream, unknown, refused = lines(written)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", whole.pop("time"))
    assert re.fullmatch("[0-9a-f]{16}", whole.pop("span_id"))
    assert 0 < whole.pop("first_byte_ms") <= whole.pop("duration_ms") < 10_000
    assert whole == {
        "level": "info",
        "logger": "slipway_router",
        "message": "request",
        "request_id": "r-1",
        "trace_id": TRACE,
        "path": "/v1/chat/completions",
        "status": 200,
        "key": "team",
        "tier": "paid",
        "task": "chat",
        "model": "auto",
        "stream": False,
        "attempts": 1,
        "rule": whole["rule"],
        "backend": "one",
        "backend_model": "mock",
        "prompt_tokens": 32,
        "completion_tokens": 64,
        "cost_dollars": 0.00072,
    }
    assert (stream["stream"], stream["completion_tokens"], "trace_id" in stream) == (True, 64, False)
    assert (unknown["status"], unknown["error"], unknown["model"], unknown["key"]) == (404, "model_not_found", "other", "team")
    assert (refused["status"], refused["error"], refused["key"]) == (401, "invalid_api_key", "none")


async def test_failures_and_clients_that_leave_are_told_with_a_word(written: Path) -> None:
    async with upstream(fake.whole(b"{}", "500 Internal Server Error")) as up, serving(backend(up), telemetry=LOGS) as served:
        await served.chat()
        up.behaviour = fake.cut_stream(event("a"))
        await served.chat(stream=True)
        up.behaviour = fake.stream(*["x"] * 200, delay=0.02)
        async with served.client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer:
            await anext(answer.aiter_bytes())
        up.gone.clear()
        await up.gone.wait()
    told = [(line["level"], line["status"], line["error"]) for line in lines(written)]
    assert told == [("warning", 502, "backends_failed"), ("info", 200, "stream_broken"), ("info", 499, "client_gone")]


async def test_from_warning_on_only_5xx_are_told_and_from_error_on_none(written: Path) -> None:
    for level, told in (("warning", [502]), ("error", [])):
        logs = {"logs": {"format": "json", "requests": True, "level": level}}
        os.truncate(written, 0)
        async with upstream() as up, serving(backend(up), telemetry=logs, retries={"rounds": 0}) as served:
            await served.chat()
            up.behaviour = fake.whole(b"{}", "500 Internal Server Error")
            await served.chat()
            assert (served.router.recorder is None) == (level == "error")
        assert [line["status"] for line in lines(written)] == told


async def test_a_line_for_people(written: Path) -> None:
    async with upstream() as up, serving(backend(up), telemetry={"logs": {"requests": True}}) as served:
        await served.chat({"x-request-id": "r-1"})
    (line,) = text(written)
    assert re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO slipway_router: request path=/v1/chat.* request_id=r-1 ", line)


async def test_nothing_that_a_client_wrote_and_no_key_is_in_the_log_of_a_real_process(tmp_path: Path) -> None:
    """Prompts, answers, names of models and users, keys, headers, bodies that are no JSON."""
    words = [{"role": "user", "content": SECRET}]
    async with upstream(fake.whole(fake.completion("dear diary's answer"))) as up:
        config = tmp_path / "router.json"
        told = {"format": "json", "requests": True, "level": "debug"}
        config.write_text(
            json.dumps(
                {
                    "backends": [backend(up, api_key_env="VENDOR"), backend("http://127.0.0.1:1/v1", "down")],
                    "keys": [{"name": "team", "env": "TEAM"}],
                    "telemetry": {"logs": told},
                }
            )
        )
        vendor = "vendor-" + KEY
        with running(config, {"TEAM": KEY, "VENDOR": vendor}) as (process, url, log):
            headers = {"authorization": f"Bearer {KEY}", "x-user-id": "jane@example.com"}
            async with httpx.AsyncClient(base_url=url, headers=headers) as client:
                path = "/v1/chat/completions"
                await client.post(path, json={"model": "auto", "messages": words, "user": "jane@example.com"})
                await client.post(path, json={"model": f"model of {SECRET}", "messages": words})
                await client.post(path, json={"model": "down", "messages": words})
                await client.post(path, content=f"not json: {SECRET}")
                await client.post(path, json={"messages": words, "temperature": SECRET, "stream": SECRET})
                await client.post(path, json={"messages": words}, headers={"x-quality": SECRET, "x-request-id": SECRET})
                await client.post(path, json={"messages": words}, headers={"authorization": f"Bearer {KEY[:-1]}z"})
                await client.post("/v1/messages", json={"model": "one", "max_tokens": 5, "messages": words})
                await client.post("/v1/ensemble", json={"messages": words, "ensemble": {"models": ["one", f"x {SECRET}"]}})
                await client.get(f"/v1/models/{SECRET}")
            process.terminate()
            process.wait(timeout=20)
        told_all = "".join(log)
    requests = [json.loads(line) for line in log if '"request"' in line]
    assert len(requests) >= 9
    assert all(json.loads(line) for line in log)
    for never in (SECRET, "diary", "jane", KEY, KEY[:12], "vendor-", "temperature"):
        assert never not in told_all


def test_a_line_of_the_log_is_a_json_object_without_what_an_exception_says() -> None:
    record = logging.LogRecord("slipway_router", logging.WARNING, "file", 1, "backend %s\nis gone", ("one",), None)
    told = json.loads(JsonFormatter().format(record))
    assert (told["level"], told["logger"], told["message"]) == ("warning", "slipway_router", "backend one\nis gone")
    try:
        raise ValueError(SECRET)
    except ValueError:
        record.exc_info = __import__("sys").exc_info()
    told = JsonFormatter().format(record)
    assert "\n" not in told
    assert (json.loads(told)["exception"], SECRET in told) == ("ValueError", False)


class Slow:
    every = True

    def __init__(self) -> None:
        self.taken = 0
        self.go_on = False

    def take(self, records: list[Record]) -> None:
        while not self.go_on:
            time.sleep(0.005)
        self.taken += len(records)
        if self.taken < 100:
            raise OSError("the disk is full")

    def close(self) -> None:
        pass


def test_a_log_that_hangs_or_fails_holds_no_request_and_what_is_left_out_is_counted(caplog: pytest.LogCaptureFixture) -> None:
    from slipway_router.counting import Count

    dropped, slow = Count(), Slow()
    recorder = Recorder([slow], None, dropped)  # pyright: ignore[reportArgumentType] -- a list is a sequence
    began = time.monotonic()
    for _ in range(MOST_WAITING + 500):
        recorder.over(Record("/v1/chat/completions", b"r", None, 0.0), "chat", 200, None)
    assert time.monotonic() - began < 5
    assert 400 <= dropped.value <= 500
    slow.go_on = True
    recorder.close()
    assert slow.taken + dropped.value == MOST_WAITING + 500
    assert [r.getMessage() for r in caplog.records] == ["Slow failed: OSError"]


def test_text_or_json_is_what_is_configured() -> None:
    assert LogSettings().format == "text"
