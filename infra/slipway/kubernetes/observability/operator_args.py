"""What can be said about a Prometheus that the Prometheus Operator runs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, known
from slipway.kubernetes.names import check_labels, check_namespace

READER_LABELS: Mapping[str, str] = {"app.kubernetes.io/name": "prometheus"}
"""The operator's own labels of the pods of every Prometheus."""
EXAMPLE = "http://kube-prometheus-stack-prometheus.monitoring.svc:9090"


class PrometheusOperatorArgs(TypedDict):
    """A Prometheus that exists and is configured by the Prometheus Operator, as of the chart kube-prometheus-stack."""

    url: pulumi.Input[str]
    """Its address inside the cluster, such as `http://kube-prometheus-stack-prometheus.monitoring.svc:9090`; it becomes
    `prometheus_url`. Nothing here asks it."""
    labels: NotRequired[Mapping[str, str]]
    """Labels by which it chooses its PodMonitors and PrometheusRules, such as `{"release": "kube-prometheus-stack"}`. Default
    none, which is right where it chooses all."""
    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that its pods run in, which what is watched must let in. Default: the stack's."""


@dataclass(frozen=True)
class OperatorSettings:
    """The same, with every default filled in."""

    url: pulumi.Input[str]
    labels: Mapping[str, str]
    namespace: pulumi.Input[str]

    @classmethod
    def of(cls, given: object, home: object, faults: Faults) -> "OperatorSettings | None":
        """Tells of its faults below the path `prometheus.operator`.

        Args:
            given: The argument; what is no mapping was refused already.
            home: Namespace of the stack.
            faults: Where to tell what is wrong.

        Returns:
            None where there is no such argument.
        """
        if not isinstance(given, Mapping):
            return None
        path = "prometheus.operator"
        fit = fit_of(path, cast("Mapping[str, Any]", given), "labels", faults, EXAMPLE)
        return cls(url=fit.get("url", ""), labels=fit.get("labels", {}), namespace=fit.get("namespace", home))


def fit_of(path: str, given: Mapping[str, Any], labels: str, faults: Faults, example: str) -> dict[str, Any]:
    """Of what is said about a server that exists the fields that have no fault of their type. Tells of its address, its namespace
    and its labels, which are in the field `labels`."""
    fit = {key: value for key, value in given.items() if not faults.at(f"{path}.{key}")}
    known(fit.get("url"), lambda plain: check_url(f"{path}.url", plain, faults, example))
    known(fit.get("namespace"), lambda plain: check_namespace(f"{path}.namespace", plain, faults))
    check_labels(f"{path}.{labels}", fit.get(labels), faults)
    return fit


def check_url(path: str, url: str, faults: Faults, example: str) -> None:
    """Refuse what is no base address."""
    if not re.fullmatch(r"https?://[^\s/?#]+(/[^\s?#]*)?", url):
        faults.add(path, f"is {url!r}; give an address such as '{example}'")
