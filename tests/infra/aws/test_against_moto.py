"""Endpoints made by boto3 on moto's server, whose requests botocore's model of each service has checked before.

What this does not prove: that AWS gives the capacity, that the container starts, that a role's policy suffices. moto has neither
UpdateEndpoint nor inference components; the latter are held against CloudFormation's schema of them.
"""

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pulumi
import pulumi_aws as aws
import pytest
import yaml
from moto.iam.access_control import IAMPolicy, PermissionResult
from moto.server import ThreadedMotoServer
from tests.infra.aws.boto import Made, apply, faults, input_shape
from tests.infra.aws.endpoints import AB, ASYNC, COMPONENTS, FROM_PACKAGE, LINEAR, ROLLING, SERVERLESS, SHADOW, STEPS, WARM

from slipway import SageMakerEndpoint
from slipway.aws import policies
from slipway.aws.invoke import grant_invoke
from slipway.aws.sagemaker_args import SageMakerEndpointArgs
from slipway.aws.sagemaker_fleet import Fleet
from slipway.plan import plan_program

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    """moto's server on loopback."""
    server: Any = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def _nobody(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] -- pytest uses it
    """No configuration of the machine's user."""
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


def made_of(args: SageMakerEndpointArgs, moto: str, name: str) -> Made:
    """The endpoint, and a role that may call it."""

    def program() -> None:
        endpoint = SageMakerEndpoint(name, args)
        role = aws.iam.Role(f"{name}-router", assume_role_policy=policies.TRUST_POD_IDENTITY)
        endpoint.grant_invoke(role.name)
        if "async_inference" not in args:
            grant_invoke(f"{name}-all", role.name, [endpoint.backend(model="m")])

    return apply(program, moto)


FORMS: dict[str, SageMakerEndpointArgs] = {
    "ab": AB,
    "shadow": SHADOW,
    "serverless": SERVERLESS,
    "warm": WARM,
    "async": ASYNC,
    "steps": STEPS,
    "package": FROM_PACKAGE,
    "rolling": ROLLING,
    "linear": LINEAR,
}


@pytest.mark.parametrize("form", FORMS)
def test_it_is_made_call_by_call_and_comes_into_service(moto: str, form: str) -> None:
    made = made_of(FORMS[form], moto, form)
    name = made.outputs[f"{form}-endpoint"]["name"]
    found = made.clients["sagemaker"].describe_endpoint(EndpointName=name)
    assert found["EndpointStatus"] == "InService"
    assert found["EndpointConfigName"] == made.outputs[f"{form}-config"]["name"]
    order = [operation for operation, _ in made.calls]
    assert order.index("create_role") < order.index("put_role_policy") < order.index("create_model")
    assert order.index("create_model") < order.index("create_endpoint_config") < order.index("create_endpoint")


def test_the_stack_that_ships_comes_into_service(moto: str) -> None:
    from tests.infra.test_sdk_types import ROOT

    config = yaml.safe_load((ROOT / "stacks" / "Pulumi.aws.yaml").read_text())["config"]
    model = cast("dict[str, Any]", config["slipway:models"][0])
    args = {k: v for k, v in model.items() if k not in ("name", "place", "routing")}
    made = made_of(cast("Any", args), moto, model["name"])
    name = made.outputs[f"{model['name']}-endpoint"]["name"]
    assert made.clients["sagemaker"].describe_endpoint(EndpointName=name)["EndpointStatus"] == "InService"


def test_autoscaling_is_registered_for_what_is_there(moto: str) -> None:
    made = made_of(STEPS, moto, "scaled")
    client = made.clients["application-autoscaling"]
    endpoint = made.outputs["scaled-endpoint"]["name"]
    [target] = client.describe_scalable_targets(
        ServiceNamespace="sagemaker", ResourceIds=[f"endpoint/{endpoint}/variant/g6-2xlarge"]
    )["ScalableTargets"]
    assert (target["MinCapacity"], target["MaxCapacity"]) == (1, 8)
    found = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert {"TargetTrackingScaling", "StepScaling"} <= {p["PolicyType"] for p in found}


def test_a_router_may_call_this_endpoint_and_nothing_else(moto: str) -> None:
    made = made_of(AB, moto, "granted")
    iam, role = made.clients["iam"], made.outputs["granted-router"]["name"]
    names = iam.list_role_policies(RoleName=role)["PolicyNames"]
    assert len(names) == 2
    arn = made.outputs["granted-endpoint"]["arn"]
    account = arn.rpartition(":endpoint/")[0]
    for name in names:
        document = iam.get_role_policy(RoleName=role, PolicyName=name)["PolicyDocument"]
        policy: Any = IAMPolicy(json.dumps(document))

        def may(action: str, resource: str, policy: Any = policy) -> bool:
            return policy.is_action_permitted(action, resource) is PermissionResult.PERMITTED

        assert may("sagemaker:InvokeEndpoint", arn)
        assert may("sagemaker:InvokeEndpointWithResponseStream", arn)
        assert not may("sagemaker:InvokeEndpoint", f"{arn}-2")
        assert not may("sagemaker:InvokeEndpoint", f"{account}:endpoint/other")
        client = made.clients["sagemaker"]
        for operation in client.meta.service_model.operation_names:
            assert not may(f"sagemaker:{operation}", arn), operation
        assert not may("sagemaker:InvokeEndpointAsync", arn)
        assert not may("s3:GetObject", "arn:aws:s3:::models/llama/8b/x")
        assert not may("iam:PassRole", "*")


