"""A Redis that hands out work: where it is, for the workers that take from it and for the scaler that counts what waits."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes import secret_env
from slipway.kubernetes.network import anywhere, check_egress

PORT = 6379
URL_ENV = "REDIS_URL"
PASSWORD_ENV = "REDIS_PASSWORD"  # noqa: S105 -- the name of a variable
_HOST = re.compile(r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]*[A-Za-z0-9])?)*\.?")
_USERNAME = re.compile(r"[A-Za-z0-9._~-]+")
_MOST_DATABASES = 65_536


class RedisBroker(TypedDict):
    """A Redis with lists of tasks. `broker()` of a RedisCache gives one."""

    host: pulumi.Input[str]
    """Its name, such as `redis.ai.svc`."""
    port: NotRequired[int]
    """TCP port. Default 6379."""
    database: NotRequired[int]
    """Number of the database. Default 0."""
    tls: NotRequired[bool]
    """Whether it is asked by TLS, its certificate verified. Default false."""
    username: NotRequired[str]
    """User of its access control list: letters, digits, '-', '.', '_' and '~'. Default: the user `default`."""
    password: NotRequired[SecretKeyRef]
    """Secret with the password, in the workers' namespace. It must consist of letters, digits, '-', '.', '_' and '~', since it is
    put into an address. Default: no password."""
    egress: NotRequired[Egress]
    """How a network policy lets workers out to it. Default: its port at every address."""
    closed: NotRequired[bool]
    """Whether the pods of `egress` have a network policy that keeps out whom it does not name, as those of a RedisCache have.
    Then KEDA is let through by a policy beside that one; alone it would shut out everybody else. Default false: KEDA gets there
    without."""


def check_broker(path: str, broker: Mapping[str, Any], faults: Faults) -> None:
    """Refuse what no client could connect to."""

    def check_host(host: str) -> None:
        if not _HOST.fullmatch(host):
            faults.add(f"{path}.host", f"is {host!r}; give a host's name or IPv4 address, without scheme and port")

    if not faults.at(f"{path}.host"):
        known(broker.get("host"), check_host)
    for key, least, most in (("port", 1, 65_535), ("database", 0, _MOST_DATABASES - 1)):
        value = broker.get(key)
        if isinstance(value, int) and not faults.at(f"{path}.{key}") and not least <= value <= most:
            faults.add(f"{path}.{key}", f"is {value}; give {least} to {most}")
    username = broker.get("username")
    if isinstance(username, str) and not _USERNAME.fullmatch(username):
        faults.add(f"{path}.username", f"is {username!r}; give letters, digits, '-', '.', '_' and '~', since it is in an address")
    if "username" in broker and "password" not in broker:
        faults.add(f"{path}.username", "goes with 'password'; give both, or neither")
    if isinstance(broker.get("password"), Mapping) and not faults.at(f"{path}.password"):
        secret_env.check_reference(f"{path}.password", broker["password"], faults)
    if isinstance(broker.get("egress"), Mapping) and not faults.at(f"{path}.egress"):
        check_egress(f"{path}.egress", broker["egress"], faults)
    way: object = broker.get("egress", {})
    if broker.get("closed") is True and isinstance(way, Mapping) and "pod_labels" not in way:
        faults.add(f"{path}.closed", "goes with an 'egress' to 'pod_labels', the pods that KEDA is let through to; give both")


def variables(broker: RedisBroker) -> list[k8s.core.v1.EnvVarArgsDict]:
    """`REDIS_URL`, with the password put in by Kubernetes, so that it is in no manifest and no state."""
    told: list[k8s.core.v1.EnvVarArgsDict] = []
    user = broker.get("username", "")
    if "password" in broker:
        reference = broker["password"]
        secret: k8s.core.v1.EnvVarSourceArgsDict = {"secret_key_ref": {"name": reference["name"], "key": reference["key"]}}
        told.append({"name": PASSWORD_ENV, "value_from": secret})
        user += f":$({PASSWORD_ENV})@"
    # Celery takes no `rediss` without the last word.
    scheme, verified = ("rediss", "?ssl_cert_reqs=required") if broker.get("tls") else ("redis", "")
    end = f":{broker.get('port', PORT)}/{broker.get('database', 0)}{verified}"
    return [*told, {"name": URL_ENV, "value": pulumi.Output.concat(f"{scheme}://{user}", broker["host"], end)}]


def ways_out(broker: RedisBroker) -> Sequence[Egress]:
    """Where the workers must be able to connect."""
    return [broker["egress"]] if "egress" in broker else anywhere(broker.get("port", PORT))


def trigger(broker: RedisBroker, queue: str, waiting: int, authentication: str | None) -> Mapping[str, Any]:
    """KEDA's trigger on the length of a list (KEDA, "Redis Lists").

    Args:
        broker: Where the list is.
        queue: Its name.
        waiting: How many entries of it one replica is for.
        authentication: Name of the TriggerAuthentication with the password; `None`: there is none.
    """
    metadata: dict[str, pulumi.Input[str]] = {
        "address": pulumi.Output.concat(broker["host"], f":{broker.get('port', PORT)}"),
        "listName": queue,
        "listLength": str(waiting),
        "databaseIndex": str(broker.get("database", 0)),
        "enableTLS": "true" if broker.get("tls") else "false",
    }
    if "username" in broker:
        metadata["username"] = broker["username"]
    made: dict[str, Any] = {"type": "redis", "metricType": "AverageValue", "metadata": metadata}
    return {**made, "authenticationRef": {"name": authentication}} if authentication else made


def authentication(password: SecretKeyRef) -> Mapping[str, Any]:
    """Spec of the TriggerAuthentication that tells KEDA the password (KEDA, "Authentication")."""
    return {"secretTargetRef": [{"parameter": "password", "name": password["name"], "key": password["key"]}]}
