"""`slipway-router bench`, against fake model servers."""

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Exit
from tests.app.process import COMMAND
from tests.app.serving import upstream

from slipway_router.commands.bench import KEY_VARIABLE, main

TRACE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:15:46.6,400,40\n2023-11-16 18:15:47.6,20,4\n2023-11-16 18:25:47,9,9\n"
)


async def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
    """The command as a process: it has an event loop and signals of its own."""
    known = {k: v for k, v in os.environ.items() if k != KEY_VARIABLE}
    process = await asyncio.create_subprocess_exec(
        *COMMAND, "bench", *arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**known, **environ}
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    assert b"Traceback" not in err
    return process.returncode, out.decode(), err.decode()


async def test_so_many_at_once_as_json_with_a_chart_and_a_key(tmp_path: Path) -> None:
    path = tmp_path / "times.svg"
    given = [
        "--requests",
        "12",
        "--concurrency",
        "3",
        "--answer-tokens",
        "7",
        "--model",
        "mock",
        "--extra",
        '{"ignore_eos": true}',
    ]
    async with upstream(fake.stream("a", "b", delay=0.01)) as up:
        code, out, err = await run(
            up.url, *given, "--json", "--chart", str(path), "--key-env", "BENCH_KEY", BENCH_KEY="sk-secret"
        )
    told: dict[str, Any] = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["requests"], told["failures"], told["concurrency"], told["answer_tokens"]) == (12, 0, 3, 7)
    assert told["requests_per_second"] > 0
    assert 10 < told["time_to_first_token_ms"]["p50"] < told["total_ms"]["p99"]
    assert told["time_per_output_token_ms"]["p50"] > 5
    assert {(g.json["max_tokens"], g.json["ignore_eos"], g.headers["authorization"]) for g in up.posts} == {
        (7, True, "Bearer sk-secret")
    }
    texts = [t.text for t in ElementTree.fromstring(path.read_text()).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[0] == f"{up.url}, model mock: 12 requests, 3 at once, prompts of 256 tokens, answers of at most 7"
    assert "sk-secret" not in out + path.read_text()


async def test_a_trace_within_its_time(tmp_path: Path) -> None:
    trace = tmp_path / "trace.csv"
    trace.write_text(TRACE)
    given = ["--trace", str(trace), "--speedup", "20", "--length-scale", "0.5", "--seconds", "5"]
    async with upstream(fake.stream("a")) as up:
        code, out, _ = await run(up.url, *given, "--json", **{KEY_VARIABLE: "sk-default"})
    told = json.loads(out)
    assert code == 0
    assert (told["requests"], told["speedup"], told["length_scale"]) == (2, 20.0, 0.5)
    assert sorted(g.json["max_tokens"] for g in up.posts) == [2, 20]
    assert {g.headers["authorization"] for g in up.posts} == {"Bearer sk-default"}


async def test_failures_are_told_by_cause_and_end_with_1() -> None:
    asked = 0

    async def every_second(out: Exit) -> None:
        nonlocal asked
        asked += 1
        await (fake.stream("a") if asked % 2 else fake.failing("503 Service Unavailable"))(out)

    async with upstream(every_second) as up:
        code, out, _ = await run(up.url, "--requests", "6", "--concurrency", "1")
    assert code == 1
    lines = out.splitlines()
    assert lines[0] == f"{up.url}, model auto: 1 at once, prompts of 256 tokens, answers of at most 64"
    assert lines[2].startswith("6 requests in ")
    assert ["3", "status", "503", "it", "is", "me"] in [line.split() for line in out.splitlines()]


async def test_an_interrupted_run_tells_what_came_of_it() -> None:
    asked = 0
    third = asyncio.Event()

    async def then_hang(out: Exit) -> None:
        nonlocal asked
        asked += 1
        if asked == 3:
            third.set()
        await (fake.stream("a") if asked < 3 else fake.hang)(out)

    async with upstream(then_hang) as up:
        process = await asyncio.create_subprocess_exec(
            *COMMAND, "bench", up.url, "--concurrency", "1", "--json", stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        async with asyncio.timeout(30):
            await third.wait()
            process.send_signal(signal.SIGINT)
            out, err = await process.communicate()
    assert (process.returncode, err) == (0, b""), out
    told = json.loads(out)
    assert (told["requests"], told["failures"], told["given_up"]) == (2, 0, 1)


URL = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([URL, "--requests", "0"], ["--requests is 0; give 1 to 10,000,000"]),
        ([URL, "--concurrency", "20000", "--seconds", "0"], ["--concurrency is 20000; give 1", "--seconds is 0; give 0.1 to"]),
        ([URL, "--timeout", "nan"], ["--timeout is nan; give 0.1 to"]),
        ([URL, "--prompt-tokens", "0", "--answer-tokens", "-1"], ["--prompt-tokens is 0", "--answer-tokens is -1"]),
        ([URL, "--speedup", "0", "--length-scale", "-1"], ["--speedup is 0; give 0.001", "--length-scale is -1; give 0.001"]),
        ([URL, "--extra", "["], ["--extra is '['; give a JSON object"]),
        ([URL, "--extra", "[]"], ["--extra is '[]'; give a JSON object"]),
        ([URL, "--chart", "/none/x.svg"], ["--chart: /none/x.svg cannot be written: no such file or directory"]),
        ([URL, "--chart", "/"], ["--chart: / has an ending that is no chart's; give one of .svg, .html, .png"]),
        ([URL, "--chart", "x.jpg", "--trace", "none.csv"], ["--chart: x.jpg has", "--trace: none.csv cannot be read"]),
        ([URL, "--trace", "none.csv"], ["--trace: none.csv cannot be read: no such file"]),
        ([URL, "--key-env", "BENCH_TEST_NONE"], ["--key-env names the environment variable BENCH_TEST_NONE, which is not set"]),
        ([URL, "--key-env", "BENCH_TEST_WRONG"], ["the environment variable BENCH_TEST_WRONG holds no key"]),
        (["ftp://h/v1"], ["URL is 'ftp://h/v1'; give http://HOST:PORT/v1"]),
        (["http://me:pass@h/v1"], ["URL is 'http://[a secret]@h/v1'; give http://HOST:PORT/v1"]),
        (["x", "--requests", "0", "--extra", "1"], ["URL is 'x'", "--requests is 0", "--extra is '1'"]),
    ],
)
def test_wrong_arguments_are_told_together_before_anything_is_sent(
    arguments: list[str], said: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BENCH_TEST_NONE", raising=False)
    monkeypatch.setenv("BENCH_TEST_WRONG", "two words")
    with pytest.raises(SystemExit) as refused:
        main(arguments)
    assert refused.value.code == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == len(said)
    assert [s for s in said if f"slipway-router bench: {s}" not in err] == []
    assert "two words" not in err
    assert "pass" not in err
