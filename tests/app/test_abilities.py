"""What a request needs, and that no backend without it is ever asked."""

from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.serving import CHAT, backend, serving, upstream

from slipway_router.abilities import needs_of
from slipway_router.config import Config, ConfigError
from slipway_router.schema import ABILITIES

ALL = frozenset(ABILITIES)
TOOL = {"type": "function", "function": {"name": "look_up", "parameters": {"type": "object"}}}
PICTURE = [{"role": "user", "content": [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": "data:x"}}]}]
SCHEMA = {"type": "json_schema", "json_schema": {"name": "answer", "schema": {"type": "object"}}}


@pytest.mark.parametrize(
    ("fields", "needs"),
    [
        ({"messages": [{"role": "user", "content": "hello"}]}, set[str]()),
        ({"tools": [TOOL]}, {"tools"}),
        ({"tools": []}, set[str]()),
        ({"functions": [{"name": "f"}]}, {"tools"}),
        ({"messages": PICTURE}, {"vision"}),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "?"}]}, 7, {"content": [7]}]}, set[str]()),
        ({"messages": "junk"}, set[str]()),
        ({"response_format": SCHEMA}, {"json_schema"}),
        ({"response_format": {"type": "json_object"}}, set[str]()),
        ({"response_format": "junk"}, set[str]()),
        ({"logprobs": True}, {"logprobs"}),
        ({"logprobs": False}, set[str]()),
        ({"logprobs": None}, set[str]()),
        ({"prompt": "x", "logprobs": 0}, {"logprobs"}),
        ({"tools": [TOOL], "messages": PICTURE, "logprobs": True}, {"tools", "vision", "logprobs"}),
    ],
)
def test_what_a_request_needs(fields: dict[str, Any], needs: set[str]) -> None:
    assert needs_of(fields, ALL) == needs
    assert needs_of(fields, frozenset({"vision"})) == needs & {"vision"}


async def test_a_backend_that_cannot_is_neither_chosen_nor_failed_over_to() -> None:
    async with (
        upstream() as plain,
        upstream(fake.failing()) as able,
        serving(
            backend(plain, "plain", abilities=["json_schema"]),
            backend(able, "able", cost_per_1k_tokens=1),
            retries={"rounds": 0},
        ) as served,
    ):
        assert (await served.chat()).headers["x-slipway-backend"] == "plain"
        asked = len(plain.posts)
        refused = await served.chat(tools=[TOOL])
        assert (refused.status_code, len(plain.posts)) == (502, asked)
        able.behaviour = fake.whole()
        answer = await served.chat(tools=[TOOL])
        assert (answer.headers["x-slipway-backend"], answer.headers["x-slipway-attempts"]) == ("able", "1")
        assert (await served.chat(response_format=SCHEMA)).headers["x-slipway-backend"] == "plain"
        told = (await served.client.post("/v1/route", json={**CHAT, "tools": [TOOL]})).json()
        assert (told["needs"], [c["backend"] for c in told["order"]]) == (["tools"], ["able"])


@pytest.mark.parametrize(
    ("others", "choice"),
    [
        ([], "no backend here can"),
        ([{"name": "two"}], "ask for 'two', which can"),
        ([{"name": "two", "abilities": ["vision", "tools"]}, {"name": "three"}], "ask for 'two' or 'three', which can"),
    ],
)
async def test_who_asks_for_what_none_of_a_model_can_is_told_who_can(others: list[dict[str, Any]], choice: str) -> None:
    async with upstream() as up:
        more = [backend(up, **{"model": o["name"], **o}) for o in others]
        async with serving(backend(up, "blind", abilities=["tools"], model="small"), *more) as served:
            answer = await served.chat(model="small", tools=[TOOL], messages=PICTURE)
    error = answer.json()["error"]
    # What no backend lacks is not looked for, so tools are no part of it.
    assert (answer.status_code, error["code"], error["param"]) == (400, "unsupported", "messages")
    assert "which no backend of the model 'small' has: 'blind' lacks vision; " in error["message"]
    assert choice in error["message"]
    assert up.posts == []


async def test_a_route_whose_backends_cannot_is_passed_over() -> None:
    async with upstream() as up:
        blind, seeing = backend(up, "blind", abilities=[]), backend(up, "seeing", model="big")
        settings: dict[str, Any] = {
            "policies": {"small": {"kind": "priority", "backends": ["blind"]}},
            "routes": [{"name": "first", "policy": "small"}],
        }
        async with serving(blind, seeing, **settings) as served:
            assert (await served.chat()).headers["x-slipway-rule"] == "first"
            answer = await served.chat(messages=PICTURE)
            told = (await served.client.post("/v1/route", json={"messages": PICTURE})).json()
    assert answer.headers["x-slipway-backend"] == "seeing"
    assert told["passed_over"] == [
        {"route": "first", "because": "no backend of its policy serves the model and can do what is asked"}
    ]


async def test_anthropics_clients_are_heard_too() -> None:
    async with upstream() as up, serving(backend(up, abilities=[])) as served:
        tool = {"name": "look_up", "input_schema": {"type": "object"}}
        body = {**CHAT, "max_tokens": 5, "tools": [tool]}
        answer = await served.client.post("/v1/messages", json=body)
    assert answer.status_code == 400
    assert "needs tools" in answer.json()["error"]["message"]


def fallback(first: dict[str, Any], second: dict[str, Any]) -> list[tuple[str, str]]:
    try:
        Config.parse(
            {
                "backends": [
                    {"name": n, "url": "http://x/v1", "model": "m", **more} for n, more in (("a", first), ("b", second))
                ],
                "policies": {"p": {"kind": "priority", "backends": ["a", "b"]}},
                "routes": [{"name": "r", "policy": "p"}],
            }
        )
    except ConfigError as error:
        return error.faults
    return []


def test_a_fallback_must_be_able_to_do_what_it_stands_in_for() -> None:
    [(path, reason)] = fallback({"abilities": ["tools", "vision"]}, {"abilities": ["tools"]})
    assert path == "policies.p.backends[1]"
    assert reason == (
        "'b' lacks vision, which 'a' has, for which it stands in: requests that need that have no fallback; "
        "name one that has it, or leave it out of the abilities of 'a'"
    )
    assert fallback({"abilities": ["tools"]}, {"abilities": ["vision", "tools"]}) == []
    assert fallback({"abilities": ["tools"]}, {}) == []
    assert fallback({}, {"abilities": []}) == []


def test_an_ability_that_nobody_knows_is_refused_with_the_choice() -> None:
    [(path, reason)] = fallback({"abilities": ["flight"]}, {})
    assert path == "backends[0].abilities[0]"
    assert "give 'tools', 'vision', 'json_schema' or 'logprobs'" in reason
