"""`slipway bench-endpoint` as a user runs it, against model servers whose delays are known."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.serving import upstream
from tests.infra.test_endpoint_bench import slow
from typer.testing import CliRunner

from slipway.cli import app
from slipway.cli.bench_endpoint_checks import names_of

URL = "http://127.0.0.1:1/v1"
SMALL = ("--requests", "6", "--rounds", "2", "--concurrency", "2", "--prompt-tokens", "8", "--warm-up", "0")


async def started(*arguments: str, **environ: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "slipway", "bench-endpoint", *arguments),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **environ},
    )


async def run(*arguments: str, **environ: str) -> tuple[int, str, str]:
    process = await started(*arguments, **environ)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode is not None
    assert b"Traceback" not in err, err.decode()
    return process.returncode, out.decode(), err.decode()


async def test_two_side_by_side_with_a_chart(tmp_path: Path) -> None:
    chart = tmp_path / "c.png"
    async with upstream(slow(0.03, 0.01)) as one, upstream(slow(0.09, 0.02)) as two:
        code, out, err = await run(
            *(one.url, two.url, *SMALL, "--name", "near", "--name", "far"),
            *("--machine", "sagemaker/ml.g5.xlarge", "--machine", "-", "--token-price", "-", "--token-price", "0.15/0.60"),
            *("--chart", str(chart)),
        )
    assert code == 0, err
    rows = {label: cells for label, *cells in (re.split(r" {2,}", line.strip()) for line in out.splitlines()) if cells}
    assert out.startswith("6 requests to each, 2 at once, 8/64 tokens\n")
    assert rows["requests answered"][:2] == ["6", "6"]
    near, far, ratio = map(float, rows["time to first token, ms, p50"])
    assert 30 <= near < far
    assert 90 <= far < 250
    assert ratio == pytest.approx(far / near, abs=0.02)
    # 1.408 an hour; the other is paid by the token: 40 x 0.15 + 8 x 0.60 for a million of each.
    assert rows["USD an hour"] == ["1.41", "unknown"]
    rate, cost = float(rows["requests/s"][0]), rows["USD per 1,000 requests"]
    assert float(cost[0]) == pytest.approx(1.408 / 3.6 / rate, rel=0.02)
    assert cost[1] == "0.0108"
    assert rows["USD per million output tokens"][1] == "1.35"
    assert "price: sagemaker/ml.g5.xlarge: us-east-1's list price of 2026-08-17" in out
    assert err.splitlines() == [f"round {n}" for n in ("1 of 2: near", "1 of 2: far", "2 of 2: far", "2 of 2: near")]
    assert chart.read_bytes().startswith(b"\x89PNG")


async def test_json_with_a_key_that_no_one_sees_and_a_server_that_fails() -> None:
    async with upstream(slow(0.0, 0.0)) as good, upstream(fake.failing("503 Service Unavailable")) as bad:
        code, out, err = await run(
            *(good.url, bad.url, *SMALL, "--key-env", "BENCH_KEY", "--key-env", "-", "--price", "2", "--json", "--model", "mock"),
            BENCH_KEY="sk-secret",
        )
        assert {g.headers["authorization"] for g in good.got} == {"Bearer sk-secret"}
        assert all("authorization" not in g.headers for g in bad.got)
        assert {g.json["model"] for g in good.got + bad.got} == {"mock"}
    assert code == 1
    told: dict[str, Any] = json.loads(out)
    assert told["load"]["rounds"] == 2
    first, second = told["endpoints"]
    assert (first["requests"], first["failures"], second["failures"]) == (6, 0, 6)
    assert second["causes"][0]["cause"] == "status 503"
    assert first["price"] == {
        "usd_per_hour": 2.0,
        "usd_per_million_prompt_tokens": None,
        "usd_per_million_answer_tokens": None,
        "source": "as given",
    }
    assert first["usd_per_1000_requests"] > 0
    assert second["usd_per_1000_requests"] is None
    assert "sk-secret" not in out + err


async def test_interrupted_it_tells_what_came_until_then() -> None:
    async with upstream(slow(0.01, 0.0)) as up:
        process = await started(up.url, "--requests", "100000", "--rounds", "1", "--concurrency", "2", "--json")
        async with asyncio.timeout(30):
            while len(up.got) < 6:  # noqa: ASYNC110 -- the server's list has no event
                await asyncio.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert b"Traceback" not in err
    assert json.loads(out)["endpoints"][0]["given_up"] == 2


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([URL, "--requests", "0"], "--requests: is 0; give 1 to 10,000,000"),
        ([URL, "--concurrency", "0"], "--concurrency: is 0; give 1 to 10,000"),
        ([URL, "--rounds", "0"], "--rounds: is 0; give 1 to 1,000"),
        ([URL, "--requests", "2", "--rounds", "3"], "--rounds: is 3, more than the 2 requests; give fewer, or more --requests"),
        ([URL, "--warm-up", "-1"], "--warm-up: is -1; give 0 to 1,000,000"),
        ([URL, "--prompt-tokens", "0"], "--prompt-tokens: is 0"),
        ([URL, "--answer-tokens", "0"], "--answer-tokens: is 0"),
        ([URL, "--timeout", "nan"], "--timeout: is nan; give 0.1 to 86,400"),
        ([URL, "--seconds", "0"], "--seconds: is 0; give 0.1 to 86,400"),
        ([URL, "--extra", "[1]"], "--extra: is '[1]'; give a JSON object of fields of the body"),
        (["ftp://x/v1"], "URL: "),
        (["http://user:pa55@x/v1"], "URL: "),
        (
            [URL, URL, URL, "--model", "a", "--model", "b"],
            "--model: is given 2 times for 3 endpoints; give it once, or once for each",
        ),
        ([URL, URL, "--name", "a"], "--name: is given 1 times for 2 endpoints; give it once for each, or not at all"),
        ([URL, URL, "--name", "a", "--name", "a"], "--name: a names several; give each another"),
        (
            [URL, "--key-env", "NO_SUCH_KEY"],
            "--key-env: names the environment variable NO_SUCH_KEY, which is not set; set it to the key",
        ),
        (
            [URL, "--key-env", "ODD_KEY"],
            "--key-env: the environment variable ODD_KEY holds no key: only visible ASCII characters",
        ),
        ([URL, "--price", "cheap"], "--price: is 'cheap'; give USD, 0 to 1,000,000, or '-' where it is not known"),
        ([URL, "--price", "-1"], "--price: is '-1'"),
        (
            [URL, "--price", "1", "--machine", "ec2/g5.xlarge"],
            "--price: excludes --machine and --token-price of the same endpoint",
        ),
        (
            [URL, "--machine", "g5.xlarge"],
            "--machine: is 'g5.xlarge'; give [N*]PLACE/MACHINE[@REGION], PLACE one of ec2, sagemaker",
        ),
        ([URL, "--machine", "mars/g5.xlarge"], "--machine: is 'mars/g5.xlarge'; give [N*]PLACE"),
        ([URL, "--machine", "ec2/m5.large"], "--machine: ec2 has no 'm5.large' in the catalogue; there are g4dn.xlarge"),
        (
            [URL, "--machine", "sagemaker/ml.g5.xlarge@eu-west-1"],
            "--machine: the price of ml.g5.xlarge in eu-west-1 is not known; give",
        ),
        ([URL, "--token-price", "0.15"], "--token-price: is '0.15'; give two prices, of prompt and answer, such as 0.15/0.60"),
        ([URL, "--token-price", "a/1"], "--token-price: is 'a'; give USD"),
        ([URL, "--rates", "none.yaml"], "--rates: none.yaml cannot be read"),
        ([URL, "--chart", "times.pdf"], "--chart: is times.pdf; give a name that ends in .png, .html, .svg"),
        ([URL, "--chart", "/nowhere/times.png"], "--chart: /nowhere/times.png cannot be written: no such file or directory"),
        ([], "Missing argument"),
    ],
)
def test_bad_input_is_told_with_the_choice_before_anything_is_sent(
    args: list[str], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD_KEY", "a\nb")
    result = CliRunner().invoke(app, ["bench-endpoint", *args])
    assert (result.exit_code, result.stdout) == (2, "")
    said = " ".join(re.sub(r"[│╭╰╮╯─]", " ", result.stderr).split())
    assert says in said
    assert "Traceback" not in said
    assert "pa55" not in said


def test_every_fault_at_once() -> None:
    result = CliRunner().invoke(app, ["bench-endpoint", URL, "--requests", "0", "--price", "x", "--chart", "a.pdf"])
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["--requests", "--price", "--chart"]


def test_without_the_chart_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vl_convert", None)
    monkeypatch.delitem(sys.modules, "slipway.endpoint_chart", raising=False)
    result = CliRunner().invoke(app, ["bench-endpoint", URL, "--chart", "a.png"])
    assert result.exit_code == 2
    assert "--chart: charts need altair and vl-convert-python; install them with: pip install 'slipway[charts]'" in result.stderr


def test_names_are_told_apart_by_host_model_or_number() -> None:
    assert names_of(["http://a:1/v1", "https://b/v1"], None, [None, None], []) == ["a:1", "b"]
    assert names_of(["http://a/v1"] * 2, None, ["x", None], []) == ["a x", "a auto"]
    assert names_of(["http://a/v1"] * 2, None, ["x", "x"], []) == ["1: a x", "2: a x"]
