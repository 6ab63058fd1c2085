"""Every form of an endpoint: variants, shadow, serverless, asynchronous, components, and how each updates and scales.

That AWS accepts them is not proven here: test_against_moto.py and botocore's own model say what can be said without an account.
"""

import json
from typing import Any

import pulumi
import pytest
from tests.infra.aws.endpoints import (
    AB,
    ASYNC,
    COMPONENTS,
    FORMS,
    FROM_PACKAGE,
    IMAGE,
    KEY,
    LINEAR,
    PACKAGE,
    ROLLING,
    SERVERLESS,
    SHADOW,
    SMALL,
    STEPS,
    TOPIC,
    WARM,
    inputs,
    planned,
)
from tests.infra.aws.test_policies import allows
from tests.infra.sdk_types import faults

from slipway import SageMakerEndpoint
from slipway.aws.sagemaker_args import SageMakerEndpointArgs
from slipway.plan import UNKNOWN, Secret, plan_program


@pytest.mark.parametrize("args", FORMS.values(), ids=FORMS)
def test_every_input_is_one_that_the_sdk_knows(args: SageMakerEndpointArgs) -> None:
    plan = planned(args)
    made = [r for r in plan if r.custom]
    assert [line for r in made for line in faults(r)] == []
    assert len(plan.children(plan["chat"])) == len(plan) - 1
    assert all(r.name.startswith("chat-") for r in made)
    # What is not known yet is UNKNOWN, never the text of an Output.
    told = str([dict(r.inputs) for r in made])
    assert "pulumi.output" not in told
    assert "__str__" not in told


def test_variants_share_the_traffic_by_weight_and_each_has_its_model() -> None:
    plan = planned(AB)
    own, tuned = plan["chat-config"].inputs["productionVariants"]
    assert (own["variantName"], own["initialVariantWeight"]) == ("g6-2xlarge", 9)
    assert (tuned["variantName"], tuned["initialVariantWeight"]) == ("tuned-g6-2xlarge", 1)
    [source] = plan["chat-tuned-model"].inputs["primaryContainer"]["modelDataSource"]["s3DataSources"]
    assert source["s3Uri"] == "s3://models/llama/8b-tuned/"
    assert plan["chat-tuned-model"].inputs["primaryContainer"]["environment"] == {"HF_MODEL_ID": "/opt/ml/model"}
    policy = plan["chat-permissions"].inputs["policy"]
    assert allows(policy, "s3:GetObject", "arn:aws:s3:::models/llama/8b/x")
    assert allows(policy, "s3:GetObject", "arn:aws:s3:::models/llama/8b-tuned/x")
    assert not allows(policy, "s3:GetObject", "arn:aws:s3:::models/llama/70b/x")
    assert plan["chat-tuned-scaling-target"].inputs["resourceId"] == "endpoint/chat/variant/tuned-g6-2xlarge"


def test_a_change_of_weights_touches_nothing_but_the_configuration_and_what_points_to_it() -> None:
    before = planned(AB)
    variants = AB.get("variants", {})
    after = planned({**AB, "weight": 1, "variants": {"tuned": {**variants["tuned"], "weight": 1}}})
    changed = {r.name for r in before if r.name != "chat" and r.inputs != after[r.name].inputs}
    assert changed == {"chat-config"}


def test_a_variant_with_weights_of_its_own_has_not_the_size_or_key_of_the_endpoint_s() -> None:
    args: SageMakerEndpointArgs = {
        **SMALL,
        "weights_s3_uri": "s3://models/a/",
        "weights_gib": 1,
        "weights_kms_key_arn": KEY,
        "variants": {"b": {"weight": 1, "weights_s3_uri": "s3://models/b/"}, "p": {"weight": 1, "model_package_arn": PACKAGE}},
    }
    plan = planned(args)
    own, other, packaged = plan["chat-config"].inputs["productionVariants"]
    assert own["modelDataDownloadTimeoutInSeconds"] == 60
    assert other["modelDataDownloadTimeoutInSeconds"] == 3600
    assert packaged["modelDataDownloadTimeoutInSeconds"] == 3600
    assert plan["chat-p-model"].inputs["primaryContainer"] == {"modelPackageName": PACKAGE}


