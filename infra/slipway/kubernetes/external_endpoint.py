"""A store that exists already, in place of one made here."""

import ipaddress
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from slipway.args import Faults, known
from slipway.backend import Egress, SecretKeyRef
from slipway.kubernetes.names import check_object_name
from slipway.kubernetes.network import anywhere


class ExternalEndpoint(TypedDict):
    """A server that exists, and the Secret that has its whole address, such as one that the External Secrets Operator made."""

    host: str
    """Name or address of the server."""
    port: NotRequired[int]
    """TCP port of the server. Default: the usual one."""
    secret: SecretKeyRef
    """Key of a Secret in the same namespace that has the address, user and password included. Its value is not read here."""


def check_external(
    given: Mapping[str, Any], address_fault: Callable[[str], str | None], faults: Faults, beside: Collection[str] = ()
) -> None:
    """Refuse what is no server, and what goes with none.

    Args:
        given: All arguments of the component.
        address_fault: What is wrong with an `external_url`, or None. It must not tell the address, which has a password in it.
        faults: Where to tell what is wrong.
        beside: Arguments that go with one beside `namespace`.
    """

    def refuse(url: str) -> None:
        if reason := address_fault(url):
            faults.add("external_url", reason)

    if not faults.at("external_url"):
        known(given.get("external_url"), refuse)
    external = given.get("external")
    if external is not None and not faults.at("external"):
        if not _is_host(external["host"]):
            faults.add("external.host", f"is {external['host']!r}; give a name or an address alone, such as 'db.example.com'")
        if not 1 <= external.get("port", 1) <= 65535:
            faults.add("external.port", f"is {external['port']}; give 1 to 65535")
        known(external["secret"]["name"], lambda plain: check_object_name("external.secret.name", plain, faults))
        if not external["secret"]["key"]:
            faults.add("external.secret.key", "is empty; give the key of the Secret that has the address")
    if "external" in given and "external_url" in given:
        faults.add("external_url", "excludes 'external', which names the server already; give one")
    for way in ("external_url", "external"):
        if way in given:
            for key in given:
                if key not in ("external_url", "external", "namespace", *beside):
                    faults.add(key, f"does nothing with '{way}', where nothing runs here; leave one of them out")


def external_egress(port: int) -> Sequence[Egress]:
    """How a network policy lets a pod out to a server whose addresses nobody can know beforehand."""
    return anywhere(port)


def _is_host(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return bool(
            re.fullmatch(
                r"(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9_-]*[A-Za-z0-9])?)*", host
            )
        )
    return True
