"""ArtifactRepository: its refusals, and the graph that it registers. That Google Cloud makes it is not proven here."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.sdk_types import faults

from slipway import ArtifactRepository
from slipway.gcp.artifact_repository import ArtifactRepositoryArgs
from slipway.plan import Plan, plan_program

SMALL: ArtifactRepositoryArgs = {"location": "europe-west4"}
READER = "serviceAccount:nodes@search.iam.gserviceaccount.com"


def planned(args: ArtifactRepositoryArgs, name: str = "serving") -> Plan:
    return plan_program(lambda: ArtifactRepository(name, args).grant_read(READER))


def test_images_are_scanned_kept_and_deleted_and_tags_stay() -> None:
    plan = planned({**SMALL, "project": "search", "keep_versions": 3, "delete_untagged_days": 7})
    made = [r for r in plan.resources if r.custom]
    assert {r.name for r in made} == {"serving-repository", "serving-read-reader"}
    assert {r.parent for r in made} == {plan["serving"].urn}
    assert [line for r in made for line in faults(r)] == []
    inputs = plan["serving-repository"].inputs
    assert (inputs["repositoryId"], inputs["format"]) == ("serving", "DOCKER")
    assert inputs["dockerConfig"] == {"immutableTags": True}
    assert inputs["cleanupPolicies"] == [
        {"id": "keep-newest", "action": "KEEP", "mostRecentVersions": {"keepCount": 3}},
        {"id": "delete-untagged", "action": "DELETE", "condition": {"tagState": "UNTAGGED", "olderThan": "604800s"}},
    ]
    assert plan["serving-read-reader"].inputs["role"] == "roles/artifactregistry.reader"


@pytest.mark.parametrize(
    ("wrong", "path", "words"),
    [
        ({"location": None}, "location", "is required"),
        ({"location": "Europe West"}, "location", "a region such as"),
        ({"repository_id": "Serving"}, "repository_id", "lower case letters"),
        ({"keep_versions": 0}, "keep_versions", "at least 1"),
        ({"delete_untagged_days": 0}, "delete_untagged_days", "at least 1"),
        ({"kms_key": "k"}, "kms_key", "cryptoKeys/K"),
        ({"mutable_tags": "no"}, "mutable_tags", "true or false"),
        ({"tags": []}, "tags", "is not an argument"),
    ],
)
def test_each_fault_is_told_by_its_path(wrong: Mapping[str, Any], path: str, words: str) -> None:
    args: Any = {**SMALL, **wrong}
    with pytest.raises(pulumi.InputPropertiesError) as error:
        planned(args)
    (fault,) = error.value.errors or []
    assert fault["property_path"] == f"args.{path}"
    assert words in fault["reason"]


def test_the_component_s_name_must_be_one_for_a_repository() -> None:
    with pytest.raises(pulumi.InputPropertiesError, match=r"args\.name: \(the component's own\) is 'My Images'"):
        planned(SMALL, "My Images")


def test_it_can_be_hosted_for_other_languages() -> None:
    component = Analyzer("slipway").analyze([ArtifactRepository])["component_definitions"]["ArtifactRepository"]
    assert {name for name, given in component.inputs.items() if not given.optional} == {"location"}
    assert set(component.outputs) == {"url"}
