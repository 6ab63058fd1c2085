"""What a configuration with shadows refuses."""

from typing import Any

import pytest

from slipway_router.config import Config, ConfigError


def backends(*candidates: dict[str, Any]) -> list[dict[str, Any]]:
    made = [{"name": "own", "context_tokens": 8000, "quota": "q"}, {"name": "gpt", "context_tokens": 4000, "serves": ["fast"]}]
    return [{"url": "http://h/v1", "model": f"m-{b['name']}", **b} for b in (*made, *candidates)]


def shadow(**more: Any) -> dict[str, Any]:
    return {"name": "s", "backend": "next", "share": 0.1, **more}


NEXT: dict[str, Any] = {"name": "next"}
FAULTS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any], str, str]] = [
    (NEXT, {"share": 0}, {}, "shadows[0].share", "greater than 0"),
    (NEXT, {"share": 1.5}, {}, "shadows[0].share", "less than or equal to 1"),
    (NEXT, {"name": "A b"}, {}, "shadows[0].name", "lower case letters"),
    (NEXT, {"max_in_flight": 0}, {}, "shadows[0].max_in_flight", "greater than or equal to 1"),
    (NEXT, {"deadline_seconds": 0}, {}, "shadows[0].deadline_seconds", "greater than 0"),
    (NEXT, {"samples": {"file": "a.jsonl"}}, {}, "shadows[0].samples.file", "give a path from '/' on"),
    (NEXT, {"backend": "nxt"}, {}, "shadows[0].backend", "no backend; there are 'own', 'gpt', 'next'"),
    (NEXT, {"match": {"models": ["slow", "fast"]}}, {}, "shadows[0].match.models", "'slow', which no client can ask for"),
    (NEXT, {"match": {"models": ["next"]}}, {}, "shadows[0].match.models", "'next', which no client can ask for"),
    (NEXT, {"match": {"tasks": ["embeddings"]}}, {}, "shadows[0].match.tasks", "vectors differ"),
    ({**NEXT, "tasks": ["chat"]}, {"match": {"tasks": ["completions"]}}, {}, "shadows[0].match.tasks", "'next' does not do"),
    ({**NEXT, "tasks": ["embeddings"]}, {}, {}, "shadows[0].backend", "neither 'chat' nor 'completions'"),
    ({**NEXT, "context_tokens": 4000}, {}, {}, "shadows[0].backend", "up to 8000 tokens are answered: longer"),
    (
        {**NEXT, "context_tokens": 4000},
        {"match": {"max_tokens": 5000}},
        {},
        "shadows[0].backend",
        "'match' takes requests of up to 5000 tokens: longer ones cannot be compared; match 'max_tokens: 4000'",
    ),
    ({**NEXT, "quota": "q"}, {}, {}, "shadows[0].backend", "shares the quota 'q' with 'own'"),
    (NEXT, {}, {"policy": {"best": "next"}}, "policy.best", "which shadows[0] copies to and which answers nobody"),
    (NEXT, {}, {"policy": {"preferences": ["own", "next"]}}, "policy.preferences[1]", "answers nobody"),
    (
        NEXT,
        {},
        {"policies": {"p": {"kind": "weighted", "weights": {"own": 9, "next": 1}}}, "routes": [{"name": "r", "policy": "p"}]},
        "policies.p.weights.next",
        "list its address once more as a backend of another name",
    ),
    (
        NEXT,
        {},
        {"policies": {"p": {"kind": "priority", "backends": ["next"]}}, "routes": [{"name": "r", "policy": "p"}]},
        "policies.p.backends[0]",
        "answers nobody",
    ),
]


@pytest.mark.parametrize(("candidate", "settings", "more", "path", "said"), FAULTS)
def test_what_cannot_be_compared_is_refused(
    candidate: dict[str, Any], settings: dict[str, Any], more: dict[str, Any], path: str, said: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.parse({"backends": backends(candidate), "shadows": [shadow(**settings)], **more})
    [(where, why)] = refused.value.faults
    assert where == path
    assert said in why


def test_names_differ_and_somebody_answers() -> None:
    entries = [{"name": "a", "url": "http://h/v1", "model": "m"}, {"name": "b", "url": "http://h/v1", "model": "m"}]
    shadows = [shadow(backend="a"), shadow(backend="b")]
    with pytest.raises(ConfigError) as refused:
        Config.parse({"backends": entries, "shadows": shadows})
    assert [path for path, _ in refused.value.faults] == ["shadows[1].name", "shadows"]


@pytest.mark.parametrize(
    ("candidate", "settings"),
    [
        (NEXT, {}),
        ({**NEXT, "context_tokens": 8000}, {}),
        ({**NEXT, "context_tokens": 4000}, {"match": {"max_tokens": 4000, "models": ["fast", "auto", "m-own"]}}),
        ({**NEXT, "tasks": ["chat"], "quota": "other"}, {"match": {"tasks": ["chat"]}, "sticky": True}),
    ],
)
def test_what_can_be_is_taken(candidate: dict[str, Any], settings: dict[str, Any]) -> None:
    config = Config.parse({"backends": backends(candidate), "shadows": [shadow(**settings)]})
    assert [b.name for b in config.answering] == ["own", "gpt"]
    assert "next" not in config.resolved_policy().preferences
