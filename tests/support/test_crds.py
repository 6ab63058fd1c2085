"""The check of custom resources must find what is wrong: otherwise the tests that lean on it prove nothing."""

from typing import Any

import pytest
from tests.support.crds import crd_faults

ROUTE: dict[str, Any] = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "HTTPRoute",
    "metadata": {"name": "r", "namespace": "n"},
    "spec": {"parentRefs": [{"name": "g"}], "rules": [{"backendRefs": [{"name": "web", "port": 80, "weight": 1}]}]},
}


def test_a_right_one_has_no_faults() -> None:
    assert crd_faults(ROUTE) == []


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"parentRef": []}, "$.spec"),
        ({"parentRefs": [{"nam": "g"}]}, "$.spec.parentRefs[0]"),
        ({"hostnames": ["EXAMPLE"]}, "$.spec.hostnames[0]"),
        ({"rules": [{"backendRefs": [{"name": "web", "weight": 1_000_001}]}]}, "$.spec.rules[0].backendRefs[0].weight"),
        ({"rules": [{"timeouts": {"request": "100000s"}}]}, "$.spec.rules[0].timeouts.request"),
        ({"rules": [{"timeouts": {"request": 3}}]}, "$.spec.rules[0].timeouts.request"),
    ],
)
def test_what_is_unknown_missing_or_mistyped_is_told_by_its_path(spec: dict[str, Any], path: str) -> None:
    assert any(fault.startswith(f"{path}: ") for fault in crd_faults({**ROUTE, "spec": spec}))


def test_a_version_that_is_not_served_is_an_error() -> None:
    with pytest.raises(AssertionError, match="is served as gateway"):
        crd_faults({**ROUTE, "apiVersion": "gateway.networking.k8s.io/v9"})


INTENTIONS: dict[str, Any] = {
    "apiVersion": "consul.hashicorp.com/v1alpha1",
    "kind": "ServiceIntentions",
    "metadata": {"name": "api"},
    "spec": {"destination": {"name": "api"}, "sources": [{"name": "web", "action": "allow"}]},
}


def test_an_outline_is_as_strict() -> None:
    assert crd_faults(INTENTIONS) == []
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"source": []}, "$.spec"),
        ({"sources": [{"name": "web", "action": "permit"}]}, "$.spec.sources[0].action"),
        ({"sources": [{"name": 3, "action": "deny"}]}, "$.spec.sources[0].name"),
    ]
    for spec, path in wrong:
        assert any(fault.startswith(f"{path}: ") for fault in crd_faults({**INTENTIONS, "spec": spec}))
    server: dict[str, Any] = {"apiVersion": "policy.linkerd.io/v1beta3", "kind": "Server", "spec": {}}
    assert crd_faults(server) == ["$.spec: 'port' is a required property"]
