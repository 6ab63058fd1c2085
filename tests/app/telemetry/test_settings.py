"""What telemetry can be told, and what it refuses."""

from typing import Any

import pytest
from tests.app.serving import backend

from slipway_router.config import Config, ConfigError
from slipway_router.router import Router
from slipway_router.variables import named

OTEL = {"endpoint": "http://collector:4318"}


def faults(telemetry: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        Config.parse({"backends": [backend("http://127.0.0.1:1/v1")], "telemetry": telemetry})
    return dict(caught.value.faults)


@pytest.mark.parametrize(
    ("telemetry", "path", "says"),
    [
        ({"most_keys": -1}, "most_keys", "is -1; input should be greater than or equal to 0"),
        ({"most_keys": 10**6}, "most_keys", "less than or equal to 100000"),
        ({"log": {}}, "log", "is not a setting here"),
        ({"logs": {"format": "xml"}}, "logs.format", "is 'xml'; give 'text' or 'json'"),
        ({"logs": {"level": "loud"}}, "logs.level", "is 'loud'; give 'debug', 'info', 'warning' or 'error'"),
        ({"logs": {"requests": "maybe"}}, "logs.requests", "is 'maybe'"),
        ({"otel": {}}, "otel.endpoint", "is required"),
        ({"otel": {"endpoint": "collector:4317"}}, "otel.endpoint", "give http://HOST:4318 or https://HOST"),
        ({"otel": {"endpoint": "http://user:secret@host"}}, "otel.endpoint", "without user, query or fragment"),
        ({"otel": {**OTEL, "token_env": "a-b"}}, "otel.token_env", "never the token itself"),
        ({"otel": {**OTEL, "service_name": ""}}, "otel.service_name", "at least 1 character"),
        ({"otel": {**OTEL, "sample": 1.5}}, "otel.sample", "less than or equal to 1"),
        ({"otel": {**OTEL, "sample": -0.1}}, "otel.sample", "greater than or equal to 0"),
        ({"otel": {**OTEL, "interval_seconds": 0.5}}, "otel.interval_seconds", "greater than or equal to 1"),
        ({"otel": {**OTEL, "interval_seconds": 7200}}, "otel.interval_seconds", "less than or equal to 3600"),
        ({"otel": {**OTEL, "content": "no, thanks"}}, "otel.content", "is 'no, thanks'"),
        ({"otel": {**OTEL, "follow_parent": 7}}, "otel.follow_parent", "is 7"),
        ({"otel": {**OTEL, "traces": False, "metrics": False}}, "otel", "switch one on, or leave 'otel' out"),
    ],
)
def test_each_wrong_value_is_told_with_its_path_and_the_choice(telemetry: dict[str, Any], path: str, says: str) -> None:
    assert says in faults(telemetry)[f"telemetry.{path}"]


def test_all_faults_are_told_at_once() -> None:
    assert len(faults({"most_keys": -1, "logs": {"format": "xml"}, "otel": {**OTEL, "sample": 2}})) == 3


def test_a_token_that_is_not_in_the_environment_is_told_by_the_variables_name() -> None:
    config = Config.parse(
        {"backends": [backend("http://127.0.0.1:1/v1")], "telemetry": {"otel": {**OTEL, "token_env": "OTLP_TOKEN"}}}
    )
    assert named(config) == [("telemetry.otel.token_env", "OTLP_TOKEN")]
    with pytest.raises(
        ConfigError, match=r"telemetry.otel.token_env: names the environment variable OTLP_TOKEN, which is not set"
    ):
        Router(config, {})


def test_nobody_is_told_unless_asked_for() -> None:
    config = Config.parse({"backends": [backend("http://127.0.0.1:1/v1")]})
    assert not config.telemetry.records
