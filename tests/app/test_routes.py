"""Routes: what they match, where they lead, and what the configuration refuses."""

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.app.serving import CHAT, backend, serving, upstream

from slipway_router.asgi import ApiError
from slipway_router.config import Config, ConfigError
from slipway_router.matching import Request
from slipway_router.policy import RoutingContext
from slipway_router.request import parse
from slipway_router.router import Router

ALL = ("chat", "completions", "embeddings")


def backends(**more: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": n, "url": "http://127.0.0.1:9/v1", "model": f"m-{n}", **more.get(n, {})} for n in "abc"]


def router(match: dict[str, Any] | None = None, policy: dict[str, Any] | None = None, **more: dict[str, Any]) -> Router:
    named = policy or {"kind": "priority", "backends": ["c", "b"]}
    settings = {"policies": {"p": named}, "routes": [{"name": "r", "match": match or {}, "policy": "p"}]}
    return Router(Config.parse({"backends": backends(**more), **settings}), {})


def decided(made: Router, model: str = "auto", headers: dict[bytes, bytes] | None = None, **ctx: Any) -> tuple[str, str]:
    asked = parse("chat", b'{"model":"%b","messages":[{"role":"user","content":"hi"}]}' % model.encode())
    rule, order = made.decide(asked, RoutingContext(**ctx), headers or {})
    return rule, "".join(order)


@pytest.mark.parametrize(
    ("match", "headers", "ctx", "takes"),
    [
        ({}, {}, {}, True),
        ({"headers": {"x-team": "search-*"}}, {b"x-team": b"search-eu"}, {}, True),
        ({"headers": {"x-team": "search-*"}}, {b"x-team": b"ads"}, {}, False),
        ({"headers": {"x-team": "*"}}, {}, {}, False),
        ({"tiers": ["paid", "enterprise"]}, {}, {"user_tier": "paid"}, True),
        ({"tiers": ["paid", "enterprise"]}, {}, {}, False),
        ({"task_types": ["code"]}, {}, {"task_type": "code"}, True),
        ({"task_types": ["code"]}, {}, {}, False),
        ({"min_tokens": 100}, {}, {"estimated_tokens": 100}, True),
        ({"min_tokens": 100}, {}, {"estimated_tokens": 99}, False),
        ({"max_tokens": 100}, {}, {"estimated_tokens": 100}, True),
        ({"max_tokens": 100}, {}, {"estimated_tokens": 101}, False),
        ({"tasks": ["chat"]}, {}, {}, True),
        ({"tasks": ["completions"]}, {}, {}, False),
        ({"tiers": ["free"], "task_types": ["code"]}, {}, {}, False),
    ],
)
def test_what_a_route_takes(match: dict[str, Any], headers: dict[bytes, bytes], ctx: dict[str, Any], takes: bool) -> None:
    assert decided(router(match), headers=headers, **ctx)[0] == ("r" if takes else "cost")


@pytest.mark.parametrize(
    ("hours", "timezone", "time", "takes"),
    [
        ("09:00-17:00", "UTC", "09:00", True),
        ("09:00-17:00", "UTC", "16:59", True),
        ("09:00-17:00", "UTC", "17:00", False),
        ("22:00-06:00", "UTC", "23:30", True),
        ("22:00-06:00", "UTC", "05:59", True),
        ("22:00-06:00", "UTC", "12:00", False),
        ("09:00-17:00", "Europe/Berlin", "07:30", True),
        ("09:00-17:00", "Europe/Berlin", "16:30", False),
    ],
)
def test_time_of_day(hours: str, timezone: str, time: str, takes: bool) -> None:
    [route] = router({"hours": hours, "timezone": timezone}).routes.all
    request = Request("chat", "auto", {}, None, RoutingContext())
    at = datetime(2026, 7, 1, int(time[:2]), int(time[3:]), tzinfo=UTC)
    assert route.mismatch(request, lambda: at) == (None if takes else "hours")


def test_the_clock_is_read_when_nobody_gives_a_time() -> None:
    now = datetime.now(UTC)
    one, other = f"{now.hour:02}:00-{(now.hour + 2) % 24:02}:00", f"{(now.hour + 3) % 24:02}:00-{(now.hour + 5) % 24:02}:00"
    assert decided(router({"hours": one}))[0] == "r"
    assert decided(router({"hours": other}))[0] == "cost"


def test_a_client_that_names_a_backend_gets_it() -> None:
    made = router()
    assert decided(made) == ("r", "cb")
    assert decided(made, "a") == ("model", "a")
    assert decided(made, "m-b") == ("r", "b")


def test_a_route_can_take_a_name_over_or_make_one() -> None:
    made = router({"models": ["m-a", "fast"]})
    assert decided(made, "m-a") == ("r", "cb")
    assert decided(made, "fast") == ("r", "cb")
    assert decided(made)[0] == "cost"
    assert made.models()["fast"] == "slipway"
    with pytest.raises(ApiError, match="'slow' does not exist"):
        decided(made, "slow")


def test_the_first_route_that_can_decides() -> None:
    settings = {
        "policies": {"p": {"kind": "priority", "backends": ["c"]}, "q": {"kind": "priority", "backends": ["b"]}},
        "routes": [
            {"name": "first", "match": {"tiers": ["paid", "free"]}, "policy": "p"},
            {"name": "second", "match": {"tiers": ["free"]}, "policy": "q"},
            {"name": "third", "policy": "rules"},
        ],
    }
    made = Router(Config.parse({"backends": backends(), **settings}), {})
    assert decided(made) == ("first", "c")
    assert decided(made, "b") == ("second", "b")
    assert decided(made, user_tier="enterprise")[0] == "third"


def test_a_policy_without_backends_has_them_all() -> None:
    made = router(policy={"kind": "least_latency"})
    for name, latency in (("a", 30), ("b", 10), ("c", 20)):
        made.targets[name].status.current_latency_ms = latency
    assert decided(made) == ("r", "bca")


FALLBACKS = {"policies": {"p": {"kind": "priority", "backends": ["a", "b"]}}, "routes": [{"name": "r", "policy": "p"}]}


def faults(settings: dict[str, Any], **more: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigError) as refused:
        Config.parse({"backends": backends(**more), **settings})
    return dict(refused.value.faults)


def test_everything_that_names_nothing_is_told_at_once() -> None:
    told = faults(
        {
            "policies": {
                "p": {"kind": "priority", "backends": ["a", "x", "a"]},
                "w": {"kind": "weighted", "weights": {"y": 1}},
                "idle": {"kind": "least_latency"},
                "rules": {"kind": "least_latency"},
                "A b": {"kind": "least_latency"},
            },
            "routes": [
                {"name": "r", "match": {"tiers": ["free"]}, "policy": "p"},
                {"name": "r", "match": {"timezone": "UTC"}, "policy": "w"},
                {"name": "cost", "policy": "z"},
            ],
        }
    )
    assert list(told) == [
        "routes[2].name",
        "policies.p.backends[1]",
        "policies.p.backends[2]",
        "policies.w.weights.y",
        "policies.idle",
        "policies.rules",
        "policies.A b",
        "routes[1].name",
        "routes[2].policy",
        "routes[2]",
    ]
    assert told["policies.p.backends[1]"] == "names 'x', which is no backend; there are 'a', 'b', 'c'"
    assert told["routes[2].policy"] == "names 'z', which is no policy; there are 'rules', 'p', 'w', 'idle', 'rules', 'A b'"
    assert "routes[1] before it takes every request" in told["routes[2]"]


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ({"kind": "weighted"}, "needs 'weights'"),
        ({"kind": "weighted", "weights": {"a": 0}}, "all 0"),
        ({"kind": "weighted", "weights": {"a": -1}}, "'a' -1"),
        ({"kind": "weighted", "weights": {"a": 1}, "backends": ["b"]}, "takes no 'backends'"),
        ({"kind": "priority"}, "needs 'backends'"),
        ({"kind": "least_latency", "quality": "high"}, "takes no 'quality'"),
        ({"kind": "fastest"}, "'least_latency' or 'cheapest'"),
    ],
)
def test_a_policy_fits_its_kind(policy: dict[str, Any], said: str) -> None:
    told = faults({"policies": {"p": policy}, "routes": [{"name": "r", "policy": "p"}]})
    assert len(told) == 1
    assert said in next(iter(told.values()))


