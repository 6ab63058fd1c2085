"""The objects that every store of data has in a cluster: one server with its volume, closed to all who may not connect."""

import base64
import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.backend import Egress
from slipway.kubernetes import restricted
from slipway.kubernetes.data_store_args import StoreSettings
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.names import version_label
from slipway.kubernetes.network import Peer, opened

PASSWORD_REVISION = "slipway/password-revision"  # noqa: S105 -- the name of an annotation
"""Annotation of a pod whose password was given."""
IMAGE_SECONDS = 300
"""For what comes before a server starts: its image is pulled and its volume attached."""
SKIP_AWAIT = {"pulumi.com/skipAwait": "true"}


class DataStore:
    """Declares a store's objects below its component, by that component's name."""

    def __init__(
        self, parent: pulumi.ComponentResource, component: str, name: str, namespace: pulumi.Input[str], image: object = None
    ) -> None:
        """
        Args:
            parent: The component.
            component: Value of the label `app.kubernetes.io/name` of its pods.
            name: The component's name, and its Service's.
            namespace: Where all of it is.
            image: Image whose tag the labels tell; `None`: nothing runs here.
        """
        self.parent, self.component, self.name, self.namespace = parent, component, name, namespace
        self.labels = {**restricted.labels(component, name), **version_label(image)}
        self.pods = restricted.selector(component, name)
        self.host = pulumi.Output.concat(name, ".", namespace, ".svc")

    @property
    def egress(self) -> Peer:
        """The server's pods, as others' network policies need to know them."""
        return {"namespace": self.namespace, "pod_labels": self.pods}

    def secret(self, object_name: str, data: Mapping[str, pulumi.Input[str]], *, once: bool = False) -> k8s.core.v1.Secret:
        """A Secret; with `once` it stays as it was first made."""
        return k8s.core.v1.Secret(
            object_name,
            metadata=self.meta(object_name),
            # Not `string_data`, which is no part of what the cluster keeps.
            data={key: _encoded(value) for key, value in data.items()},
            opts=pulumi.ResourceOptions(parent=self.parent, ignore_changes=["data"] if once else None),
        )

    def password(
        self, given: pulumi.Input[str] | None, key: str, checked: Callable[[str], str]
    ) -> tuple[k8s.core.v1.Secret, pulumi.Output[str]]:
        """The Secret `NAME-KEY` and what stands in it under the key: what was given, or one of 256 random bits.

        Args:
            given: A password; `None`: it is made at the first `up` and kept from then on.
            key: Key of the Secret, and what its name ends with, such as 'password'.
            checked: Raises for a password that another resource made and that cannot be one; else gives it back.
        """
        object_name = f"{self.name}-{key}"
        if given is not None:
            password = pulumi.Output.secret(given).apply(checked)
            return self.secret(object_name, {key: password}), password
        # Made anew on each run and, but for the first, ignored: what was made first is in the Secret, and is read from there.
        made = pulumi.Output.secret(secrets.token_urlsafe(32))
        secret = self.secret(object_name, {key: made}, once=True)
        return secret, pulumi.Output.secret(secret.data.apply(lambda held: base64.b64decode(held[key]).decode()))

    def surroundings(self, ports: Mapping[str, int], allowed: Mapping[int, Sequence[Peer]]) -> list[pulumi.Resource]:
        """Service, ServiceAccount and NetworkPolicy: what must be there before the server.

        Args:
            ports: The server's ports by name.
            allowed: Who may connect, by port.
        """
        # The address is by the component's own name, so the Service has that and not its logical name.
        service = k8s.core.v1.Service(
            f"{self.name}-service",
            metadata=self.meta(self.name, SKIP_AWAIT),
            spec={
                "selector": self.pods,
                "ports": [{"name": n, "port": port, "target_port": n, "protocol": "TCP"} for n, port in ports.items()],
            },
            opts=pulumi.ResourceOptions(parent=self.parent),
        )
        account = self.account(f"{self.name}-account")
        closed = opened(self.pods, allowed, [])
        # A store connects to nobody, not even to DNS.
        closed.pop("egress", None)
        return [service, account, self.policy(f"{self.name}-network", closed)]

    def account(self, object_name: str, annotations: Mapping[str, pulumi.Input[str]] | None = None) -> k8s.core.v1.ServiceAccount:
        """A ServiceAccount without a token."""
        return k8s.core.v1.ServiceAccount(
            object_name,
            metadata=self.meta(object_name, annotations),
            automount_service_account_token=False,
            opts=pulumi.ResourceOptions(parent=self.parent),
        )

    def policy(self, object_name: str, spec: k8s.networking.v1.NetworkPolicySpecArgsDict) -> k8s.networking.v1.NetworkPolicy:
        """A NetworkPolicy."""
        return k8s.networking.v1.NetworkPolicy(
            object_name, metadata=self.meta(object_name), spec=spec, opts=pulumi.ResourceOptions(parent=self.parent)
        )

    def server(
        self,
        role: str,
        settings: StoreSettings,
        pod: k8s.core.v1.PodSpecArgsDict,
        *,
        before: Sequence[pulumi.Resource],
        seconds: int,
        restart_on: pulumi.Output[str] | None = None,
    ) -> k8s.apps.v1.StatefulSet:
        """The StatefulSet `NAME-ROLE`, of one pod.

        Args:
            role: What its name ends with.
            settings: What was decided.
            pod: The pod.
            before: What must be there before it.
            seconds: How long one pod may take to go and another to be ready.
            restart_on: A password whose change must restart the server.
        """
        about: k8s.meta.v1.ObjectMetaArgsDict = {"labels": self.labels}
        if restart_on is not None:
            # 24 bits tell a change, and no password.
            revision = restart_on.apply(lambda text: hashlib.sha256(text.encode()).hexdigest()[:6])
            about["annotations"] = {PASSWORD_REVISION: pulumi.Output.unsecret(revision)}
        spec: k8s.apps.v1.StatefulSetSpecArgsDict = {
            "service_name": self.name,
            "replicas": 1,
            "selector": {"match_labels": self.pods},
            "template": {"metadata": about, "spec": pod},
        }
        if settings.storage_gib:
            kept = "Retain" if settings.deletion_policy.keeps else "Delete"
            spec["persistent_volume_claim_retention_policy"] = {"when_deleted": kept, "when_scaled": "Retain"}
            spec["volume_claim_templates"] = [
                {"metadata": {"name": "data"}, "spec": volume(settings.storage_gib, settings.storage_class)}
            ]
        patience = f"{seconds + IMAGE_SECONDS}s"
        return k8s.apps.v1.StatefulSet(
            f"{self.name}-{role}",
            metadata=self.meta(f"{self.name}-{role}"),
            spec=spec,
            opts=pulumi.ResourceOptions(
                parent=self.parent,
                depends_on=[*before],
                custom_timeouts=pulumi.CustomTimeouts(create=patience, update=patience),
                protect=True if settings.deletion_policy is DeletionPolicy.PROTECT else None,
            ),
        )

    def meta(
        self, object_name: str, annotations: Mapping[str, pulumi.Input[str]] | None = None
    ) -> k8s.meta.v1.ObjectMetaArgsDict:
        """Metadata of one of its objects."""
        made: k8s.meta.v1.ObjectMetaArgsDict = {"name": object_name, "namespace": self.namespace, "labels": self.labels}
        return {**made, "annotations": annotations} if annotations else made


