"""Questions about a router's replicas: of metrics that the router has, and of its own pods only."""

import re

import pytest
from tests.infra.kubernetes.service import planned

from slipway.kubernetes.router_metrics import pods
from slipway_router.config import Config
from slipway_router.router import Router

ALPHABET = "bcdfghjklmnpqrstvwxz2456789"  # what Kubernetes makes names of


def generated(deployment: str, replica_set: str = "bcdfghjklm", end: str = "x2z45") -> str:
    """A pod's name as Kubernetes makes it: a base cut to 58 characters, and five random ones."""
    return f"{deployment}-{replica_set}-"[:58] + end


@pytest.mark.parametrize("length", [1, 20, 39, 40, 41, 42, 48, 49, 50, 51, 52, 56, 63])
@pytest.mark.parametrize("replica_set", ["b", "5d4f8c7b6", "bcdfghjklm"])
def test_every_pod_of_a_deployment_is_counted(length: int, replica_set: str) -> None:
    deployment = "a" * length + "-router"
    assert re.fullmatch(pods(deployment), generated(deployment, replica_set))


@pytest.mark.parametrize("other", ["api-canary-router", "api-router-router", "api-router-2-router", "my-api-router", "api"])
def test_no_pod_of_another_deployment_is(other: str) -> None:
    assert not re.fullmatch(pods("api-router"), generated(other))


def test_the_router_has_the_metrics_that_are_asked_for_the_second_from_the_start() -> None:
    spec = planned(scaling={"by": "keda", "prometheus_url": "http://p"})["api-scaler"].inputs["spec"]
    asked = re.findall(r"slipway_router_\w+", spec["triggers"][1]["metadata"]["query"])
    backend = {"name": "llama", "url": "http://127.0.0.1:8101/v1", "model": "llama"}
    text = Router(Config.parse({"backends": [backend]}), {}).metrics.text().decode()
    types = re.findall(r"^# TYPE (\S+) counter|^# TYPE (\S+) gauge", text, re.MULTILINE)
    assert set(asked) <= {name for pair in types for name in pair}
    assert re.search(rf'^{asked[1]}{{backend="llama"}} ', text, re.MULTILINE)
