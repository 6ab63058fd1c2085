"""Backends: what the router is told of them, and what is refused before anything is created."""

from typing import Any, cast

import pulumi
import pytest

from slipway.args import Faults
from slipway.backend import Backend, check_router, router_backend
from slipway.plan import plan_program
from slipway.vendors import vendor

LLAMA: Backend = {"name": "llama", "url": "http://llama.ai.svc:8000/v1", "model": "llama-70b", "self_hosted": True}


def faults_of(settings: dict[str, Any], *backends: Any) -> dict[str, str]:
    faults = Faults("AiApiService")
    check_router(settings, cast("list[Backend]", list(backends)), faults)
    try:
        faults.refuse("api")
    except pulumi.InputPropertiesError as refused:
        return {f["property_path"]: f["reason"] for f in refused.errors or []}
    return {}


def test_the_router_is_not_told_what_only_infrastructure_needs() -> None:
    openai = vendor("openai", name="gpt", model="gpt-4o", api_key={"name": "keys", "key": "openai"}, egress={"port": 443})
    assert router_backend(openai) == {
        "name": "gpt",
        "url": "https://api.openai.com/v1",
        "model": "gpt-4o",
        "domain": "openai",
        "api_key_env": "OPENAI_API_KEY",
        "tasks": ["chat", "completions", "embeddings"],
    }


def test_a_shadow_is_proven_when_the_program_is_planned() -> None:
    candidate: Backend = {"name": "next", "url": "http://next.ai.svc:8000/v1", "model": "next", "context_tokens": 4000}
    shadow = {"name": "s", "backend": "next", "share": 0.1}
    settings: dict[str, Any] = {"shadows": [{**shadow, "match": {"max_tokens": 4000}}]}
    assert faults_of(settings, LLAMA, candidate) == {}
    told = faults_of({"shadows": [shadow], "policy": {"best": "next"}}, LLAMA, candidate)
    assert set(told) == {"args.shadows[0].backend", "args.policy.best"}
    assert "match 'max_tokens: 4000'" in told["args.shadows[0].backend"]


@pytest.mark.parametrize(
    ("settings", "backends", "paths"),
    [
        ({}, [LLAMA], []),
        ({}, [], ["args.backends"]),
        ({}, [LLAMA, LLAMA], ["args.backends[1].name"]),
        ({}, [{**LLAMA, "url": "llama:8000"}], ["args.backends[0].url"]),
        ({}, [{**LLAMA, "quality": "best"}], ["args.backends[0].quality"]),
        ({}, [{**LLAMA, "qualty": "low"}], ["args.backends[0].qualty"]),
        ({}, [{"name": "llama"}], ["args.backends[0].model", "args.backends[0].url"]),
        ({}, [{**LLAMA, "api_key": {"name": "keys", "key": "k"}}], ["args.backends[0].api_key"]),
        ({"policy": {"best": "gpt"}}, [LLAMA], ["args.policy.best"]),
        ({"listen": {"port": 0}}, [LLAMA], ["args.listen.port"]),
        ({}, [vendor("anthropic", name="a", model="m", api_version="2023-06-01", default_max_tokens=9)], []),
        ({}, [vendor("anthropic", name="a", model="m", tasks=["embeddings"])], ["args.backends[0].tasks[0]"]),
        ({}, [vendor("azure", name="a", model="m", url="https://a.openai.azure.com")], []),
        ({}, [vendor("azure", name="a", model="m")], ["args.backends[0].url"]),
        ({}, [{**LLAMA, "protocol": "sagemaker", "region": "eu-west-1"}], []),
        ({}, [{**LLAMA, "protocol": "sagemaker"}], ["args.backends[0].region"]),
        ({}, [{**LLAMA, "protocol": "vertex", "api_key_env": "KEY"}], ["args.backends[0].api_key_env"]),
    ],
)
def test_the_routers_own_schema_decides_at_plan_time(settings: dict[str, Any], backends: list[Any], paths: list[str]) -> None:
    assert sorted(faults_of(settings, *backends)) == sorted(paths)


def test_an_address_that_is_known_after_up_is_taken_for_a_right_one() -> None:
    found: list[dict[str, str]] = []

    def program() -> None:
        found.append(faults_of({}, {**LLAMA, "url": pulumi.Output.from_input("http://x")}, {**LLAMA, "name": "B"}))

    plan_program(program)
    assert [sorted(f) for f in found] == [["args.backends[1].name"]]
