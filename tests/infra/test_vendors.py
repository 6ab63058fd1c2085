"""Vendors' APIs as backends, and what their clouds must allow whoever asks them."""

from typing import Any

import pytest

from slipway.args import Faults
from slipway.backend import check_router
from slipway.vendors import PREDICT, vendor


def test_bedrock_by_its_region() -> None:
    nova = vendor("bedrock", name="nova", model="amazon.nova-lite-v1:0", region="eu-central-1", quality="low")
    assert nova == {
        "name": "nova",
        "model": "amazon.nova-lite-v1:0",
        "region": "eu-central-1",
        "quality": "low",
        "url": "https://bedrock-runtime.eu-central-1.amazonaws.com",
        "protocol": "bedrock",
        "tasks": ["chat"],
        "domain": "aws/eu-central-1",
        "aws_permissions": [
            {
                "actions": ("bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"),
                "resources": ["arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-lite-v1:0"],
            }
        ],
    }


PROFILE = "arn:aws:bedrock:eu-central-1:123456789012:application-inference-profile/abc"


@pytest.mark.parametrize(
    ("model", "region", "resources"),
    [
        (
            "eu.anthropic.claude-x-v1:0",
            "eu-central-1",
            [
                "arn:aws:bedrock:eu-central-1:*:inference-profile/eu.anthropic.claude-x-v1:0",
                "arn:aws:bedrock:*::foundation-model/anthropic.claude-x-v1:0",
            ],
        ),
        (
            "us-gov.anthropic.claude-x-v1:0",
            "us-gov-west-1",
            [
                "arn:aws-us-gov:bedrock:us-gov-west-1:*:inference-profile/us-gov.anthropic.claude-x-v1:0",
                "arn:aws-us-gov:bedrock:*::foundation-model/anthropic.claude-x-v1:0",
            ],
        ),
        ("qwen.q-v1:0", "cn-north-1", ["arn:aws-cn:bedrock:cn-north-1::foundation-model/qwen.q-v1:0"]),
        (PROFILE, "eu-central-1", [PROFILE]),
    ],
)
def test_what_a_model_of_bedrock_touches(model: str, region: str, resources: list[str]) -> None:
    made = vendor("bedrock", name="b", model=model, region=region)
    assert [p["resources"] for p in made.get("aws_permissions", [])] == [resources]


@pytest.mark.parametrize(
    ("model", "location", "protocol", "url"),
    [
        (
            "google/gemini-2.5-flash",
            "europe-west4",
            "vertex",
            "https://europe-west4-aiplatform.googleapis.com/v1/projects/my-project/locations/europe-west4/endpoints/openapi",
        ),
        (
            "claude-sonnet-4-5@20250929",
            "global",
            "vertex-anthropic",
            "https://aiplatform.googleapis.com/v1/projects/my-project/locations/global",
        ),
    ],
)
def test_vertex_by_its_project_and_location(model: str, location: str, protocol: str, url: str) -> None:
    made = vendor("vertex", name="v", model=model, project="my-project", location=location)
    assert (made.get("protocol"), made["url"]) == (protocol, url)
    assert made.get("gcp_permissions") == [{"project": "my-project", "permissions": [PREDICT]}]
    assert "project" not in made


def test_the_router_takes_each() -> None:
    faults = Faults("AiApiService")
    made = [
        vendor("bedrock", name="a", model="amazon.nova-lite-v1:0", region="eu-central-1"),
        vendor("vertex", name="b", model="google/gemini-2.5-flash", project="my-project", location="global"),
        vendor("vertex", name="c", model="claude-sonnet-4-5@20250929", project="my-project", location="europe-west1"),
    ]
    check_router({}, made, faults)
    faults.refuse("api")


@pytest.mark.parametrize(
    ("which", "more", "said"),
    [
        ("acme", {}, "vendor is 'acme'; there are 'openai', 'azure', 'anthropic', 'bedrock', 'vertex'"),
        ("bedrock", {}, "region is None; give one such as 'eu-central-1'"),
        ("bedrock", {"region": "Frankfurt"}, "region is 'Frankfurt'"),
        ("vertex", {"location": "global"}, "project is None; give one such as 'my-project'"),
        ("vertex", {"project": "my-project"}, "location is None; give 'global' or a region"),
        ("vertex", {"project": "my-project", "location": "eu"}, "location is 'eu'"),
    ],
)
def test_what_is_missing_is_told_with_the_choice(which: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        vendor(which, name="a", model="m", **more)
