"""The shipped program planned with settings of the test's: what it makes of them, and how it refuses them."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml

from slipway.plan import UNKNOWN, Plan, plan_project
from slipway.plan.gpus import unprovided

ROOT = Path(__file__).parents[2]
OPENAI = {"vendor": "openai", "name": "gpt", "model": "gpt-4o", "api_key": {"name": "keys", "key": "openai"}}
LLAMA = {
    "name": "llama",
    "place": "kubernetes",
    "model": "meta-llama/Llama-3.3-70B-Instruct",
    "accelerator": "a100-80gb:4",
}
ON_AWS = {
    "name": "llama",
    "place": "aws",
    "image": "763104351884.dkr.ecr.eu-central-1.amazonaws.com/djl-inference:0.33.0-lmi15.0.0-cu128",
    "instance_type": "ml.g6.2xlarge",
    "environment": {"HF_MODEL_ID": "meta-llama/Llama-3.3-70B-Instruct"},
}
ON_GCP = {
    "name": "llama",
    "place": "gcp",
    "location": "europe-west4",
    "hugging_face_model_id": "meta-llama/Llama-3.3-70B-Instruct",
    "dedicated_endpoint": False,
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copytree(ROOT / "stacks", tmp_path / "stacks", ignore=shutil.ignore_patterns(".venv", "__pycache__", ".slipway"))
    shutil.copy(ROOT / "Pulumi.yaml", tmp_path)
    return tmp_path


def planned(project: Path, settings: Mapping[str, Any]) -> Plan:
    config = {f"slipway:{key}": value for key, value in settings.items()}
    (project / "stacks" / "Pulumi.mine.yaml").write_text(yaml.safe_dump({"config": config}))
    return plan_project(project, "mine")


def test_an_image_that_is_built_in_the_same_up_runs_by_its_digest(project: Path) -> None:
    build = {"repository": "registry.example.com/acme/router", "tags": ["1.0.0"]}
    plan = planned(project, {"vendors": [OPENAI], "router": {"place": "kubernetes", "build": build}})
    image = plan["router-image-image"]
    assert image.inputs["tags"] == ["registry.example.com/acme/router:1.0.0"]
    assert (project / "stacks" / image.inputs["context"]["location"] / "slipway_router" / "__main__.py").is_file()
    deployment = plan["router-router"]
    assert deployment.inputs["spec"]["template"]["spec"]["containers"][0]["image"] is UNKNOWN
    assert image.urn in deployment.options["dependsOn"]


def test_a_namespace_that_exists_is_not_made(project: Path) -> None:
    settings: dict[str, Any] = {
        "vendors": [OPENAI],
        "router": {"place": "kubernetes", "image": "router:1"},
        "namespace": "theirs",
    }
    assert "theirs" in planned(project, settings)
    plan = planned(project, {**settings, "createNamespace": False})
    assert "theirs" not in plan
    assert plan["router-router"].inputs["metadata"]["namespace"] == "theirs"


@pytest.mark.parametrize(
    ("settings", "faults"),
    [
        (
            {
                "vendors": [{**OPENAI, "api_key": None}],
                "namespaceArgs": {"quota": {"gpus": -1}, "deny": True},
                "gpuPrerequisites": {"existing": True, "driver": False},
                "router": {"place": "kubernetes", "image": "router:1", "external_secrets": {"store": "v", "values": {"A": {}}}},
            },
            [
                "slipway:gpuPrerequisites.driver: does nothing with 'existing'",
                "slipway:namespaceArgs.deny: is not an argument",
                "slipway:namespaceArgs.quota.gpus: is -1",
                "slipway:router.external_secrets.values.A.key: is required",
                "slipway:vendors[0].api_key: is required, since the backend's key is expected in OPENAI_API_KEY",
            ],
        ),
        (
            {
                "models": [{**LLAMA, "accelerator": "a100-80gb:3", "tensor_parallel_size": 4, "replicas": -1}],
                "vendors": [OPENAI],
                "router": {
                    "place": "kubernetes",
                    "image": "router",
                    "scaling": {"min": 5, "max": 2},
                    "settings": {"policy": {"best": "gp"}},
                },
            },
            [
                "slipway:models[0].tensor_parallel_size: is 4: tensor parallel 4 x pipeline parallel 1 = 4 GPUs, but",
                "slipway:models[0].replicas: is -1",
                "slipway:router.image: ",
                "slipway:router.scaling.min: is 5, above scaling.max = 2",
                "slipway:router.settings.policy.best: names 'gp', which is no backend; there are 'llama', 'gpt'",
            ],
        ),
        (
            {"models": [{**LLAMA, "accelerator": "a100:4"}]},
            ["slipway:models[0].accelerator: "],
        ),
        (
            {"vendors": [OPENAI], "router": {"place": "kubernetes", "build": {"repository": "router", "tags": ["latest"]}}},
            ["slipway:router.build.repository: ", "slipway:router.build.tags[0]: "],
        ),
        (
            {"models": [{"name": "m", "place": "aws", "image": "x", "instance_type": "g5"}]},
            ["slipway:models[0].image: ", "slipway:models[0].instance_type: "],
        ),
        (
            {"models": [ON_AWS, {**ON_GCP, "name": "qwen"}], "router": {"place": "kubernetes", "image": "router:1"}},
            [
                "slipway:models[0].place: is 'aws', which the router's pods ask by an identity, and they have none; give ",
                "slipway:models[1].place: is 'gcp', which the router's pods ask by an identity, and they have none; give ",
            ],
        ),
        (
            {
                "models": [
                    {**ON_AWS, "environment": {}, "routing": {"variant": "blue"}},
                    {**ON_GCP, "name": "garden", "dedicated_endpoint": True},
                    {**ON_AWS, "name": "silent", "environment": {}},
                ],
                "router": {"place": "local"},
            },
            [
                "slipway:models[0].routing.variant: is 'blue'; the endpoint's variants are: none",
                "slipway:models[1].routing.project_number: is required: the name of Model Garden's dedicated endpoint",
                "slipway:models[2].routing.model: is required: no variable HF_MODEL_ID",
            ],
        ),
        (
            {
                "models": [{**ON_AWS, "instance_type": "g5"}],
                "router": {"place": "kubernetes", "image": "router:1", "make_identity": {"gcp_project": "example-project"}},
            },
            [
                "slipway:models[0].instance_type: ",
                "slipway:router.make_identity.gcp_project: would be allowed nothing",
            ],
        ),
    ],
)
def test_the_faults_of_all_components_are_told_at_once_by_their_path_in_the_yaml(
    project: Path, settings: Mapping[str, Any], faults: list[str]
) -> None:
    with pytest.raises(pulumi.RunError) as refused:
        planned(project, settings)
    first, *told = str(refused.value).splitlines()
    count = "1 fault" if len(faults) == 1 else f"{len(faults)} faults"
    assert first == f"Pulumi.mine.yaml has {count}:"
    missing = [f for f in faults if not any(line.strip().startswith(f) for line in told)]
    assert not missing, told


def test_a_stack_says_who_provides_its_gpus_or_the_plan_warns(project: Path) -> None:
    settings = {"models": [LLAMA], "router": {"place": "kubernetes", "image": "router:1"}}
    assert ["llama asks for nvidia.com/gpu" in told for told in unprovided(planned(project, settings))] == [True]
    installed = planned(project, {**settings, "gpuPrerequisites": {"repository": "https://charts.example.com/nvidia"}})
    assert installed["gpus-operator"].inputs["chart"] == "gpu-operator"
    assert unprovided(installed) == unprovided(planned(project, {**settings, "gpuPrerequisites": {"existing": True}})) == []


def test_the_namespace_is_closed_and_one_that_an_earlier_release_made_is_kept(project: Path) -> None:
    settings = {"vendors": [OPENAI], "router": {"place": "kubernetes", "image": "router:1"}, "namespace": "mine"}
    plan = planned(project, settings)
    made = plan["mine-namespace"]
    assert made.inputs["metadata"]["name"] == "mine"
    assert made.inputs["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] == "restricted"
    # As 0.1 registered it: `kubernetes:core/v1:Namespace` right under the stack, by the namespace's name.
    assert {"name": "mine", "noParent": True} in made.options["aliases"]
    before = {plan[f"mine-{role}"].urn for role in ("namespace", "limits", "default-deny")}
    assert before <= set(plan["router-router"].options["dependsOn"])


def test_a_stack_has_its_namespaces_quota_and_its_vendors_keys_from_a_store(project: Path) -> None:
    secrets = {"store": "vault", "values": {"OPENAI_API_KEY": {"key": "prod/openai"}}}
    settings = {
        "vendors": [{**OPENAI, "api_key": None}],
        "namespace": "mine",
        "namespaceArgs": {"quota": {"gpus": 8}, "default_deny": False},
        "router": {"place": "kubernetes", "image": "router:1", "external_secrets": secrets},
    }
    plan = planned(project, settings)
    assert plan["mine-quota"].inputs["spec"]["hard"] == {"requests.nvidia.com/gpu": "8"}
    assert "mine-default-deny" not in plan
    (container,) = plan["router-router"].inputs["spec"]["template"]["spec"]["containers"]
    assert container["env"][0]["valueFrom"]["secretKeyRef"] == {"name": "router-keys", "key": "OPENAI_API_KEY"}
