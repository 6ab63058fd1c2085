"""LocalRouter: the configuration and the process that it plans; and the router itself in front of a model server."""

import json
from typing import Any

import pulumi
import pytest
from openai import OpenAI
from tests.infra.local.place import Place, free_port

from slipway import Backend, vendor
from slipway.local.model_server import LocalModelServer
from slipway.local.router import LocalRouter, LocalRouterArgs
from slipway.plan import Resource, plan_program
from slipway_router.config import Config

OWN: Backend = {"name": "own", "url": "http://127.0.0.1:8001/v1", "model": "llama", "self_hosted": True}


def planned(args: LocalRouterArgs) -> Resource:
    return plan_program(lambda: LocalRouter("router", args), stack="local")["router-process"]


def test_backends_become_the_routers_configuration() -> None:
    openai = vendor("openai", name="openai", model="gpt-4o-mini", api_key={"name": "unused", "key": "here"})
    keys = [{"name": "team", "env": "TEAM_KEY", "tier": "enterprise"}, {"name": "other", "sha256": "0" * 64}]
    process = planned({"backends": [OWN, openai], "settings": {"keys": keys}})
    config = json.loads(process.inputs["files"]["router.json"])
    parsed = Config.parse(config)
    assert [b.name for b in parsed.backends] == ["own", "openai"]
    assert parsed.drain_seconds == 5
    assert "unused" not in str(config)
    assert process.inputs["command"] == ["{python}", "-m", "slipway_router", "--config", "{dir}/router.json"]
    assert process.inputs["pass_environment"] == ["OPENAI_API_KEY", "TEAM_KEY"]
    assert process.inputs["stop_grace_seconds"] == 10


@pytest.mark.parametrize(
    ("listen", "host", "url"),
    [
        ({}, "127.0.0.1", "http://127.0.0.1:8000"),
        ({"port": 8080}, "127.0.0.1", "http://127.0.0.1:8080"),
        ({"host": "0.0.0.0"}, "0.0.0.0", "http://127.0.0.1:8000"),
        ({"host": "::1"}, "::1", "http://[::1]:8000"),
    ],
)
def test_it_is_asked_for_its_health_where_it_listens(listen: dict[str, Any], host: str, url: str) -> None:
    args: LocalRouterArgs = {"backends": [OWN], "settings": {"listen": listen}}
    plan = plan_program(lambda: pulumi.export("url", LocalRouter("router", args).url))
    process = plan["router-process"]
    assert plan.outputs == {"url": url}
    assert process.inputs["health"]["url"] == f"{url}/health"
    assert (process.inputs["host"], process.inputs["port"]) == (host, listen.get("port", 8000))


def test_an_address_may_come_from_another_resource() -> None:
    def program() -> None:
        LocalRouter("router", {"backends": [{**OWN, "url": pulumi.Output.from_input("http://127.0.0.1:9/v1")}]})

    text = plan_program(program)["router-process"].inputs["files"]["router.json"]
    assert json.loads(text)["backends"][0]["url"] == "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("wrong", "paths"),
    [
        ({"backends": []}, ["backends"]),
        ({"backends": [OWN, OWN]}, ["backends[1].name"]),
        ({"backends": [{**OWN, "cost": 1}]}, ["backends[0].cost"]),
        ({"backends": [OWN], "settings": {"listen": {"port": 0}}}, ["settings.listen.port"]),
        ({"backends": [OWN], "settings": {"policy": {"best": "nobody"}, "tiers": 1}}, ["settings.tiers", "settings.policy.best"]),
        ({"backends": [OWN], "settings": {"backends": []}}, ["settings.backends"]),
        ({}, ["backends"]),
    ],
)
def test_every_fault_is_told_by_its_path(wrong: Any, paths: list[str]) -> None:
    with pytest.raises(pulumi.InputPropertiesError) as refused:
        planned(wrong)
    assert [f["property_path"] for f in refused.value.errors or []] == [f"args.{path}" for path in paths]


def test_the_same_program_makes_the_same_bytes() -> None:
    first, second = ({"policy": {"cheap": "own", "best": "own"}}, {"policy": {"best": "own", "cheap": "own"}})
    assert planned({"backends": [OWN], "settings": first}).inputs == planned({"backends": [OWN], "settings": second}).inputs


def test_what_is_planned_answers_through_the_router(place: Place) -> None:
    port, router_port = free_port(), free_port()

    def program() -> None:
        server = LocalModelServer("llama", {"port": port})
        LocalRouter("router", {"backends": [server.backend()], "settings": {"listen": {"port": router_port}}})

    plan = plan_program(program, stack="test")
    for name in ("llama-server", "router-process"):
        made = place.provider.create(dict(plan[name].inputs))
        assert made.outs is not None
    with OpenAI(base_url=f"http://127.0.0.1:{router_port}/v1", api_key="none", max_retries=0) as client:
        question: Any = [{"role": "user", "content": "the"}]
        answer = client.chat.completions.create(model="llama", messages=question, max_tokens=5)
        assert answer.choices[0].message.content
        create: Any = client.chat.completions.create
        with create(model="llama", messages=question, max_tokens=5, stream=True, extra_body={"ignore_eos": True}) as stream:
            assert len([c for c in stream if c.choices]) >= 5
    place.provider.delete("x", dict(plan["router-process"].inputs))
    place.provider.delete("x", dict(plan["llama-server"].inputs))
    assert place.alive() == []
