from typing import Any

import pytest

from slipway_router.config import Config, ConfigError


def backend(**more: Any) -> dict[str, Any]:
    return {"name": "a", "url": "https://example.com/v1", "model": "m", **more}


def faults(**more: Any) -> list[tuple[str, str]]:
    with pytest.raises(ConfigError) as refused:
        Config.parse({"backends": [backend(**more)]})
    return refused.value.faults


def test_anthropic_knows_conversations_only() -> None:
    assert Config.parse({"backends": [backend(protocol="anthropic")]}).backends[0].tasks == ("chat",)
    assert faults(protocol="anthropic", tasks=["chat", "embeddings"]) == [
        ("backends[0].tasks[1]", "is 'embeddings'; the protocol anthropic knows 'chat' only")
    ]


def test_what_goes_with_one_protocol_is_refused_with_another() -> None:
    assert faults(api_version="1", default_max_tokens=5) == [
        ("backends[0].api_version", "goes with the protocols azure, anthropic only; leave it out"),
        ("backends[0].default_max_tokens", "goes with the protocol anthropic only; leave it out"),
    ]
    right = backend(protocol="anthropic", api_version="2023-06-01", default_max_tokens=5)
    assert Config.parse({"backends": [right]}).backends[0].default_max_tokens == 5


def test_an_unknown_protocol_is_told_with_those_there_are() -> None:
    assert faults(protocol="cohere") == [("backends[0].protocol", "is 'cohere'; give 'openai', 'azure' or 'anthropic'")]
