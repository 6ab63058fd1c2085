"""Each alert over series of a test's, by Prometheus' own promtool: it fires when it must and is silent when it must.

That routers really tell these series is for test_prometheus.py to show. Engines on GPUs do not run here: nothing shows it of
theirs.
"""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.infra.kubernetes.observability.services import (
    RUNBOOKS,
    SCALING,
    STORE,
    TRAINING,
    WORKERS,
    gpus,
    model,
    promtool,
    router,
    rule_faults,
)

from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.rules import rule_groups

PROMISE = Promise(daily_dollars=100.0)
API = router(scaling={"min": 2, "max": 4, "requests_per_second": 10})
LLAMA = model(scaling={**SCALING, "waiting_requests": 5, "running_requests": 100})
EVERY = [API, LLAMA, gpus()]
OBJECTS = [STORE, WORKERS, TRAINING]
POD = 'namespace="ai",pod="api-router-5d4f8c7b6-x2z45"'
SECOND = 'namespace="ai",pod="api-router-5d4f8c7b6-bcdfg"'
STRANGER = 'namespace="ai",pod="other-router-5d4f8c7b6-bcdfg"'
SERVER = 'namespace="ai",pod="llama-server-0"'
OTHER = 'namespace="ai",pod="llama-server-1"'

GPU = 'service="gpus",node="node-1",gpu="0",UUID="GPU-1",namespace="ai",pod="llama-server-0"'

UP = {f"up{{{POD}}}": "1x5000", f"up{{{SECOND}}}": "1x5000", f"up{{{SERVER}}}": "1x5000"}
"""All is well."""


def requests(code: str, values: str) -> dict[str, str]:
    return {f'slipway_router_requests_total{{{POD},backend="gpt",code="{code}"}}': values}


def first_tokens(fast: str, every: str) -> dict[str, str]:
    name = "slipway_router_time_to_first_token_seconds"
    return {f'{name}_bucket{{{POD},le="2.5"}}': fast, f'{name}_bucket{{{POD},le="+Inf"}}': every, f"{name}_count{{{POD}}}": every}


def backend(metric: str, values: str) -> dict[str, str]:
    return {f'slipway_router_{metric}{{{POD},backend="gpt"}}': values}


def gpu(metric: str, values: str, more: str = "") -> dict[str, str]:
    return {f"DCGM_FI_DEV_{metric}{{{GPU}{more}}}": values}


def ready(values: str) -> dict[str, str]:
    of = '{namespace="ai",statefulset="db-postgres"}'
    return {f"kube_statefulset_status_replicas_ready{of}": values, f"kube_statefulset_replicas{of}": "1x1000"}


def free(values: str) -> dict[str, str]:
    of = '{namespace="ai",persistentvolumeclaim="data-db-postgres-0"}'
    return {f"kubelet_volume_stats_available_bytes{of}": values, f"kubelet_volume_stats_capacity_bytes{of}": "100x1000"}


def backups(due: str, done: str | None, following: str) -> dict[str, str]:
    """In seconds since the test began."""
    of = '{namespace="ai",cronjob="db-backup"}'
    told = {f"kube_cronjob_status_last_schedule_time{of}": due, f"kube_cronjob_next_schedule_time{of}": following}
    return told if done is None else {**told, f"kube_cronjob_status_last_successful_time{of}": done}


def workers(running: str, each: str) -> dict[str, str]:
    """4 there may be; so many tasks wait for each that there is."""
    of = 'namespace="ai",horizontalpodautoscaler="work-keda"'
    return {
        f"kube_horizontalpodautoscaler_status_current_replicas{{{of}}}": running,
        f"kube_horizontalpodautoscaler_spec_max_replicas{{{of}}}": "4x1000",
        f'kube_horizontalpodautoscaler_status_target_metric{{{of},metric_name="s0-redis",metric_target_type="average"}}': each,
    }


