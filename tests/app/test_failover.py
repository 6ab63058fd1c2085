"""What happens when a backend fails: before the first byte the next one is asked, after it the client is told."""

import asyncio
import json
import socket

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, Behaviour, event
from tests.app.serving import CHAT, backend, serving, upstream

QUICK = {"connect": 0.3, "first_byte": 0.3, "between_chunks": 0.3, "total": 5}


def refusing() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return f"http://127.0.0.1:{taken.getsockname()[1]}/v1"


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("behaviour", "cause", "rate"),
    [
        (fake.failing(), "status", 0.1),
        (fake.failing("503 Service Unavailable"), "status", 0.1),
        (fake.failing("429 Too Many Requests", "Retry-After: 9"), "rate_limit", 0),
        (fake.failing("401 Unauthorized"), "auth", 0.1),
        (fake.failing("404 Not Found"), "not_found", 0),
        (fake.hang, "timeout", 0.1),
        (fake.hang_after_head, "timeout", 0.1),
        (fake.reset, "reset", 0.1),
        (fake.garbage, "protocol", 0.1),
        (fake.endless_head, "protocol", 0.1),
        (fake.cut_stream(), "reset", 0.1),
        (fake.cut_whole(), "reset", 0.1),
    ],
    ids=["500", "503", "429", "401", "404", "hang", "hang_head", "reset", "garbage", "endless", "cut_stream", "cut_whole"],
)
async def test_the_next_backend_answers(behaviour: Behaviour, cause: str, rate: float, stream: bool) -> None:
    good = fake.stream("a") if stream else fake.whole()
    async with (
        upstream(behaviour) as bad,
        upstream(good) as well,
        serving(backend(bad, timeouts=QUICK), backend(well, "two")) as served,
    ):
        answer = await served.chat(stream=stream)
        status = served.router.targets["one"].status
        metrics = (await served.client.get("/metrics")).text
    assert answer.status_code == 200
    assert (answer.headers["x-slipway-backend"], answer.headers["x-slipway-attempts"]) == ("two", "2")
    assert answer.content == (event("a") + event("", "stop") + DONE if stream else fake.completion())
    assert status.error_rate == pytest.approx(rate)
    assert f'slipway_router_attempt_failures_total{{backend="one",cause="{cause}"}} 1.0' in metrics
    assert len(well.posts) == 1


async def test_a_refused_connection_goes_to_the_next() -> None:
    async with upstream() as well, serving(backend(refusing()), backend(well, "two")) as served:
        answer = await served.chat()
        assert answer.headers["x-slipway-backend"] == "two"
        assert served.router.targets["one"].status.reachable is False


async def test_a_backend_that_failed_too_often_is_asked_last() -> None:
    async with (
        upstream(fake.failing()) as bad,
        upstream() as well,
        serving(backend(bad), backend(well, "two")) as served,
    ):
        attempts = [(await served.chat()).headers["x-slipway-attempts"] for _ in range(8)]
    assert attempts == ["2"] * 5 + ["1"] * 3
    assert len(bad.posts) == 5


async def test_a_rate_limit_sets_a_backend_aside() -> None:
    async with (
        upstream(fake.failing("429 Too Many Requests", "Retry-After: 30")) as bad,
        upstream() as well,
        serving(backend(bad), backend(well, "two")) as served,
    ):
        attempts = [(await served.chat()).headers["x-slipway-attempts"] for _ in range(3)]
    assert attempts == ["2", "1", "1"]


async def test_a_full_backend_sheds_to_the_next() -> None:
    async with (
        upstream(fake.hang) as busy,
        upstream() as well,
        serving(backend(busy, max_connections=1), backend(well, "two")) as served,
    ):
        waiting = asyncio.create_task(served.chat())
        await busy.asked()
        answer = await served.chat()
        assert answer.headers["x-slipway-backend"] == "two"
        assert served.router.targets["one"].status.error_rate == 0
        waiting.cancel()


@pytest.mark.parametrize(
    ("behaviour", "status", "code", "said"),
    [
        (fake.failing(), 502, "backends_failed", "one answered 500; two answered 500"),
        (fake.hang, 504, "backends_timed_out", "one sent nothing within 0.3 s"),
        (fake.failing("429 Too Many Requests", "Retry-After: 7"), 429, "rate_limited", "answered 429"),
    ],
)
async def test_when_every_backend_fails_the_causes_are_told(behaviour: Behaviour, status: int, code: str, said: str) -> None:
    async with (
        upstream(behaviour) as up,
        upstream(behaviour) as other,
        serving(backend(up, timeouts=QUICK), backend(other, "two", timeouts=QUICK)) as served,
    ):
        answer = await served.chat()
        metrics = (await served.client.get("/metrics")).text
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (
        status,
        code,
        "rate_limit_error" if status == 429 else "server_error",
    )
    assert said in error["message"]
    assert "it is me" not in error["message"]
    assert answer.headers["x-slipway-attempts"] == ("4" if code == "backends_failed" else "2")
    assert answer.headers.get("retry-after") == ("7" if code == "rate_limited" else None)
    assert f'slipway_router_requests_total{{backend="none",code="{status}",model="none",task="chat"}} 1.0' in metrics


