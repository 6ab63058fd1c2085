"""The simulation's arithmetic, and the policies beside each other on conversations made here."""

import json
import random
from pathlib import Path

import pytest
from bench.prefixes import OURS, FirstBlocks, Fleet, Prompt, RoundRobin, Simulation, compare, main, read_prompts

from slipway_router.bench.percentile import percentile
from slipway_router.bench.traffic import TraceError

LINE = {"timestamp": 0, "input_length": 1000, "output_length": 10, "hash_ids": [1, 2]}


def conversations(count: int, turns: int, seconds: float) -> list[Prompt]:
    """Conversations of growing prompts, each turn some time after the last, all with one system prompt of two blocks."""
    chance = random.Random(3)
    prompts: list[Prompt] = []
    for n in range(count):
        at = chance.uniform(0, seconds)
        own = 0
        for _ in range(turns):
            own += chance.randrange(4, 20)
            blocks = (0, 1, *range(1000 * (n + 1), 1000 * (n + 1) + own))
            prompts.append(Prompt(at, len(blocks) * 512 - 100, 100, blocks))
            at += chance.uniform(10, 120)
    return sorted(prompts, key=lambda p: p.at)


def test_a_replica_computes_one_prompt_at_a_time_but_for_what_it_has_cached() -> None:
    fleet = Fleet(replicas=1, cache_blocks=10, block_tokens=100, tokens_per_second=100)
    trace = [Prompt(0, 200, 5, (1, 2)), Prompt(1, 300, 5, (1, 2, 3)), Prompt(10, 250, 5, (1, 2, 3))]
    result = Simulation(fleet).run("", RoundRobin(fleet), trace)
    assert result.first_token == (2, 2, 0)
    assert result.cached_share == (0 + 200 + 250) / 750


def test_a_cache_forgets_the_least_recently_used_ends_first() -> None:
    fleet = Fleet(replicas=1, cache_blocks=4, block_tokens=100, tokens_per_second=100)
    trace = [Prompt(100.0 * n, len(b) * 100, 5, b) for n, b in enumerate([(1, 2, 3), (7, 8), (1, 2, 3), (7, 8)])]
    # 3 made room for 8, then 8 for 3.
    assert Simulation(fleet).run("", RoundRobin(fleet), trace).first_token == (3, 2, 1, 1)


def test_equal_beginnings_go_to_the_same_replica_by_hash() -> None:
    policy = FirstBlocks(Fleet(), 2)
    chosen = [policy.choose(n, Prompt(0, 100, 1, (n % 80, 5, n))) for n in range(160)]
    assert chosen[:80] == chosen[80:]
    assert len(set(chosen)) == 8


def test_ours_beats_round_robin_and_least_loaded_on_both_and_keeps_the_slowest_below_the_hash() -> None:
    """How it does beside the hash on cached share and median depends on the trace: conversations all alike suit a hash best."""
    by_name = {r.policy: r for r in compare(Fleet(replicas=4, cache_blocks=1000), conversations(120, 8, 400), 3)}
    ours, hashed = by_name.pop(OURS), by_name.pop("hash of the first 3 blocks")
    assert percentile(ours.first_token, 0.95) < 0.8 * percentile(hashed.first_token, 0.95)
    assert ours.cached_share > 0.9 * hashed.cached_share
    for other in by_name.values():
        assert ours.cached_share > 1.5 * other.cached_share
        assert percentile(ours.first_token, 0.5) < 0.7 * percentile(other.first_token, 0.5)


def test_a_system_prompt_that_all_share_does_not_pile_them_on_one_replica() -> None:
    chance = random.Random(5)
    trace = [
        Prompt(at, 512 * 12, 200, (*range(10), 1000 + 2 * n, 1001 + 2 * n))
        for n, at in enumerate(sorted(chance.uniform(0, 60) for _ in range(1500)))
    ]
    *_, hashed, ours = compare(Fleet(replicas=4), trace, 2)
    assert percentile(hashed.first_token, 0.95) > 10
    assert percentile(ours.first_token, 0.95) < 1
    assert ours.cached_share > 0.75


def test_the_command_prints_the_policies_beside_each_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps({**LINE, "timestamp": 20_000 * n}) + "\n" for n in range(4)))
    arguments = [str(path), "--replicas", "2", "--tokens-per-second", "1000", "--speedup", "2"]
    main([*arguments, "--json"])
    told = json.loads(capsys.readouterr().out)
    assert (told["requests"], told["replicas"], told["speedup"], told["cache_blocks"]) == (4, 2, 2, 1500)
    shares = {r["policy"]: (r["cached_share"], r["first_token_p95_s"]) for r in told["policies"]}
    assert shares == {
        "round robin": (0.5, 1.0),
        "least loaded": (0.5, 1.0),
        "hash of the first 2 blocks": (0.75, 1.0),
        OURS: (0.75, 1.0),
    }
    main(arguments)
    shown = " ".join(capsys.readouterr().out.split())
    assert "4 requests" in shown
    assert "0.500 (0.67)" in shown
    assert "1000 tokens/s" in shown


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no requests"),
        ("{", "line 1: is no JSON object"),
        ("[]", "line 1: is no JSON object"),
        (json.dumps(LINE) + "\n" + json.dumps({**LINE, "timestamp": "now"}), "line 2: timestamp is 'now'; give a whole number"),
        (json.dumps({**LINE, "input_length": 0}), "input_length is 0; give a whole number of 1 or more"),
        (json.dumps({**LINE, "output_length": True}), "output_length is True"),
        (json.dumps({**LINE, "hash_ids": [1, "x"]}), "hash_ids is no list of whole numbers"),
        (json.dumps({**LINE, "hash_ids": None}), "hash_ids is no list of whole numbers"),
    ],
)
def test_a_trace_that_cannot_be_replayed_says_where_and_why(text: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_text(text)
    with pytest.raises(TraceError, match=said):
        read_prompts(path)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(TraceError, match="is no text"):
        read_prompts(path)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.jsonl"], "bench.prefixes: none.jsonl cannot be read"),
        (
            ["x", "--speedup", "0", "--replicas", "-1"],
            "--replicas is -1; give more than 0; --speedup is 0.0; give more than 0",
        ),
        (["x", "--speedup", "nan"], "--speedup is nan"),
    ],
)
def test_wrong_arguments_are_one_clear_error(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    assert said in capsys.readouterr().err
