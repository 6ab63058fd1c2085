"""References in Amazon ECR. That the images exist is not tried here."""

import pytest

from slipway.aws.ecr_image import EcrImage

OWN = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/team/llama"
AWS = "763104351884.dkr.ecr.us-east-1.amazonaws.com"


def test_a_reference_names_its_repository_for_a_policy() -> None:
    image = EcrImage.parse(f"{OWN}@sha256:{'0' * 64}")
    assert image is not None
    assert image.repository_arn == "arn:aws:ecr:eu-central-1:123456789012:repository/team/llama"


@pytest.mark.parametrize(
    ("region", "suffix", "partition"),
    [
        ("us-east-1", "amazonaws.com", "aws"),
        ("us-gov-west-1", "amazonaws.com", "aws-us-gov"),
        ("cn-north-1", "amazonaws.com.cn", "aws-cn"),
    ],
)
def test_the_partition_follows_the_region(region: str, suffix: str, partition: str) -> None:
    image = EcrImage.parse(f"123456789012.dkr.ecr.{region}.{suffix}/a:1")
    assert image is not None
    assert image.partition == partition


@pytest.mark.parametrize(
    "reference",
    [
        "vllm/vllm-openai:v0.11.0",
        OWN,
        f"{OWN}:",
        f"{OWN}@sha256:12",
        f"https://{OWN}:1",
        f"{OWN}:1 ",
        "12.dkr.ecr.us-east-1.amazonaws.com/a:1",
    ],
)
def test_anything_else_is_none(reference: str) -> None:
    assert EcrImage.parse(reference) is None


@pytest.mark.parametrize(
    ("reference", "accelerator"),
    [
        (f"{AWS}/djl-inference:0.33.0-lmi15.0.0-cu128", "gpu"),
        (f"{AWS}/huggingface-pytorch-tgi-inference:2.6.0-tgi3.2.3-gpu-py311-cu124-ubuntu22.04", "gpu"),
        (f"{AWS}/vllm:0.11-gpu-py312", "gpu"),
        (f"{AWS}/djl-inference:0.30.0-neuronx-sdk2.20.1", "neuron"),
        (f"{AWS}/huggingface-pytorch-inference:2.6.0-transformers4.49.0-cpu-py312-ubuntu22.04", None),
        ("123456789012.dkr.ecr.us-east-1.amazonaws.com/vllm-cpu:1", None),
        (f"{OWN}:1", None),
    ],
)
def test_the_hardware_is_read_from_the_names_that_aws_gives(reference: str, accelerator: str | None) -> None:
    image = EcrImage.parse(reference)
    assert image is not None
    assert image.accelerator == accelerator
