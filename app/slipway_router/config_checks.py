"""What no setting alone can tell to be wrong: names that are there twice, or that nothing has; settings that exclude others."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from slipway_router.admin.settings import admin_faults
from slipway_router.cost import cost_faults
from slipway_router.loops import NOWHERE, At, loop_faults
from slipway_router.peers import peer_faults
from slipway_router.protocol import protocol_faults
from slipway_router.replica_settings import fleet_faults
from slipway_router.route_checks import route_faults
from slipway_router.schema import AUTO
from slipway_router.shadow.checks import shadow_faults
from slipway_router.steadiness import health_check_faults, retry_faults, scaling_faults
from slipway_router.tenancy.settings import key_faults, model_faults


def cross_faults(data: Mapping[str, Any], at: At = NOWHERE) -> list[tuple[str, str]]:
    """What one field alone cannot tell. Works on the data as given, so that it speaks even where a field is wrong.

    Args:
        data: The configuration.
        at: Where the router listens, as far as that is not for `listen` to say.
    """
    faults: list[tuple[str, str]] = []

    def entries(key: str) -> list[Mapping[str, Any]]:
        found = data.get(key)
        listed = cast("Sequence[object]", found) if isinstance(found, list | tuple) else ()
        return [cast("Mapping[str, Any]", e) if isinstance(e, Mapping) else {} for e in listed]

    for group in ("backends", "keys"):
        first: dict[object, int] = {}
        for i, entry in enumerate(entries(group)):
            name = entry.get("name")
            if isinstance(name, str) and first.setdefault(name, i) != i:
                faults.append(
                    (f"{group}[{i}].name", f"'{name}' is there twice, first as {group}[{first[name]}]; names must differ")
                )
    for i, backend in enumerate(entries("backends")):
        faults += protocol_faults(f"backends[{i}]", backend)
        faults += health_check_faults(f"backends[{i}]", backend)
        faults += cost_faults(f"backends[{i}]", backend)
        faults += scaling_faults(f"backends[{i}]", backend)
        faults += fleet_faults(f"backends[{i}]", backend)
    faults += retry_faults(data.get("retries"), entries("backends"))
    models = models_of(entries("backends"), entries("routes"))
    for i, key in enumerate(entries("keys")):
        faults += key_faults(f"keys[{i}]", key, models)
    if isinstance(data.get("jwt"), Mapping):
        faults += model_faults("jwt", cast("Mapping[str, object]", data["jwt"]), models)
    names = [str(b["name"]) for b in entries("backends") if "name" in b]
    policy = data.get("policy")
    if isinstance(policy, Mapping):
        policy = cast("Mapping[str, Any]", policy)
        preferences = policy.get("preferences")
        listed = cast("Sequence[object]", preferences) if isinstance(preferences, list | tuple) else ()
        named = [(k, policy[k]) for k in ("best", "self_hosted", "cheap", "last_resort") if policy.get(k) is not None]
        for where, name in [*named, *((f"preferences[{i}]", n) for i, n in enumerate(listed))]:
            if name not in names:
                choice = ", ".join(f"'{n}'" for n in names) or "no backend"
                faults.append((f"policy.{where}", f"names {name!r}, which is no backend; there are {choice}"))
    copied = [s.get("backend") for s in entries("shadows")]
    faults += peer_faults(data.get("outliers"), [b for b in entries("backends") if b.get("name") not in copied])
    return faults + admin_faults(data) + loop_faults(data, at) + route_faults(data) + shadow_faults(data)


def models_of(backends: Sequence[Mapping[str, Any]], routes: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    """Every name that clients may ask for."""
    found: set[object] = {AUTO}
    for backend in backends:
        served = backend.get("serves")
        found.update(_listed([backend.get("name"), backend.get("model")]), _listed(served))
    for route in routes:
        match = route.get("match")
        if isinstance(match, Mapping):
            found.update(_listed(cast("Mapping[str, object]", match).get("models")))
    return frozenset(name for name in found if isinstance(name, str))


def _listed(value: object) -> list[object]:
    return [v for v in cast("Sequence[object]", value) if isinstance(v, str)] if isinstance(value, list | tuple) else []