def test_a_variant_s_token_is_a_secret() -> None:
    args: SageMakerEndpointArgs = {**SMALL, "variants": {"b": {"weight": 1, "environment": {"HF_TOKEN": "hf_hush"}}}}
    plan = planned(args)
    environment = plan["chat-b-model"].inputs["primaryContainer"]["environment"]
    environment = environment.value if isinstance(environment, Secret) else environment
    assert environment["HF_TOKEN"] == Secret("hf_hush")
    assert "hf_hush" not in str([dict(r.inputs) for r in plan])


def test_a_shadow_is_shown_its_part_of_the_requests() -> None:
    plan = planned(SHADOW)
    (shadow,) = plan["chat-config"].inputs["shadowProductionVariants"]
    assert (shadow["variantName"], shadow["initialVariantWeight"]) == ("shadow-g6e-2xlarge", 0.5)
    assert len(plan["chat-config"].inputs["productionVariants"]) == 1


def test_a_canary_goes_back_on_its_own_alarms_and_on_others() -> None:
    plan = planned(AB)
    told = plan["chat-endpoint"].inputs["deploymentConfig"]
    routing = told["blueGreenUpdatePolicy"]["trafficRoutingConfiguration"]
    assert routing == {
        "type": "CANARY",
        "waitIntervalInSeconds": 600,
        "canarySize": {"type": "CAPACITY_PERCENT", "value": 20},
    }
    names = [a["alarmName"] for a in told["autoRollbackConfiguration"]["alarms"]]
    # Two alarms for each of two variants, by names of Pulumi's.
    assert names == ["slow", UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]
    for alarm in ("chat-errors", "chat-latency", "chat-tuned-errors", "chat-tuned-latency"):
        assert plan[alarm].urn in plan["chat-endpoint"].options["dependsOn"]
    assert plan["chat-tuned-latency"].inputs["dimensions"] == {"EndpointName": "chat", "VariantName": "tuned-g6-2xlarge"}
    assert plan["chat-latency"].inputs["threshold"] == 30_000_000
    share = next(q for q in plan["chat-errors"].inputs["metricQueries"] if q["returnData"])
    assert share["expression"] == "100 * failed / asked"


def test_without_a_name_the_alarms_come_after_the_endpoint_and_only_tell() -> None:
    plan = planned({**SMALL, "alarms": {"error_percent": 5, "topic_arns": [TOPIC]}})
    assert "autoRollbackConfiguration" not in plan["chat-endpoint"].inputs["deploymentConfig"]
    assert plan["chat-endpoint"].urn in plan["chat-errors"].options["dependsOn"]
    assert plan["chat-errors"].inputs["alarmActions"] == [TOPIC]


def test_a_rolling_and_a_linear_update() -> None:
    rolling = inputs(ROLLING, "chat-endpoint")["deploymentConfig"]
    assert rolling == {
        "rollingUpdatePolicy": {"maximumBatchSize": {"type": "CAPACITY_PERCENT", "value": 50}, "waitIntervalInSeconds": 300}
    }
    linear = inputs(LINEAR, "chat-endpoint")["deploymentConfig"]["blueGreenUpdatePolicy"]
    assert linear["trafficRoutingConfiguration"]["linearStepSize"]["value"] == 10
    assert linear["maximumExecutionTimeoutInSeconds"] == 7200


def test_serverless_has_no_instances() -> None:
    plan = planned(SERVERLESS)
    (variant,) = plan["chat-config"].inputs["productionVariants"]
    assert variant["serverlessConfig"] == {"memorySizeInMb": 4096, "maxConcurrency": 20}
    assert "instanceType" not in variant
    assert "enableNetworkIsolation" not in plan["chat-model"].inputs


def test_what_a_serverless_endpoint_keeps_warm_follows_the_load() -> None:
    plan = planned(WARM)
    (variant,) = plan["chat-config"].inputs["productionVariants"]
    assert variant["serverlessConfig"] == {"memorySizeInMb": 4096, "maxConcurrency": 20, "provisionedConcurrency": 2}
    target = plan["chat-scaling-target"].inputs
    assert target["scalableDimension"] == "sagemaker:variant:DesiredProvisionedConcurrency"
    assert (target["minCapacity"], target["maxCapacity"]) == (1, 10)
    tracking = plan["chat-scaling-policy"].inputs["targetTrackingScalingPolicyConfiguration"]
    assert tracking["targetValue"] == 0.7
    told = {"predefinedMetricType": "SageMakerVariantProvisionedConcurrencyUtilization"}
    assert tracking["predefinedMetricSpecification"] == told
    schedule = plan["chat-scaling-day"].inputs
    assert schedule["scalableDimension"] == target["scalableDimension"]
    assert schedule["scalableTargetAction"] == {"minCapacity": 4}


