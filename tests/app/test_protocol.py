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
        ("backends[0].api_version", "goes with the protocols azure, anthropic, vertex-anthropic only; leave it out"),
        ("backends[0].default_max_tokens", "goes with the protocols anthropic, vertex-anthropic only; leave it out"),
    ]
    right = backend(protocol="anthropic", api_version="2023-06-01", default_max_tokens=5)
    assert Config.parse({"backends": [right]}).backends[0].default_max_tokens == 5


def test_an_unknown_protocol_is_told_with_those_there_are() -> None:
    choice = "'openai', 'azure', 'anthropic', 'vertex', 'vertex-raw', 'vertex-anthropic', 'sagemaker' or 'bedrock'"
    assert faults(protocol="cohere") == [("backends[0].protocol", f"is 'cohere'; give {choice}")]


@pytest.mark.parametrize(
    ("url", "region"),
    [
        ("https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/a", "eu-central-1"),
        ("https://runtime-fips.sagemaker.us-east-1.amazonaws.com/endpoints/a", "us-east-1"),
        ("https://runtime.sagemaker.cn-north-1.amazonaws.com.cn/endpoints/a", "cn-north-1"),
        ("https://vpce-1.runtime.sagemaker.eu-west-1.vpce.amazonaws.com/endpoints/a", "eu-west-1"),
    ],
)
def test_the_address_tells_the_aws_region(url: str, region: str) -> None:
    assert Config.parse({"backends": [backend(protocol="sagemaker", url=url)]}).backends[0].resolved_region == region


def test_an_address_without_a_region_wants_one() -> None:
    assert faults(protocol="sagemaker") == [("backends[0].region", "is required: the address does not tell the AWS region")]
    assert (
        Config.parse({"backends": [backend(protocol="sagemaker", region="eu-west-1")]}).backends[0].resolved_region == "eu-west-1"
    )
    assert [p for p, _ in faults(region="eu-west-1")] == ["backends[0].region"]


def test_variant_and_component_are_sagemaker_s() -> None:
    assert faults(target_variant="a") == [("backends[0].target_variant", "goes with the protocol sagemaker only; leave it out")]
    both = faults(protocol="sagemaker", region="eu-west-1", target_variant="a", inference_component="b")
    assert both == [("backends[0].target_variant", "does not go with 'inference_component': give the one that is to be asked")]
    wrong = faults(protocol="sagemaker", region="eu-west-1", target_variant="a\r\nx: y")
    assert [path for path, _ in wrong] == ["backends[0].target_variant"]


def test_an_identity_takes_no_key() -> None:
    assert [p for p, _ in faults(protocol="vertex", api_key_env="KEY")] == ["backends[0].api_key_env"]
    assert [p for p, _ in faults(protocol="sagemaker", region="r", api_key_env="KEY")] == ["backends[0].api_key_env"]


@pytest.mark.parametrize("wrong", [[], {}, 3])
def test_what_is_no_name_at_all_is_told_once(wrong: object) -> None:
    assert [path for path, _ in faults(protocol=wrong, region="eu-west-1", api_version="1")] == ["backends[0].protocol"]
