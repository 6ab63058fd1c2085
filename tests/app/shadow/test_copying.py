"""Copies of requests, over HTTP: what the candidate gets, what is counted, and that clients never notice."""

import asyncio
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import FakeUpstream
from tests.app.serving import CHAT, Served, backend, serving, upstream

from slipway_router.config import Config


@pytest.fixture(autouse=True)
def _busy_machine(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    """Other tests may keep this machine's loops late; the test of that sets its own bound."""
    monkeypatch.setattr("slipway_router.shadow.copying.LATE_SECONDS", 60.0)


def shadow(**more: Any) -> dict[str, Any]:
    return {"name": "s", "backend": "next", "share": 1, **more}


async def settled(served: Served) -> None:
    """Wait until no copy is under way."""
    for _ in range(1000):
        shadows = served.router.shadows
        assert shadows is not None
        if not any(s.in_flight for s in shadows.all):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("copies are still under way")


async def counted(served: Served, name: str) -> dict[str, float]:
    """Metrics of the shadow `s`, by their other labels."""
    lines = (await served.client.get("/metrics")).text.splitlines()
    found: dict[str, float] = {}
    for line in lines:
        if line.startswith(f"slipway_router_shadow_{name}{{"):
            labels, value = line[line.index("{") + 1 :].split("} ")
            told = [part.split("=")[1].strip('"') for part in labels.split(",") if not part.startswith("shadow=")]
            if float(value):
                found["/".join(told)] = float(value)
    return found


async def test_a_copy_is_compared_and_the_candidate_answers_no_client() -> None:
    async with (
        upstream(fake.whole(fake.completion("the sky is blue"))) as own,
        upstream(fake.whole(fake.completion("the sky is green"))) as new,
        serving(backend(own), backend(new, "next", model="m2", cost_per_1k_tokens=0), shadows=[shadow()]) as served,
    ):
        answer = await served.chat({"x-request-id": "r1", "traceparent": "00-1-2-01"}, temperature=0)
        await settled(served)
        other = await served.chat(model="next")
        models = [m["id"] for m in (await served.client.get("/v1/models")).json()["data"]]
        outcomes, verdicts = await counted(served, "requests_total"), await counted(served, "comparisons_total")
        similar = await counted(served, "similarity_sum")
        requests = (await served.client.get("/metrics")).text
        ready = await served.client.get("/ready")
    assert (answer.headers["x-slipway-backend"], answer.json()["choices"][0]["message"]["content"]) == ("one", "the sky is blue")
    [copy] = new.posts
    assert copy.json == {**CHAT, "model": "m2", "temperature": 0}
    assert (copy.headers["x-request-id"], "traceparent" in copy.headers) == ("r1", False)
    assert other.status_code == 404
    assert models == ["auto", "one", "mock"]
    assert outcomes == {"compared": 1.0}
    assert verdicts == {"status/same": 1.0, "text/different": 1.0, "finish_reason/same": 1.0}
    assert similar == {"": 0.75}
    assert 'backend="next",code=' not in requests
    assert ready.status_code == 200


async def test_streams_are_copied_too() -> None:
    usage = b'data: {"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":%d}}\n\n'
    mine = [fake.event("hello"), fake.event(" you", "stop"), usage % 2, fake.DONE]
    theirs = [fake.event("hello you"), fake.event("", "length"), usage % 5, fake.DONE]
    async with (
        upstream(fake.stream(events=mine)) as own,
        upstream(fake.stream(events=theirs, delay=0.03)) as new,
        serving(backend(own), backend(new, "next"), shadows=[shadow()]) as served,
    ):
        answer = await served.chat(stream=True)
        await settled(served)
        verdicts, tokens = await counted(served, "comparisons_total"), await counted(served, "tokens_total")
        first, whole = await counted(served, "time_to_first_token_seconds_sum"), await counted(served, "duration_seconds_sum")
        characters = await counted(served, "characters_total")
    assert answer.content == b"".join(mine)
    assert new.posts[0].json["stream"] is True
    assert verdicts == {"status/same": 1.0, "text/same": 1.0, "finish_reason/different": 1.0}
    assert tokens == {"answered": 2.0, "candidate": 5.0}
    assert characters == {"answered": 9.0, "candidate": 9.0}
    assert 0.03 <= first["candidate"] < whole["candidate"]
    assert whole["candidate"] >= 0.12
    assert 0 < first["answered"] <= whole["answered"]


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (fake.failing(), "status"),
        (fake.failing("429 Too Many Requests", "Retry-After: 1000"), "rate_limit"),
        (fake.reset, "reset"),
        (fake.garbage, "protocol"),
        (fake.whole(b"<html>"), "protocol"),
        (fake.cut_whole(), "reset"),
        (fake.cut_stream(fake.event("a")), "reset"),
        (fake.hang, "timeout"),
        (fake.hang_after_head, "timeout"),
    ],
)
async def test_whatever_the_candidate_does_clients_have_their_answers(behaviour: fake.Behaviour, cause: str) -> None:
    settings = shadow(deadline_seconds=0.3)
    async with (
        upstream() as own,
        upstream(behaviour) as new,
        serving(backend(own), backend(new, "next"), shadows=[settings], retries={"ratio": 0, "per_second": 0}) as served,
    ):
        plain = await served.chat()
        await settled(served)
        again = await served.chat()
        await settled(served)
        outcomes, failures = await counted(served, "requests_total"), await counted(served, "failures_total")
        verdicts = await counted(served, "comparisons_total")
        one, candidate = served.router.targets["one"], served.router.targets["next"]
    for answer in (plain, again):
        assert (answer.status_code, answer.content) == (200, fake.completion())
        assert (answer.headers["x-slipway-backend"], answer.headers["x-slipway-attempts"]) == ("one", "1")
    # One that asked to be left alone is.
    assert outcomes == ({"failed": 1.0, "resting": 1.0} if cause == "rate_limit" else {"failed": 2.0})
    assert failures == {cause: outcomes["failed"]}
    assert verdicts == {"status/worse": outcomes["failed"]}
    assert (one.status.error_rate, one.in_flight, candidate.in_flight) == (0, 0, 0)
    assert len(own.posts) == 2