@pytest.mark.parametrize(
    ("match", "path", "said"),
    [
        ({"hours": "9-17"}, "routes[0].match.hours", "give HH:MM-HH:MM"),
        ({"timezone": "Mars/Olympus"}, "routes[0].match.timezone", "not known here"),
        ({"timezone": "../etc"}, "routes[0].match.timezone", "not known here"),
        ({"min_tokens": 9, "max_tokens": 8}, "routes[0].match", "takes no request"),
        ({"headers": {"X-Team": "a"}}, "routes[0].match.headers", "lower case"),
        ({"headers": {"authorization": "a"}}, "routes[0].match.headers", "give 'tiers'"),
        ({"tiers": ["gold"]}, "routes[0].match.tiers[0]", "'enterprise'"),
    ],
)
def test_a_match_that_cannot_be_is_refused(match: dict[str, Any], path: str, said: str) -> None:
    told = faults({**FALLBACKS, "routes": [{"name": "r", "match": match, "policy": "p"}]})
    assert list(told) == [path]
    assert said in told[path]


def test_a_fallback_must_hold_what_it_stands_in_for() -> None:
    told = faults(FALLBACKS, a={"context_tokens": 128000}, b={"context_tokens": 8192})
    assert list(told) == ["policies.p.backends[1]"]
    assert "holds 8192 tokens, but 'a', for which it stands in, is sent up to 128000" in told["policies.p.backends[1]"]
    limited = {**FALLBACKS, "routes": [{"name": "r", "match": {"max_tokens": 8192}, "policy": "p"}]}
    assert Config.parse({"backends": backends(a={"context_tokens": 128000}, b={"context_tokens": 8192}), **limited}).routes


