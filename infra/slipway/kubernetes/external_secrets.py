"""Secrets that stay in a vault: the External Secrets Operator copies them into the cluster, and Pulumi never sees them."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, known
from slipway.backend import Backend, SecretKeyRef
from slipway.kubernetes.names import check_object_name
from slipway_router.schema import ENV_NAME

API_VERSION = "external-secrets.io/v1"
REFRESH_SECONDS = 3600


class SecretStoreKind(StrEnum):
    """Where a store is declared."""

    SECRET_STORE = "SecretStore"  # noqa: S105 -- a kind
    """In the service's namespace."""
    CLUSTER_SECRET_STORE = "ClusterSecretStore"  # noqa: S105 -- a kind
    """For the whole cluster."""


class RemoteSecret(TypedDict):
    """Where a value is in the store."""

    key: str
    """Its name or path there, such as `prod/openai`."""
    property: NotRequired[str]
    """A field of it, where it has several. Default: all of it."""
    version: NotRequired[str]
    """Which version of it. Default: the newest."""


class ExternalSecrets(TypedDict):
    """Environment variables from a store of the External Secrets Operator, which must be in the cluster (0.16 or later)."""

    store: pulumi.Input[str]
    """Name of the store."""
    values: Mapping[str, RemoteSecret]
    """Environment variables by name, such as a backend's `api_key_env`, each with where its value is. What is named here needs no
    `api_key` and no `env_from_secrets`, and excludes them."""
    store_kind: NotRequired[SecretStoreKind]
    """'SecretStore' in the same namespace, or 'ClusterSecretStore'. Default 'SecretStore'."""
    refresh_seconds: NotRequired[int]
    """How often the operator looks for a new value, in seconds. Default 3600; 60 to 604800. A replica reads it at its start."""


def check_external_secrets(
    path: str, given: Mapping[str, Any], others: Mapping[str, object], backends: Sequence[Backend], faults: Faults
) -> None:
    """Refuse variables that are none, or that something else fills too.

    Args:
        path: Where it stands in the arguments.
        given: What was given.
        others: The argument `env_from_secrets`.
        backends: Their `api_key` fills their `api_key_env`.
        faults: Where to tell what is wrong.
    """
    if not faults.at(f"{path}.store"):
        known(given.get("store"), lambda name: check_object_name(f"{path}.store", name, faults))
    seconds = given.get("refresh_seconds")
    if isinstance(seconds, int) and not faults.at(f"{path}.refresh_seconds") and not 60 <= seconds <= 604800:
        faults.add(f"{path}.refresh_seconds", f"is {seconds}; give 60 to 604800 seconds, which is a week")
    if faults.at(f"{path}.values") or "values" not in given:
        return
    values = cast("Mapping[str, RemoteSecret]", given["values"])
    if not values:
        faults.add(f"{path}.values", "is empty; give variables such as {'OPENAI_API_KEY': {'key': 'prod/openai'}}")
    filled = {variable: f"env_from_secrets.{variable}" for variable in others}
    filled |= _filled(backends)
    for variable, remote in values.items():
        here = f"{path}.values.{variable}"
        if not ENV_NAME.fullmatch(variable):
            faults.add(here, "is no name of an environment variable; give letters, digits and '_', first no digit")
        elif variable in filled:
            faults.add(here, f"is filled by {filled[variable]} already; leave one of the two out")
        for key in ("key", "property", "version"):
            if remote.get(key) == "":
                faults.add(f"{here}.{key}", "is empty; give the name that the store knows")


def references(given: object, secret: str, backends: Sequence[Backend]) -> dict[str, SecretKeyRef]:
    """The variables that were asked for, each with its key of the Secret that the operator makes; of what was refused, only those
    whose absence would be told as a fault of its own.

    Args:
        given: The argument, of whatever shape.
        secret: Name of the Secret.
        backends: What their `api_key` fills is left out.
    """
    values: object = cast("Mapping[str, object]", given).get("values") if isinstance(given, Mapping) else None
    if not isinstance(values, Mapping):
        return {}
    filled = _filled(backends)
    variables = [str(v) for v in cast("Mapping[object, object]", values)]
    return {v: {"name": secret, "key": v} for v in variables if ENV_NAME.fullmatch(v) and v not in filled}


def _filled(backends: Sequence[Backend]) -> dict[str, str]:
    """Variables that backends' own Secrets fill, each with the path of that."""
    named = [(i, cast("object", b.get("api_key_env"))) for i, b in enumerate(backends) if "api_key" in b]
    return {variable: f"backends[{i}].api_key" for i, variable in named if isinstance(variable, str)}


def external_secret_spec(given: ExternalSecrets, secret: str) -> dict[str, Any]:
    """Spec of an ExternalSecret that makes one Secret, with a key for each variable."""
    return {
        "refreshInterval": f"{given.get('refresh_seconds', REFRESH_SECONDS)}s",
        "secretStoreRef": {
            "name": given["store"],
            "kind": given.get("store_kind", SecretStoreKind.SECRET_STORE).value,
        },
        "target": {"name": secret, "creationPolicy": "Owner"},
        "data": [{"secretKey": v, "remoteRef": dict(remote)} for v, remote in sorted(given["values"].items())],
    }