async def test_a_slow_candidate_slows_nobody() -> None:
    gate = asyncio.Event()

    async def slow(out: fake.Exit) -> None:
        await gate.wait()
        await fake.whole()(out)

    async with (
        upstream() as own,
        upstream(slow) as new,
        serving(backend(own), backend(new, "next"), shadows=[shadow(max_in_flight=2)]) as served,
    ):
        answers = [await served.chat() for _ in range(5)]
        outcomes = await counted(served, "requests_total")
        gate.set()
        await settled(served)
        after = await counted(served, "requests_total")
    assert {a.status_code for a in answers} == {200}
    assert outcomes == {"full": 3.0}
    assert after == {"full": 3.0, "compared": 2.0}
    assert len(new.posts) == 2


async def test_a_candidate_that_keeps_failing_is_left_alone() -> None:
    async with (
        upstream() as own,
        upstream(fake.failing()) as new,
        serving(backend(own), backend(new, "next", breaker={"failures": 2, "window": 2}), shadows=[shadow()]) as served,
    ):
        for _ in range(4):
            await served.chat()
            await settled(served)
        outcomes = await counted(served, "requests_total")
    assert outcomes == {"failed": 2.0, "resting": 2.0}
    assert len(new.posts) == 2


async def test_what_the_client_did_not_get_whole_is_not_copied() -> None:
    async with (
        upstream(fake.cut_stream(fake.event("a"), fake.event("b"))) as own,
        upstream() as new,
        serving(backend(own), backend(new, "next"), shadows=[shadow()], retries={"rounds": 0}) as served,
    ):
        broken = await served.chat(stream=True)
        own.behaviour = fake.failing()
        failed = await served.chat()
        own.behaviour = fake.hang
        own.arrived.clear()
        leaving = asyncio.create_task(served.chat())
        await own.asked()
        leaving.cancel()
        await settled(served)
        outcomes = await counted(served, "requests_total")
    assert b"stream_broken" in broken.content
    assert failed.status_code == 502
    assert outcomes == {"unanswered": 3.0}
    assert new.posts == []