def test_a_fallback_must_do_what_it_stands_in_for() -> None:
    more: dict[str, Any] = {"a": {"tasks": ALL}, "b": {"tasks": ["chat"]}}
    told = faults(FALLBACKS, **more)
    assert "'b' does not do completions, embeddings, which 'a' does" in told["policies.p.backends[1]"]
    chat = {**FALLBACKS, "routes": [{"name": "r", "match": {"tasks": ["chat"]}, "policy": "p"}]}
    assert Config.parse({"backends": backends(**more), **chat}).routes
    anthropic = {"b": {"protocol": "anthropic"}}
    assert "'b' does not do completions" in faults(FALLBACKS, **anthropic)["policies.p.backends[1]"]


def test_a_route_must_not_lead_to_what_cannot_serve_it() -> None:
    embedding = {"name": "r", "match": {"tasks": ["embeddings"], "min_tokens": 10_000}, "policy": "p"}
    told = faults({**FALLBACKS, "routes": [embedding]}, a={"tasks": ALL, "context_tokens": 8192}, b={"tasks": ["chat"]})
    assert told == {
        "policies.p.backends[0]": "'a' holds 8192 tokens, and routes[0] sends it 10000 or more",
        "policies.p.backends[1]": "'b' does not do embeddings, which routes[0] sends to it",
    }


@pytest.mark.parametrize("junk", [7, "x", [7], {"p": 7}, {"p": {"backends": 7, "weights": [1]}}, [{"match": 7, "policy": []}]])
def test_junk_is_told_as_faults(junk: object) -> None:
    assert faults({"policies": junk, "routes": junk})


async def test_a_route_decides_a_real_request() -> None:
    policies = {"canary": {"kind": "weighted", "weights": {"one": 0, "two": 1}}}
    routes = [{"name": "team", "match": {"headers": {"x-team": "search"}}, "policy": "canary"}]
    async with (
        upstream() as one,
        upstream() as two,
        serving(backend(one), backend(two, "two"), policies=policies, routes=routes) as served,
    ):
        answer = await served.chat(headers={"X-Team": "search"})
        other = await served.chat()
    assert (answer.headers["x-slipway-rule"], answer.headers["x-slipway-backend"]) == ("team", "two")
    assert (other.headers["x-slipway-rule"], other.headers["x-slipway-backend"]) == ("cost", "one")


async def test_a_decision_is_explained_without_a_call() -> None:
    policies = {"code": {"kind": "cheapest", "quality": "high"}}
    routes = [
        {"name": "nobody", "match": {"tiers": ["enterprise"]}, "policy": "code"},
        {"name": "code", "match": {"task_types": ["code"]}, "policy": "code"},
    ]
    async with (
        upstream() as one,
        upstream() as two,
        serving(
            backend(one, quality="high", context_tokens=4, resource="llama", cost_per_1k_tokens=1),
            backend(two, "two", domain="west"),
            policies=policies,
            routes=routes,
        ) as served,
    ):
        served.router.targets["two"].status.quota.rest(30)
        asked = {**CHAT, "max_tokens": 100}
        told = (await served.client.post("/v1/route", json=asked, headers={"x-task-type": "code"})).json()
        plain = (await served.client.post("/v1/route", json={"input": "text", "model": "x"})).json()
        rules = (await served.client.post("/v1/route", json=CHAT)).json()
        broken = await served.client.post("/v1/route", content=b"{")
    assert one.got == two.got == []
    assert (told["task"], told["rule"], told["policy"], told["estimated_tokens"]) == ("chat", "code", "cheapest", 101)
    assert told["passed_over"] == [{"route": "nobody", "because": "tiers"}]
    first, second = told["order"]
    assert (first["backend"], first["resource"], first["usable"], first["against"]) == (
        "one",
        "llama",
        False,
        ["it holds 4 tokens"],
    )
    assert (second["backend"], second["domain"], second["usable"]) == ("two", "west", False)
    [against] = second["against"]
    assert re.fullmatch(r"it asked to be left alone for (2\d|30) s more", against)
    assert plain["error"]["code"] == "model_not_found"
    assert (rules["rule"], rules["policy"], [r["because"] for r in rules["passed_over"]]) == (
        "fallback",
        "rules",
        ["tiers", "task_types"],
    )
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, "invalid_json")


async def test_an_explanation_needs_a_key_where_keys_are() -> None:
    async with upstream() as up, serving(backend(up), keys=[{"name": "k", "env": "K"}], environ={"K": "secret"}) as served:
        refused = await served.client.post("/v1/route", json=CHAT)
        told = await served.client.post("/v1/route", json=CHAT, headers={"authorization": "Bearer secret"})
    assert (refused.status_code, told.status_code) == (401, 200)