BREAKS = [
    ("reset", fake.cut_stream(event("a"), event("b"))),
    ("end", fake.cut_stream(event("a"), event("b"), reset=False)),
    ("half", fake.cut_stream(event("a"), event("b"), b'data: {"id":"c1","obj')),
    ("split", fake.cut_stream(event("a"), event("b")[:30], event("b")[30:], event("c")[:-1])),
    ("unframed", fake.cut_stream(event("a"), event("b"), reset=False, framed=False)),
]


@pytest.mark.parametrize("end", [b"\r\n", b"\r"], ids=["crlf", "cr"])
async def test_whatever_its_lines_end_in_a_stream_passes_and_breaks_after_whole_events(end: bytes) -> None:
    events = [e.replace(b"\n", end) for e in (event("a"), event("b"), event("", "stop"), DONE)]
    halves = [h for e in events for h in (e[:9], e[9:])]
    async with upstream(fake.stream(events=halves)) as up, serving(backend(up)) as served:
        whole = await served.chat(stream=True)
        up.behaviour = fake.cut_stream(*halves[:5])
        broken = await served.chat(stream=True)
    assert whole.content == b"".join(events)
    begun, said, error = broken.content.partition(b'data: {"error"')
    assert begun == b"".join(events[:2])
    assert b"stream_broken" in said + error


@pytest.mark.parametrize("behaviour", [b for _, b in BREAKS], ids=[i for i, _ in BREAKS])
async def test_a_stream_that_breaks_ends_in_an_error_event_after_whole_events(behaviour: Behaviour) -> None:
    async with (
        upstream(behaviour) as up,
        upstream(fake.stream("x")) as other,
        serving(backend(up), backend(other, "two")) as served,
    ):
        answer = await served.chat(stream=True)
        assert served.router.targets["one"].status.error_rate == pytest.approx(0.1)
    assert answer.content.startswith(event("a") + event("b") + b'data: {"error":')
    last = answer.content.removesuffix(b"\n\n").rpartition(b"data: ")[2]
    assert json.loads(last)["error"]["code"] == "stream_broken"
    assert b"[DONE]" not in answer.content
    assert other.posts == []


async def test_a_stream_that_stalls_is_ended_too() -> None:
    async def stalling(out: fake.Exit) -> None:
        await out.write(fake.head("200 OK", fake.SSE, "Transfer-Encoding: chunked") + fake.chunk(event("a")))
        await asyncio.sleep(3600)

    async with upstream(stalling) as up, serving(backend(up, timeouts=QUICK)) as served:
        answer = await served.chat(stream=True)
        await asyncio.wait_for(up.gone.wait(), 2)
    assert answer.content.startswith(event("a") + b'data: {"error":')
    assert b"stalled" in answer.content


async def test_events_split_over_segments_come_out_whole_and_unchanged() -> None:
    events = [event("a"), event("b"), event("c"), DONE]
    joined = b"".join(events)
    pieces = [joined[i : i + 37] for i in range(0, len(joined), 37)]
    crlf = [e.replace(b"\n", b"\r\n") for e in events]
    unfinished = [*events, b": a comment without its end"]
    for sent in (pieces, crlf, unfinished):
        async with upstream(fake.stream(events=sent, delay=0.002)) as up, serving(backend(up)) as served:
            answer = await served.chat(stream=True)
        assert answer.content == b"".join(sent)


async def test_an_unframed_stream_that_says_it_is_done_is_whole() -> None:
    whole = fake.cut_stream(event("a"), DONE, reset=False, framed=False)
    async with upstream(whole) as up, serving(backend(up)) as served:
        answer = await served.chat(stream=True)
        assert served.router.targets["one"].status.error_rate == 0
    assert answer.content == event("a") + DONE


