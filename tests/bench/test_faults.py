"""The benchmark of faults notices what clients would; how long they wait is no test's business."""

import json
import subprocess
import sys

import pytest
import uvloop
from bench.faults import Outcome, generate, table, told, whole
from bench.router import free_port, process
from rich.console import Console

from bench import faults

DONE = b"data: [DONE]\n\n"
ERROR = b'data: {"error":{"code":"stream_broken"}}\n\n'


def test_each_kind_of_fault_stays_hidden_from_clients() -> None:
    command = [sys.executable, "-m", "bench.faults", "--requests", "60", "--connections", "6", "--json"]
    for fault in ("refuse", "429", "empty", "cut before a token", "cut after a token"):
        command += ["--fault", fault]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcomes = json.loads(done.stdout)
    assert [o["fault"] for o in outcomes] == ["refuse", "429", "empty", "cut before a token", "cut after a token"]
    assert all((o["requests"], o["failed"]) == (60, 0) and o["attempts"] > 0 for o in outcomes)
    assert outcomes[-1]["told"] > 0


@pytest.mark.parametrize("mode", ["500", "empty", "reset", "cut before a token"])
def test_a_client_of_the_broken_backend_itself_counts_as_failed(mode: str) -> None:
    with process([sys.executable, "-m", "bench.faulty", mode], None) as child:
        assert child.stdout is not None
        outcome = uvloop.run(generate(int(child.stdout.readline()), mode, 4, 2))
    assert outcome.failed == outcome.requests > 0


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(OSError, match="refused"):
        uvloop.run(generate(free_port(), "none", 2, 2))


@pytest.mark.parametrize(
    ("status", "body", "stream", "well"),
    [
        (200, b'{"usage":{}}', False, True),
        (200, b'{"usage":{', False, False),
        (500, b'{"usage":{}}', False, False),
        (200, b"data: {}\n\n" * 64 + DONE, True, True),
        (200, b"data: {}\n\n" * 63 + DONE, True, False),
        (200, b"data: {}\n\n" * 64, True, False),
        (200, b"data: {}\n\n" * 63 + ERROR + DONE, True, False),
    ],
)
def test_what_a_whole_answer_is(status: int, body: bytes, stream: bool, well: bool) -> None:
    assert whole(status, body, stream) is well


def test_a_broken_stream_must_say_so() -> None:
    assert told(b"data: {}\n\n" + ERROR)
    assert not told(b"data: {}\n\n")
    assert not told(ERROR + DONE)


def test_the_table_has_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=200).print(table([Outcome("hang", 100, 0, 0, 2.0, [0.1, 0.2], 7)]))
    row = capsys.readouterr().out.splitlines()[3]
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["hang", "100", "0", "0", "7", "100.0", "200.0", "200.0", "50"]


def test_senseless_numbers_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["faults", "--requests", "0"])
    with pytest.raises(SystemExit):
        faults.main()
    assert "at least 1 request" in capsys.readouterr().err
