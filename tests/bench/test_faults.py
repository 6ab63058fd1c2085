"""The benchmark of faults notices what clients would; how long they wait is no test's business."""

import asyncio
import contextlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import uvloop
from bench.faults import Outcome, generate, table, told, whole
from bench.processes import free_port, process
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


def test_a_client_that_waits_too_long_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faults, "CLIENT_SECONDS", 0.2)
    with process([sys.executable, "-m", "bench.faulty", "hang"], None) as child:
        assert child.stdout is not None
        outcome = uvloop.run(generate(int(child.stdout.readline()), "hang", 4, 2, slow=10))
    assert outcome.failed == outcome.requests == 4


def test_nobody_there_is_an_error() -> None:
    with pytest.raises(OSError, match="refused"):
        uvloop.run(generate(free_port(), "none", 2, 2))


@pytest.mark.parametrize(
    ("status", "body", "stream", "well"),
    [
        (200, b'{"usage":{}}', False, True),
        (200, b'{"usage":{', False, False),
        (500, b'{"usage":{}}', False, False),
        (200, b'data: {"content":" token"}\n\n' * 64 + DONE, True, True),
        (200, b'data: {"content":" token"}\n\n' * 63 + DONE, True, False),
        (200, b'data: {"content":" token"}\n\n' * 64, True, False),
        (200, b'data: {"content":" token"}\n\n' * 63 + ERROR + DONE, True, False),
    ],
)
def test_what_a_whole_answer_is(status: int, body: bytes, stream: bool, well: bool) -> None:
    assert whole(status, body, stream) is well


def test_a_broken_stream_must_say_so() -> None:
    assert told(b"data: {}\n\n" + ERROR)
    assert not told(b"data: {}\n\n")
    assert not told(ERROR + DONE)


def test_the_table_has_every_fault(capsys: pytest.CaptureFixture[str]) -> None:
    Console(width=200).print(table([Outcome("hang", "router", 100, 1, 0, 0, 2.0, [0.1, 0.2], 7)]))
    row = capsys.readouterr().out.splitlines()[3]
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        "hang",
        "router",
        "100",
        "1",
        "1.0",
        "0",
        "0",
        "7",
        "100.0",
        "200.0",
        "200.0",
        "50",
    ]


def test_senseless_numbers_are_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["faults", "--requests", "0"])
    with pytest.raises(SystemExit):
        faults.main()
    assert "at least 1 request" in capsys.readouterr().err


def test_what_is_not_installed_is_told_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = ["faults", "--requests", "10", "--connections", "2", "--fault", "none", "--beside", "litellm-pool", "--json"]
    monkeypatch.setattr(sys, "argv", command)
    faults.main()
    told = capsys.readouterr()
    assert [(o["gateway"], o["failed"]) for o in json.loads(told.out)] == [("router", 0)]
    assert "litellm-pool is skipped: not installed" in told.err


def test_an_unknown_gateway_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["faults", "--beside", "nginx"])
    with pytest.raises(SystemExit):
        faults.main()
    assert "'nginx' is none of litellm-fallback, litellm-pool" in capsys.readouterr().err


def test_a_stream_that_was_cut_and_says_stop_is_counted_as_such() -> None:
    async def stopping(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        event = b'data: {"choices":[{"delta":{},"finish_reason":"stop"}]}\n\n' + DONE
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].split(b"\r", 1)[0]))
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(event), event))
        writer.close()
        await writer.wait_closed()

    async def counted() -> Outcome:
        server = await asyncio.start_server(stopping, "127.0.0.1", 0)
        async with server:
            return await generate(server.sockets[0].getsockname()[1], faults.CUT, 10, 2)

    outcome = asyncio.run(counted())
    assert (outcome.requests, outcome.failed, outcome.told) == (10, 10, 0)
    assert outcome.stopped > 0
