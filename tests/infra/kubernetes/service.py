"""An AiApiService to ask: its plan, and what it refuses."""

from collections.abc import Mapping
from typing import Any, cast

import kubernetes_validate
import pulumi
from tests.support.crds import crd_faults, is_custom

from slipway import AiApiService, vendor
from slipway.kubernetes.ai_api_service_args import AiApiServiceArgs
from slipway.kubernetes.ai_api_service_settings import Resolved
from slipway.plan import Plan, plan_program

ARGS: Mapping[str, Any] = {
    "image": "router:1.2.3",
    "namespace": "ai",
    "backends": [vendor("openai", name="openai", model="gpt-4o-mini", api_key={"name": "api-keys", "key": "openai"})],
}


def planned(name: str = "api", /, **more: Any) -> Plan:
    given = cast("AiApiServiceArgs", {**ARGS, **more})
    return plan_program(lambda: AiApiService(name, given))


def refused(name: str = "api", /, **more: Any) -> dict[str, str]:
    """Faults by path, without the prefix; several at one path are joined."""
    faults: dict[str, str] = {}
    try:
        Resolved.of(name, cast("AiApiServiceArgs", {**ARGS, **more}))
    except pulumi.InputPropertiesError as error:
        for fault in error.errors or []:
            path = fault["property_path"].removeprefix("args.")
            faults[path] = "; ".join(filter(None, [faults.get(path), fault["reason"]]))
    return faults


def schema_faults(plan: Plan) -> list[str]:
    """What Kubernetes' own schema, and those of the operators, do not allow in a plan."""
    found: list[str] = []
    for resource in plan:
        if not resource.custom:
            continue
        if is_custom(resource.inputs):
            found += [f"{resource.name}: {fault}" for fault in crd_faults(resource.inputs)]
        else:
            kubernetes_validate.validate(dict(resource.inputs), "1.36", strict=True)
    return found