def test_weights_change_by_a_new_configuration_beside_the_old_one(moto: str) -> None:
    before = made_of(AB, moto, "moved")
    variants = AB.get("variants", {})
    half: SageMakerEndpointArgs = {**AB, "weight": 1, "variants": {"tuned": {**variants["tuned"], "weight": 1}}}
    after = made_of({**half, "endpoint_name": "chat-2"}, moto, "moved2")
    client = before.clients["sagemaker"]
    old, new = before.outputs["moved-config"]["name"], after.outputs["moved2-config"]["name"]
    told = [client.describe_endpoint_config(EndpointConfigName=n)["ProductionVariants"] for n in (old, new)]
    assert [[v["InitialVariantWeight"] for v in each] for each in told] == [[9, 1], [1, 1]]
    # This is what Pulumi's provider calls for the change; moto does not have it, botocore knows it.
    [told_once] = [t for o, t in after.calls if o == "create_endpoint"]
    update = {k: told_once[k] for k in ("EndpointName", "EndpointConfigName", "DeploymentConfig")}
    assert faults(input_shape("UpdateEndpoint"), update, "update_endpoint") == []


def test_a_canary_goes_back_when_an_alarm_of_its_goes_off(moto: str) -> None:
    """The alarms are real ones of moto's CloudWatch; SageMaker's part, which watches them, is played here."""
    made = made_of({**AB, "deployment": {**AB.get("deployment", {}), "alarm_names": []}}, moto, "canary")
    [told] = [t for o, t in made.calls if o == "create_endpoint"]
    watched = [a["AlarmName"] for a in told["DeploymentConfig"]["AutoRollbackConfiguration"]["Alarms"]]
    assert len(watched) == 4
    cloudwatch = made.clients["cloudwatch"]

    def update(new: str, old: str) -> str:
        alarms = cloudwatch.describe_alarms(AlarmNames=watched)["MetricAlarms"]
        assert len(alarms) == len(watched)
        return old if any(a["StateValue"] == "ALARM" for a in alarms) else new

    assert update("new", "old") == "new"
    errors = made.outputs["canary-tuned-errors"]["name"]
    cloudwatch.set_alarm_state(AlarmName=errors, StateValue="ALARM", StateReason="a test")
    assert update("new", "old") == "old"
    cloudwatch.set_alarm_state(AlarmName=errors, StateValue="OK", StateReason="a test")
    assert update("new", "old") == "new"
    # They look at the variants of this endpoint by the names that it was given.
    found = {a["AlarmName"]: a for a in cloudwatch.describe_alarms(AlarmNames=watched)["MetricAlarms"]}
    queries = found[errors]["Metrics"]
    looked_at = {d["Value"] for q in queries if "MetricStat" in q for d in q["MetricStat"]["Metric"]["Dimensions"]}
    assert looked_at == {told["EndpointName"], "tuned-g6-2xlarge"}


def component_states() -> list[dict[str, Any]]:
    """What Cloud Control is told of each component."""
    states: list[pulumi.Output[str]] = []

    def program() -> None:
        states.extend(
            component.state_text(f"chat-{component.key}", "chat", "g6-12xlarge", "chat-model", {"team": "search"})
            for component in Fleet.of("chat", COMPONENTS).components
        )
        pulumi.export("states", states)

    return [json.loads(text) for text in plan_program(program).outputs["states"]]


def test_components_are_what_cloudformation_s_schema_and_botocore_s_model_know() -> None:

    # Neither has types.
    cfnlint: Any = importlib.import_module("cfnlint.schema")
    jsonschema: Any = importlib.import_module("jsonschema.validators")
    schema: Any = cfnlint.PROVIDER_SCHEMA_MANAGER.get_resource_schema("eu-central-1", "AWS::SageMaker::InferenceComponent").schema
    shape = input_shape("CreateInferenceComponent")
    # Patterns are Java's; botocore's, below, are looked at.
    check: Any = jsonschema.extend(jsonschema.Draft7Validator, {"pattern": None})(schema)
    states = component_states()
    assert len(states) == 2
    for state in states:
        assert [e.message for e in check.iter_errors(state)] == []
        assert faults(shape, state, "create_inference_component") == []
    broken = {**states[0], "RuntimeConfig": {"Copies": 1}}
    assert [e.message for e in check.iter_errors(broken)]


def test_what_the_service_does_not_know_is_found() -> None:
    shape = input_shape("CreateEndpoint")
    right = {"EndpointName": "a", "EndpointConfigName": "b"}
    assert faults(shape, right, "e") == []
    assert faults(shape, {**right, "EndpointNme": "a"}, "e") == ["e.EndpointNme: CreateEndpointInput has no such member"]
    assert "does not match" in faults(shape, {**right, "EndpointName": "a_b"}, "e")[0]
    wait: Any = {"BlueGreenUpdatePolicy": {"TerminationWaitInSeconds": 3601}}
    assert "is outside of 0 to 3600" in faults(shape, {**right, "DeploymentConfig": wait}, "e")[0]
    wait = {"BlueGreenUpdatePolicy": {"TrafficRoutingConfiguration": {"Type": "GREEN"}}}
    assert "is not among" in faults(shape, {**right, "DeploymentConfig": wait}, "e")[0]
