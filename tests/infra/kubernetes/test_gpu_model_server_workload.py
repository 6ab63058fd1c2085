"""The two kinds of rollout. The StatefulSet's own details are in test_gpu_model_server_pod.py; no controller runs here."""

from typing import Any

import kubernetes_validate
import pytest
from tests.infra.kubernetes.model_server import LLAMA, SMALL, planned, refused, revealed
from tests.support.crds import crd_faults

SCALING: dict[str, Any] = {"max": 3, "prometheus_url": "http://prometheus"}


@pytest.mark.parametrize("base", [LLAMA, SMALL])
@pytest.mark.parametrize("more", [{}, {"replicas": 3, "storage_class": "fast", "cache_gib": 400}, {"replicas": 0}])
def test_for_availability_a_server_starts_before_another_stops(base: Any, more: dict[str, Any]) -> None:
    plan = planned(base=base, rollout="availability", **more)
    for resource in plan:
        if resource.custom:
            kubernetes_validate.validate(revealed(resource.inputs), "1.36", strict=True)
    server = plan["llama-server"]
    assert server.type == "kubernetes:apps/v1:Deployment"
    assert server.inputs["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
    }
    assert server.inputs["spec"]["replicas"] == more.get("replicas", 1)
    # Only a StatefulSet needs one for a single server; several are found by it.
    assert ("llama-headless" in plan) == (more.get("replicas", 1) > 1)


def test_its_deadline_is_that_of_the_weights() -> None:
    plan = planned(rollout="availability", replicas=2)
    # Grace 925, node and image 1,200, start 1,980; Pulumi waits for both servers, one after the other.
    assert plan["llama-server"].inputs["spec"]["progressDeadlineSeconds"] == 925 + 1200 + 1994
    assert plan["llama-server"].options["customTimeouts"]["update"] == f"{2 * (925 + 1200 + 1994)}s"


def test_each_server_gets_a_volume_that_goes_with_it() -> None:
    spec = planned(rollout="availability", replicas=2, storage_class="fast")["llama-server"].inputs["spec"]["template"]["spec"]
    (cache,) = [v for v in spec["volumes"] if v["name"] == "model-cache"]
    assert cache["ephemeral"]["volumeClaimTemplate"]["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": "fast",
        "resources": {"requests": {"storage": "273Gi"}},
    }
    assert {c["matchLabelKeys"][0] for c in spec["topologySpreadConstraints"]} == {"pod-template-hash"}


def test_it_is_scaled_as_what_it_is() -> None:
    plan = planned(rollout="availability", scaling=SCALING)
    spec = plan["llama-scaler"].inputs["spec"]
    assert spec["scaleTargetRef"]["kind"] == "Deployment"
    assert "replicas" not in plan["llama-server"].inputs["spec"]
    assert crd_faults(plan["llama-scaler"].inputs) == []


@pytest.mark.parametrize(
    ("more", "path", "says"),
    [
        ({"rollout": "canary"}, "rollout", "give one of 'resource-aware', 'availability'"),
        ({"rollout": "availability", "keep_cache": True}, "keep_cache", "each server's volume goes with it"),
    ],
)
def test_what_cannot_be_rolled_out_is_refused(more: dict[str, Any], path: str, says: str) -> None:
    told = refused(**more)
    assert list(told) == [path]
    assert says in told[path]
