"""The frame of the benchmarks that compare: what a table tells, and what both loads count."""

import argparse
import io
import sys
from pathlib import Path

import pytest
from bench.side_by_side import Proxy, Round, kit, loaded, table, upstream
from rich.console import Console

from bench import side_by_side


def rounds(instructions: float) -> list[Round]:
    return [
        Round(name, kind, per_second, cpu, 1, 2, 0, instructions * cpu)
        for name, per_second, cpu in (("first", 1000.0, 100.0), ("second", 250.0, 150.0))
        for kind in ("requests", "chunks")
    ]


def shown(measured: list[Round]) -> list[list[str]]:
    console = Console(record=True, width=200, file=io.StringIO())
    console.print(table(measured))
    return [[c.strip() for c in line.split("│")[1:-1]] for line in console.export_text().splitlines() if "│" in line]


def test_the_table_has_medians_and_ratios_to_the_first() -> None:
    rows = shown([*rounds(1.0), *rounds(2.0), *rounds(3.0)])
    first = ["1,000", "1.00", "100.0", "1.00", "200", "1.00", "1.0", "2.0"]
    second = ["250", "0.25", "150.0", "1.50", "300", "1.50", "1.0", "2.0"]
    assert rows == [[f"{n}, {k}", *cells] for k in ("requests", "chunks") for n, cells in (("first", first), ("second", second))]


def test_where_nothing_counts_instructions_the_table_says_so() -> None:
    assert [row[5:7] for row in shown(rounds(0.0))] == [["-", "-"]] * 4


@pytest.mark.parametrize("built", [None, pytest.param("kit", id="loadkit")])
def test_each_load_counts_answers_events_and_failures(built: str | None) -> None:
    folder: Path | None = kit() if built else None
    if built and folder is None:
        pytest.skip("the load kit is written in Rust; cargo is not here")
    with upstream(folder) as url:
        fake = Proxy("fake", int(url.rpartition(":")[2]), 0, "key")
        whole, streams, chunks = (loaded(fake, k, 2, 0.2, folder) for k in ("requests", "streams", "chunks"))
    assert (whole.failures, streams.failures, chunks.failures) == (0, 0, 0)
    assert whole.number > 10
    assert whole.p99_ms >= whole.p50_ms > 0
    assert chunks.number > 32 * (streams.number // 4) > 0


@pytest.mark.parametrize("wrong", [["--rounds", "0"], ["--connections", "0"], ["--seconds", "0.1"]])
def test_options_that_make_no_sense_are_refused(
    wrong: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", *wrong])
    parser = argparse.ArgumentParser()
    side_by_side.options(parser, rounds=1, seconds=1)
    with pytest.raises(SystemExit) as left:
        side_by_side.main(parser, lambda _: pytest.fail("measured"))
    assert left.value.code == 2
    assert "at least 1 round, 1 connection and 0.2 seconds" in capsys.readouterr().err


def test_requests_that_fail_are_told_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["bench", "--json"])
    parser = argparse.ArgumentParser()
    side_by_side.options(parser, rounds=1, seconds=1)
    failed = [Round("first", "requests", 1.0, 1.0, 1.0, 1.0, n) for n in (2, 3)]
    with pytest.raises(SystemExit, match="5 requests failed"):
        side_by_side.main(parser, lambda _: failed)
