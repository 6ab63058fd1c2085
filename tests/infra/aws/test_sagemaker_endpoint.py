"""SageMakerEndpoint: the graph that it registers. That AWS accepts it is proven where an account or its emulator is, not here."""

import json
import re
import subprocess
import sys
from typing import Any

import pulumi
import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.sdk_types import faults

from slipway import SageMakerEndpoint
from slipway.aws.sagemaker_args import SageMakerEndpointArgs
from slipway.aws.sagemaker_endpoint import named_by_content
from slipway.backend import router_config
from slipway.plan import UNKNOWN, Plan, Secret, plan_program
from slipway_router.config import Config

IMAGE = "763104351884.dkr.ecr.eu-central-1.amazonaws.com/djl-inference:0.33.0-lmi15.0.0-cu128"
KEY = "arn:aws:kms:eu-central-1:123456789012:key/00000000-0000-0000-0000-000000000000"
SMALL: SageMakerEndpointArgs = {"image": IMAGE, "instance_type": "ml.g6.2xlarge"}
FULL: SageMakerEndpointArgs = {
    "image": IMAGE,
    "instance_type": "ml.g6.2xlarge",
    "weights_s3_uri": "s3://models/llama/8b/",
    "weights_kms_key_arn": KEY,
    "weights_gib": 16,
    "environment": {"HF_MODEL_ID": "/opt/ml/model", "HF_TOKEN": "hf_hush"},
    "instance_count": 2,
    "scaling": {"min": 1, "max": 4, "invocations_per_instance": 60},
    "vpc": {"subnet_ids": ["subnet-1"], "security_group_ids": ["sg-1"]},
    "inference_ami_version": "al2-ami-sagemaker-inference-gpu-3-1",
    "tags": {"team": "search"},
}


def planned(args: SageMakerEndpointArgs) -> Plan:
    def program() -> None:
        SageMakerEndpoint("chat", args).grant_invoke("router")

    return plan_program(program)


@pytest.mark.parametrize("args", [SMALL, FULL], ids=["small", "full"])
def test_every_input_is_one_that_the_sdk_knows(args: SageMakerEndpointArgs) -> None:
    made = [r for r in planned(args).resources if r.custom]
    assert len(made) >= 6
    assert [line for r in made for line in faults(r)] == []


def test_every_child_belongs_to_the_component_and_carries_its_name() -> None:
    plan = planned(FULL)
    component = plan["chat"]
    assert component.type == "slipway:index:SageMakerEndpoint"
    children = plan.children(component)
    assert {c.name for c in children} == {
        "chat-role",
        "chat-permissions",
        "chat-model",
        "chat-config",
        "chat-endpoint",
        "chat-scaling-target",
        "chat-scaling-policy",
        "chat-invoke-caller",
    }
    assert len(plan) == len(children) + 1


def test_the_configuration_is_named_by_its_content_so_that_a_new_one_can_come_before_the_old_one_goes() -> None:
    plan = planned(FULL)
    for name in ("chat-model", "chat-endpoint"):
        assert "name" not in plan[name].inputs
    for name in ("chat-model", "chat-config", "chat-endpoint"):
        assert "deleteBeforeReplace" not in plan[name].options
    # It hangs on the model's name, which is Pulumi's, and so not known before `up`.
    assert plan["chat-config"].inputs["name"] is UNKNOWN
    assert plan["chat-endpoint"].inputs["endpointConfigName"] is UNKNOWN
    assert plan["chat-config"].urn in plan["chat-endpoint"].options["dependsOn"]


def test_another_content_is_another_name_and_the_same_the_same() -> None:
    def program() -> None:
        def named(weight: float, model: str = "chat-model-1") -> pulumi.Output[str]:
            variant = {"model_name": pulumi.Output.from_input(model), "initial_variant_weight": weight}
            return named_by_content("chat-config", {"production_variants": [variant]})

        pulumi.export("names", [named(1), named(1), named(2), named(1, "chat-model-2")])

    first, again, heavier, newer = plan_program(program).outputs["names"]
    assert first == again
    assert len({first, heavier, newer}) == 3
    assert re.fullmatch("chat-config-[0-9a-f]{8}", first)


