"""The containers that AWS publishes, as the images of endpoints."""

from collections.abc import Mapping
from datetime import date
from typing import Any, cast

import pulumi
import pytest
from tests.infra.aws.endpoints import SMALL, inputs

from slipway import SageMakerEndpoint
from slipway.aws.ecr_image import EcrImage
from slipway.aws.sagemaker_args import SageMakerEndpointArgs
from slipway.aws.sagemaker_container_args import SageMakerEngine
from slipway.aws.sagemaker_containers import CUDA_13_AMI, accounts, engines, image_of, with_images
from slipway.aws.sagemaker_fleet import Fleet
from slipway.plan import plan_program

VLLM: dict[str, Any] = {"engine": "vllm", "version": "0.19.1", "region": "eu-central-1"}
NEWEST: dict[str, Any] = {**VLLM, "version": "0.27.1"}
VLLM_IMAGE = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/vllm:0.19.1-gpu-py312-cu129-ubuntu22.04-sagemaker"
ON_GPU: dict[str, Any] = {"instance_type": "ml.g6.2xlarge"}


def test_every_image_of_the_table_is_read_as_what_the_table_says_of_it() -> None:
    assert set(engines()) == {e.value for e in SageMakerEngine}
    for name, engine in engines().items():
        assert engine.date >= date(2026, 8, 1)
        assert set(engine.regions) | set(engine.regions_without) <= set(accounts()), name
        for version in engine.versions:
            for region in engine.there():
                image = EcrImage.parse(image_of(name, version, region))
                assert image, (name, version, region)
                assert (image.region, image.account) == (region, accounts()[region])
                # The checks of instance types look at the image alone.
                assert image.accelerator == (None if engine.accelerator == "cpu" else engine.accelerator)
                assert image.partition == ("aws-cn" if region[:3] == "cn-" else "aws-us-gov" if "-gov-" in region else "aws")


def test_an_engine_and_a_version_are_an_image_of_the_region_s_registry() -> None:
    made = Fleet.of("chat", cast("Any", {**ON_GPU, "container": VLLM}))
    assert made.own.model == {"image": VLLM_IMAGE}
    assert image_of("tgi", "3.3.6", "eu-south-1").startswith("692866216735.dkr.ecr.eu-south-1.amazonaws.com/")
    assert image_of("djl-lmi", "28.0.0", "cn-north-1").startswith("727897471807.dkr.ecr.cn-north-1.amazonaws.com.cn/")


def test_the_stack_s_region_is_the_container_s() -> None:
    def program() -> None:
        SageMakerEndpoint("chat", cast("Any", {**ON_GPU, "container": {"engine": "vllm", "version": "0.19.1"}}))

    plan = plan_program(program, config={"aws:region": "us-west-2"})
    assert plan["chat-model"].inputs["primaryContainer"]["image"] == VLLM_IMAGE.replace("eu-central-1", "us-west-2")
    assert "vllm" in plan["chat-permissions"].inputs["policy"]


def test_an_image_with_cuda_13_has_a_driver_that_knows_it() -> None:
    def ami(args: Mapping[str, Any]) -> str | None:
        return inputs(cast("SageMakerEndpointArgs", args), "chat-config")["productionVariants"][0].get("inferenceAmiVersion")

    assert ami({**ON_GPU, "container": NEWEST}) == CUDA_13_AMI
    assert ami({**ON_GPU, "container": NEWEST, "inference_ami_version": "mine"}) == "mine"
    assert ami({**ON_GPU, "container": VLLM}) is None
    assert ami({**SMALL, "variants": {"b": {"weight": 1, "container": NEWEST}}}) == CUDA_13_AMI


def test_variants_shadows_and_components_have_containers_too() -> None:
    both = {
        **ON_GPU,
        "container": VLLM,
        "variants": {"b": {"weight": 1, "container": {**VLLM, "engine": "sglang", "version": "0.5.10"}}},
    }
    own, other = Fleet.of("chat", cast("Any", both)).variants
    assert own.model["image"] == VLLM_IMAGE
    assert "/sglang:0.5.10-" in other.model["image"]
    shadow = Fleet.of("chat", cast("Any", {**SMALL, "shadow": {"weight": 1, "container": VLLM}})).shadow
    assert shadow
    assert shadow.model["image"] == VLLM_IMAGE
    parts = {"a": {"container": VLLM, "memory_mib": 1024, "accelerators": 1}}
    [component] = Fleet.of("chat", cast("Any", {**ON_GPU, "components": parts})).components
    assert component.model["image"] == VLLM_IMAGE


def test_what_is_no_container_stays_as_it_is() -> None:
    assert with_images(SMALL) == SMALL


@pytest.mark.parametrize(
    ("wrong", "path", "words"),
    [
        ({"container": {**VLLM, "version": "0.9"}}, "container.version", "of vllm there are 0.27.1, "),
        ({"container": {**VLLM, "version": "0.9"}}, "container.version", "aws/deep-learning-containers"),
        ({"container": {**VLLM, "engine": "ollama"}}, "container.engine", "'djl-lmi'"),
        ({"container": {**VLLM, "region": "eu-nowhere-1"}}, "container.region", "af-south-1, "),
        ({"container": {**VLLM, "region": "us-gov-west-1"}}, "container.region", "AWS publishes vllm in "),
        ({"container": {"engine": "vllm", "version": "0.19.1"}}, "container.region", "the stack has no 'aws:region'"),
        ({"container": {"engine": "vllm", "region": "eu-central-1"}}, "container.version", "is required"),
        ({"container": VLLM, "image": VLLM_IMAGE}, "container", "does not go with 'image'"),
        ({"container": VLLM, "instance_type": "ml.c7i.2xlarge"}, "instance_type", "has no GPU"),
        ({"container": {**VLLM, "region": "eu-west-1"}}, "instance_type", "which eu-west-1 does not have"),
        (
            {"container": {"engine": "vllm-neuronx", "version": "0.4.4", "region": "eu-west-1"}},
            "instance_type",
            "runs on AWS Neuron",
        ),
        (
            {"container": VLLM, "serverless": {"memory_mib": 1024, "max_concurrency": 1}, "instance_type": None},
            "serverless",
            "needs a GPU",
        ),
        (
            {"container": VLLM, "variants": {"b": {"weight": 1, "container": {**VLLM, "version": "1"}}}},
            "variants.b.container.version",
            "0.27.1",
        ),
        ({"components": {"a": {"memory_mib": 1024}}}, "components.a.image", "give it, or 'container'"),
    ],
)
def test_what_there_is_not_is_refused_with_what_there_is(wrong: Mapping[str, Any], path: str, words: str) -> None:
    with pytest.raises(pulumi.InputPropertiesError) as error:
        Fleet.of("chat", cast("Any", {**ON_GPU, **wrong}))
    told = {f["property_path"]: f["reason"] for f in error.value.errors or []}
    assert list(told) == [f"args.{path}"]
    assert words in told[f"args.{path}"]


def test_a_backend_is_asked_by_the_name_that_the_container_was_told() -> None:
    told: dict[str, Any] = {}

    def program() -> None:
        environment = {"SM_VLLM_MODEL": "openai/gpt-oss-20b", "SM_VLLM_MAX_MODEL_LEN": "4096"}
        told.update(SageMakerEndpoint("chat", cast("Any", {**ON_GPU, "container": VLLM, "environment": environment})).backend())

    plan_program(program)
    assert (told["model"], told["context_tokens"], told["region"]) == ("openai/gpt-oss-20b", 4096, "eu-central-1")
