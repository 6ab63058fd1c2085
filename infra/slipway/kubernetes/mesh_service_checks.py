"""What the services of a mesh cannot be, each with the choice there is."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import pulumi

from slipway.args import Faults, known
from slipway.kubernetes.hosts import check_paths
from slipway.kubernetes.mesh_pods import MeshKind
from slipway.kubernetes.mesh_service import OPEN_PATHS, STREAM_SECONDS, MeshService, timeout_of
from slipway.kubernetes.names import check_labels, check_namespace, check_object_name, check_service_name

_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_WHO_CAN: Mapping[str, str] = {
    "jwt": "Linkerd's proxies check no tokens; take Istio or Consul, or have the router ask for keys (`settings.keys`)",
    "circuit_breaker": "Linkerd's proxies have no bound on connections or requests; take Istio or Consul, or 'outlier_detection'",
}
_BOUNDS: Mapping[str, Mapping[str, tuple[float, float]]] = {
    "outlier_detection": {
        "consecutive_errors": (1, 100),
        "ejection_seconds": (1, 3600),
        "interval_seconds": (1, 300),
        "max_ejection_percent": (1, 100),
    },
    "circuit_breaker": {
        "max_connections": (1, 1_000_000),
        "max_requests": (1, 1_000_000),
        "max_pending_requests": (1, 1_000_000),
    },
}


def check_services(services: Sequence[MeshService], kind: MeshKind | None, faults: Faults) -> None:
    """Refuse services that do not go together, or that ask for what the mesh cannot do.

    Args:
        services: Of the right shape.
        kind: The mesh. None: it was refused already.
        faults: Where to tell what is wrong.
    """
    if not services:
        faults.add("services", "is empty; give at least one, such as a component's mesh_service()")
    first: dict[str, int] = {}
    for i, service in enumerate(services):
        path, name = f"services[{i}]", service["service"]
        if first.setdefault(name, i) != i:
            faults.add(f"{path}.service", f"is {name!r} again, first in services[{first[name]}]; names must differ")
        _check_fields(path, service, faults)
        _check_times(path, service, faults)
        _check_retries(path, service, services, faults)
        _check_split(path, service, services, faults)
        _check_callers(path, service, services, kind, faults)
        _check_numbers(path, service, faults)
        if "jwt" in service:
            _check_jwt(f"{path}.jwt", service, faults)
        if kind is not None:
            _check_kind(path, service, services, kind, faults)


def _check_fields(path: str, service: MeshService, faults: Faults) -> None:
    check_service_name(f"{path}.service", service["service"], faults)
    check_object_name(f"{path}.account", service["account"], faults)
    check_labels(f"{path}.pod_labels", service["pod_labels"], faults)
    if not service["pod_labels"]:
        faults.add(f"{path}.pod_labels", "is empty, which would mean every pod of the namespace; give the labels of its pods")
    for key in ("port", "pod_port"):
        port = service.get(key)
        if isinstance(port, int) and not 1 <= port <= 65535:
            faults.add(f"{path}.{key}", f"is {port}; give 1 to 65535")
    if "component" in service and not isinstance(service["component"], pulumi.Resource):
        faults.add(f"{path}.component", f"is {service['component']!r}; give the Pulumi resource itself, or leave it out")
    check_paths(f"{path}.open_paths", service.get("open_paths", OPEN_PATHS), faults)
    rounds = service.get("router_retries", 0)
    if rounds < 0:
        faults.add(f"{path}.router_retries", f"is {rounds}; give 0 or more")


def _check_times(path: str, service: MeshService, faults: Faults) -> None:
    stream = service.get("stream_seconds", STREAM_SECONDS)
    for key in ("stream_seconds", "timeout_seconds"):
        value = service.get(key)
        if isinstance(value, int | float) and not (value > 0 and math.isfinite(value)):
            faults.add(f"{path}.{key}", f"is {value:g}; give seconds above 0")
            return
    if timeout_of(service) < stream:
        faults.add(
            f"{path}.timeout_seconds",
            f"is {timeout_of(service):g}, and an answer may take {stream:g} seconds: the mesh would cut the stream; give at"
            f" least {stream:g}, or shorten the component's own longest answer",
        )


def _check_retries(path: str, service: MeshService, services: Sequence[MeshService], faults: Faults) -> None:
    retries = service.get("retries")
    if retries is None:
        return
    attempts, per_try, timeout = retries["attempts"], retries.get("per_try_seconds"), timeout_of(service)
    if not 1 <= attempts <= 10:
        faults.add(f"{path}.retries.attempts", f"is {attempts}; give 1 to 10, or leave 'retries' out for none")
        return
    if per_try is not None and not 0 < per_try <= timeout:
        faults.add(f"{path}.retries.per_try_seconds", f"is {per_try:g}; give more than 0, at most the {timeout:g} of all tries")
    routers = [s for s in services if service["service"] in s.get("calls", ())]
    # What a router in the mesh says of itself wins over what is assumed of one that is not.
    rounds, whose = max(((s.get("router_retries", 0), f"'{s['service']}'") for s in routers), default=(None, ""))
    if rounds is None:
        rounds, whose = service.get("router_retries", 0), "in front of it" if not service.get("calls") else "itself"
    if rounds > 0:
        times = f"(1 + {attempts}) x (1 + {rounds}) = {(1 + attempts) * (1 + rounds)} times"
        faults.add(
            f"{path}.retries.attempts",
            f"is {attempts}, and the router {whose} tries again itself, {rounds} more {'time' if rounds == 1 else 'times'}: one"
            f" request could be sent to '{service['service']}' {times}; leave 'retries' out, or"
            " give that router 'settings': {'retries': {'rounds': 0}}",
        )


def _check_split(path: str, service: MeshService, services: Sequence[MeshService], faults: Faults) -> None:
    split = service.get("split", {})
    known_names = {other["service"] for other in services}
    for to, weight in split.items():
        here = f"{path}.split.{to}"
        if to == service["service"]:
            faults.add(here, "is the service itself, which keeps what the others leave; leave it out")
        elif to not in known_names:
            faults.add(here, "is not among 'services'; add it there, so that it is in the mesh and waited for")
        if not 0 <= weight <= 100:
            faults.add(here, f"is {weight}; give 0 to 100 percent")
    if sum(split.values()) > 100:
        told = " + ".join(str(weight) for weight in split.values())
        faults.add(f"{path}.split", f"is {told} = {sum(split.values())} percent; give at most 100 together")


def _check_callers(
    path: str, service: MeshService, services: Sequence[MeshService], kind: MeshKind | None, faults: Faults
) -> None:
    if "callers" in service and not service["callers"]:
        faults.add(f"{path}.callers", "is empty: nobody could call it; name callers, or leave it out")
    for i, caller in enumerate(service.get("callers", [])):
        here = f"{path}.callers[{i}]"
        if not caller:
            faults.add(here, "names nobody; give 'account', 'namespace' or both")
        if "account" in caller:
            check_object_name(f"{here}.account", caller["account"], faults)
        known(caller.get("namespace"), lambda plain, here=here: check_namespace(f"{here}.namespace", plain, faults))
        if kind is MeshKind.CONSUL and "namespace" in caller:
            faults.add(f"{here}.namespace", "is not for mesh 'consul', which knows callers by the name of their service alone")
        elif kind is MeshKind.CONSUL and caller and "account" not in caller:
            faults.add(f"{here}.account", "is required with mesh 'consul': the name of the caller's service")
    if kind is MeshKind.CONSUL and service["account"] != service["service"]:
        faults.add(
            f"{path}.account",
            f"is '{service['account']}', and Consul's access rules need it to be called as the service, '{service['service']}';"
            " with `mesh` of kind 'consul' our components call it so",
        )
    names = {other["service"] for other in services}
    for i, called in enumerate(service.get("calls", ())):
        # What it calls beyond the mesh, such as a model in another namespace, is no concern of ours.
        if called == service["service"] and called in names:
            faults.add(f"{path}.calls[{i}]", "is the service itself; leave it out")


def _check_numbers(path: str, service: MeshService, faults: Faults) -> None:
    for group, bounds in _BOUNDS.items():
        given = cast("Mapping[str, Any]", service.get(group, {}))
        if group == "circuit_breaker" and group in service and not given:
            faults.add(f"{path}.{group}", f"bounds nothing; give one of {', '.join(repr(key) for key in bounds)}")
        for key, (least, most) in bounds.items():
            if key in given and not least <= given[key] <= most:
                faults.add(f"{path}.{group}.{key}", f"is {given[key]}; give {least} to {most}")


def _check_jwt(path: str, service: MeshService, faults: Faults) -> None:
    jwt = cast("Mapping[str, Any]", service.get("jwt", {}))
    if not jwt["issuer"] or "*" in jwt["issuer"]:
        faults.add(f"{path}.issuer", f"is {jwt['issuer']!r}; give the token's `iss`, such as 'https://accounts.example.com'")
    url = urlsplit(str(jwt["jwks_uri"]))
    if url.scheme != "https" or not url.hostname:
        faults.add(f"{path}.jwks_uri", f"is {jwt['jwks_uri']!r}; give an address that begins with https://")
    if not jwt["audiences"] or not all(jwt["audiences"]):
        faults.add(f"{path}.audiences", "must name at least one: a token for another service is none for this one")
    header = jwt.get("header", "Authorization")
    if not _HEADER.fullmatch(header):
        faults.add(f"{path}.header", f"is {header!r}; give a header's name, such as 'X-Id-Token'")
    elif header.lower() == "authorization" and service.get("checks_keys"):
        faults.add(
            f"{path}.header",
            "is 'Authorization', and there the router reads a key of its own (`settings.keys`): no request could pass both; give"
            " another header, such as 'X-Id-Token', or leave one of the two checks out",
        )


def _check_kind(path: str, service: MeshService, services: Sequence[MeshService], kind: MeshKind, faults: Faults) -> None:
    has = service.get("mesh", kind)
    if has is not kind:
        faults.add(f"{path}.mesh", f"is '{has.value}', and mesh is '{kind.value}'; give the component `mesh` of the same kind")
    if kind is MeshKind.LINKERD:
        for key, why in _WHO_CAN.items():
            if key in service:
                faults.add(f"{path}.{key}", f"is not for mesh 'linkerd': {why}")
        outliers = cast("Mapping[str, Any]", service.get("outlier_detection", {}))
        for key in ("interval_seconds", "max_ejection_percent"):
            if key in outliers:
                faults.add(
                    f"{path}.outlier_detection.{key}",
                    "is not for mesh 'linkerd', which counts each answer at each caller; leave it out, or take Istio or Consul",
                )
    if kind is MeshKind.CONSUL:
        if "per_try_seconds" in service.get("retries", {}):
            faults.add(f"{path}.retries.per_try_seconds", "is not for mesh 'consul'; leave it out, or take Istio or Linkerd")
        callers = [s["service"] for s in services if service["service"] in s.get("calls", ())]
        for key in ("outlier_detection", "circuit_breaker"):
            if key in service and not callers:
                faults.add(
                    f"{path}.{key}",
                    "is a setting of the callers in Consul, and none of 'services' calls this one; add the caller, with this"
                    " service in its 'calls', or take Istio, which has it on the service",
                )
