"""Simulated replicas behind a router that runs as a process; other routers where they are installed."""

import json
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from bench.peers.environments import MissingError
from bench.prefixes import EarliestFinish, Fleet, Prompt, Simulation
from bench.prefixes_http import WAYS, Replicas, RouterError, ThroughRouter, main, replay, text

from bench import prefixes_http

FLEET = Fleet(replicas=3, cache_blocks=40, block_tokens=64, tokens_per_second=1000)
TRACE = [
    Prompt(at, 64 * len(blocks) - 10, 20, blocks)
    for at, blocks in [
        (0.0, tuple(range(10))),
        (0.1, tuple(range(100, 120))),
        (0.2, tuple(range(200, 212))),
        (9.0, tuple(range(12))),
        (9.1, tuple(range(14))),
        (9.2, (*range(100, 120), 121)),
        (12.0, tuple(range(200, 213))),
        (60.0, tuple(range(300, 330))),
    ]
]


def test_equal_ids_are_equal_text_of_the_recorded_length() -> None:
    one, other = text(Prompt(0, 150, 1, (1, 2, 3)), 64), text(Prompt(0, 192, 1, (1, 2, 4)), 64)
    assert (len(one), len(other)) == (600, 768)
    assert one[:512] == other[:512]
    assert one[512:514] != other[512:514]


def test_the_running_router_decides_as_its_choice_does_by_itself() -> None:
    simulation = Simulation(FLEET)
    alone = simulation.run("", EarliestFinish(FLEET, lambda: simulation.now), TRACE)
    (running,) = replay("ours", FLEET, TRACE)
    assert running.cached_share == alone.cached_share > 0.4
    assert running.first_token == alone.first_token


def test_sglang_router_goes_in_turn_and_finds_what_is_cached(monkeypatch: pytest.MonkeyPatch) -> None:
    two = ("sglang-router, round_robin", "sglang-router, cache_aware")
    monkeypatch.setitem(WAYS, "sglang", {way: WAYS["sglang"][way] for way in two})
    try:
        by_way = {r.policy: r for r in replay("sglang", FLEET, TRACE)}
    except MissingError as why:
        pytest.skip(str(why))
    assert by_way["sglang-router, cache_aware"].cached_share > by_way["sglang-router, round_robin"].cached_share


def test_a_router_that_does_not_pass_prompts_on_is_no_result() -> None:
    replicas, refusing = Replicas(1), HTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler)
    thread = Thread(target=refusing.serve_forever)
    thread.start()
    try:
        router = ThroughRouter(refusing.server_port, replicas, 64, lambda: None)
        with pytest.raises(RouterError, match=r"prompt 0 was not passed on: b.HTTP/1\.. 501"):
            router.choose(0, TRACE[0])
    finally:
        refusing.shutdown()
        refusing.server_close()
        thread.join()
        replicas.close()


def test_the_command_skips_what_is_missing_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = tmp_path / "trace.jsonl"
    line = {"timestamp": 0, "input_length": 1000, "output_length": 10, "hash_ids": [1, 2]}
    path.write_text("".join(json.dumps({**line, "timestamp": 20_000 * n}) + "\n" for n in range(4)))
    main([str(path), "--replicas", "2", "--tokens-per-second", "1000", "--requests", "3", "--json"])
    shown = capsys.readouterr()
    told = json.loads(shown.out)
    assert told["requests"] == 3
    assert [p["policy"] for p in told["policies"]][-1] == "earliest finish (ours)"
    assert "skipped sglang-router: not installed" in shown.err


@pytest.mark.parametrize("peers", ["nginx", ","])
def test_wrong_peers_are_refused(peers: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        prefixes_http.main(["x", "--peers", peers])
    assert "there are sglang, ours" in capsys.readouterr().err
