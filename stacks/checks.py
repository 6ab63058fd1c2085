"""Every fault of a stack's settings at once, those of all its components too, before anything is registered."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import pulumi

from known import known_backend, placeholder
from settings import Model, Settings
from slipway import Backend, vendor
from slipway.backend import BackendError

_NOBODY_ASKS = {
    "aws": "is 'aws', which the router's pods ask by an identity, and they have none; give "
    "slipway:router.make_identity.eks_cluster, or slipway:router.identity.aws_role_arn with a role that may ask it; "
    "outside of EKS slipway:router.federation.aws_role_arn",
    "gcp": "is 'gcp', which the router's pods ask by an identity, and they have none; give "
    "slipway:router.make_identity.gcp_project, or slipway:router.identity.gcp_service_account with an account that may ask it; "
    "outside of GKE slipway:router.federation.gcp_provider",
}


def check(settings: Settings) -> None:
    """Ask each component what it thinks of its arguments.

    Raises:
        pulumi.RunError: with every fault there is; the engine prints it without a traceback.
    """
    faults = [
        fault.replace("args.", f"slipway:models[{i}].", 1)
        for i, model in enumerate(settings.models)
        for fault in _refused(lambda m=model: _resolver(m)(m.name, _args(m)))
    ]
    if settings.namespaceArgs:
        from slipway.kubernetes.ai_namespace_args import NamespaceSettings

        told = _refused(lambda: NamespaceSettings.of(settings.namespace, cast("Any", settings.namespaceArgs)))
        faults += [fault.replace("args.", "slipway:namespaceArgs.", 1) for fault in told]
    if settings.gpuPrerequisites:
        from slipway.kubernetes.gpu_prerequisites_args import PrerequisiteSettings

        told = _refused(lambda: PrerequisiteSettings.of("gpus", cast("Any", settings.gpuPrerequisites)))
        faults += [fault.replace("args.", "slipway:gpuPrerequisites.", 1) for fault in told]
    if settings.router:
        faults += [f.replace("args.", "slipway:router.build.", 1) for f in _refused(lambda: _check_build(settings))]
        faults += _router_faults(settings)
    if faults:
        count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise pulumi.RunError(f"Pulumi.{pulumi.get_stack()}.yaml has {count}:" + "".join(f"\n  {f}" for f in faults))


def _resolver(model: Model) -> Callable[[str, Any], object]:
    """What a component's constructor calls first. Each place is imported only where a model runs there."""
    match model.place:
        case "local":
            from slipway.local.model_server import LocalModel

            return LocalModel.of
        case "kubernetes":
            from slipway.kubernetes.gpu_model_server_settings import GpuModelServerSettings

            return GpuModelServerSettings.of
        case "aws":
            from slipway.aws.sagemaker_fleet import Fleet

            return Fleet.of
        case "gcp":
            from slipway.gcp.vertex_endpoint import resolve

            return resolve


def _args(model: Model) -> dict[str, Any]:
    return {"namespace": "checked", **model.args} if model.place == "kubernetes" else model.args


def _check_build(settings: Settings) -> None:
    assert settings.router
    if settings.router.build is None:
        return
    from slipway.images import router_context
    from slipway.images.container_image import Build

    args: Any = {"context": router_context(), **settings.router.build}
    Build.of("router-image", args)


def _router_faults(settings: Settings) -> list[str]:
    """Those of the router with backends that have every fact but the address, which nobody knows yet."""
    faults: list[str] = []
    backends: list[Backend] = []
    paths: list[str] = []
    clouds: dict[str, str] = {}
    for i, model in enumerate(settings.models):
        if not model.routable:
            continue
        try:
            backends.append(known_backend(model))
        except BackendError as error:
            faults += [f"slipway:models[{i}].routing.{key}: {reason}" for key, reason in error.faults.items()]
            backends.append(placeholder(model))
        paths.append(f"slipway:models[{i}]")
        if model.place in ("aws", "gcp"):
            clouds[f"{paths[-1]}.protocol"] = f"{paths[-1]}.place: {_NOBODY_ASKS[model.place]}"
    paths += [f"slipway:vendors[{i}]" for i in range(len(settings.vendors))]
    for fault in _refused(lambda: _check_router(settings, backends)):
        told = _own_path(fault, paths)
        # The protocol follows from the place, which is what the settings have.
        faults.append(clouds.get(told.partition(": ")[0], told))
    return faults


def _check_router(settings: Settings, models: Sequence[Backend]) -> None:
    assert settings.router
    backends = [*models]
    for entry in settings.vendors:
        more: dict[str, Any] = entry.routing.model_dump(exclude_unset=True, mode="json")
        if entry.api_key:
            more["api_key"] = entry.api_key.model_dump()
        backends.append(vendor(entry.vendor, name=entry.name, model=entry.model, **more))
    args: Any = {"backends": backends, **settings.router.args}
    if settings.router.place == "local":
        from slipway.local.router import checked_settings

        checked_settings("router", args)
    else:
        from slipway.kubernetes.ai_api_service_settings import Resolved

        args |= {"namespace": "checked"} | ({"image": "built:checked"} if settings.router.build is not None else {})
        Resolved.of("router", args)


def _own_path(fault: str, paths: Sequence[str]) -> str:
    """A backend's path as the YAML has it."""
    at = re.match(r"args\.backends\[(\d+)\]", fault)
    if at is None:
        return fault.replace("args.", "slipway:router.", 1)
    return paths[int(at[1])] + fault[at.end() :]


def _refused(build: Callable[[], object]) -> list[str]:
    try:
        build()
    except pulumi.InputPropertiesError as error:
        details = cast("list[Mapping[str, str]]", error.errors or [])
        return [f"{fault['property_path']}: {fault['reason']}" for fault in details]
    return []
