"""The configuration's errors, as far as its own schema makes them."""

from pathlib import Path
from typing import Any

import pytest

from slipway_router.config import Config, ConfigError


def faults(**data: Any) -> list[str]:
    with pytest.raises(ConfigError) as refused:
        Config.parse(data)
    return [path for path, _ in refused.value.faults]


def test_a_list_whose_only_entry_is_wrong_is_not_called_empty() -> None:
    assert faults(backends=[{"name": "a", "url": "ftp://h", "model": "m"}]) == ["backends[0].url"]
    assert faults(backends=[]) == ["backends"]
    assert faults(backends=[{"name": "a", "url": "ftp://h"}, 7]) == ["backends[0].url", "backends[0].model", "backends[1]"]


WELL: dict[str, Any] = {"name": "a", "url": "http://h:8000/v1/", "model": "m"}


def test_every_fault_is_told_at_once_with_its_path() -> None:
    assert faults(
        backends=[WELL, {**WELL, "name": "A b"}, {**WELL, "url": "http://h:0"}, {**WELL, "name": "auto", "api_key_env": "1"}],
        keys=[{"name": "k"}, {"name": "k", "env": "A", "sha256": "00"}],
        policy={"best": "z", "preferences": ["a", "y"]},
        listen={"port": 70000},
    ) == [
        "listen.port",
        "backends[1].name",
        "backends[2].url",
        "backends[3].name",
        "backends[3].api_key_env",
        "keys[1].sha256",
        "backends[2].name",
        "keys[1].name",
        "keys[0]",
        "keys[1]",
        "policy.best",
        "policy.preferences[1]",
    ]


@pytest.mark.parametrize(
    ("backend", "settings", "path", "said"),
    [
        ({"quota": "a b"}, {}, "backends[0].quota", "give letters"),
        ({"breaker": {"failures": 9, "window": 5}}, {}, "backends[0].breaker", "9 failures among 5 outcomes"),
        ({"tasks": ["embeddings"], "health_check": "completion"}, {}, "backends[0].health_check", "give 'models'"),
        ({"min_replicas": 3, "max_replicas": 2}, {}, "backends[0].min_replicas", "is 3, above max_replicas (2)"),
        ({"ramp_seconds": 9}, {}, "backends[0].ramp_seconds", "goes with 'min_replicas: 0'"),
        ({"min_replicas": 1, "max_waiting": 9}, {}, "backends[0].max_waiting", "goes with 'min_replicas: 0'"),
        ({"min_replicas": 0, "health_check": "completion"}, {}, "backends[0].health_check", "keep the backend from scaling"),
        (
            {"input_cost_per_1m_tokens": 1},
            {},
            "backends[0].input_cost_per_1m_tokens",
            "goes with 'output_cost_per_1m_tokens'; give both",
        ),
        (
            {"input_cost_per_1m_tokens": 1, "output_cost_per_1m_tokens": 2, "cost_per_1k_tokens": 0.1},
            {},
            "backends[0].cost_per_1k_tokens",
            "is one price, and 'input_cost_per_1m_tokens' is there too",
        ),
        (
            {"replica_cost_per_hour": 4, "cost_per_1k_tokens": 0.1},
            {},
            "backends[0].replica_cost_per_hour",
            "is what the hour costs, and 'cost_per_1k_tokens' what a token does",
        ),
        ({}, {"retries": {"rounds": 9}}, "retries.rounds", "less than or equal to 5"),
        (
            {"timeouts": {"connect": 1, "first_byte": 29, "total": 70}},
            {"retries": {"rounds": 2}},
            "retries.rounds",
            "is 2: 3 x (connect 1 s + first_byte 29 s) = 90 s, but backends[0].timeouts.total is 70 s; give at most 1",
        ),
    ],
)
def test_what_cannot_keep_steady_is_refused(backend: dict[str, Any], settings: dict[str, Any], path: str, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.parse({"backends": [{**WELL, **backend}], **settings})
    [(where, why)] = refused.value.faults
    assert where == path
    assert said in why


def test_rounds_that_fit_the_deadline_are_taken() -> None:
    timeouts = {"connect": 1, "first_byte": 29, "total": 90}
    assert Config.parse({"backends": [{**WELL, "timeouts": timeouts}], "retries": {"rounds": 2}}).retries.rounds == 2


def test_a_file_is_read_as_yaml_or_json(tmp_path: Path) -> None:
    for text in (
        "backends: [{name: a, url: 'http://h/v1', model: m}]",
        '{"backends":[{"name":"a","url":"http://h/v1","model":"m"}]}',
    ):
        path = tmp_path / "router"
        path.write_text(text)
        assert Config.load(path).backends[0].name == "a"


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read"), (b"a: [", "neither YAML nor JSON"), (b"\xff", "neither YAML")]
)
def test_a_file_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "router.yaml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        Config.load(path)


def test_the_policy_names_every_backend_from_their_own_facts() -> None:
    backends = [
        {**WELL, "name": "large", "quality": "high", "cost_per_1k_tokens": 0.03},
        {**WELL, "name": "other", "cost_per_1k_tokens": 0.01},
        {**WELL, "name": "own", "self_hosted": True, "cost_per_1k_tokens": 0.002},
        {**WELL, "name": "mini", "cost_per_1k_tokens": 0.001},
    ]
    policy = Config.parse({"backends": backends}).resolved_policy()
    assert (policy.best, policy.self_hosted, policy.cheap, policy.last_resort) == ("large", "own", "mini", "mini")
    assert policy.preferences == ("mini", "own", "other", "large")
    assert Config.parse({"backends": backends}).backends[0].url == "http://h:8000/v1"
