"""The numbers and refusals of a SageMakerEndpoint, without any resource."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest

from slipway.aws.sagemaker_args import SageMakerEndpointArgs, SageMakerStrategy
from slipway.aws.sagemaker_deployment import Deployment
from slipway.aws.sagemaker_fleet import Fleet
from slipway.aws.sagemaker_scaling import Scaling, Target
from slipway.aws.sagemaker_variants import Variant

CPU_IMAGE = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/llama-cpp:1"
GPU_IMAGE = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/djl-inference:0.33.0-lmi15.0.0-cu128"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:pages"
PACKAGE = "arn:aws:sagemaker:eu-central-1:123456789012:model-package/llama/3"
NOT_THERE = "which eu-west-1 does not have"
TRACKED: dict[str, Any] = {"min": 1, "max": 4, "concurrent_requests_per_instance": 8}
QUEUED: dict[str, Any] = {"output_s3_uri": "s3://jobs/out/"}
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
    own = Variant(
        key=None,
        name="g6-2xlarge",
        model={"image": GPU_IMAGE},
        instance_type="ml.g6.2xlarge",
        instance_count=1,
        weight=1.0,
        download_timeout=3600,
        startup_timeout=3600,
        network_isolation=False,
        scaling=None,
    )
    assert fleet() == Fleet((own,), None, (), Deployment(SageMakerStrategy.ALL_AT_ONCE, 0, 0, 480))


def test_time_outs_follow_the_weights() -> None:
    # 131.4 GiB are 141,090 MB: 1,411 s at 100 MB/s, 282.2 s at 500 MB/s, and 300 s to warm up.
    from_s3 = fleet(weights_gib=131.4, weights_s3_uri="s3://models/llama/").own
    assert (from_s3.download_timeout, from_s3.startup_timeout) == (1411, 600)
    assert fleet(weights_gib=131.4).own.startup_timeout == 1994


@pytest.mark.parametrize(("gib", "download"), [(0.5, 60), (1000, 3600)])
def test_time_outs_stay_within_the_service_s_limits(gib: float, download: int) -> None:
    assert fleet(weights_gib=gib, weights_s3_uri="s3://models/a/").own.download_timeout == download


def test_weights_from_s3_cut_the_container_off_unless_it_runs_in_a_vpc() -> None:
    vpc = {"subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"]}
    assert fleet(weights_s3_uri="s3://models/a/").own.network_isolation
    assert not fleet(weights_s3_uri="s3://models/a/", vpc=vpc).own.network_isolation
    assert not fleet(weights_s3_uri="s3://models/a/", network_isolation=False).own.network_isolation


def test_with_scaling_a_fleet_begins_at_its_least() -> None:
    scaling: dict[str, Any] = {"min": 2.0, "max": 6, "invocations_per_instance": 40}
    made = fleet(scaling=scaling).own
    assert (made.instance_count, made.scaling) == (2, Scaling(2, 6, Target.INVOCATIONS, 40))
    assert fleet(scaling=scaling, instance_count=4).own.instance_count == 4


def test_another_instance_type_is_another_variant() -> None:
    assert fleet(instance_type="ml.p4d.24xlarge").own.name == "p4d-24xlarge" != fleet().own.name


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
        ({"image": GPU_IMAGE.replace("eu-central-1", "eu-west-1")}, "instance_type", NOT_THERE),
        ({"endpoint_name": "a-"}, "endpoint_name", "first and last"),
        ({"environment": {f"A{i}": "x" for i in range(101)}}, "environment", "at most 100"),
        ({"scaling": {"min": 1, "max": 2, "backlog_per_instance": 1}}, "scaling.backlog_per_instance", "'async_inference' only"),
        (
            {"scaling": {"min": 1, "max": 2, "invocations_per_instance": 1, "concurrent_requests_per_instance": 1}},
            "scaling.concurrent_requests_per_instance",
            "one target",
        ),
        ({"scaling": {**TRACKED, "steps": [{"above": 8, "add": 1}]}}, "scaling.steps[0].above", "not above the target (8)"),
        (
            {"scaling": {**TRACKED, "steps": [{"above": 9, "add": 1}, {"above": 9, "add": 1}]}},
            "scaling.steps[1].above",
            "not above the step before (9)",
        ),
        ({"scaling": {**TRACKED, "steps": [{"above": 9, "add": 0}]}}, "scaling.steps[0].add", "1 or more"),
        ({"scaling": {**TRACKED, "schedules": {"a": {"when": "noon", "min": 1}}}}, "scaling.schedules.a.when", "give cron("),
        ({"scaling": {**TRACKED, "schedules": {"a": {"when": "rate(1 day)"}}}}, "scaling.schedules.a", "changes nothing"),
        ({"scaling": {**TRACKED, "schedules": {"a": {"when": "rate(1 day)", "min": 0}}}}, "scaling.schedules.a.min", "1 or more"),
        (
            {"scaling": {**TRACKED, "schedules": {"a": {"when": "rate(1 day)", "min": 9}}}},
            "scaling.schedules.a.max",
            "below min (9)",
        ),
        ({"weight": 1}, "weight", "no other to stand against"),
        ({"weight": 0, "variants": {"b": {"weight": 0}}}, "weight", "0 together"),
        ({"variants": {"b": {"weight": -1}}}, "variants.b.weight", "0 or more"),
        ({"variants": {"b": {}}}, "variants.b.weight", "required"),
        ({"variants": {"b": {"weight": 1, "instance_type": "ml.c7i.xlarge"}}}, "variants.b.instance_type", "has no GPU"),
        ({"variants": {"b": {"weight": 1, "image": "nginx"}}}, "variants.b.image", "Amazon ECR"),
        ({"variants": {"b": {"weight": 1, "instance_count": 0}}}, "variants.b.instance_count", "1 or more"),
        ({"variants": {"b": {"weight": 1, "scaling": {**TRACKED, "min": 0}}}}, "variants.b.scaling.min", "at least 1"),
        ({"variants": {"b": {"weight": 1, "weights_kms_key_arn": KEY}}}, "variants.b.weights_kms_key_arn", "goes with"),
        ({"variants": {"b_c": {"weight": 1}}}, "variants.b_c", "a name that cannot be"),
        ({"variants": {"shadow": {"weight": 1}}}, "variants.shadow", "not 'shadow'"),
        ({"variants": {f"v{i}": {"weight": 1} for i in range(10)}}, "variants", "at most 9"),
        ({"shadow": {"weight": 2}}, "shadow.weight", "0 to 1"),
        ({"shadow": {"weight": 1, "scaling": TRACKED}}, "shadow.scaling", "not for a shadow"),
        ({"shadow": {"weight": 1}, "variants": {"b": {"weight": 1}}}, "shadow", "does not go with 'variants'"),
        ({"deployment": {"step_percent": 10}}, "deployment.step_percent", "all_at_once"),
        ({"deployment": {"strategy": "canary", "step_percent": 51}}, "deployment.step_percent", "1 to 50"),
        ({"deployment": {"strategy": "linear", "step_percent": 9}}, "deployment.step_percent", "10 to 50"),
        ({"deployment": {"strategy": "rolling", "step_percent": 4}}, "deployment.step_percent", "5 to 50"),
        ({"deployment": {"wait_seconds": 3601}}, "deployment.wait_seconds", "0 to 3600"),
        ({"deployment": {"max_seconds": 599}}, "deployment.max_seconds", "600 to 28800"),
        ({"deployment": {"strategy": "linear", "max_seconds": 3480}}, "deployment.max_seconds", "the waits alone take 3480"),
        ({"deployment": {"strategy": "blue"}}, "deployment.strategy", "'canary'"),
        ({"deployment": {"alarm_names": ["a"] * 11}}, "deployment.alarm_names", "SageMaker takes 10"),
        (
            {"deployment": {"strategy": "rolling"}, "variants": {"b": {"weight": 1}}},
            "deployment.strategy",
            "several variants exclude",
        ),
        (
            {"deployment": {"strategy": "rolling"}, "termination_wait_seconds": 1},
            "termination_wait_seconds",
            "keeps no old fleet",
        ),
        ({"alarms": {}}, "alarms", "is no alarm"),
        ({"alarms": {"error_percent": 101}}, "alarms.error_percent", "0 to 100"),
        ({"alarms": {"latency_p99_ms": 0}}, "alarms.latency_p99_ms", "above 0"),
        ({"alarms": {"error_percent": 1, "topic_arns": ["t"]}}, "alarms.topic_arns[0]", "an SNS topic"),
        ({"alarms": {"error_percent": 1, "topic_arns": [TOPIC] * 6}}, "alarms.topic_arns", "5 actions"),
        ({"alarms": {"error_percent": 1, "roll_back": True}}, "alarms.roll_back", "needs 'endpoint_name'"),
        ({"async_inference": {"output_s3_uri": "s3://aaa/b"}}, "async_inference.output_s3_uri", "ending in '/'"),
        ({"async_inference": {**QUEUED, "kms_key_arn": "alias/a"}}, "async_inference.kms_key_arn", "not of an alias"),
        ({"async_inference": {**QUEUED, "error_topic_arn": "t"}}, "async_inference.error_topic_arn", "an SNS topic"),
        (
            {"async_inference": {**QUEUED, "max_concurrent_per_instance": 1001}},
            "async_inference.max_concurrent_per_instance",
            "1 to 1000",
        ),
        ({"async_inference": QUEUED, "variants": {"b": {"weight": 1}}}, "variants", "does not go with 'async_inference'"),
        ({"async_inference": QUEUED, "scaling": TRACKED}, "scaling.concurrent_requests_per_instance", "backlog_per_instance"),
        (
            {
                "async_inference": QUEUED,
                "scaling": {"min": 0, "max": 1, "backlog_per_instance": 1, "steps": [{"above": 9, "add": 1}]},
            },
            "scaling.steps",
            "do not go with 'backlog_per_instance'",
        ),
        ({"async_inference": QUEUED, "scaling": {"min": 0, "max": 0, "backlog_per_instance": 1}}, "scaling.max", "at least 1"),
        ({"data_capture": {"s3_uri": "s3://aaa/", "percent": 101}}, "data_capture.percent", "0 to 100"),
        ({"data_capture": {"s3_uri": "a", "percent": 1}}, "data_capture.s3_uri", "s3://"),
        ({"model_package_arn": "llama"}, "model_package_arn", "the ARN of a version"),
        ({"model_package_arn": PACKAGE, "environment": {"A": "b"}}, "environment", "brings its own"),
        ({"managed_instances": {"min": 0, "max": 1}}, "managed_instances", "goes with 'components'"),
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


SERVERLESS: dict[str, Any] = {"image": CPU_IMAGE, "serverless": {"memory_mib": 2048, "max_concurrency": 5}}
COMPONENT: dict[str, Any] = {"image": GPU_IMAGE, "memory_mib": 1024, "accelerators": 1}
WARM: dict[str, Any] = {"memory_mib": 1024, "max_concurrency": 9, "provisioned_concurrency": 2}


def warm(**scaling: Any) -> dict[str, Any]:
    return {**SERVERLESS, "serverless": {**WARM, "scaling": {"min": 1, "max": 4, **scaling}}}


SHARED: dict[str, Any] = {"instance_type": "ml.g6.2xlarge", "components": {"a": COMPONENT}}


@pytest.mark.parametrize(
    ("args", "path", "words"),
    [
        ({"instance_type": "ml.g6.2xlarge"}, "image", "'model_package_arn' or 'components'"),
        ({"image": GPU_IMAGE}, "instance_type", "or 'serverless'"),
        ({**SERVERLESS, "image": GPU_IMAGE}, "serverless", "and the image's engine needs a GPU"),
        ({**SERVERLESS, "serverless": {"memory_mib": 1000, "max_concurrency": 1}}, "serverless.memory_mib", "one of 1024"),
        ({**SERVERLESS, "serverless": {"memory_mib": 1024, "max_concurrency": 201}}, "serverless.max_concurrency", "1 to 200"),
        (
            {**SERVERLESS, "serverless": {"memory_mib": 1024, "max_concurrency": 2, "provisioned_concurrency": 3}},
            "serverless.provisioned_concurrency",
            "1 to 2",
        ),
        (
            {**SERVERLESS, "serverless": {"memory_mib": 1024, "max_concurrency": 9, "scaling": {"min": 1, "max": 2}}},
            "serverless.scaling",
            "there is none",
        ),
        (warm(min=0), "serverless.scaling.min", "1 to 9"),
        (warm(max=10), "serverless.scaling.max", "no more than 'max_concurrency'"),
        (warm(min=3, max=2), "serverless.scaling.max", "below serverless.scaling.min (3)"),
        (warm(utilization=70), "serverless.scaling.utilization", "above 0 and at most 1"),
        (warm(utilization=0), "serverless.scaling.utilization", "above 0 and at most 1"),
        (warm(min=3), "serverless.provisioned_concurrency", "outside of scaling (3 to 4)"),
        (warm(scale_in_cooldown_seconds=-1), "serverless.scaling.scale_in_cooldown_seconds", "0 or more"),
        (warm(schedules={"a": {"when": "noon", "min": 1}}), "serverless.scaling.schedules.a.when", "give cron("),
        (warm(schedules={"a": {"when": "rate(1 day)", "max": 10}}), "serverless.scaling.schedules.a.max", "1 to 9"),
        ({**SERVERLESS, "instance_type": "ml.c7i.xlarge"}, "instance_type", "no instances to choose"),
        ({**SERVERLESS, "scaling": TRACKED}, "scaling", "no instances to choose"),
        ({**SERVERLESS, "async_inference": QUEUED}, "async_inference", "no serverless form"),
        ({**SERVERLESS, "data_capture": {"s3_uri": "s3://aaa/", "percent": 1}}, "data_capture", "no serverless form"),
        ({**SERVERLESS, "vpc": {"subnet_ids": ["s"], "security_group_ids": ["g"]}}, "vpc", "no serverless form"),
        ({**SERVERLESS, "deployment": {"strategy": "rolling"}}, "deployment.strategy", "'serverless' excludes"),
        ({**SHARED, "image": GPU_IMAGE}, "image", "each component has its own"),
        ({**SHARED, "scaling": TRACKED}, "scaling", "managed_instances"),
        ({**SHARED, "shadow": {"weight": 1, "image": GPU_IMAGE}}, "shadow", "share one variant"),
        ({**SHARED, "async_inference": QUEUED}, "components", "answer at once"),
        ({**SHARED, "vpc": {"subnet_ids": ["s"], "security_group_ids": ["g"]}}, "vpc", "Pulumi's provider"),
        ({**SHARED, "components": {}}, "components", "is empty"),
        ({**SHARED, "components": {"a_b": COMPONENT}}, "components.a_b", "a name that cannot be"),
        ({**SHARED, "components": {"a": {**COMPONENT, "memory_mib": 127}}}, "components.a.memory_mib", "128 or more"),
        ({**SHARED, "components": {"a": {**COMPONENT, "cpus": 0.2}}}, "components.a.cpus", "0.25 or more"),
        ({**SHARED, "components": {"a": {**COMPONENT, "copies": -1}}}, "components.a.copies", "0 or more"),
        ({**SHARED, "components": {"a": {**COMPONENT, "accelerators": 0}}}, "components.a.accelerators", "without any"),
        ({**SHARED, "components": {"a": {"image": GPU_IMAGE}}}, "components.a.memory_mib", "required"),
        (
            {**SHARED, "components": {"a": {**COMPONENT, "scaling": TRACKED, "copies": 9}}},
            "components.a.copies",
            "outside of scaling",
        ),
        ({**SHARED, "instance_type": "ml.c7i.xlarge"}, "components.a.image", "cannot run on ml.c7i.xlarge"),
        (
            {"instance_type": "ml.c7i.xlarge", "components": {"a": {**COMPONENT, "image": CPU_IMAGE, "accelerators": 1}}},
            "components.a.accelerators",
            "ml.c7i.xlarge has none",
        ),
        (
            {**SHARED, "components": {"a": {**COMPONENT, "accelerators": 2}}},
            "components.a.accelerators",
            "ml.g6.2xlarge has 1 (EC2's DescribeInstanceTypes); give at most 1",
        ),
        (
            {**SHARED, "components": {"a": {"image": GPU_IMAGE, "memory_mib": 1024}}},
            "components.a.accelerators",
            "give 1 or more",
        ),
        (
            {**SHARED, "components": {"a": {**COMPONENT, "copies": 2}, "b": {**COMPONENT, "copies": 0}}},
            "components",
            "ask for 2 GPUs in their first copies ('a' 2), and there are 1 GPUs of 1 x ml.g6.2xlarge",
        ),
        ({**SHARED, "managed_instances": {"min": -1, "max": 1}}, "managed_instances.min", "0 or more"),
        ({**SHARED, "managed_instances": {"min": 3, "max": 1}}, "managed_instances.max", "3 or more: no less than 'min'"),
        ({**SHARED, "managed_instances": {"min": 0, "max": 2}, "instance_count": 3}, "instance_count", "1 to 2"),
        ({**SHARED, "alarms": {"error_percent": 1, "roll_back": True}}, "alarms.roll_back", "does not go with 'components'"),
    ],
)
def test_each_form_says_what_it_excludes(args: dict[str, Any], path: str, words: str) -> None:
    told = refused("chat", args)
    assert list(told) == [f"args.{path}"]
    assert words in told[f"args.{path}"]


@pytest.mark.parametrize(
    ("args", "path", "source"),
    [
        ({**ARGS, "instance_type": "ml.c7i.2xlarge"}, "instance_type", "(Amazon EC2 instance types: "),
        ({**SERVERLESS, "image": GPU_IMAGE}, "serverless", "'Serverless Inference': feature exclusions)"),
        (
            {**SERVERLESS, "serverless": {"memory_mib": 1024, "max_concurrency": 201}},
            "serverless.max_concurrency",
            "SageMaker API: ProductionVariantServerlessConfig",
        ),
        ({**ARGS, "scaling": {**TRACKED, "min": 5}}, "scaling.max", "(Application Auto Scaling: RegisterScalableTarget)"),
        ({**ARGS, "weight": 0, "variants": {"b": {"weight": 0}}}, "weight", "(SageMaker API: ProductionVariant, "),
        ({**ARGS, "image": GPU_IMAGE.replace("eu-central-1", "eu-west-1")}, "instance_type", "(DescribeInstanceTypeOfferings, "),
        ({**ARGS, "endpoint_name": "a" * 64}, "endpoint_name", "(SageMaker API: CreateEndpoint)"),
    ],
    ids=["no gpu", "serverless with a gpu", "serverless", "min above max", "weights", "region", "name"],
)
def test_a_rule_is_told_with_its_source(args: dict[str, Any], path: str, source: str) -> None:
    assert source in refused("chat", args)[f"args.{path}"]


def test_too_many_alarms_send_an_update_back() -> None:
    variants: dict[str, Any] = {f"v{i}": {"weight": 1} for i in range(5)}
    args = {**ARGS, "endpoint_name": "chat", "variants": variants, "alarms": {"error_percent": 1, "latency_p99_ms": 1}}
    assert "come to 12" in refused("chat", args)["args.deployment.alarm_names"]


def test_a_component_s_name_must_fit_behind_the_endpoint_s() -> None:
    fits = {**SHARED, "endpoint_name": "e" * 50, "components": {"c" * 12: COMPONENT}}
    assert Fleet.of("chat", cast("Any", fits))
    assert "at most 11" in refused("chat", {**fits, "endpoint_name": "e" * 51})[f"args.components.{'c' * 12}"]