GOOD = requests("200", "0+600x5000")
Case = tuple[str, Mapping[str, str], Mapping[str, str], str]
"""Alert, series beside UP when it must fire, series with which it must not, when."""
CASES: list[Case] = [
    # 2 % fail: more than 14.4 times 0.1 %. 1 % is less, and for half an hour no matter of six hours.
    ("ErrorBudgetBurn", {**GOOD, **requests("503", "0+13x5000")}, {**GOOD, **requests("503", "0+3x5000")}, "70m"),
    # Half of them fail, but it has been over for half an hour.
    (
        "ErrorBudgetBurn",
        {**GOOD, **requests("503", "0+600x120")},
        {**GOOD, **requests("503", "0+600x40 24000x100")},
        "75m",
    ),
    # What the client did wrong is no fault of the service.
    ("ErrorBudgetBurn", requests("502", "0+60x5000"), {**GOOD, **requests("429", "0+600x5000")}, "70m"),
    ("ErrorBudgetBurnSlow", {**GOOD, **requests("503", "0+1.2x5000")}, {**GOOD, **requests("503", "0+0.3x5000")}, "72h"),
    ("ErrorBudgetSpent", {**GOOD, **requests("500", "0+3x5000")}, {**GOOD, **requests("500", "0+0.3x5000")}, "70m"),
    ("FirstTokenBudgetBurn", first_tokens("0+1x5000", "0+10x5000"), first_tokens("0+8x5000", "0+10x5000"), "70m"),
    ("FirstTokenBudgetBurnSlow", first_tokens("0+9x5000", "0+10x5000"), first_tokens("0+97x5000", "0+100x5000"), "72h"),
    ("FirstTokenBudgetSpent", first_tokens("0+9x5000", "0+10x5000"), first_tokens("0+97x5000", "0+100x5000"), "70m"),
    ("RouterDown", {f"up{{{POD}}}": "1x5 0x100", f"up{{{SECOND}}}": "1x5 0x100"}, {f"up{{{POD}}}": "1x5 0x100"}, "20m"),
    ("BreakerOpen", backend("backend_breaker_open", "0x5 1x100"), backend("backend_breaker_open", "0x9 1x5 0x50"), "20m"),
    ("ModelNotStarting", backend("backend_cold_start_late", "0x5 1x100"), backend("backend_cold_start_late", "0x100"), "15m"),
    (
        "ConfigRefused",
        {f"slipway_router_config_last_reload_successful{{{POD}}}": "1x5 0x100"},
        {f"slipway_router_config_last_reload_successful{{{POD}}}": "1x100"},
        "20m",
    ),
    (
        "SpendingAboveBudget",
        {f'slipway_router_cost_dollars_total{{{POD},backend="gpt",model="m"}}': "0+3x2000"},
        {f'slipway_router_cost_dollars_total{{{POD},backend="gpt",model="m"}}': "0+1.5x2000"},
        "24h",
    ),
    (
        "TelemetryLost",
        {f'slipway_router_telemetry_failed_exports_total{{{POD},signal="traces"}}': "0x5 1+1x100"},
        {f'slipway_router_telemetry_failed_exports_total{{{POD},signal="traces"}}': "3x100"},
        "30m",
    ),
    # 4 replicas, of half a core each, are to take 70 % of that.
    (
        "CpuHigh",
        {f"process_cpu_seconds_total{{{POD}}}": "0+90x100"},
        {f"process_cpu_seconds_total{{{POD}}}": "0+80x100"},
        "30m",
    ),
    ("ReplicasMissing", {f"up{{{SECOND}}}": "1x5 0x100"}, {f"up{{{STRANGER}}}": "0x100"}, "30m"),
    ("RequestsMany", requests("200", "0+2500x100"), requests("200", "0+2300x100"), "30m"),
    ("ModelNotLoading", {f"up{{{SERVER}}}": "0x5000"}, {f"up{{{SERVER}}}": "0x20 1x5000"}, "50m"),
    ("ModelNotLoading", {f"up{{{OTHER}}}": "0x5000"}, {f"up{{{OTHER}}}": "1x5000"}, "50m"),
    (
        "AutoscalerAtMaximum",
        {f'up{{namespace="ai",pod="llama-server-{i}"}}': "1x100" for i in range(1, 4)},
        {f'up{{namespace="ai",pod="llama-server-{i}"}}': "1x100" for i in range(1, 3)},
        "20m",
    ),
    (
        "QueueLong",
        {f"vllm:num_requests_waiting{{{SERVER}}}": "21x100"},
        {f"vllm:num_requests_waiting{{{SERVER}}}": "20x100"},
        "20m",
    ),
    (
        "KvCacheFull",
        {f'vllm:kv_cache_usage_perc{{namespace="ai",pod="llama-server-{i}"}}': "0.85x100" for i in range(4)},
        {f'vllm:kv_cache_usage_perc{{namespace="ai",pod="llama-server-{i}"}}': "0.75x100" for i in range(4)},
        "20m",
    ),
    (
        "ReplicasBusy",
        {f"vllm:num_requests_running{{{SERVER}}}": "401x100"},
        {f"vllm:num_requests_running{{{SERVER}}}": "399x100"},
        "20m",
    ),
    ("StoreDown", ready("1x5 0x100"), ready("1x5 0x1 1x100"), "20m"),
    ("VolumeNearlyFull", free("9x100"), free("11x100"), "20m"),
    # Due at the first hour and not done since; done two minutes later.
    ("BackupMissing", backups("3600x100", "0x100", "90000x100"), backups("3600x100", "3720x100", "90000x100"), "12h"),
    ("BackupMissing", backups("3600x100", None, "90000x100"), backups("3600x100", "3720x100", "90000x100"), "12h"),
    # Nobody begins them any more.
    ("BackupMissing", backups("0x100", "120x100", "3600x100"), backups("0x100", "120x100", "90000x100"), "12h"),
    ("WorkersAtMaximum", workers("4x100", "5x100"), workers("3x100", "5x100"), "20m"),
    ("QueueNotDraining", workers("4x100", "5x100"), workers("4x100", "100-1x100"), "60m"),
    ("QueueNotDraining", workers("4x100", "5+1x100"), workers("3x100", "5+1x100"), "60m"),
    (
        "TrainingFailed",
        {'kube_job_failed{namespace="ai",job_name="tune-0123456789",condition="true"}': "1x100"},
        {'kube_job_failed{namespace="ai",job_name="tune-more-0123456789",condition="true"}': "1x100"},
        "5m",
    ),
    # 13 is a fault of the program.
    ("GpuXidError", gpu("XID_ERRORS", "79x100", ',err_code="79"'), gpu("XID_ERRORS", "13x100", ',err_code="13"'), "5m"),
    ("GpuMemoryFaulty", gpu("ROW_REMAP_FAILURE", "1x100"), gpu("ROW_REMAP_FAILURE", "0x100"), "5m"),
    (
        "GpuMemoryFaulty",
        gpu("UNCORRECTABLE_REMAPPED_ROWS", "2x30 3x100"),
        gpu("UNCORRECTABLE_REMAPPED_ROWS", "2x200"),
        "60m",
    ),
    ("GpuHot", gpu("GPU_TEMP", "86x100"), gpu("GPU_TEMP", "85x100"), "20m"),
    (
        "GpuMemoryFull",
        {**gpu("FB_USED", "80500x100"), **gpu("FB_FREE", "500x100")},
        {**gpu("FB_USED", "74000x100"), **gpu("FB_FREE", "7000x100")},
        "20m",
    ),
    (
        "GpuIdle",
        {**gpu("GPU_UTIL", "3x100"), f"vllm:num_requests_waiting{{{SERVER}}}": "1x100"},
        {**gpu("GPU_UTIL", "3x100"), f"vllm:num_requests_waiting{{{SERVER}}}": "0x100"},
        "20m",
    ),
    (
        "GpuIdle",
        {**gpu("GPU_UTIL", "9x100"), f"vllm:num_requests_waiting{{{SERVER}}}": "9x100"},
        {**gpu("GPU_UTIL", "70x100"), f"vllm:num_requests_waiting{{{SERVER}}}": "9x100"},
        "20m",
    ),
    (
        "GpuMetricsMissing",
        {'up{service="gpus",node="node-1"}': "0x100"},
        {'up{service="gpus",node="node-1"}': "1x100"},
        "20m",
    ),
]


