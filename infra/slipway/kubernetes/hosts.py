"""Host names under which a service is reached from outside."""

import ipaddress
import re
from collections.abc import Sequence

from slipway.args import Faults

MOST_HOSTS = 16
"""As many as an HTTPRoute takes (Gateway API reference, `HTTPRouteSpec.hostnames`)."""
_LABEL = r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$)(\*\.)?{_LABEL}(\.{_LABEL})*")


def check_hosts(path: str, hosts: Sequence[object], faults: Faults) -> None:
    """Refuse what is no DNS name in lower case, with or without `*.` before it: addresses, ports, schemes, and names given
    twice."""
    if not hosts:
        faults.add(path, "is empty; give at least one name, such as 'api.example.com'")
    if len(hosts) > MOST_HOSTS:
        faults.add(path, f"has {len(hosts)} names; give at most {MOST_HOSTS}")
    seen: dict[str, int] = {}
    for i, host in enumerate(hosts):
        if not isinstance(host, str):
            continue
        first = seen.setdefault(host, i)
        if first != i:
            faults.add(f"{path}[{i}]", f"is {host!r} again, first as {path}[{first}]; names must differ")
        elif _is_address(host):
            faults.add(f"{path}[{i}]", f"is {host!r}, an address; give a name that DNS knows, such as 'api.example.com'")
        elif not _HOST.fullmatch(host):
            faults.add(
                f"{path}[{i}]",
                f"is {host!r}; give a name alone, in lower case: 'api.example.com', or '*.example.com' for all below",
            )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_paths(path: str, paths: Sequence[object], faults: Faults) -> None:
    """Refuse what is no absolute path prefix, or is there twice."""
    if not paths:
        faults.add(path, "is empty; give at least one prefix, such as '/v1'")
    for i, prefix in enumerate(paths):
        if not isinstance(prefix, str):
            continue
        if not re.fullmatch(r"/([A-Za-z0-9._~-]+(/[A-Za-z0-9._~-]+)*)?", prefix):
            faults.add(f"{path}[{i}]", f"is {prefix!r}; give a prefix such as '/v1', without '/' at its end")
        elif prefix in paths[:i]:
            faults.add(f"{path}[{i}]", f"is {prefix!r} again; give each prefix once")
