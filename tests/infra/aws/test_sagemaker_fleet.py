"""The numbers and refusals of a SageMakerEndpoint, without any resource."""

from collections.abc import Mapping
from typing import Any

import pulumi
import pytest

from slipway.aws.sagemaker_args import SageMakerEndpointArgs
from slipway.aws.sagemaker_fleet import Fleet, Scaling

CPU_IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/llama-cpp:1"
GPU_IMAGE = "763104351884.dkr.ecr.eu-west-1.amazonaws.com/djl-inference:0.33.0-lmi15.0.0-cu128"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-0000-0000-000000000000"
ARGS: SageMakerEndpointArgs = {"image": GPU_IMAGE, "instance_type": "ml.g6.2xlarge"}


def fleet(**more: Any) -> Fleet:
    given: Any = {**ARGS, **more}
    return Fleet.of("chat", given)


def refused(name: str, args: Mapping[str, Any]) -> dict[str, str]:
    given: Any = args
    with pytest.raises(pulumi.InputPropertiesError) as error:
        Fleet.of(name, given)
    return {f["property_path"]: f["reason"] for f in error.value.errors or []}


def test_the_defaults() -> None:
    assert fleet() == Fleet(
        instance_count=1,
        variant="g6-2xlarge",
        download_timeout=3600,
        startup_timeout=3600,
        termination_wait=480,
        network_isolation=False,
        scaling=None,
    )


def test_time_outs_follow_the_weights() -> None:
    # 131.4 GiB are 141,090 MB: 1,411 s at 100 MB/s, 282.2 s at 500 MB/s, and 300 s to warm up.
    from_s3 = fleet(weights_gib=131.4, weights_s3_uri="s3://models/llama/")
    assert (from_s3.download_timeout, from_s3.startup_timeout) == (1411, 600)
    assert fleet(weights_gib=131.4).startup_timeout == 1994


@pytest.mark.parametrize(("gib", "download"), [(0.5, 60), (1000, 3600)])
def test_time_outs_stay_within_the_service_s_limits(gib: float, download: int) -> None:
    assert fleet(weights_gib=gib, weights_s3_uri="s3://models/a/").download_timeout == download


def test_weights_from_s3_cut_the_container_off_unless_it_runs_in_a_vpc() -> None:
    vpc = {"subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"]}
    assert fleet(weights_s3_uri="s3://models/a/").network_isolation
    assert not fleet(weights_s3_uri="s3://models/a/", vpc=vpc).network_isolation
    assert not fleet(weights_s3_uri="s3://models/a/", network_isolation=False).network_isolation


def test_with_scaling_a_fleet_begins_at_its_least() -> None:
    scaling: dict[str, Any] = {"min": 2.0, "max": 6, "invocations_per_instance": 40}
    made = fleet(scaling=scaling)
    assert (made.instance_count, made.scaling) == (2, Scaling(2, 6, 40))
    assert fleet(scaling=scaling, instance_count=4).instance_count == 4


def test_another_instance_type_is_another_variant() -> None:
    assert fleet(instance_type="ml.p5.48xlarge").variant == "p5-48xlarge" != fleet().variant


