"""`slipway gpus` as a user runs it."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from slipway.cli import app

ROOT = Path(__file__).parents[3]
LLAMA = "meta-llama/Llama-3.1-8B-Instruct"


def run(*args: str) -> Result:
    return CliRunner().invoke(app, ["gpus", *args])


def told(*args: str) -> dict[str, Any]:
    result = run(*args, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_the_table_has_the_arithmetic_and_the_cheapest_first() -> None:
    result = run(LLAMA, "--context", "8192", "--concurrency", "16", "--place", "ec2")
    assert result.exit_code == 0
    head, words = result.stdout.split("\n\n")[0].splitlines(), result.stdout
    assert head[0] == f"{LLAMA}, 16 at once with 8,192 tokens each"
    assert "weights: 8.03 billion parameters x 2 bytes (dtype 'auto') = 15.0 GiB" in head[1]
    assert "16 x 8,192 tokens = 16.0 GiB: 2 x 32 layers x 8 KV heads x 128 x 2 bytes" in head[2]
    rows = [line for line in words.splitlines() if line.startswith("ec2")]
    assert len(rows) == 20
    # 15.0 + 16.0 + 2; 45.0 x 0.9; 16 x 864e9 / (16.06e9 + 16 x 1.074e9); 1.861 x 730
    assert rows[0].split() == [
        *("ec2", "g6e.xlarge", "1", "x", "l40s", "1", "33.0", "of", "40.5"),
        *("1.86", "1,359", "416", "1.24", "us-east-1", "2026-07-20"),
    ]
    assert "more with --all" in words
    assert "is a bound: requests x memory bandwidth / (weights read + keys and values)" in words
    assert "unknown" in run(LLAMA, "--place", "azure").stdout


def test_all_rows_and_spot_prices() -> None:
    whole = run(LLAMA, "--context", "8192", "--place", "gce", "--all", "--spot").stdout
    assert "more with --all" not in whole
    assert "Spot prices" in whole
    assert re.search(r"^gce +g2-standard-4 .* 0\.\d\d ", whole, re.MULTILINE)
    ec2 = run(LLAMA, "--context", "8192", "--place", "ec2", "--region", "us-west-2", "--spot").stdout
    assert re.search(r"^ec2 +g6\.xlarge .* 0\.45 .* us-west-2 2026-08-06$", ec2, re.MULTILINE)


def test_json_has_every_figure_and_its_source() -> None:
    answer = told(LLAMA, "--context", "8192", "--concurrency", "16", "--place", "sagemaker", "--region", "us-east-1")
    assert (answer["weightsGib"], answer["kvGib"]) == (14.957, 16.0)
    first = answer["options"][0]
    assert (first["machine"], first["gpus"], first["gpusNeeded"], first["copies"]) == ("ml.g6e.xlarge", 1, 1, 1)
    assert first["memory"] == {
        "usableGib": 40.489,
        "weightsGib": 14.957,
        "kvGib": 16.0,
        "overheadGib": 2.0,
        "tokensThatFit": 192777,
    }
    assert (first["usdPerHour"], first["usdPerMonth"]) == (2.61, 1905.3)
    assert first["price"]["region"] == "us-east-1"
    assert first["price"]["source"].startswith("AWS Price List")
    assert first["tokensPerSecondAtMost"] == 415.9
    assert first["tokensPerSecondOfOneRequestAtMost"] == 53.8
    last = answer["options"][-1]
    assert (last["usdPerHour"], last["usdPerMonth"], last["price"], last["usdPerMillionTokensAtLeast"]) == (None,) * 4
    assert last["tokensPerSecondAtMost"] > 0


def test_what_the_name_tells_and_what_the_user_sets_right() -> None:
    assert told("someone/Llama-3.1-8B-Instruct-AWQ")["weightsGib"] == 3.739
    assert told("strange-model", "--parameters-billion", "3", "--weight-bits", "8")["weightsGib"] == 2.794
    shaped = told(
        "strange-7b", "--layers", "32", "--kv-heads", "8", "--head-dim", "128", "--context", "1024", "--kv-cache-dtype", "fp8"
    )
    assert shaped["kvGib"] == 0.062
    # Without a shape keys and values are not counted, and that is said.
    assert told("strange-7b")["kvGib"] is None
    assert "the model's shape is not known; give --layers" in run("strange-7b").stdout
    # A model's own context where none is given.
    assert told("Qwen/Qwen2.5-0.5B-Instruct")["context"] == 32768


def test_of_a_mixture_only_what_is_active_is_read() -> None:
    mixture, dense = (told(m, "--place", "ec2")["options"] for m in ("Qwen/Qwen3-30B-A3B", "Qwen/Qwen3-32B"))
    speed = {o["machine"]: o["tokensPerSecondOfOneRequestAtMost"] for o in mixture}
    assert speed["p5.4xlarge"] > 8 * next(o for o in dense if o["machine"] == "p5.4xlarge")["tokensPerSecondOfOneRequestAtMost"]
    # One that is in no catalogue: how much is active is not known.
    assert told("someone/Big-8x9B")["options"][0]["tokensPerSecondAtMost"] is None


def test_ones_own_rates(tmp_path: Path) -> None:
    file = tmp_path / "rates.yaml"
    file.write_text("machines: [{place: azure, machine: Standard_NC24ads_A100_v4, usd_per_hour: 0.9}]\ngpus: {l40s: 0.5}\n")
    first, second = told(LLAMA, "--rates", str(file))["options"][:2]
    assert (first["place"], first["machine"], first["usdPerHour"]) == ("own", "l40s:1", 0.5)
    # g2-standard-4 has an L4 for 0.70, on which the model does not fit with its whole context.
    assert (second["place"], second["usdPerHour"], second["price"]) == (
        "azure", 0.9, {"region": None, "date": None, "source": str(file)}
    )  # fmt: skip


def test_what_fits_nowhere_ends_with_1_and_says_what_to_do() -> None:
    result = run("meta-llama/Llama-3.1-405B-Instruct", "--place", "gce", "--dtype", "float32", "--context", "100000")
    assert result.exit_code == 1
    assert "It fits no machine there; ask for a shorter --context" in result.stdout
    assert run("meta-llama/Llama-3.1-405B", "--place", "own", "--json").exit_code == 1


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (
            ["nonsense/foo"],
            "MODEL: the size of 'nonsense/foo' is not known, and its name does not tell it; give --parameters-billion",
        ),
        (["qwen2.5-coder"], "such as qwen2.5-"),
        ([LLAMA, "--context", "0"], "--context: is 0; give 1 to 100,000,000"),
        ([LLAMA, "--concurrency", "-1"], "--concurrency: is -1; give 1 to 1,000,000"),
        ([LLAMA, "--weight-bits", "5"], "--weight-bits: is 5; give one of 4, 8, 16, 32"),
        ([LLAMA, "--parameters-billion", "0"], "--parameters-billion: is 0; give 0.001 to 100,000"),
        ([LLAMA, "--gpu-memory-utilization", "1.5"], "--gpu-memory-utilization: is 1.5; give 0.1 to 1"),
        ([LLAMA, "--gpu-memory-utilization", "nan"], "--gpu-memory-utilization: is nan; give 0.1 to 1"),
        ([LLAMA, "--place", "mars"], "--place: is 'mars'; give one of ec2, sagemaker, gce, vertex, azure, own"),
        ([LLAMA, "--region", "us-est-1"], "--region: is 'us-est-1', which is not known; did you mean us-west-1 or us-east-1"),
        (
            [LLAMA, "--place", "gce", "--region", "us-east-1"],
            "--region: is 'us-east-1', which is not known; did you mean us-east1",
        ),
        (
            [LLAMA, "--layers", "32"],
            "--kv-heads, --head-dim: is required with --layers; give all three from config.json, or none",
        ),
        ([LLAMA, "--layers", "0", "--kv-heads", "8", "--head-dim", "128"], "--layers: is 0; give 1 or more"),
        ([LLAMA, "--rates", "none.yaml"], "--rates: none.yaml cannot be read: No such file or directory"),
        ([LLAMA, "--dtype", "int3"], "'int3' is not one of"),
        ([LLAMA, "--kv-cache-dtype", "int3"], "'int3' is not one of"),
    ],
)
def test_bad_input_is_told_with_the_choice_and_ends_with_2(args: list[str], says: str) -> None:
    result = run(*args)
    assert result.exit_code == 2
    assert says in " ".join(re.sub(r"[│╭╰╮╯─]", " ", result.stderr).split())
    assert "Traceback" not in result.stderr


def test_every_fault_at_once() -> None:
    result = run("foo", "--context", "0", "--place", "mars", "--rates", "none.yaml")
    assert result.exit_code == 2
    assert [line.split(":")[0] for line in result.stderr.splitlines()] == ["--context", "--place", "MODEL", "--rates"]


def test_azure_has_its_prices_by_region() -> None:
    answer = told(LLAMA, "--context", "8192", "--place", "azure", "--region", "eastus")
    first = answer["options"][0]
    assert (first["machine"], first["usdPerHour"]) == ("Standard_NV36ads_A10_v5", 3.2)
    assert first["price"]["region"] == "eastus"
    assert "Azure Retail Prices" in first["price"]["source"]


def test_the_guide_shows_what_the_command_prints() -> None:
    page = (ROOT / "docs" / "costs.md").read_text()
    shown = re.findall(r"^```sh\nslipway gpus ([^\n]*)\n```\n\n```text\n(.*?)```", page, re.MULTILINE | re.DOTALL)
    assert shown
    for command, output in shown:
        printed = run(*shlex.split(command)).stdout
        assert [line.rstrip() for line in printed.splitlines()] == output.splitlines()
