"""What a list of backends asks of the pods in front of them: time to start and to end, and ways out."""

import math
from collections.abc import Sequence
from urllib.parse import urlsplit

from slipway.args import Faults, known
from slipway.backend import Backend, Egress
from slipway.kubernetes.network import anywhere, check_egress
from slipway_router.steadiness import Timeouts


def default_rollout(backends: Sequence[Backend]) -> int:
    """Kubernetes' 10 minutes beyond the start of the first backend to be ready: the router is ready once one answers."""
    told: list[object] = [backend.get("ready_seconds", 0) for backend in backends]
    # What is no number was refused before.
    starts = [seconds if isinstance(seconds, int | float) and math.isfinite(seconds) else 0 for seconds in told]
    return min(math.ceil(min(starts, default=0)) + 600, 86400)


def check_no_loop(name: str, namespace: str, backends: Sequence[Backend], faults: Faults) -> None:
    """Refuse a backend that is the router's own Service.

    Args:
        name: Name of the Service.
        namespace: Its namespace.
        backends: What the router leads to.
        faults: Where to tell.
    """
    here = f"{name}.{namespace}"
    own = (name, here, f"{here}.svc", f"{here}.svc.cluster.local")
    for i, backend in enumerate(backends):
        path = f"backends[{i}].url"

        def check(url: object, path: str = path) -> None:
            if isinstance(url, str) and not faults.at(path) and urlsplit(url).hostname in own:
                faults.add(path, f"is {url!r}, the address of this service itself; give what answers instead")

        known(backend.get("url"), check)


def longest_stream(backends: Sequence[Backend], faults: Faults) -> float:
    """The longest answer that any backend may give, in seconds: the largest `timeouts.total`."""
    longest = [Timeouts().total] if not backends else []
    for i, backend in enumerate(backends):
        here = f"backends[{i}].timeouts"
        total = Timeouts().total if faults.at(here) else backend.get("timeouts", {}).get("total", Timeouts().total)
        # One without end is a fault of the router's own schema: a pod that is to go must know when its last stream is over.
        if math.isfinite(total):
            longest.append(total)
    return max(longest, default=0)


def egress(backends: Sequence[Backend], faults: Faults) -> list[Egress]:
    """Where a router must be able to connect. A backend that does not say gets TCP 443 to anywhere, if that is its port."""
    ways: list[Egress] = []
    for i, backend in enumerate(backends):
        here = f"backends[{i}].egress"
        given = backend.get("egress")
        if given is None:
            known(backend.get("url"), lambda url, here=here: _check_default_egress(here, url, faults))
        elif not faults.at(here):
            check_egress(here, given, faults)
        ways += anywhere(443) if given is None else [given]
    return ways


def _check_default_egress(path: str, url: str, faults: Faults) -> None:
    if faults.at(path.replace("egress", "url")):
        return
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if port != 443:
        faults.add(
            path,
            f"is required, since the backend is on port {port} and the default lets the router out to 443 only;"
            f" give {{'port': {port}, 'pod_labels': ...}} or {{'port': {port}, 'cidr': ...}}",
        )