@pytest.mark.parametrize(
    ("wrong", "path", "words"),
    [
        ({"instance_type": "g6.2xlarge"}, "instance_type", "begins with 'ml.'"),
        ({"instance_type": "ml.c7i.2xlarge"}, "instance_type", "has no GPU"),
        ({"image": GPU_IMAGE.replace("lmi15.0.0-cu128", "neuronx-sdk2.20.1")}, "instance_type", "AWS Neuron"),
        ({"image": "vllm/vllm-openai:v0.11.0"}, "image", "Amazon ECR"),
        ({"weights_s3_uri": "s3://models/llama"}, "weights_s3_uri", "ending in '/'"),
        ({"weights_s3_uri": "s3://models/*/"}, "weights_s3_uri", "no '*'"),
        ({"weights_s3_uri": "models/llama/"}, "weights_s3_uri", "s3://BUCKET/PREFIX/"),
        ({"weights_kms_key_arn": KEY}, "weights_kms_key_arn", "goes with 'weights_s3_uri'"),
        ({"weights_gib": 0}, "weights_gib", "above 0"),
        ({"environment": {"1A": "x"}}, "environment.1A", "no name of a variable"),
        ({"instance_count": 0}, "instance_count", "1 or more"),
        ({"instance_count": -1}, "instance_count", "1 or more"),
        ({"volume_gib": 100}, "volume_gib", "disks of its own"),
        ({"volume_kms_key_arn": KEY}, "volume_kms_key_arn", "disks of its own"),
        ({"volume_gib": 513, "instance_type": "ml.c7i.xlarge", "image": CPU_IMAGE}, "volume_gib", "1 to 512"),
        (
            {"volume_kms_key_arn": "alias/a", "instance_type": "ml.c7i.xlarge", "image": CPU_IMAGE},
            "volume_kms_key_arn",
            "not of an alias",
        ),
        ({"termination_wait_seconds": 3601}, "termination_wait_seconds", "0 to 3600"),
        ({"scaling": {"min": 0, "max": 2, "invocations_per_instance": 1}}, "scaling.min", "at least 1"),
        ({"scaling": {"min": 3, "max": 2, "invocations_per_instance": 1}}, "scaling.max", "below scaling.min (3)"),
        ({"scaling": {"min": 1, "max": 2, "invocations_per_instance": 0}}, "scaling.invocations_per_instance", "above 0"),
        ({"scaling": {"min": 1, "max": 2}}, "scaling.invocations_per_instance", "required"),
        (
            {"scaling": {"min": 1, "max": 2, "invocations_per_instance": 1, "scale_in_cooldown_seconds": -1}},
            "scaling.scale_in_cooldown_seconds",
            "0 or more",
        ),
        (
            {"scaling": {"min": 1, "max": 2, "invocations_per_instance": 1}, "instance_count": 3},
            "instance_count",
            "outside of scaling",
        ),
        ({"vpc": {"subnet_ids": [], "security_group_ids": ["sg"]}}, "vpc.subnet_ids", "at least one"),
        ({"vpc": {"subnet_ids": ["s"], "security_group_ids": []}}, "vpc.security_group_ids", "one to five"),
        ({"endpoint_name": "a" * 64}, "endpoint_name", "at most 63"),
        ({"endpoint_name": "my_model"}, "endpoint_name", "letters, digits and '-'"),
        ({"instance_typ": "ml.g6.xlarge"}, "instance_typ", "did you mean 'instance_type'?"),
    ],
)
def test_each_fault_is_told_by_its_path_and_nothing_beside_it(wrong: Mapping[str, Any], path: str, words: str) -> None:
    told = refused("chat", {**ARGS, **wrong})
    assert list(told) == [f"args.{path}"]
    assert words in told[f"args.{path}"]


def test_all_faults_are_told_at_once() -> None:
    told = refused("chat", {"image": "nginx", "instance_type": "g6.xlarge", "instance_count": 0, "weights_gib": -1})
    assert set(told) == {"args.image", "args.instance_type", "args.instance_count", "args.weights_gib"}


@pytest.mark.parametrize(("name", "fits"), [("a" * 46, True), ("a" * 47, False), ("my_model", False), ("-a", False)])
def test_the_component_s_name_leaves_room_for_role_and_suffix(name: str, fits: bool) -> None:
    if fits:
        assert Fleet.of(name, ARGS)
    else:
        assert "at most 46" in refused(name, ARGS)["args.name"]


# A coroutine, since an Output needs an event loop.
async def test_what_is_not_known_yet_is_not_refused() -> None:
    later: pulumi.Output[str] = pulumi.Output.from_input("anything")
    assert fleet(image=later, weights_s3_uri=later, weights_kms_key_arn=later)