def test_asynchronous_answers_go_to_s3_and_the_role_may_write_there_only() -> None:
    plan = planned(ASYNC)
    told = plan["chat-config"].inputs["asyncInferenceConfig"]
    assert told["outputConfig"]["s3OutputPath"] == "s3://jobs/out/"
    assert told["outputConfig"]["notificationConfig"] == {"successTopic": TOPIC}
    policy = plan["chat-permissions"].inputs["policy"]
    assert allows(policy, "s3:PutObject", "arn:aws:s3:::jobs/out/1")
    assert allows(policy, "s3:PutObject", "arn:aws:s3:::jobs/failed/1")
    assert not allows(policy, "s3:PutObject", "arn:aws:s3:::jobs/in/1")
    assert allows(policy, "s3:GetObject", "arn:aws:s3:::jobs/in/1")
    assert not allows(policy, "s3:GetObject", "arn:aws:s3:::jobs/out/1")
    assert allows(policy, "sns:Publish", TOPIC)
    assert allows(policy, "kms:GenerateDataKey", KEY)


def test_asynchronous_endpoints_go_to_zero_and_wake_on_a_backlog() -> None:
    plan = planned(ASYNC)
    assert plan["chat-scaling-target"].inputs["minCapacity"] == 0
    tracking = plan["chat-scaling-policy"].inputs["targetTrackingScalingPolicyConfiguration"]
    assert tracking["customizedMetricSpecification"]["metricName"] == "ApproximateBacklogSizePerInstance"
    assert plan["chat-scaling-wake-alarm"].inputs["metricName"] == "HasBacklogWithoutCapacity"
    (variant,) = plan["chat-config"].inputs["productionVariants"]
    assert variant["initialInstanceCount"] == 1


def test_components_are_made_by_cloud_control_after_the_endpoint() -> None:
    plan = planned(COMPONENTS)
    (variant,) = plan["chat-config"].inputs["productionVariants"]
    assert variant["managedInstanceScaling"] == {"status": "ENABLED", "minInstanceCount": 0, "maxInstanceCount": 4}
    assert "modelName" not in variant
    assert "executionRoleArn" in plan["chat-config"].inputs
    for key in ("llama", "embed"):
        assert plan[f"chat-{key}"].inputs["typeName"] == "AWS::SageMaker::InferenceComponent"
        assert plan["chat-endpoint"].urn in plan[f"chat-{key}"].options["dependsOn"]
    target = plan["chat-llama-scaling-target"]
    assert target.inputs["scalableDimension"] == "sagemaker:inference-component:DesiredCopyCount"
    assert plan["chat-llama"].urn in target.options["dependsOn"]
    metric = plan["chat-llama-scaling-policy"].inputs["targetTrackingScalingPolicyConfiguration"]["predefinedMetricSpecification"]
    assert metric == {"predefinedMetricType": "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"}
    assert plan["chat-llama-scaling-wake-alarm"].inputs["metricName"] == "NoCapacityInvocationFailures"


def test_components_have_alarms_by_their_own_names() -> None:
    plan = planned({**COMPONENTS, "alarms": {"latency_p99_ms": 100}})
    assert set(plan["chat-embed-latency"].inputs["dimensions"]) == {"InferenceComponentName"}


def test_bursts_and_schedules() -> None:
    plan = planned(STEPS)
    steps = plan["chat-scaling-burst"].inputs["stepScalingPolicyConfiguration"]["stepAdjustments"]
    assert steps == [
        {"metricIntervalLowerBound": "0", "metricIntervalUpperBound": "16", "scalingAdjustment": 1},
        {"metricIntervalLowerBound": "16", "scalingAdjustment": 3},
    ]
    assert plan["chat-scaling-burst-alarm"].inputs["threshold"] == 16
    schedule = plan["chat-scaling-day"].inputs
    assert schedule["scalableTargetAction"] == {"minCapacity": 2}
    assert schedule["timezone"] == "Europe/Berlin"


