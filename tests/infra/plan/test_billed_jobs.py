"""What jobs cost."""

from typing import Any

import pytest
from tests.infra.plan.bills import lines, own, resource

from slipway.plan import Plan, Resource
from slipway.plan.billed_jobs import runs_a_month
from slipway.plan.cost import cost, month, to_json, words

RATES = own(gpus={"h100-80gb": 2}, vcpu_usd_per_hour=0.1, memory_gib_usd_per_hour=0.1)
GPUS = {"resources": {"limits": {"nvidia.com/gpu": 8}}}
SELECTED = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}


def training(**more: Any) -> Resource:
    pod = {"containers": [GPUS], "nodeSelector": SELECTED}
    return resource("kubernetes:batch/v1:Job", "job", spec={"template": {"spec": pod}, **more})


def backup(schedule: str = "0 3 * * *", **more: Any) -> Resource:
    pod = {"containers": [{"resources": {"requests": {"cpu": "1", "memory": "1Gi"}}}]}
    work = {"template": {"spec": pod}, "activeDeadlineSeconds": 3600, **more}
    return resource("kubernetes:batch/v1:CronJob", "dump", spec={"schedule": schedule, "jobTemplate": {"spec": work}})


def test_a_job_costs_between_nothing_and_its_deadline() -> None:
    [told] = lines(training(parallelism=2, activeDeadlineSeconds=86_400), rates=RATES)
    assert (month(told).least, month(told).most) == (0, pytest.approx(2 * 8 * 2 * 24))
    assert words(told) == "2 x (8 x h100-80gb): your own price of h100-80gb; at most 24.0 hours, by its deadline"
    assert to_json(cost(Plan("p", "dev", (told.resource,)), RATES))["components"][0]["lines"][0]["hoursAMonth"] == [0, 24]


def test_a_job_without_a_deadline_has_no_bound() -> None:
    [told] = lines(training(), rates=RATES)
    assert month(told).unknown == ("job",)
    assert "without activeDeadlineSeconds it may run for ever" in words(told)


def test_a_cron_job_costs_its_deadline_as_often_as_it_runs() -> None:
    [told] = lines(backup(), rates=RATES)
    assert month(told).most == pytest.approx(0.2 * 730 / 24)
    assert "30 runs a month" in words(told)
    # However often it is begun, an hour has one.
    assert month(lines(backup("* * * * *"), rates=RATES)[0]).most == pytest.approx(0.2 * 730)
    [told] = lines(backup("whenever"), rates=RATES)
    assert (month(told).unknown, "its schedule is not known" in words(told)) == (("dump",), True)


@pytest.mark.parametrize(
    ("schedule", "runs"),
    [
        ("0 3 * * *", 730 / 24),
        ("*/15 * * * *", 4 * 730),
        ("0 0 * * 1-5", 5 / 7 * 730 / 24),
        ("0 0 * * MON-FRI", 5 / 7 * 730 / 24),
        ("0 8-16/4 * * *", 3 * 730 / 24),
        ("30 1,13 * * *", 2 * 730 / 24),
        ("5/20 * * * *", 3 * 730),
        ("0 0 1 jan *", 730 / 24 / 31 / 12),
        ("@weekly", 730 / 24 / 7),
        ("0 0 1 * 0", 730 / 24 * (1 / 31 + 1 / 7)),
        ("often", None),
        ("0 x * * *", None),
    ],
)
def test_how_often_a_cron_line_runs(schedule: str, runs: float | None) -> None:
    assert runs_a_month(schedule) == (None if runs is None else pytest.approx(runs))
