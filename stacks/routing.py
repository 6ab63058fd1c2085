"""The router of the settings, in its place, with vendors' APIs beside the stack's own models."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import pulumi

import slipway
from models import Served
from settings import Settings
from slipway import Backend


def vendors(settings: Settings) -> list[Backend]:
    """Vendors' APIs as backends. On this machine only those whose key is in the environment."""
    found: list[Backend] = []
    for entry in settings.vendors:
        more = entry.routing.model_dump(exclude_unset=True, mode="json")
        backend = slipway.vendor(entry.vendor, name=entry.name, model=entry.model, **more)
        if settings.router and settings.router.place == "local":
            variable = backend.get("api_key_env", "")
            if not os.environ.get(variable):
                pulumi.log.info(f"{entry.name} is left out: {variable} is not set")
                continue
        elif entry.api_key:
            backend["api_key"] = {"name": entry.api_key.name, "key": entry.api_key.key}
        found.append(backend)
    return found


def route(
    settings: Settings, namespace: pulumi.Input[str], backends: Sequence[slipway.Backend], served: Sequence[Served]
) -> None:
    """Make the router and export its address."""
    if settings.router is None:
        return
    args: Any = {"backends": backends} | settings.router.args
    if settings.router.place == "local":
        after = pulumi.ResourceOptions(depends_on=[model.resource for model in served])
        pulumi.export("url", slipway.LocalRouter("router", args, after).url)
    else:
        # In a cluster the router need not wait for weights to load: it is ready as soon as one backend answers.
        args["namespace"] = namespace
        if settings.router.build is not None:
            args["image"] = built(settings.router.build)
        pulumi.export("url", slipway.AiApiService("router", args).url)


def built(build: Mapping[str, Any]) -> pulumi.Output[str]:
    """The router's image, built from what is installed here and known by its digest."""
    from slipway.images import router_context

    args: Any = {"context": router_context(), **build}
    return slipway.ContainerImage("router-image", args).ref