def test_a_package_says_what_runs_and_the_image_what_may_be_pulled() -> None:
    plan = planned(FROM_PACKAGE)
    assert plan["chat-model"].inputs["primaryContainer"] == {"modelPackageName": PACKAGE}
    policy = plan["chat-permissions"].inputs["policy"]
    assert allows(policy, "ecr:BatchGetImage", "arn:aws:ecr:eu-central-1:763104351884:repository/djl-inference")
    alone = inputs({"model_package_arn": PACKAGE, "instance_type": "ml.g6.2xlarge"}, "chat-permissions")["policy"]
    assert not [s for s in json.loads(alone)["Statement"] if "ecr:BatchGetImage" in s["Action"]]
    assert "arn:aws:logs:eu-central-1:" in alone


def test_captured_data_is_written_to_its_prefix() -> None:
    plan = planned(AB)
    told = plan["chat-config"].inputs["dataCaptureConfig"]
    assert told["captureOptions"] == [{"captureMode": "Input"}, {"captureMode": "Output"}]
    assert allows(plan["chat-permissions"].inputs["policy"], "s3:PutObject", "arn:aws:s3:::logs/chat/1")
    asked: SageMakerEndpointArgs = {**SMALL, "data_capture": {"s3_uri": "s3://logs/", "percent": 1, "answers": False}}
    assert inputs(asked, "chat-config")["dataCaptureConfig"]["captureOptions"] == [{"captureMode": "Input"}]


def test_an_asynchronous_endpoint_is_granted_in_its_own_way_and_is_no_backend() -> None:
    def program() -> None:
        endpoint = SageMakerEndpoint("chat", ASYNC)
        pulumi.export("policy", endpoint.grant_invoke("router").policy)
        with pytest.raises(ValueError, match="answers asynchronously"):
            endpoint.backend(model="m")

    plan_program(program)


def backend_of(args: SageMakerEndpointArgs, **more: Any) -> dict[str, Any]:
    """What a router is told of an endpoint that is there."""
    found: dict[str, Any] = {}

    def program() -> None:
        found.update(SageMakerEndpoint("chat", args).backend(**more))

    plan_program(program)
    return found


def test_a_variant_can_be_a_backend_of_its_own() -> None:
    whole, tuned = backend_of(AB), backend_of(AB, variant="tuned")
    assert "target_variant" not in whole
    assert (whole["name"], tuned["name"]) == ("chat", "chat-tuned")
    assert tuned["target_variant"] == "tuned-g6-2xlarge"
    assert (whole["min_replicas"], whole["max_replicas"]) == (2, 3)
    assert (tuned["min_replicas"], tuned["max_replicas"]) == (1, 2)
    with pytest.raises(ValueError, match="no variant 'nosuch' beside its own; there are: 'tuned'"):
        backend_of(AB, variant="nosuch")


def test_a_component_is_a_backend_by_its_name() -> None:
    llama = backend_of(COMPONENTS, component="llama")
    assert (llama["name"], llama["model"], llama["min_replicas"]) == ("chat-llama", "/opt/ml/model", 0)
    assert "inference_component" in llama
    assert backend_of(COMPONENTS, component="embed", model="e")["max_replicas"] == 2
    with pytest.raises(ValueError, match="has the components 'llama', 'embed'; give backend\\(\\) one"):
        backend_of(COMPONENTS)
    with pytest.raises(ValueError, match="has the components none"):
        backend_of(SMALL, component="llama")


def test_a_serverless_backend_has_a_minute() -> None:
    found = backend_of(SERVERLESS, model="m")
    assert found["timeouts"] == {"total": 60.0}
    assert "min_replicas" not in found


def test_a_backend_s_region_is_that_of_its_package() -> None:
    found = backend_of({"model_package_arn": PACKAGE, "instance_type": "ml.g6.2xlarge"}, model="m")
    assert found["region"] == "eu-central-1"


def test_the_image_of_a_variant_that_becomes_known_late_is_refused_then() -> None:
    def program() -> None:
        later: Any = {**SMALL, "variants": {"b": {"weight": 1, "image": pulumi.Output.from_input("nginx")}}}
        SageMakerEndpoint("chat", later)

    with pytest.raises(pulumi.RunError, match=r"args\.variants\.b\.image is 'nginx'"):
        plan_program(program)


def test_ids_of_images_differ_from_each_other_only_once() -> None:
    policy = json.loads(inputs({**SMALL, "variants": {"b": {"weight": 1}}}, "chat-permissions")["policy"])
    pull = next(s for s in policy["Statement"] if s["Sid"] == "PullImage")
    assert isinstance(pull["Resource"], str)
    assert IMAGE.partition("/")[2].partition(":")[0] in pull["Resource"]
