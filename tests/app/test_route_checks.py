"""What is proven of routes and policies before they serve: that each can be reached, and that all it leads to can answer."""

from typing import Any

import pytest

from slipway_router.config import Config, ConfigError


def faults(backends: dict[str, dict[str, Any]], **settings: Any) -> dict[str, str]:
    listed = [{"name": n, "url": f"http://{n}/v1", "model": n, **more} for n, more in backends.items()]
    try:
        Config.parse({"backends": listed, **settings})
    except ConfigError as error:
        return dict(error.faults)
    return {}


def routes(*matches: dict[str, Any], policies: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    used = policies or ("all",) * len(matches)
    return [{"name": f"r{i}", "match": m, "policy": p} for i, (m, p) in enumerate(zip(matches, used, strict=True))]


EVERY = {"all": {"kind": "least_latency"}}
AB: dict[str, dict[str, Any]] = {"a": {}, "b": {}}


@pytest.mark.parametrize(
    ("earlier", "later", "hidden"),
    [
        ({}, {"tiers": ["free"]}, True),
        ({"timezone": "Europe/Berlin"}, {"tiers": ["free"]}, True),
        ({"tiers": ["free", "paid"]}, {"tiers": ["paid"], "tasks": ["chat"]}, True),
        ({"tiers": ["paid"]}, {"tiers": ["free", "paid"]}, False),
        ({"tiers": ["paid"]}, {"tasks": ["chat"]}, False),
        ({"tiers": ["free", "paid", "enterprise"]}, {}, True),
        ({"task_types": ["code"]}, {"task_types": ["code"], "headers": {"x-team": "a"}}, True),
        ({"headers": {"x-team": "search-*"}}, {"headers": {"x-team": "search-web"}}, True),
        ({"headers": {"x-team": "*"}}, {"headers": {"x-team": "web-*", "x-more": "1"}}, True),
        ({"headers": {"x-team": "search-*"}}, {"headers": {"x-team": "*"}}, False),
        ({"headers": {"x-team": "search-*"}}, {"headers": {"x-team": "search-?"}}, False),
        ({"headers": {"x-team": "a"}}, {"tiers": ["free"]}, False),
        ({"min_tokens": 100}, {"min_tokens": 1000}, True),
        ({"min_tokens": 1000}, {"min_tokens": 100}, False),
        ({"min_tokens": 1}, {}, False),
        ({"max_tokens": 1000}, {"max_tokens": 10}, True),
        ({"max_tokens": 1000}, {"min_tokens": 10}, False),
        ({"hours": "08:00-18:00"}, {"hours": "08:00-18:00", "tiers": ["free"]}, True),
        ({"hours": "08:00-18:00"}, {"hours": "08:00-18:00", "timezone": "Asia/Tokyo"}, False),
        ({"hours": "08:00-18:00"}, {}, False),
        ({"models": ["x", "y"]}, {"models": ["y"]}, True),
        ({"models": ["x"]}, {"models": ["x", "y"]}, False),
        ({"models": ["x"]}, {}, False),
        # Who asks for 'z' by name is passed over by the first, which has no such model.
        ({}, {"models": ["z"]}, False),
    ],
)
def test_a_route_that_another_hides_is_never_reached(earlier: dict[str, Any], later: dict[str, Any], hidden: bool) -> None:
    told = faults(AB, policies=EVERY, routes=routes(earlier, later))
    assert set(told) == ({"routes[1]"} if hidden else set())
    if hidden:
        whole = not set(earlier) - {"timezone"}
        assert told["routes[1]"] == "is never reached: routes[0] before it takes " + (
            "every request; put that last" if whole else "all that it would; put this one before that, or leave it out"
        )


def test_a_route_that_leads_to_less_hides_none_that_leads_to_more() -> None:
    policies = {"one": {"kind": "priority", "backends": ["a"]}, "other": {"kind": "weighted", "weights": {"b": 1}}, **EVERY}
    assert faults(AB, policies={k: policies[k] for k in ("one", "other")}, routes=routes({}, {}, policies=("one", "other"))) == {}
    assert faults(AB, policies={k: policies[k] for k in ("one", "all")}, routes=routes({}, {}, policies=("one", "all"))) == {}
    told = faults(AB, policies={k: policies[k] for k in ("one", "all")}, routes=routes({}, {}, policies=("all", "one")))
    assert list(told) == ["routes[1]"]
    assert list(faults(AB, routes=routes({}, {"tiers": ["free"]}, policies=("rules", "rules")))) == ["routes[1]"]


@pytest.mark.parametrize(
    ("backends", "match", "keys", "path", "said"),
    [
        (
            AB,
            {"tiers": ["paid"]},
            ["free", "enterprise"],
            "tiers",
            "names 'paid', which no key has; the keys have 'enterprise', 'free'",
        ),
        (AB, {"tasks": ["embeddings"]}, [], "tasks", "names 'embeddings', which no backend does"),
        (
            {"a": {"context_tokens": 100}, "b": {"context_tokens": 200}},
            {"min_tokens": 300},
            [],
            "min_tokens",
            "is 300, and no backend holds more than 200 tokens",
        ),
    ],
)
def test_a_condition_that_nobody_meets_is_refused(
    backends: dict[str, dict[str, Any]], match: dict[str, Any], keys: list[str], path: str, said: str
) -> None:
    made = [{"name": f"k{i}", "tier": t, "env": "K"} for i, t in enumerate(keys)]
    assert faults(backends, policies=EVERY, routes=routes(match), keys=made) == {f"routes[0].match.{path}": said}


def test_a_condition_that_may_be_met_is_taken() -> None:
    assert faults({"a": {"context_tokens": 100}, "b": {}}, policies=EVERY, routes=routes({"min_tokens": 300})) == {}
    assert faults(AB, policies=EVERY, routes=routes({"tiers": ["paid"]})) == {}


@pytest.mark.parametrize(
    ("qualities", "asked", "refused"),
    [
        (("low", "medium"), "high", "is 'high', and its backends have 'medium' at best; give that, or name a better backend"),
        (("low", "high"), "high", None),
        (("low", "low"), "medium", "is 'medium', and its backends have 'low' at best; give that, or name a better backend"),
        (("low", "junk"), "junk", None),
    ],
)
def test_a_quality_that_no_backend_has_is_refused(qualities: tuple[str, str], asked: str, refused: str | None) -> None:
    backends = {n: {"quality": q} for n, q in zip("ab", qualities, strict=True)}
    told = faults(backends, policies={"all": {"kind": "cheapest", "quality": asked}}, routes=routes({}))
    assert told.get("policies.all.quality") == refused if asked != "junk" else "give 'low'" in told["policies.all.quality"]


def test_a_fallback_must_have_time_left() -> None:
    slow, hasty = {"timeouts": {"first_byte": 58, "total": 600}}, {"timeouts": {"first_byte": 28, "total": 80}}
    policies = {"all": {"kind": "priority", "backends": ["a", "b"]}}
    told = faults({"a": slow, "b": hasty}, policies=policies, routes=routes({}))
    assert told == {
        "policies.all.backends[1]": "'b' is asked after 60 s at worst, if those before it take all their time, and may "
        "itself take connect 2 s + first_byte 28 s, but its timeouts.total is 80 s; raise that, or give those before it a "
        "shorter first_byte"
    }
    assert faults({"a": hasty, "b": slow}, policies=policies, routes=routes({})) == {}
    many: dict[str, dict[str, Any]] = {n: {} for n in "abcdefgh"}
    told = faults(many, policies={"all": {"kind": "priority", "backends": list(many)}}, routes=routes({}))
    assert list(told) == ["policies.all.backends[7]"]


def test_a_name_that_is_kept_for_the_choice_cannot_be_served() -> None:
    told = faults({"a": {"serves": ["gpt", "auto"]}})
    assert told == {"backends[0].serves": "names 'auto', by which clients leave the choice to the policy; take it out"}