async def test_a_stream_arrives_as_it_is_made() -> None:
    async with upstream(fake.stream("a", "b", "c", delay=0.15)) as up, serving(backend(up)) as served:
        loop = asyncio.get_running_loop()
        async with served.client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer:
            assert answer.headers["content-type"] == fake.SSE
            times = [loop.time() async for part in answer.aiter_raw() if part]
    assert len(times) == 5
    assert times[-1] - times[0] > 0.4


async def test_an_answer_too_large_to_hold_back_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_router.exchange.HOLD_BYTES", 100_000)
    large = json.dumps({"data": "x" * 3_000_000}).encode()
    for behaviour in (fake.whole(large), fake.chunked(large, 30), fake.until_close(large)):
        async with upstream(behaviour) as up, serving(backend(up)) as served:
            answer = await served.chat()
            assert answer.content == large


async def test_a_client_that_reads_slowly_does_not_fill_the_router() -> None:
    written = 0

    async def large(out: fake.Exit) -> None:
        nonlocal written
        await out.write(fake.head("200 OK", fake.SSE, "Transfer-Encoding: chunked"))
        piece = fake.chunk(event("x" * 65536))
        for _ in range(800):
            await out.write(piece)
            written += len(piece)
        await out.write(b"0\r\n\r\n")

    async with upstream(large) as up, serving(backend(up)) as served:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
        body = json.dumps({**CHAT, "stream": True}).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        await asyncio.sleep(1)
        stopped = written
        await asyncio.sleep(0.3)
        assert written == stopped < 800 * 65536
        while await reader.read(1 << 20):
            if written >= 800 * 65536:
                break
        writer.close()


async def test_a_client_that_never_reads_is_cut_at_the_total_time() -> None:
    async def endless(out: fake.Exit) -> None:
        await out.write(fake.head("200 OK", fake.SSE, "Transfer-Encoding: chunked"))
        while True:
            await out.write(fake.chunk(event("x" * 65536)))

    timeouts = {**QUICK, "total": 1.0}
    async with upstream(endless) as up, serving(backend(up, timeouts=timeouts)) as served:
        _, writer = await asyncio.open_connection("127.0.0.1", served.port, limit=1024)
        try:
            body = json.dumps({**CHAT, "stream": True}).encode()
            writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
            await up.asked()
            assert len(served.proxy.watches) == 1
            await asyncio.wait_for(up.gone.wait(), 4)
            await asyncio.sleep(0.2)
            assert served.proxy.watches == set()
        finally:
            writer.transport.abort()


async def test_stopping_cuts_a_stream_with_an_error_event() -> None:
    async with upstream(fake.stream(*(["word"] * 1000), delay=0.02)) as up, serving(backend(up)) as served:
        async with served.client.stream("POST", "/v1/chat/completions", json={**CHAT, "stream": True}) as answer:
            parts: list[bytes] = []
            async for part in answer.aiter_raw():
                parts.append(part)
                if len(parts) == 2:
                    served.proxy.stop()
        waiting = asyncio.create_task(served.chat())
        await up.asked()
        await up.asked()
        served.proxy.stop()
        refused = await waiting
    assert b"the router stops" in parts[-1]
    assert (refused.status_code, refused.json()["error"]["code"]) == (503, "draining")


async def test_a_backend_whose_breaker_is_open_is_not_asked() -> None:
    settings = {"failures": 3, "window": 5, "open_seconds": 60}
    async with (
        upstream(fake.failing()) as bad,
        upstream() as well,
        serving(backend(bad, breaker=settings), backend(well, "two"), policy={"max_error_rate": 1}) as served,
    ):
        attempts = [(await served.chat()).headers["x-slipway-attempts"] for _ in range(6)]
        assert attempts == ["2"] * 3 + ["1"] * 3
        await well.stop()
        refused = await served.chat(model="one")
        metrics = (await served.client.get("/metrics")).text
    assert len(bad.posts) == 4
    assert (refused.status_code, refused.headers["x-slipway-attempts"]) == (502, "1")
    assert 'slipway_router_backend_breaker_open{backend="one"} 1.0' in metrics


async def test_an_open_breaker_lets_one_request_at_a_time_try_when_nothing_else_is_left() -> None:
    async with upstream(fake.hang) as up, serving(backend(up, breaker={"failures": 1, "open_seconds": 60})) as served:
        served.router.targets["one"].breaker.failed()
        trial = asyncio.create_task(served.chat())
        await up.asked()
        refused = await served.chat()
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "backends_busy")
        assert "failed too often" in refused.json()["error"]["message"]
        assert len(up.posts) == 1
        trial.cancel()
        await asyncio.wait_for(up.gone.wait(), 2)
        up.behaviour = fake.whole()
        assert (await served.chat()).status_code == 200
        assert served.router.targets["one"].breaker.closed


