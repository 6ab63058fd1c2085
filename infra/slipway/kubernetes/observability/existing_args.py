"""What can be said about a Prometheus that somebody else runs, without the Prometheus Operator."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, known
from slipway.backend import SecretKeyRef
from slipway.kubernetes.names import check_object_name
from slipway.kubernetes.network import Peer
from slipway.kubernetes.observability.operator_args import READER_LABELS, fit_of


class ExistingPrometheusArgs(TypedDict):
    """A Prometheus that exists and reads its configuration from files."""

    url: pulumi.Input[str]
    """Its address inside the cluster, such as `http://prometheus.monitoring.svc:9090`; it becomes `prometheus_url`, and Grafana
    asks it."""
    namespace: NotRequired[pulumi.Input[str]]
    """Namespace that its pods run in, which what is watched must let in. Default: the stack's."""
    pod_labels: NotRequired[Mapping[str, str]]
    """Labels of its pods, for the same. Default `{"app.kubernetes.io/name": "prometheus"}`."""
    port: NotRequired[int]
    """Port of its pods, to which Grafana may connect. Default 9090."""
    service_account: NotRequired[str]
    """Its ServiceAccount, which then may list the pods of what is watched. Default: none is given that, since it may already."""
    username: NotRequired[str]
    """Who Grafana says it is. Requires `password`. Default: it is not asked."""
    password: NotRequired[SecretKeyRef]
    """The Secret in the stack's namespace with the password of `username`. It must exist."""


@dataclass(frozen=True)
class ExistingSettings:
    """The same, with every default filled in."""

    url: pulumi.Input[str]
    namespace: pulumi.Input[str]
    pod_labels: Mapping[str, str]
    port: int
    service_account: str | None
    username: str | None
    password: SecretKeyRef | None

    @property
    def peer(self) -> Peer:
        """It, as policies of what it reads need to know it."""
        return {"namespace": self.namespace, "pod_labels": self.pod_labels}

    @classmethod
    def of(cls, given: object, home: object, faults: Faults) -> "ExistingSettings | None":
        """Tells of its faults below the path `prometheus.existing`.

        Args:
            given: The argument; what is no mapping was refused already.
            home: Namespace of the stack.
            faults: Where to tell what is wrong.

        Returns:
            None where there is no such argument.
        """
        if not isinstance(given, Mapping):
            return None
        path = "prometheus.existing"
        fit = fit_of(path, cast("Mapping[str, Any]", given), "pod_labels", faults, "http://prometheus.monitoring.svc:9090")
        if fit.get("pod_labels") == {}:
            faults.add(f"{path}.pod_labels", "is empty, so it would mean every pod of the namespace; give the labels of its pods")
        port = fit.get("port", 9090)
        if not 1 <= port <= 65535:
            faults.add(f"{path}.port", f"is {port}; give 1 to 65535")
        known(fit.get("service_account"), lambda plain: check_object_name(f"{path}.service_account", plain, faults))
        secret = cast("SecretKeyRef | None", fit.get("password"))
        if secret is not None:
            known(secret["name"], lambda plain: check_object_name(f"{path}.password.name", plain, faults))
        for one, other in (("username", "password"), ("password", "username")):
            if one in given and other not in given:
                faults.add(f"{path}.{one}", f"goes with '{other}'; give both, or neither where it is not asked")
        return cls(
            url=fit.get("url", ""),
            namespace=fit.get("namespace", home),
            pod_labels=fit.get("pod_labels", READER_LABELS),
            port=port,
            service_account=fit.get("service_account"),
            username=fit.get("username"),
            password=secret,
        )