def rules() -> dict[str, dict[str, Any]]:
    """The alerts by name; of those that both services have, the model's."""
    groups = rule_groups(EVERY, PROMISE, RUNBOOKS, OBJECTS)
    return {rule["alert"]: rule for group in groups for rule in group["rules"] if "alert" in rule}


_PACES = {"m": ("1m", "5m"), "h": ("30m", "3h")}
"""How often series are told and rules are judged, by the unit of when the answer must be there: what is judged takes the time."""


def _judged(case: Case, *, fires: bool) -> dict[str, Any]:
    """A case as promtool reads it."""
    alert, wrong, well, at = case
    rule, series = rules()[alert], wrong if fires else well
    return {
        "interval": _PACES[at[-1]][0],
        "input_series": [{"series": name, "values": values} for name, values in {**UP, **series}.items()],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing",service="{rule["labels"]["service"]}"}})',
                "eval_time": at,
                "exp_samples": [{"labels": "{}", "value": 1}] if fires else [],
            }
        ],
    }


def _faults(cases: Sequence[Case], sides: Sequence[bool] = (True, False)) -> str:
    """What promtool finds wrong with these cases, taken together; all have the same unit of time."""
    tests = [_judged(case, fires=fires) for case in cases for fires in sides]
    return rule_faults(EVERY, PROMISE, tests, _PACES[cases[0][3][-1]][1], OBJECTS)