async def test_a_client_that_leaves_with_its_answer_takes_no_copy_along() -> None:
    async with (
        upstream() as own,
        upstream(fake.chunked(pieces=20)) as new,
        serving(backend(own), backend(new, "next"), shadows=[shadow()]) as served,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", served.port)
        body = json.dumps(CHAT).encode()
        writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
        await reader.readuntil(b"\r\n\r\n")
        await new.asked()
        writer.transport.abort()
        await settled(served)
        assert await counted(served, "requests_total") == {"compared": 1.0}


async def test_a_clients_own_mistake_is_compared_by_its_status() -> None:
    async with (
        upstream(fake.failing("400 Bad Request")) as own,
        upstream() as new,
        serving(backend(own), backend(new, "next"), shadows=[shadow()]) as served,
    ):
        refused = await served.chat()
        await settled(served)
        verdicts = await counted(served, "comparisons_total")
    assert refused.status_code == 400
    assert verdicts == {"status/better": 1.0}


async def test_copies_are_dropped_while_the_router_is_busy() -> None:
    admission = {"max_in_flight": 8, "shares": {"free": 0.5}}
    async with (
        upstream(fake.hang) as own,
        upstream() as new,
        serving(backend(own), backend(new, "next"), shadows=[shadow()], admission=admission) as served,
    ):
        waiting = [asyncio.create_task(served.chat()) for _ in range(2)]
        for _ in range(500):
            if len(own.posts) == 2:
                break
            await asyncio.sleep(0.01)
        own.behaviour = fake.whole()
        answer = await served.chat()
        outcomes = await counted(served, "requests_total")
        for task in waiting:
            task.cancel()
        await settled(served)
    assert answer.status_code == 200
    assert outcomes == {"busy": 1.0}
    assert new.posts == []


async def test_copies_are_dropped_while_the_loop_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_router.shadow.copying.LATE_SECONDS", -1.0)
    async with (
        upstream() as own,
        upstream() as new,
        serving(backend(own), backend(new, "next"), shadows=[shadow()]) as served,
    ):
        await served.chat()
        await settled(served)
        assert await counted(served, "requests_total") == {"busy": 1.0}
    assert new.posts == []


async def test_copies_are_the_first_to_go_when_the_router_drains() -> None:
    async with (
        upstream() as own,
        upstream(fake.hang) as new,
        serving(backend(own), backend(new, "next"), shadows=[shadow()]) as served,
    ):
        await served.chat()
        await new.asked()
        new.gone.clear()
        served.router.draining_since = asyncio.get_running_loop().time()
        served.proxy.drop_copies()
        await asyncio.wait_for(new.gone.wait(), 2)
        last = await served.chat()
        await settled(served)
        outcomes = await counted(served, "requests_total")
        assert served.router.targets["next"].in_flight == 0
    assert last.status_code == 200
    assert outcomes == {"draining": 2.0}


async def test_the_share_is_kept() -> None:
    async with (
        upstream() as own,
        upstream() as new,
        serving(backend(own), backend(new, "next"), shadows=[shadow(share=0.2, max_in_flight=1000)]) as served,
    ):
        for _ in range(20):
            await asyncio.gather(*(served.chat() for _ in range(20)))
        await settled(served)
        outcomes = await counted(served, "requests_total")
    # 400 draws of 0.2: a mean of 80 with a standard deviation of 8; beyond 5 of those once in two million runs
    drawn = sum(outcomes.values())
    assert 40 <= drawn <= 120
    assert len(new.posts) == outcomes["compared"]


async def test_a_share_of_users_stays_the_same_users() -> None:
    settings = shadow(share=0.5, sticky=True)
    async with (
        upstream() as own,
        upstream() as new,
        serving(backend(own), backend(new, "next"), shadows=[settings]) as served,
    ):
        copied: dict[str, set[int]] = {}
        for _ in range(2):
            for user in map(str, range(40)):
                before = len(new.posts)
                told = (await served.client.post("/v1/route", json=CHAT, headers={"x-user-id": user})).json()["shadows"]
                await served.chat({"x-user-id": user})
                await settled(served)
                copied.setdefault(user, set()).add(len(new.posts) - before)
                assert told[0]["copied"] is (len(new.posts) > before)
    assert all(len(times) == 1 for times in copied.values())
    assert 5 <= sum(times == {1} for times in copied.values()) <= 35


async def test_only_what_matches_is_copied_and_route_tells() -> None:
    settings = [
        shadow(name="code", share=0.5, match={"headers": {"x-team": "code-*"}}),
        shadow(name="all", share=1, match={"tasks": ["chat"]}),
    ]
    async with (
        upstream() as own,
        upstream() as new,
        serving(backend(own, tasks=["chat", "completions", "embeddings"]), backend(new, "next"), shadows=settings) as served,
    ):
        told = (await served.client.post("/v1/route", json=CHAT)).json()
        team = (await served.client.post("/v1/route", json=CHAT, headers={"x-team": "code-eu"})).json()
        vectors = (await served.client.post("/v1/route", json={"input": "a"})).json()
        for path, body in (("completions", {"prompt": "a"}), ("embeddings", {"input": "a"})):
            assert (await served.client.post(f"/v1/{path}", json=body)).status_code == 200
        await settled(served)
        none = len(new.posts)
        await served.chat()
        await settled(served)
    assert (none, len(new.posts)) == (0, 1)
    assert told["shadows"] == [
        {"shadow": "code", "backend": "next", "share": 0.5, "copied": False, "because": "headers"},
        {"shadow": "all", "backend": "next", "share": 1.0, "copied": True, "because": None},
    ]
    assert [s["copied"] for s in team["shadows"]] == [None, True]
    assert [s["because"] for s in vectors["shadows"]] == ["tasks", "tasks"]
    assert [c["backend"] for c in told["order"]] == ["one"]


async def test_what_the_candidate_cannot_do_is_not_copied() -> None:
    asked = {**CHAT, "tools": [{"type": "function", "function": {"name": "f"}}]}
    async with (
        upstream() as own,
        upstream() as new,
        serving(backend(own), backend(new, "next", abilities=["vision"]), shadows=[shadow()]) as served,
    ):
        told = (await served.client.post("/v1/route", json=asked)).json()["shadows"]
        answer = await served.client.post("/v1/chat/completions", json=asked)
        await settled(served)
    assert (told[0]["copied"], told[0]["because"]) == (False, "abilities")
    assert answer.status_code == 200
    assert new.posts == []


async def test_a_candidate_of_several_replicas_gives_back_what_a_copy_takes() -> None:
    async with upstream() as own, upstream() as new, upstream() as newer:
        replicas = {"addresses": [f"127.0.0.1:{up.port}" for up in (new, newer)], "kv_tokens": 16_000}
        candidate = backend("http://next.test:8000/v1", "next", replicas=replicas)
        async with serving(backend(own), candidate, shadows=[shadow()]) as served:
            for _ in range(4):
                await served.chat()
                await settled(served)
            outcomes = await counted(served, "requests_total")
            fleet = served.router.targets["next"].fleet
            assert fleet is not None
            members = list(fleet.members.values())
            assert [m.status.in_flight for m in members] == [0, 0]
            assert max(m.status.current_latency_ms for m in members) > 0
    assert outcomes == {"compared": 4.0}
    assert len(new.posts) + len(newer.posts) == 4


async def test_a_request_that_goes_round_holds_no_place() -> None:
    async with upstream() as own, upstream() as new, serving(backend(own), backend(new, "next"), shadows=[shadow()]) as served:
        refused = await served.chat({"x-slipway-hops": "4"})
        await settled(served)
        await served.chat({"x-slipway-hops": "2"})
        await settled(served)
    assert refused.status_code == 508
    assert [got.headers["x-slipway-hops"] for got in new.posts] == ["3"]


async def test_two_candidates_are_compared_apart() -> None:
    shadows = [shadow(), shadow(name="t", backend="third")]
    async with (
        upstream(fake.stream("a", "b")) as own,
        upstream(fake.stream("a", "b")) as new,
        upstream(fake.stream("x")) as third,
        serving(backend(own), backend(new, "next"), backend(third, "third"), shadows=shadows) as served,
    ):
        await served.chat(stream=True)
        await settled(served)
        text = (await served.client.get("/metrics")).text
    assert 'slipway_router_shadow_comparisons_total{aspect="text",shadow="s",verdict="same"} 1.0' in text
    assert 'slipway_router_shadow_comparisons_total{aspect="text",shadow="t",verdict="different"} 1.0' in text


async def test_a_message_of_anthropics_api_is_copied_as_what_it_comes_to() -> None:
    asked = {"model": "auto", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}
    async with (
        upstream(fake.whole(fake.completion("hi"))) as own,
        upstream(fake.whole(fake.completion("hi"))) as new,
        serving(backend(own), backend(new, "next"), shadows=[shadow()]) as served,
    ):
        answer = await served.client.post("/v1/messages", json=asked)
        await settled(served)
        verdicts = await counted(served, "comparisons_total")
    assert answer.json()["content"][0]["text"] == "hi"
    assert new.posts[0].path == "/v1/chat/completions"
    assert verdicts["text/same"] == 1.0


async def test_too_long_an_answer_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("slipway_router.shadow.copying.MOST_BYTES", 1000)
    async with (
        upstream(fake.stream(*["word"] * 20)) as own,
        upstream(fake.whole(fake.completion("x" * 2000))) as new,
        serving(backend(own), backend(new, "next"), shadows=[shadow()]) as served,
    ):
        long = await served.chat(stream=True)
        own.behaviour = fake.whole()
        await served.chat()
        await settled(served)
        new.behaviour = fake.stream(*["word"] * 20)
        own.behaviour = fake.stream("a")
        await served.chat(stream=True)
        await settled(served)
        outcomes, failures = await counted(served, "requests_total"), await counted(served, "failures_total")
    assert long.content.endswith(fake.DONE)
    assert outcomes == {"unanswered": 1.0, "failed": 2.0}
    assert failures == {"protocol": 2.0}


async def samples_of(own: FakeUpstream, new: FakeUpstream, settings: dict[str, Any], times: int = 1) -> None:
    async with serving(backend(own), backend(new, "next"), shadows=[shadow(samples=settings)]) as served:
        for _ in range(times):
            await served.chat({"x-request-id": "r1"})
            await settled(served)


async def test_samples_tell_no_text_unless_they_are_to(tmp_path: Path) -> None:
    plain, full = tmp_path / "plain.jsonl", tmp_path / "full.jsonl"
    async with upstream(fake.whole(fake.completion("secret answer"))) as own, upstream(fake.failing()) as new:
        await samples_of(own, new, {"file": str(plain)})
        new.behaviour = fake.whole(fake.completion("other answer"))
        await samples_of(own, new, {"file": str(plain)})
        await samples_of(own, new, {"file": str(full), "text": True})
    failed, compared = map(json.loads, plain.read_text().splitlines())
    assert (failed["request_id"], failed["candidate"], failed["verdicts"]) == ("r1", None, {"status": "worse"})
    assert compared["verdicts"] == {"status": "same", "text": "different", "finish_reason": "same"}
    assert (compared["similarity"], compared["candidate"]["characters"], compared["answered"]["answer_tokens"]) == (0.5, 12, 64)
    assert not any(word in plain.read_text() for word in ("secret", "other", "hello"))
    assert plain.stat().st_mode & 0o777 == 0o600
    [told] = map(json.loads, full.read_text().splitlines())
    assert (told["answered"]["text"], told["candidate"]["text"]) == ("secret answer", "other answer")
    assert told["request"]["messages"] == CHAT["messages"]


@pytest.mark.parametrize("case", ["missing folder", "full"])
async def test_a_file_that_takes_no_samples_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture, case: str) -> None:
    path = tmp_path / "no" / "a.jsonl" if case == "missing folder" else tmp_path / "a.jsonl"
    if case == "full":
        path.write_bytes(b"x" * 1024 * 1024)
    caplog.set_level(logging.WARNING)
    async with upstream() as own, upstream() as new:
        await samples_of(own, new, {"file": str(path), "most_mib": 1}, times=2)
    told = [r.getMessage() for r in caplog.records if "no more samples" in r.getMessage()]
    assert len(told) == 1
    assert ("no such file" if case == "missing folder" else "1 MiB") in told[0]
    assert case == "missing folder" or path.stat().st_size == 1024 * 1024


