"""A second version of a service beside the first, with a share of its requests."""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NotRequired, TypedDict

import pulumi

from slipway.args import Faults, known
from slipway.kubernetes.autoscaling import Replicas
from slipway.kubernetes.names import check_image

NAME_LENGTH = 63 - len("-canary")
"""Most characters of a service's name that leave room for its canary's, which a Service has to carry."""
_UNAWAITED = "pulumi.com/skipAwait"


class Canary(TypedDict):
    """Another version of the router, with configuration, secrets and identity of the first. Needs `http_route`.

    Its share changes only once it is ready: Pulumi waits for every replica and for the Service before it touches the HTTPRoute,
    and stops there if they do not come up. Rendered manifests have no such order: apply the HTTPRoute after the rollout.
    """

    image: pulumi.Input[str]
    """The other version's image, with a digest, or with a tag other than 'latest'."""
    weight: int
    """Its share of the requests that come through the gateway, in percent: 0 to 100. 0 runs it without any."""
    replicas: NotRequired[int]
    """A fixed number of replicas, at least the share of the first version's. Default: that share, at least 1; with `scaling`,
    from that share of `scaling.min` on, by an autoscaler of its own."""


def check_canary(canary: Mapping[str, Any], args: Mapping[str, Any], name: str, stable: Replicas, faults: Faults) -> None:
    """Refuse a canary that no gateway can send to, that is not another version, or that cannot carry its share.

    Args:
        canary: What was given under `canary`, of the right shape as far as `faults` says.
        args: All arguments of the service.
        name: The service's name.
        stable: Replicas of the first version.
        faults: Where to tell what is wrong.
    """
    if len(name) > NAME_LENGTH:
        faults.add("name", f"is {name!r} ({len(name)} characters); with 'canary' give at most {NAME_LENGTH}")
    if "http_route" not in args:
        faults.add("canary", "needs 'http_route': nothing else here splits requests by weight; give one, or leave the canary out")
    if "ingress" in args:
        faults.add(
            "ingress", "cannot go with 'canary': an Ingress has no weights and would send nobody to it; leave one of the two out"
        )
    if not faults.at("service_annotations") and _UNAWAITED in args.get("service_annotations", {}):
        faults.add(
            f"service_annotations.{_UNAWAITED}",
            "cannot go with 'canary': requests would be sent to it whether it is ready or not; leave one of the two out",
        )
    if not faults.at("canary.image"):
        known(canary.get("image"), lambda image: check_image("canary.image", image, faults))
        if isinstance(canary.get("image"), str) and canary.get("image") == args.get("image") and not faults.at("canary.image"):
            faults.add("canary.image", "is 'image' itself; give another version, or leave the canary out")
    weight, own = canary.get("weight"), canary.get("replicas")
    if not isinstance(weight, int) or faults.at("canary.weight"):
        return
    if not 0 <= weight <= 100:
        faults.add("canary.weight", f"is {weight}; give 0 to 100 percent")
        return
    if stable.fixed == 0 and weight < 100:
        faults.add(
            "canary.weight",
            f"is {weight}, which leaves {100 - weight} % of requests to the first version, and that has 0 replicas;"
            " give 100, or 'replicas' of 1 or more",
        )
    if not isinstance(own, int) or faults.at("canary.replicas") or faults.at("scaling") or faults.at("replicas"):
        return
    least = share(stable, weight)
    if own < 0:
        faults.add("canary.replicas", f"is {own}; give 0 or more")
    elif weight and own < least:
        of = f"{stable.fixed} replicas" if stable.fixed is not None else f"scaling.min = {stable.minimum}"
        faults.add(
            "canary.replicas",
            f"is {own}, and {weight} % of {of} is {least}, at least 1; give {least} or more, or a smaller weight",
        )


def share(stable: Replicas, weight: int) -> int:
    """Fewest replicas that carry `weight` percent of the load of the first version's fewest, at least 1."""
    return max(1, math.ceil((stable.minimum if stable.fixed is None else stable.fixed) * weight / 100))


def canary_replicas(canary: Canary, stable: Replicas) -> Replicas:
    """Replicas of the canary: as given, or its share of the first version's."""
    if "replicas" in canary:
        return replace(stable, fixed=canary["replicas"])
    least = share(stable, canary["weight"])
    if stable.fixed is not None:
        return replace(stable, fixed=least)
    return replace(stable, minimum=least, maximum=max(stable.maximum, least), fallback_replicas=None)
