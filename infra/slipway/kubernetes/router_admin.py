"""The router's admin API in a cluster: its key, who may reach it, and nobody else."""

from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi_kubernetes as k8s

from slipway.args import Faults
from slipway.backend import SecretKeyRef
from slipway.kubernetes.network import Peer, check_peer
from slipway.kubernetes.secret_env import check_reference
from slipway_router.admin.settings import ADMIN_PORT

KEY_ENV = "SLIPWAY_ADMIN_KEY"


class RouterAdmin(TypedDict):
    """The admin API of each replica, which drains backends and tells the state. What is said to one holds for that one."""

    key: SecretKeyRef
    """Secret that holds the key: random, 32 characters or more."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect, at the headless Service `NAME-admin` or a pod's own address, port 8001. Default: nobody; `kubectl
    port-forward` reaches it all the same."""


def check_admin(path: str, admin: RouterAdmin, faults: Faults) -> None:
    """Refuse a key that is in no Secret, and peers that are nobody."""
    check_reference(f"{path}.key", admin["key"], faults)
    for i, peer in enumerate(admin.get("allow_from", [])):
        check_peer(f"{path}.allow_from[{i}]", peer, faults)


def admin_settings(admin: RouterAdmin) -> dict[str, Any]:
    """What the router is told. Where nobody may connect it listens on loopback alone."""
    host = "0.0.0.0" if admin.get("allow_from") else "127.0.0.1"  # noqa: S104 -- in a pod, where the policy says who may connect
    return {"key_env": KEY_ENV, "host": host, "port": ADMIN_PORT}


def admin_service(pods: Mapping[str, str]) -> k8s.core.v1.ServiceSpecArgsDict:
    """A Service whose name leads to every replica, ready or not: what is said to one holds for that one."""
    return {
        "cluster_ip": "None",
        "selector": pods,
        "publish_not_ready_addresses": True,
        "ports": [{"name": "admin", "port": ADMIN_PORT, "target_port": "admin", "protocol": "TCP"}],
    }
