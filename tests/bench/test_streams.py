"""The benchmark of many streams at once counts them and what they cost; two thousand are run by hand."""

import asyncio
import json
import subprocess
import sys

import pytest

from bench import streams


def test_streams_at_once_come_to_their_end_and_cost_little() -> None:
    command = [sys.executable, "-m", "bench.streams", "--streams", "60", "--seconds", "20", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    outcome = json.loads(done.stdout)
    assert (outcome["streams"], outcome["whole"]) == (60, 60)
    assert 0 < outcome["before_mib"] <= outcome["with_streams_mib"]
    assert outcome["kib_per_stream"] < 200


def test_a_stream_that_breaks_off_is_not_whole() -> None:
    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n9\r\ndata: a\n\n\r\n")
        writer.close()
        await writer.wait_closed()

    async def tried() -> bool:
        server = await asyncio.start_server(cut, "127.0.0.1", 0)
        async with server:
            return await streams.one(server.sockets[0].getsockname()[1], asyncio.Semaphore(0))

    assert not asyncio.run(tried())


def test_streams_that_end_too_early_are_no_measurement() -> None:
    with pytest.raises(SystemExit, match="were over before the last began"):
        asyncio.run(streams.hold(150, 0.01))


def test_more_than_there_can_be_is_refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["streams", "--streams", "9001"])
    with pytest.raises(SystemExit):
        streams.main()
    assert "1 to 9000" in capsys.readouterr().err
