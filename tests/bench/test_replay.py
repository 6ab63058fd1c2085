"""A replay against a real router and fake model servers; its arithmetic alone."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from bench.replay import Outcome, main, prompt, replay, summary
from bench.traffic import Arrival
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Exit
from tests.app.serving import backend, serving, upstream

TRACE = [Arrival(0.0, 10, 3), Arrival(0.05, 20, 5), Arrival(0.1, 1, 1)]


def test_a_prompt_has_about_four_characters_a_token() -> None:
    assert [len(prompt(n)) for n in (1, 10, 500)] == [4, 40, 2000]


def test_failures_are_counted_and_kept_out_of_the_percentiles() -> None:
    good = [Outcome(0.001 * i, 0.002 * i) for i in range(1, 101)]
    told = summary([*good, Outcome(None, 9.0, "500: no"), Outcome(0.5, 9.0, "cut")], speedup=10)
    assert (told["requests"], told["failures"], told["speedup"]) == (102, 2, 10)
    assert told["time_to_first_token_ms"] == {"p50": 50.0, "p95": 95.0, "p99": 99.0}
    assert told["total_ms"] == {"p50": 100.0, "p95": 190.0, "p99": 198.0}
    assert told["causes"] == {"500: no": 1, "cut": 1}


def test_when_nothing_succeeds_there_are_no_percentiles() -> None:
    assert summary([Outcome(None, 1.0, "no")])["total_ms"] is None


async def test_requests_go_out_when_due_with_their_lengths() -> None:
    async with upstream(fake.stream("a", "b", delay=0.02)) as up, serving(backend(up)) as served:
        begun = asyncio.get_running_loop().time()
        outcomes = await replay(TRACE, f"{served.url}/v1", "auto", 8, None)
        took = asyncio.get_running_loop().time() - begun
    assert [o.failure for o in outcomes] == [None] * 3
    for outcome in outcomes:
        assert outcome.first_token is not None
        assert 0.015 < outcome.first_token < outcome.total
    assert took > 0.1
    sent = {g.json["max_tokens"]: g.json for g in up.posts}
    assert {n: len(body["messages"][0]["content"]) for n, body in sent.items()} == {3: 40, 5: 80, 1: 4}
    assert all(body["stream"] for body in sent.values())


async def test_no_more_than_allowed_are_under_way_and_waiting_counts() -> None:
    under_way = most = 0

    async def counting(out: Exit) -> None:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await fake.stream("a", delay=0.05)(out)
        under_way -= 1

    async with upstream(counting) as up, serving(backend(up)) as served:
        outcomes = await replay([Arrival(0, 1, 1)] * 4, f"{served.url}/v1", "auto", 2, None)
    assert most == 2
    assert max(o.total for o in outcomes) > 1.6 * min(o.total for o in outcomes)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (fake.failing(), "502: "),
        (fake.cut_stream(fake.event("a")), "in the stream: The stream broke off"),
        (fake.stream(events=[fake.event("a")]), "without [DONE]"),
    ],
    ids=["refused", "cut", "unfinished"],
)
async def test_what_is_no_whole_answer_is_a_failure(behaviour: Any, said: str) -> None:
    async with upstream(behaviour) as up, serving(backend(up)) as served:
        (outcome,) = await replay(TRACE[:1], f"{served.url}/v1", "auto", 8, None)
    assert said in (outcome.failure or "")


async def test_the_command_prints_its_factors_and_ends_with_1_on_failures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trace.csv"
    path.write_text("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6805900,374,44\n2023-11-16 18:15:47.6,20,4\n")
    async with upstream(fake.stream("a")) as up, serving(backend(up)) as served:
        arguments = [str(path), "--url", f"{served.url}/v1", "--speedup", "20", "--json"]
        await asyncio.to_thread(main, arguments)
        told = json.loads(capsys.readouterr().out)
        await asyncio.to_thread(main, arguments[:-1])
        shown = capsys.readouterr().out
        up.behaviour = fake.failing()
        with pytest.raises(SystemExit) as failed:
            await asyncio.to_thread(main, arguments[:-1])
    assert (told["requests"], told["failures"], told["length_scale"], told["speedup"]) == (2, 0, 0.05, 20)
    assert "2 requests, 0 failures" in shown
    assert "lengths x 0.05, arrivals 20 times as fast" in " ".join(shown.split())
    assert failed.value.code == 1
    assert "one answered 500" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.csv"], "bench.replay: none.csv cannot be read"),
        (["x", "--speedup", "0"], "--speedup is 0.0; give more than 0"),
        (["x", "--length-scale", "-1"], "--length-scale is -1.0; give more than 0"),
    ],
)
def test_wrong_arguments_are_one_clear_error(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err