def store_pod(
    settings: StoreSettings, account: str, user: int, grace_seconds: int, container: k8s.core.v1.ContainerArgsDict
) -> k8s.core.v1.PodSpecArgsDict:
    """A server's pod, of one container, at the restricted level.

    Args:
        settings: What was decided.
        account: Name of its ServiceAccount.
        user: User and group that it runs as, and that its volume belongs to.
        grace_seconds: How long it may take to end.
        container: The container, but for its resources and security.
    """
    spec: k8s.core.v1.PodSpecArgsDict = {
        "service_account_name": account,
        "automount_service_account_token": False,
        "enable_service_links": False,
        "termination_grace_period_seconds": grace_seconds,
        "security_context": restricted.pod_security(user),
        "containers": [{**container, "resources": settings.resources, "security_context": restricted.container_security()}],
    }
    if settings.node_selector:
        spec["node_selector"] = settings.node_selector
    return spec


def volume(gib: int, storage_class: pulumi.Input[str] | None) -> k8s.core.v1.PersistentVolumeClaimSpecArgsDict:
    """What a claim asks for: a volume that one node writes to."""
    spec: k8s.core.v1.PersistentVolumeClaimSpecArgsDict = {
        "access_modes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": f"{gib}Gi"}},
    }
    if storage_class is not None:
        spec["storage_class_name"] = storage_class
    return spec


def server_egress(store: DataStore, port: int) -> Sequence[Egress]:
    """How a network policy lets a pod out to the server."""
    return [cast("Egress", {"port": port, **store.egress})]


def secret_inputs(args: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    """A component's own inputs, which are kept in state too, with some of them as secrets."""
    inputs: dict[str, Any] = {**args}
    for key in keys:
        if inputs.get(key) is not None:
            inputs[key] = pulumi.Output.secret(inputs[key])
    return inputs


def _encoded(value: pulumi.Input[str]) -> pulumi.Output[str]:
    return pulumi.Output.from_input(value).apply(lambda text: base64.b64encode(text.encode()).decode())