async def test_a_backend_that_asked_to_be_left_alone_is_busy_and_over_no_limit() -> None:
    async with upstream(fake.failing("503 Service Unavailable", "Retry-After: 7")) as up, serving(backend(up)) as served:
        answers = [await served.chat() for _ in range(2)]
    assert [(a.status_code, a.json()["error"]["code"]) for a in answers] == [(502, "backends_failed"), (503, "backends_busy")]
    assert len(up.posts) == 1


async def test_a_clients_own_mistakes_never_open_a_breaker() -> None:
    async with (
        upstream(fake.failing("400 Bad Request")) as up,
        serving(backend(up, breaker={"failures": 1, "window": 1})) as served,
    ):
        for status in ("400 Bad Request", "413 Content Too Large", "422 Unprocessable Content", "404 Not Found", "429 Slow Down"):
            up.behaviour = fake.failing(status)
            await served.chat()
            assert served.router.targets["one"].breaker.closed


async def test_a_rate_limit_cools_every_backend_of_its_quota_for_the_longest_time_told() -> None:
    async with (
        upstream(fake.failing("429 Too Many Requests", "Retry-After: 60")) as first,
        upstream() as second,
        upstream() as third,
        serving(backend(first, quota="account"), backend(second, "two", quota="account"), backend(third, "three")) as served,
    ):
        assert (await served.chat()).headers["x-slipway-backend"] == "three"
        first.behaviour = fake.failing("429 Too Many Requests", "Retry-After: 1")
        assert (await served.chat()).headers["x-slipway-attempts"] == "1"
        refused = [await served.chat(model=m) for m in ("one", "two")]
        state = {b["name"]: b["rests_seconds"] for b in (await served.client.get("/ready")).json()["backends"]}
    assert (len(first.posts), second.posts) == (1, [])
    assert [(r.status_code, r.json()["error"]["code"]) for r in refused] == [(429, "rate_limited")] * 2
    assert all(55 < int(r.headers["retry-after"]) <= 60 for r in refused)
    assert 55 < state["two"] == state["one"] <= 60
    assert state["three"] == 0


async def test_a_503_with_retry_after_cools_its_backend_alone() -> None:
    async with (
        upstream(fake.failing("503 Service Unavailable", "Retry-After: 60")) as first,
        upstream() as second,
        serving(backend(first, quota="a"), backend(second, "two", quota="a")) as served,
    ):
        attempts = [(await served.chat()).headers["x-slipway-attempts"] for _ in range(3)]
    assert (attempts, len(first.posts)) == (["2", "1", "1"], 1)


async def test_when_all_have_failed_they_are_asked_once_more() -> None:
    async def once(out: fake.Exit) -> None:
        await (fake.failing() if len(up.posts) == 1 else fake.whole())(out)

    async with upstream(once) as up, serving(backend(up)) as served:
        answer = await served.chat()
        metrics = (await served.client.get("/metrics")).text
    assert (answer.status_code, answer.headers["x-slipway-attempts"]) == (200, "2")
    assert 'slipway_router_retries_total{backend="one",outcome="made"} 1.0' in metrics


async def test_a_time_out_is_not_tried_again() -> None:
    async with upstream(fake.hang) as up, serving(backend(up, timeouts=QUICK)) as served:
        assert (await served.chat()).status_code == 504
    assert len(up.posts) == 1


async def test_retries_end_with_their_budget() -> None:
    none = {"ratio": 0, "per_second": 0}
    async with (
        upstream(fake.failing()) as bad,
        upstream() as well,
        serving(backend(bad), backend(well, "two"), retries=none) as served,
    ):
        refused = await served.chat()
        metrics = (await served.client.get("/metrics")).text
        assert served.router.targets["two"].breaker.closed
    assert (refused.status_code, well.posts) == (502, [])
    assert "retry budget is used up" in refused.json()["error"]["message"]
    assert [f'slipway_router_retries_total{{backend="{name}",outcome="refused"}} 1.0' in metrics for name in ("one", "two")] == [
        True
    ] * 2


async def test_going_past_a_backend_that_took_nothing_up_is_no_retry() -> None:
    none = {"ratio": 0, "per_second": 0}
    async with (
        upstream(fake.failing("429 Too Many Requests")) as busy,
        upstream() as well,
        serving(backend(refusing()), backend(busy, "two"), backend(well, "three"), retries=none) as served,
    ):
        answer = await served.chat()
    assert (answer.status_code, answer.headers["x-slipway-attempts"]) == (200, "3")
