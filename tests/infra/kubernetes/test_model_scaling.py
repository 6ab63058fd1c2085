"""What cannot scale is refused. What KEDA is told is in test_model_scaler.py."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.infra.kubernetes.model_server import LLAMA, SMALL, refused

PROMETHEUS = "http://prometheus-server.monitoring.svc:9090"
SCALING: Mapping[str, Any] = {"max": 6, "prometheus_url": PROMETHEUS}
OFFICE: Mapping[str, Any] = {"start": "0 8 * * 1-5", "end": "0 18 * * mon-fri", "timezone": "Europe/Vienna", "replicas": 4}


@pytest.mark.parametrize(
    ("wrong", "path", "says"),
    [
        ({"by": "hpa"}, "by", "give 'keda', the only one: a HorizontalPodAutoscaler reads the engine's metrics only through"),
        ({"min": -1}, "min", "give 0 or more"),
        ({"min": 7}, "min", "is 7, above scaling.max = 6"),
        ({"max": None}, "max", "is required"),
        ({"max": 0}, "max", "give 1 or more"),
        ({"max": 2.5}, "max", "give a whole number"),
        ({"maxi": 3}, "maxi", "did you mean 'max'?"),
        ({"prometheus_url": None}, "prometheus_url", "is required"),
        ({"prometheus_url": "prometheus:9090"}, "prometheus_url", "give an address such as 'http://prometheus-server"),
        ({"prometheus_url": "http://u:p@prometheus"}, "prometheus_url", "without user, password"),
        ({"prometheus_url": "http://prometheus/?a=b"}, "prometheus_url", "or query"),
        ({"prometheus_authentication": "Login"}, "prometheus_authentication", "lower case"),
        ({"waiting_requests": -1}, "waiting_requests", "or 0 not to scale on it"),
        ({"running_requests": -1}, "running_requests", "or 0 not to scale on it"),
        ({"kv_cache_percent": 101}, "kv_cache_percent", "give 1 to 100"),
        ({"scale_down_seconds": 4000}, "scale_down_seconds", "give 0 to 3600"),
        ({"fallback_replicas": 7}, "fallback_replicas", "from 1 to scaling.max = 6"),
        ({"fallback_replicas": 0}, "fallback_replicas", "from 1 to scaling.max = 6"),
        ({"schedule": [{**OFFICE, "start": "0 8 * *"}]}, "schedule[0].start", "a cron line of five fields"),
        ({"schedule": [{**OFFICE, "start": "0 24 * * *"}]}, "schedule[0].start", "is '0 24 * * *'"),
        ({"schedule": [{**OFFICE, "end": "60 8 * * *"}]}, "schedule[0].end", "is '60 8 * * *'"),
        ({"schedule": [{**OFFICE, "end": "0 8 * * 5-1"}]}, "schedule[0].end", "is '0 8 * * 5-1'"),
        ({"schedule": [{**OFFICE, "end": "*/0 8 * * *"}]}, "schedule[0].end", "is '*/0 8 * * *'"),
        ({"schedule": [{**OFFICE, "end": OFFICE["start"]}]}, "schedule[0].end", "when the window begins"),
        ({"schedule": [OFFICE, {**OFFICE, "timezone": "Vienna"}]}, "schedule[1].timezone", "such as 'Europe/Vienna'"),
        ({"schedule": [{**OFFICE, "replicas": 1}]}, "schedule[0].replicas", "more than scaling.min = 1, up to scaling.max = 6"),
        ({"min": 0, "fallback_replicas": 0}, "fallback_replicas", "from 1 to scaling.max = 6"),
        ({"min": 0, "schedule": [{**OFFICE, "replicas": 0}]}, "schedule[0].replicas", "more than scaling.min = 0"),
        ({"idle_seconds": 600}, "idle_seconds", "goes with scaling.min = 0, and that is 1; give 0, or leave it out"),
        ({"wake": {}}, "wake", "goes with scaling.min = 0"),
        ({"min": 0, "idle_seconds": 60}, "idle_seconds", "give 300 or more: a router wants a server for two minutes"),
        ({"min": 0, "wake": {"backends": []}}, "wake.backends", "give the names of its backends"),
        ({"min": 0, "wake": {"backends": ["ok", 'a"b']}}, "wake.backends[1]", "lower case letters"),
        ({"min": 0, "wake": {"namespace": "A"}}, "wake.namespace", "give a namespace"),
        ({"min": 0, "wake": {"backend": "a"}}, "wake.backend", "did you mean 'backends'?"),
        ({"schedule": [{**OFFICE, "replicas": 9}]}, "schedule[0].replicas", "up to scaling.max = 6"),
    ],
)
def test_what_cannot_scale_is_refused_with_its_path_and_the_choice(wrong: dict[str, Any], path: str, says: str) -> None:
    assert_refused({**SCALING, **wrong}, LLAMA, f"scaling.{path}", says)


TGI: Mapping[str, Any] = {**LLAMA, "engine": "tgi"}
TRITON: Mapping[str, Any] = {**LLAMA, "engine": "triton"}


@pytest.mark.parametrize(
    ("base", "scaling", "path", "says"),
    [
        (
            LLAMA,
            {"waiting_requests": 0, "kv_cache_percent": 0},
            "scaling",
            "scales on no load; give 'waiting_requests' or 'running_requests' or 'kv_cache_percent', or 'replicas'",
        ),
        (
            SMALL,
            {"kv_cache_percent": 50},
            "scaling.kv_cache_percent",
            "is not told by this engine; leave it out, and scale on 'waiting_requests' or 'running_requests'",
        ),
        (TGI, {"kv_cache_percent": 50}, "scaling.kv_cache_percent", "is not told by this engine"),
        (TRITON, {}, "scaling", "scales on no load; give 'running_requests', or 'replicas' for a fixed number"),
        (TRITON, {"waiting_requests": 4}, "scaling.waiting_requests", "is not told by this engine"),
    ],
)
def test_what_would_scale_on_nothing_is_refused(
    base: Mapping[str, Any], scaling: Mapping[str, Any], path: str, says: str
) -> None:
    assert_refused({**SCALING, **scaling}, base, path, says)


def test_two_owners_of_the_number_are_refused() -> None:
    assert_refused(SCALING, {**LLAMA, "replicas": 2}, "replicas", "cannot go with 'scaling'")


def assert_refused(scaling: Mapping[str, Any], base: Mapping[str, Any], path: str, says: str) -> None:
    faults = refused(base=base, scaling=scaling)
    assert list(faults) == [path]
    assert says in faults[path]
