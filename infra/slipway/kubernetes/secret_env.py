"""Environment variables that come from Secrets: which ones a router needs, and whether each is filled once."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.backend import Backend, SecretKeyRef
from slipway_router.schema import ENV_NAME

_SECRET_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")
_SECRET_KEY = re.compile(r"[-._A-Za-z0-9]{1,253}")


def collect(
    backends: Sequence[Backend], more: Mapping[str, SecretKeyRef], settings: Mapping[str, Any], faults: Faults
) -> dict[str, SecretKeyRef]:
    """Every variable that a router in a cluster gets from a Secret, by name in alphabetical order.

    Args:
        backends: Their `api_key` fills their `api_key_env`.
        more: The argument `env_from_secrets`.
        settings: The argument `settings`; its `keys[].env` must be filled too.
        faults: Where to tell of a variable that nothing fills, or that two Secrets would.
    """
    found: dict[str, SecretKeyRef] = {}
    for variable, reference in more.items():
        here = f"env_from_secrets.{variable}"
        if not ENV_NAME.fullmatch(variable):
            faults.add(here, "is no name of an environment variable; give letters, digits and '_', first no digit")
        check_reference(here, reference, faults)
        found[variable] = reference
    for i, backend in enumerate(backends):
        variable, reference = backend.get("api_key_env"), backend.get("api_key")
        if variable is None or faults.at(f"backends[{i}].api_key_env"):
            continue
        if reference is not None:
            check_reference(f"backends[{i}].api_key", reference, faults)
            if found.setdefault(variable, reference) != reference:
                faults.add(
                    f"backends[{i}].api_key",
                    f"fills {variable} from another Secret than before; give this backend another 'api_key_env'",
                )
    # Only now is it known what other backends fill.
    for i, backend in enumerate(backends):
        variable = backend.get("api_key_env")
        if isinstance(variable, str) and variable not in found and not faults.at(f"backends[{i}].api_key"):
            faults.add(
                f"backends[{i}].api_key",
                f"is required, since the backend's key is expected in {variable}; give the Secret's name and key,"
                f" or fill env_from_secrets.{variable}",
            )
    for i, variable in _client_keys(settings):
        if variable not in found:
            faults.add(f"settings.keys[{i}].env", f"is {variable}, which nothing fills; give env_from_secrets.{variable}")
    return dict(sorted(found.items()))


def own(given: Mapping[str, Any], taken: Collection[str], faults: Faults) -> dict[str, SecretKeyRef]:
    """The variables that come from Secrets, by the arguments `env` and `env_from_secrets` of what runs a user's program.

    Args:
        given: All arguments. What is wrong with their shape was told.
        taken: Variables that the component sets itself.
        faults: Where to tell what is wrong with any variable.
    """
    plain, referred = _mapping(given.get("env")), _mapping(given.get("env_from_secrets"))
    for key, found in (("env", plain), ("env_from_secrets", referred)):
        for variable in found:
            if variable in taken:
                faults.add(f"{key}.{variable}", "is set by the component; leave it out")
    for variable in plain:
        if not ENV_NAME.fullmatch(variable):
            faults.add(f"env.{variable}", "is no name of an environment variable; give letters, digits and '_', first no digit")
        if variable in referred:
            faults.add(f"env.{variable}", "is in 'env_from_secrets' too; give it once")
    whole = {variable: reference for variable, reference in referred.items() if not faults.at(f"env_from_secrets.{variable}")}
    return collect((), whole, {}, faults)


def _mapping(value: object) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, Mapping) else {}


def variables(secrets: Mapping[str, SecretKeyRef]) -> list[k8s.core.v1.EnvVarArgsDict]:
    """For a container: references, so that the values are in no manifest and no state."""
    return [
        {"name": name, "value_from": {"secret_key_ref": {"name": ref["name"], "key": ref["key"]}}}
        for name, ref in secrets.items()
    ]


def _client_keys(settings: Mapping[str, Any]) -> list[tuple[int, str]]:
    keys: object = settings.get("keys")
    listed = cast("Sequence[object]", keys) if isinstance(keys, list | tuple) else ()
    named = [(i, cast("Mapping[str, object]", k).get("env")) for i, k in enumerate(listed) if isinstance(k, Mapping)]
    return [(i, env) for i, env in named if isinstance(env, str)]


def check_reference(path: str, reference: SecretKeyRef, faults: Faults) -> None:
    """Refuse names and keys that no Secret has."""
    if faults.at(path):
        return

    def check(name: str) -> None:
        if not _SECRET_NAME.fullmatch(name):
            faults.add(f"{path}.name", f"is {name!r}; give a Secret's name: lower case letters, digits, '-' and '.'")

    known(reference["name"], check)
    if not _SECRET_KEY.fullmatch(reference["key"]):
        faults.add(f"{path}.key", f"is {reference['key']!r}; give a key of the Secret: letters, digits, '-', '_' and '.'")
