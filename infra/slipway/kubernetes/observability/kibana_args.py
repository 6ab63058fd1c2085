"""What can be said about the Kibana of an ObservabilityStack."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, known
from slipway.kubernetes import quantity
from slipway.kubernetes.names import check_image
from slipway.kubernetes.network import Peer, check_peer
from slipway.kubernetes.quantity import ComputeResources

IMAGE = "elastic/kibana:9.5.3"
RESOURCES: ComputeResources = {"requests": {"cpu": "100m", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "2Gi"}}


class KibanaArgs(TypedDict):
    """A Kibana that shows what the Elasticsearch has."""

    enabled: NotRequired[bool]
    """Whether there is one. False excludes everything else here. Default true."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect to its port 5601. Default: nobody, but by `kubectl port-forward`."""
    root_url: NotRequired[str]
    """Address at which browsers find it, without a '/' at its end. Default: none, and its links have the address by
    which it was asked."""
    image: NotRequired[pulumi.Input[str]]
    """Its image, of the same version as Elasticsearch's, with that as tag or a digest. Default: release 9.5."""
    resources: NotRequired[ComputeResources]
    """Its CPU and memory. Default: requests of 100m and 1Gi, limits of 2 and 2Gi."""


@dataclass(frozen=True)
class KibanaSettings:
    """The same, with every default filled in."""

    allow_from: Sequence[Peer]
    root_url: str | None
    image: pulumi.Input[str]
    resources: k8s.core.v1.ResourceRequirementsArgsDict

    @classmethod
    def of(cls, path: str, given: object, faults: Faults) -> "KibanaSettings | None":
        """None where there is to be none.

        Args:
            path: Where it stands in the arguments.
            given: The argument.
            faults: Where to tell what is wrong.
        """
        every = cast("Mapping[str, Any]", given if isinstance(given, Mapping) else {})
        fit: dict[str, Any] = {k: v for k, v in every.items() if not faults.at(f"{path}.{k}")}
        if fit.get("enabled") is False:
            for key in every.keys() - {"enabled"}:
                faults.add(f"{path}.{key}", "does nothing with 'enabled' false, where no Kibana is made; leave one out")
            return None
        allow_from = cast("Sequence[Peer]", fit.get("allow_from", ()))
        for i, peer in enumerate(allow_from):
            check_peer(f"{path}.allow_from[{i}]", peer, faults)
        root_url: str | None = fit.get("root_url")
        if root_url is not None and not re.fullmatch(r"https?://[^\s?#@]*[^\s?#@/]", root_url):
            faults.add(
                f"{path}.root_url",
                f"is {root_url!r}; give an address such as 'https://kibana.example.com', without '/' at its end",
            )
        known(fit.get("image"), lambda plain: check_image(f"{path}.image", plain, faults))
        return cls(
            allow_from=allow_from,
            root_url=root_url,
            image=fit.get("image", IMAGE),
            resources=quantity.fill(f"{path}.resources", fit.get("resources", {}), RESOURCES, faults),
        )