def test_an_endpoint_can_have_the_name_that_callers_know() -> None:
    plan = planned({**SMALL, "endpoint_name": "llama"})
    assert plan["chat-endpoint"].inputs["name"] == "llama"
    assert "Endpoints/llama" in plan["chat-permissions"].inputs["policy"]


def test_the_variant_says_how_much_and_how_long() -> None:
    (variant,) = planned(FULL)["chat-config"].inputs["productionVariants"]
    assert variant == {
        "variantName": "g6-2xlarge",
        "modelName": UNKNOWN,
        "instanceType": "ml.g6.2xlarge",
        "initialInstanceCount": 2,
        "initialVariantWeight": 1,
        "modelDataDownloadTimeoutInSeconds": 172,
        "containerStartupHealthCheckTimeoutInSeconds": 600,
        "inferenceAmiVersion": "al2-ami-sagemaker-inference-gpu-3-1",
        "routingConfigs": [{"routingStrategy": "LEAST_OUTSTANDING_REQUESTS"}],
    }


def test_an_update_moves_all_traffic_and_lets_streams_end() -> None:
    policy = planned(SMALL)["chat-endpoint"].inputs["deploymentConfig"]["blueGreenUpdatePolicy"]
    assert policy["trafficRoutingConfiguration"]["type"] == "ALL_AT_ONCE"
    assert policy["terminationWaitInSeconds"] == 480


def test_the_model_waits_for_its_permissions() -> None:
    plan = planned(FULL)
    assert plan["chat-permissions"].urn in plan["chat-model"].options["dependsOn"]


def test_weights_are_an_uncompressed_prefix_that_the_role_may_read() -> None:
    plan = planned(FULL)
    source = plan["chat-model"].inputs["primaryContainer"]["modelDataSource"]["s3DataSources"]
    assert source == [{"s3Uri": "s3://models/llama/8b/", "s3DataType": "S3Prefix", "compressionType": "None"}]
    policy = json.loads(plan["chat-permissions"].inputs["policy"])
    reads = [s["Resource"] for s in policy["Statement"] if "s3:GetObject" in s["Action"]]
    assert reads == ["arn:aws:s3:::models/llama/8b/*"]


def test_without_scaling_there_is_no_target() -> None:
    plan = planned(SMALL)
    assert not plan.of_type("aws:appautoscaling/target:Target")
    assert not plan.of_type("aws:appautoscaling/policy:Policy")


def test_scaling_follows_invocations_for_each_instance() -> None:
    plan = planned(FULL)
    target = plan["chat-scaling-target"].inputs
    assert (target["minCapacity"], target["maxCapacity"]) == (1, 4)
    assert plan["chat-endpoint"].urn in plan["chat-scaling-target"].options["dependsOn"]
    assert plan["chat-scaling-target"].urn in plan["chat-scaling-policy"].options["dependsOn"]
    tracking = plan["chat-scaling-policy"].inputs["targetTrackingScalingPolicyConfiguration"]
    assert tracking["predefinedMetricSpecification"] == {"predefinedMetricType": "SageMakerVariantInvocationsPerInstance"}
    assert tracking["targetValue"] == 60


def test_a_token_is_a_secret_wherever_it_is() -> None:
    plan = planned(FULL)
    environment = plan["chat-model"].inputs["primaryContainer"]["environment"]
    environment = environment.value if isinstance(environment, Secret) else environment
    assert environment["HF_TOKEN"] == Secret("hf_hush")
    assert environment["HF_MODEL_ID"] == "/opt/ml/model"
    assert "hf_hush" not in str([dict(r.inputs) for r in plan.resources])


