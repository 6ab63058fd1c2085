"""A model server's plan, and the parts of it that tests look at."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest

from slipway.kubernetes.gpu_model_server import GpuModelServer
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.plan import Plan, Secret, plan_program

LLAMA: GpuModelServerArgs = {"model": "meta-llama/Llama-3.3-70B-Instruct", "namespace": "ai", "accelerator": "a100-80gb:4"}
SMALL: Mapping[str, Any] = {
    "model": "Qwen/Qwen2.5-1.5B-Instruct-GGUF",
    "namespace": "ai",
    "engine": "llama.cpp",
    "gguf": {"file": "qwen2.5-1.5b-instruct-q4_k_m.gguf", "bytes": 1_117_320_736},
}


def planned(*, base: Mapping[str, Any] = LLAMA, name: str = "llama", **more: Any) -> Plan:
    """The plan of one server with these arguments."""
    return plan_program(lambda: cast("None", GpuModelServer(name, cast("GpuModelServerArgs", {**base, **more}))))


def stateful_set(plan: Plan, name: str = "llama") -> dict[str, Any]:
    return cast("dict[str, Any]", plan[f"{name}-server"].inputs)


def pod(plan: Plan, name: str = "llama") -> dict[str, Any]:
    return cast("dict[str, Any]", stateful_set(plan, name)["spec"]["template"]["spec"])


def server(plan: Plan, name: str = "llama") -> dict[str, Any]:
    return cast("dict[str, Any]", pod(plan, name)["containers"][0])


def env(container: Mapping[str, Any]) -> dict[str, Any]:
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container["env"]}


def following(args: list[str], flag: str) -> str:
    return args[args.index(flag) + 1]


def revealed(value: Any) -> Any:
    """Inputs with secrets opened, as the cluster gets them."""
    if isinstance(value, Secret):
        return revealed(value.value)
    if isinstance(value, Mapping):
        return {k: revealed(v) for k, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [revealed(v) for v in cast("list[Any]", value)]
    return value


def refused(*, base: Mapping[str, Any] = LLAMA, name: str = "llama", **more: Any) -> dict[str, str]:
    """The faults by path; nothing else must have been registered."""
    with pytest.raises(pulumi.InputPropertiesError) as error:
        planned(base=base, name=name, **more)
    return {fault["property_path"].removeprefix("args."): fault["reason"] for fault in error.value.errors or []}
