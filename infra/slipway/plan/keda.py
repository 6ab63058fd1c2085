"""Whether KEDA reaches what it reads, past the network policies of a plan: where it does not, nothing is ever scaled."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from slipway.plan.objects import cluster_of, kind_of, metadata_of, whose
from slipway.plan.plan import Plan, Resource

Fields = Mapping[str, Any]
OPERATOR: Mapping[str, str] = {"app.kubernetes.io/name": "keda-operator", "app": "keda-operator"}
"""Labels that KEDA's chart gives to the pods that ask queues and Prometheus."""
_ADDRESSES = {"redis": "address", "prometheus": "serverAddress"}
"""Triggers that connect to something, and the key of where it is."""


def shut_out(plan: Plan) -> list[str]:
    """Warnings, one for each thing that KEDA's operator, labelled as its chart labels it, is to read and may not connect to.

    What is not in the plan, has no network policy, or is known only after `up`, is not told of.
    """
    told: set[str] = set()
    for scaler in plan:
        if kind_of(scaler) != "ScaledObject":
            continue
        for trigger in _listed(_spec(scaler), "triggers"):
            address = _mapping(trigger, "metadata").get(_ADDRESSES.get(str(trigger.get("type")), ""))
            service = _service(plan, address, scaler) if isinstance(address, str) else None
            if service is None or _admits(plan, service):
                continue
            owner, name = whose(service), metadata_of(service)["name"]
            argument = "prometheus.allow_from" if owner.startswith("ObservabilityStack ") else "allow_from"
            told.add(
                f"{whose(scaler)} has KEDA read {name}, whose network policy refuses KEDA: nothing is scaled. Let it in by "
                f"'{argument}' of {owner}: {{'namespace': 'keda', 'pod_labels': {{'app.kubernetes.io/name': 'keda-operator'}}}}, "
                "with the namespace that KEDA is in."
            )
    return sorted(told)


def _service(plan: Plan, address: str, scaler: Resource) -> Resource | None:
    """The Service at an address that KEDA is told of by a ScaledObject, in its cluster."""
    host = address.partition("://")[2] or address
    name, _, rest = host.partition("/")[0].partition(":")[0].partition(".")
    wanted = (cluster_of(scaler), name, rest.partition(".")[0] or metadata_of(scaler).get("namespace"))
    for resource in plan:
        about = metadata_of(resource)
        if kind_of(resource) == "Service" and (cluster_of(resource), about.get("name"), about.get("namespace")) == wanted:
            return resource
    return None


def _admits(plan: Plan, service: Resource) -> bool:
    """Whether KEDA may connect to the pods of a Service: by one policy of them, or because there is none."""
    pods, namespace = _mapping(_spec(service), "selector"), metadata_of(service).get("namespace")
    place = (cluster_of(service), namespace)
    policies = [
        _spec(resource)
        for resource in plan
        if kind_of(resource) == "NetworkPolicy" and (cluster_of(resource), metadata_of(resource).get("namespace")) == place
    ]
    about = [p for p in policies if "Ingress" in p.get("policyTypes", ()) and _labels(p, "podSelector").items() <= pods.items()]
    return not about or any(_is_keda(peer, namespace) for policy in about for peer in _peers(policy))


def _peers(policy: Fields) -> Iterator[Fields]:
    for rule in _listed(policy, "ingress"):
        # A rule without peers is for everybody.
        yield from _listed(rule, "from") if "from" in rule else [{"namespaceSelector": {}}]


def _is_keda(peer: Fields, home: object) -> bool:
    if "ipBlock" in peer or not _labels(peer, "podSelector").items() <= OPERATOR.items():
        return False
    # Without a namespace it means the pods' own.
    return "namespaceSelector" in peer or home == "keda"


def _labels(of: Fields, selector: str) -> Fields:
    return _mapping(_mapping(of, selector), "matchLabels")


def _spec(resource: Resource) -> Fields:
    return _mapping(resource.inputs, "spec")


def _mapping(of: Fields, key: str) -> Fields:
    value: object = of.get(key)
    return cast("Fields", value) if isinstance(value, Mapping) else {}


def _listed(of: Fields, key: str) -> list[Fields]:
    value: object = of.get(key)
    entries = cast("list[object]", value) if isinstance(value, list) else []
    return [cast("Fields", entry) for entry in entries if isinstance(entry, Mapping)]