@pytest.fixture(scope="module")
def all_well() -> bool:
    """Whether every case is as it must be."""
    return not any(_faults([case for case in CASES if case[3].endswith(unit)]) for unit in _PACES)


@pytest.mark.parametrize("fires", [True, False], ids=["fires", "is silent"])
@pytest.mark.parametrize("case", CASES, ids=[f"{case[0]}-{i}" for i, case in enumerate(CASES)])
def test_an_alert(case: Case, fires: bool, all_well: bool) -> None:
    # Asked about alone only to say which it is.
    assert all_well or _faults([case], [fires]) == ""


def test_every_alert_is_tried() -> None:
    assert rules().keys() == {case[0] for case in CASES}


def test_promtool_finds_nothing_wrong_with_the_rules(tmp_path: Path) -> None:
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": rule_groups(EVERY, PROMISE, RUNBOOKS, OBJECTS)}))
    done = subprocess.run([promtool(), "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout


def test_what_is_stopped_has_no_alert() -> None:
    assert rule_groups([model(replicas=0), router(replicas=0)], PROMISE, RUNBOOKS) == []


def test_what_may_be_at_zero_is_missed_only_while_a_replica_is_there() -> None:
    asleep = model(scaling={**SCALING, "min": 0})
    (group,) = rule_groups([asleep], PROMISE, RUNBOOKS)
    rule = group["rules"][0]
    assert (rule["alert"], rule["for"]) == ("ModelNotLoading", f"{asleep.start_seconds // 60}m")
    quiet = {"interval": "1m", "input_series": [{"series": f"up{{{POD}}}", "values": "1x200"}]}
    expectation = {"expr": 'ALERTS{alertname="ModelNotLoading"}', "eval_time": "100m", "exp_samples": list[Any]()}
    assert rule_faults([asleep], PROMISE, [{**quiet, "promql_expr_test": [expectation]}]) == ""


@pytest.mark.parametrize("name", [*rules()])
def test_every_alert_has_a_page_that_says_what_to_do(name: str) -> None:
    root = Path(__file__).parents[4]
    url = rules()[name]["annotations"]["runbook_url"]
    page = root / "docs" / "runbooks" / url.removeprefix(f"{RUNBOOKS}/")
    text = page.read_text()
    assert text.startswith(f"# {name}\n")
    for part in ("## What it means", "## What to look at", "## What to do"):
        assert part in text, part


def test_no_page_is_about_an_alert_that_is_not_there() -> None:
    pages = {page.name for page in (Path(__file__).parents[4] / "docs" / "runbooks").glob("*.md")} - {"index.md"}
    assert pages == {rule["annotations"]["runbook_url"].rpartition("/")[2] for rule in rules().values()}