async def test_a_fault_of_ours_in_a_copy_stays_its_own(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("a fault\nof ours")

    monkeypatch.setattr("slipway_router.shadow.copying.compare", broken)
    async with upstream() as own, upstream() as new, serving(backend(own), backend(new, "next"), shadows=[shadow()]) as served:
        answer = await served.chat()
        await settled(served)
        assert await counted(served, "requests_total") == {"failed": 1.0}
    assert answer.status_code == 200
    (told,) = [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR]
    assert re.fullmatch(r"shadow s: unexpected RuntimeError at broken:\d+, called by _tell:\d+, called by \w+:\d+", told)


async def test_shadows_survive_a_reload_and_go_with_it() -> None:
    async with upstream() as own, upstream() as new:
        entries = [backend(own), backend(new, "next")]
        async with serving(*entries, shadows=[shadow()]) as served:
            before = served.router.shadows
            assert before is not None
            served.router.reload(Config.parse({"backends": entries, "shadows": [shadow()], "drain_seconds": 5}), {})
            same = served.router.shadows
            assert same is not None
            assert same.all[0] is before.all[0]
            served.router.reload(Config.parse({"backends": entries}), {})
            assert served.router.shadows is None
            assert (await served.chat(model="next")).status_code == 200
            served.router.reload(Config.parse({"backends": entries[:1]}), {})
            await served.chat()
    assert len(new.posts) == 1


async def test_a_copy_to_a_candidate_that_a_reload_took_away_is_dropped() -> None:
    async with upstream() as own, upstream() as new:
        entries = [backend(own), backend(new, "next")]
        async with serving(*entries, shadows=[shadow()]) as served:
            await served.chat()
            served.router.reload(Config.parse({"backends": entries[:1]}), {})
            for _ in range(100):
                if not served.proxy.copies:
                    break
                await asyncio.sleep(0.01)
            assert await counted(served, "requests_total") == {"draining": 1.0}
    assert new.posts == []


def test_a_shadow_of_next_to_nothing_draws_next_to_nothing() -> None:
    from slipway_router.matching import Request
    from slipway_router.policy import RoutingContext
    from slipway_router.router import Router

    entries = [backend("http://127.0.0.1:9/v1"), backend("http://127.0.0.1:9/v1", "next")]
    made = Router(Config.parse({"backends": entries, "shadows": [shadow(share=0.01, max_in_flight=1024)]}), {})
    assert made.shadows is not None
    request = Request("chat", "auto", {}, None, RoutingContext())
    drawn = sum(len(made.shadows.drawn(request, 0, draining=False)) for _ in range(20_000))
    # a mean of 200, a standard deviation of 14
    assert 130 <= drawn <= 270
