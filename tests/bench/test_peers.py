"""The driver counts what fails and says what is missing; how fast anything is, is no test's business."""

import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Generator
from pathlib import Path

import pytest
from bench.peers import __main__ as driver
from bench.peers.catalogue import KEY, PEERS, Peer
from bench.peers.environments import MissingError, find, home, make
from bench.peers.gateway import Gateway, running
from bench.peers.load import Upstream, load, upstream
from bench.peers.report import DIRECT, Round, as_json, medians, picture, table
from rich.console import Console

OURS = Round(9000.0, 100.0, 8.0, 4.0, 0.7, 2.0, 0.3, 40.0, 48.0, 0)
THEIRS = Round(90.0, 10_000.0, 900.0, 800.0, 10.5, 15.0, 6.2, 300.0, 408.0, 2)


@pytest.fixture(scope="module")
def behind() -> Generator[Upstream]:
    if shutil.which("cargo") is None:
        pytest.skip("the load kit is written in Rust; cargo is not here")
    with upstream(None) as started:
        yield started


@pytest.fixture
def this_router(monkeypatch: pytest.MonkeyPatch) -> None:
    """The router as it is here, without an environment of its own."""
    command = PEERS["ours"].command.replace("$home/bin/python", sys.executable)
    ours = Peer(
        "this", command, program=sys.executable, files=("ours.yaml",), environ={"BENCH_KEY": KEY}, headers=PEERS["ours"].headers
    )
    monkeypatch.setitem(PEERS, "ours", ours)


def direct(behind: Upstream) -> Gateway:
    return Gateway(DIRECT, behind.ports[0], "/v1/chat/completions", "mock", ())


def test_what_fails_is_counted(behind: Upstream) -> None:
    well = load(direct(behind), behind, None, 0.3, connections=4, warm=0)
    assert well.failed == 0
    assert well.per_second > 100
    behind.behave(mode="500")
    try:
        broken = load(direct(behind), behind, None, 0.3, rate=100, connections=4, warm=0)
    finally:
        behind.behave()
    assert broken.failed > 10
    assert "500" in broken.first_error


def test_a_stream_that_is_cut_is_counted(behind: Upstream) -> None:
    behind.behave(mode="midreset")
    try:
        cut = load(direct(behind), behind, None, 0.2, stream=True, rate=50, connections=4, warm=0)
    finally:
        behind.behave()
    assert cut.failed > 0


@pytest.mark.usefixtures("this_router")
def test_the_router_is_measured_with_everything_on(behind: Upstream) -> None:
    with running("ours", *behind.ports, None) as gateway:
        one, wrong = driver.measure(gateway, behind, None, 1.2)
        spared = Gateway("ours", gateway.port, gateway.path, gateway.model, ())
        without_key = load(spared, behind, None, 0.2, rate=20, connections=2, warm=0)
    assert (one.failures, wrong) == (0, "")
    assert min(one.cpu_us_per_request, one.cpu_us_per_chunk, one.p50_ms, one.start_seconds) > 0
    assert 10 < one.idle_mib <= one.loaded_mib < 200
    assert without_key.failed > 0
    assert "401" in without_key.first_error


def test_a_gateway_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        PEERS, "hand", Peer("broken", f"{sys.executable} -c raise(SystemExit('no_luck'))", program=sys.executable)
    )
    with pytest.raises(MissingError, match="did not come up: no_luck"), running("hand", 1, 2, None):
        pass


def test_what_is_not_installed_says_how_it_would_be(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PRODUCTION_STACK", raising=False)
    monkeypatch.setitem(PEERS, "nginx", Peer("gone", "gone", program="no-such-program"))
    for name, told in {
        "sglang": "install --peers sglang",
        "production-stack": "set PRODUCTION_STACK to a checkout",
        "nginx": "no-such-program is not on this machine",
    }.items():
        with pytest.raises(MissingError, match=told):
            find(name)
    with pytest.raises(MissingError, match="set PRODUCTION_STACK"):
        make("production-stack")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingError, match="npm is not on this machine"):
        make("portkey")
    assert not home("portkey").exists()


def test_other_versions_get_another_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    before = home("sglang")
    monkeypatch.setitem(PEERS, "sglang", Peer("other", "", pip=("sglang-router==0.0.1",)))
    assert home("sglang") != before
    assert all("==" in pin for peer in PEERS.values() for pin in peer.pip)


def test_the_table_has_medians_ratios_and_what_was_skipped(capsys: pytest.CaptureFixture[str]) -> None:
    slower = Round(7000.0, 140.0, 9.0, 5.0, 0.9, 2.0, 0.4, 40.0, 48.0, 1)
    measured = {"ours": medians([OURS, slower, OURS], 40.0), "litellm": medians([THEIRS], 720.0)}
    assert (measured["ours"]["requests_per_second"], measured["ours"]["failures"]) == (9000.0, 1)
    Console(width=200).print(table(measured, "today"))
    shown = capsys.readouterr().out
    assert "x 1e+02" in shown
    assert "x 2e+02" in shown
    made = as_json({"ours": [OURS]}, measured, {"nginx": "it is not here"}, {"date": "today"})
    assert made["rounds"]["ours"][0]["cpu_us_per_chunk_in_bursts"] == 4.0
    drawn = ET.fromstring(picture(measured, "a <picture>"))
    texts = [t.text for t in drawn.iter() if t.tag.endswith("text")]
    assert "a <picture>" in texts
    assert "9,000" in texts


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--peers", "ours,nosuch"], "'nosuch' is no peer; there are ours, hand, litellm"),
        (["--peers", ""], "nothing is no peer"),
        (["--rounds", "0"], "1 to 100 rounds"),
        (["--secs", "0.1"], "1 to 120 seconds"),
    ],
)
def test_wrong_arguments_are_refused(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        driver.main(arguments)
    assert told in capsys.readouterr().err


def test_without_cargo_it_says_so_and_is_no_failure(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.peers", "--peers", "nginx", "--rounds", "1"],
        capture_output=True,
        text=True,
        timeout=60,
        env={"PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path), "HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "skipped: the load generator is written in Rust" in done.stdout