def test_a_grant_is_one_policy_on_the_caller_s_role() -> None:
    grant = planned(SMALL)["chat-invoke-caller"]
    assert grant.type == "aws:iam/rolePolicy:RolePolicy"
    assert grant.inputs["role"] == "router"


def test_a_router_takes_it_as_a_backend() -> None:
    def program() -> None:
        chat = SageMakerEndpoint("chat", {**FULL, "endpoint_name": "chat", "environment": {"OPTION_MAX_MODEL_LEN": "8192"}})
        backend = chat.backend(model="llama-8b", instance_cost_per_hour=1.5, quality="high")
        pulumi.export("config", router_config({}, [backend]))

    [told] = plan_program(program).outputs["config"]["backends"]
    assert told == {
        "name": "chat",
        "url": "https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/chat",
        "protocol": "sagemaker",
        "region": "eu-central-1",
        "model": "llama-8b",
        "self_hosted": True,
        "timeouts": {"total": 480.0},
        "resource": "chat",
        "domain": "aws/eu-central-1",
        "min_replicas": 1,
        "max_replicas": 4,
        "context_tokens": 8192,
        "replica_cost_per_hour": 1.5,
        "quality": "high",
    }
    assert Config.parse({"backends": [told]}).backends[0].replica_cost_per_hour == 1.5


def test_a_backend_whose_model_or_region_nobody_knows_is_refused() -> None:
    def program() -> None:
        late = SageMakerEndpoint("chat", {**SMALL, "image": pulumi.Output.from_input(IMAGE)})
        with pytest.raises(ValueError, match="not known yet; give backend\\(\\) model and region"):
            late.backend()
        assert late.backend(model="m", region="cn-north-1").get("min_replicas") == 1

    plan_program(program)


def test_grants_need_names_that_differ() -> None:
    def program() -> None:
        endpoint = SageMakerEndpoint("chat", SMALL)
        endpoint.grant_invoke("router")
        endpoint.grant_invoke("batch", grantee="batch")
        with pytest.raises(ValueError, match="has a grant 'caller' already"):
            endpoint.grant_invoke("third")

    assert {r.name for r in plan_program(program) if "invoke" in r.name} == {"chat-invoke-caller", "chat-invoke-batch"}


def test_faults_come_before_any_resource() -> None:
    with pytest.raises(pulumi.InputPropertiesError, match=r"SageMakerEndpoint 'chat'.*2 faults"):
        planned({"image": IMAGE, "instance_type": "ml.m7i.large", "instance_count": 0})


@pytest.mark.parametrize(("key", "value"), [("image", "nginx:1"), ("weights_s3_uri", "s3://models/*/")])
def test_what_becomes_known_late_is_refused_then(key: str, value: str) -> None:
    def program() -> None:
        later: Any = {**SMALL, key: pulumi.Output.from_input(value)}
        SageMakerEndpoint("chat", later)

    with pytest.raises(pulumi.RunError, match=f"args.{key} is '"):
        plan_program(program)


def test_outputs_are_the_endpoint_s() -> None:
    assert set(planned(SMALL)["chat"].outputs) == {"endpoint_name", "endpoint_arn", "role_arn"}


def test_the_extra_is_named_where_pulumi_aws_is_missing() -> None:
    script = "import sys; sys.modules['pulumi_aws'] = None\nimport slipway\nslipway.SageMakerEndpoint"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "pip install 'slipway[aws]'" in ran.stderr.splitlines()[-1]


def test_it_can_be_hosted_for_other_languages() -> None:
    component = Analyzer("slipway").analyze([SageMakerEndpoint])["component_definitions"]["SageMakerEndpoint"]
    assert {name for name, given in component.inputs.items() if not given.optional} == set()
    assert set(component.outputs) == {"endpointName", "endpointArn", "roleArn"}
    assert "ml.g6.2xlarge" in (component.inputs["instanceType"].description or "")
