"""A program's resources made by boto3 in the order of their registration, as Pulumi's provider makes them.

Every input must be one that the service's own model knows (botocore's), within its patterns, choices and bounds: botocore checks
the first of these itself, the rest is checked here.
"""

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, cast

import boto3
from pulumi.runtime.proto import resource_pb2

from slipway.plan.monitor import Monitor
from slipway.plan.run import run_program
from slipway.plan.values import Secret, of_struct

REGION = "eu-central-1"
_OLD_ENOUGH = "ml.g4dn.xlarge"
"""moto's list of instance types ends before g5; the type itself is checked by botocore's list."""
_SCALED = {"sagemaker:variant:DesiredProvisionedConcurrency": "sagemaker:variant:DesiredInstanceCount"}
"""What moto's list of what is scaled lacks, by what takes its place; botocore's list has it."""
_RENAMED = {"kmsKeyArn": "KmsKeyId", "configName": "EndpointConfigName", "timezone": "Timezone", "metricQueries": "Metrics"}
_ALWAYS_THEIRS = frozenset({"tags", "forceDetachPolicies", "maxSessionDuration", "path", "actionsEnabled"})


@cache
def clients(endpoint: str) -> dict[str, Any]:
    """boto3's clients at this address, by service; reading their models takes most of a test's time."""
    # boto3 has no types.
    session: Any = cast("Any", boto3).session.Session("a", "b", region_name=REGION)
    services = ("iam", "sagemaker", "application-autoscaling", "cloudwatch", "ecr")
    return {name: session.client(name, endpoint_url=endpoint) for name in services}


def input_shape(operation: str) -> Any:
    """What botocore knows of the input of one of SageMaker's operations."""
    return clients("http://127.0.0.1:9")["sagemaker"].meta.service_model.operation_model(operation).input_shape


class Made:
    """What a program made, by logical name, and the calls that made it."""

    def __init__(self, endpoint: str) -> None:
        self.clients = clients(endpoint)
        self.calls: list[tuple[str, dict[str, Any]]] = []
        self.outputs: dict[str, dict[str, str]] = {}

    def call(self, service: str, operation: str, **told: Any) -> Any:
        """One call, checked against the service's model first."""
        client = self.clients[service]
        name = client.meta.method_to_api_mapping[operation]
        shape = client.meta.service_model.operation_model(name).input_shape
        found = faults(shape, told, operation)
        assert not found, found
        self.calls.append((operation, told))
        return getattr(client, operation)(**_accepted(told))


def faults(shape: Any, value: Any, path: str) -> list[str]:
    """What botocore's model of a service knows to be wrong and botocore itself does not check."""
    kind, limits = shape.type_name, shape.metadata
    if kind == "structure":
        told = [f"{path}.{key}: {shape.name} has no such member" for key in value if key not in shape.members]
        return told + [f for k, v in value.items() if k in shape.members for f in faults(shape.members[k], v, f"{path}.{k}")]
    found: list[str] = []
    size = len(value) if kind in ("list", "map", "string") else value if kind in ("integer", "float", "double", "long") else None
    if size is not None and not limits.get("min", size) <= size <= limits.get("max", size):
        found.append(f"{path}: {value!r} is outside of {limits.get('min')} to {limits.get('max')}")
    if kind == "list":
        found += [f for i, v in enumerate(value) for f in faults(shape.member, v, f"{path}[{i}]")]
    if kind == "map":
        found += [f for k, v in value.items() for f in faults(shape.value, v, f"{path}.{k}")]
    if kind == "string":
        if limits.get("enum") and value not in limits["enum"]:
            found.append(f"{path}: {value!r} is not among {limits['enum']}")
        # AWS writes some of its patterns in Java's dialect, and that of S3's addresses without the '+' that is meant.
        pattern = limits.get("pattern", "")
        if pattern and not any(theirs in pattern for theirs in ("[^/])/", "\\p{", "\\u")) and not re.fullmatch(pattern, value):
            found.append(f"{path}: {value!r} does not match {pattern}")
    return found


def translated(shape: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """A provider's inputs by the names of the service: `modelName` is `ModelName`, a list of one is that one.

    What the service does not know stays as it is, for `faults` to find.
    """
    members = {name.lower(): name for name in shape.members}
    made: dict[str, Any] = {}
    for key, value in given.items():
        name = members.get(_RENAMED.get(key, key).lower()) or members.get(key.lower().removesuffix("s")) or key
        inner = shape.members.get(name)
        if inner is not None and inner.type_name == "structure":
            one: Any = cast("list[Any]", value)[0] if isinstance(value, list) else value
            made[name] = translated(inner, one)
        elif inner is not None and inner.type_name == "list" and inner.member.type_name == "structure":
            made[name] = (
                [translated(inner.member, v) for v in value]
                if not isinstance(value, Mapping)
                else [{"Name": k, "Value": v} for k, v in cast("Mapping[str, str]", value).items()]
            )
        elif inner is not None and inner.type_name in ("double", "float") and isinstance(value, str):
            made[name] = float(value)
        else:
            made[name] = value
    return made


def _accepted(told: Mapping[str, Any]) -> dict[str, Any]:
    """What moto takes: no instance type and nothing scaled that is younger than its lists."""

    def each(value: Any) -> Any:
        if isinstance(value, Mapping):
            entries = cast("Mapping[str, Any]", value).items()
            return {k: _OLD_ENOUGH if k == "InstanceType" else each(v) for k, v in entries}
        if isinstance(value, str):
            return _SCALED.get(value, value)
        if isinstance(value, list):
            return [each(v) for v in cast("list[Any]", value)]
        return value

    return each(dict(told))


class Maker(Monitor):
    """Makes each resource as it is registered, and answers with what the service said."""

    def __init__(self, made: Made) -> None:
        super().__init__("test", "test")
        self._made = made

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:  # noqa: N802
        response = super().RegisterResource(request)
        if not request.custom or request.type == "pulumi:pulumi:Stack":
            return response
        outputs = make(self._made, request.type, request.name, _plain(of_struct(request.object)))
        self._made.outputs[request.name] = outputs
        state = type(request.object)()
        state.CopyFrom(request.object)
        cast("Any", state).update(outputs)
        return resource_pb2.RegisterResourceResponse(urn=response.urn, id=outputs["id"], object=state)


def apply(program: Any, endpoint: str) -> Made:
    """Make what a program asks for, at this address."""
    made = Made(endpoint)
    run_program(program, Maker(made), config={"aws:region": REGION}, secret_keys=(), dry_run=False)
    return made


def make(made: Made, kind: str, logical: str, given: dict[str, Any]) -> dict[str, str]:
    """One resource. Its outputs, with its id."""
    name = given.pop("name", None) or f"{logical}-0a1b2c3"
    match kind:
        case "aws:iam/role:Role":
            told = {"RoleName": name, "AssumeRolePolicyDocument": given["assumeRolePolicy"]}
            role = made.call("iam", "create_role", **told, Description=given.get("description", ""))["Role"]
            return {"id": name, "name": name, "arn": role["Arn"]}
        case "aws:iam/rolePolicy:RolePolicy":
            made.call("iam", "put_role_policy", RoleName=given["role"], PolicyName=name, PolicyDocument=given["policy"])
            return {"id": name, "name": name}
        case "aws:ecr/repository:Repository":
            told = {k: v for k, v in given.items() if k != "forceDelete"}
            found = _create(made, "ecr", "create_repository", told, repositoryName=name)["repository"]
            return {"id": name, "name": name, "arn": found["repositoryArn"], "repositoryUrl": found["repositoryUri"]}
        case "aws:ecr/lifecyclePolicy:LifecyclePolicy":
            told = {"repositoryName": given["repository"], "lifecyclePolicyText": given["policy"]}
            made.call("ecr", "put_lifecycle_policy", **told)
            return {"id": name, "name": name}
        case "aws:ecr/repositoryPolicy:RepositoryPolicy":
            made.call("ecr", "set_repository_policy", repositoryName=given["repository"], policyText=given["policy"])
            return {"id": name, "name": name}
        case "aws:sagemaker/model:Model":
            arn = _create(made, "sagemaker", "create_model", given, ModelName=name)["ModelArn"]
        case "aws:sagemaker/endpointConfiguration:EndpointConfiguration":
            told = {"EndpointConfigName": name}
            arn = _create(made, "sagemaker", "create_endpoint_config", given, **told)["EndpointConfigArn"]
        case "aws:sagemaker/endpoint:Endpoint":
            arn = _create(made, "sagemaker", "create_endpoint", given, EndpointName=name)["EndpointArn"]
        case "aws:appautoscaling/target:Target":
            _create(made, "application-autoscaling", "register_scalable_target", given)
            return {"id": given["resourceId"], "resourceId": given["resourceId"]}
        case "aws:appautoscaling/policy:Policy":
            arn = _create(made, "application-autoscaling", "put_scaling_policy", given, PolicyName=name)["PolicyARN"]
        case "aws:appautoscaling/scheduledAction:ScheduledAction":
            _create(made, "application-autoscaling", "put_scheduled_action", given, ScheduledActionName=name)
            arn = ""
        case "aws:cloudwatch/metricAlarm:MetricAlarm":
            queries: list[dict[str, Any]] = given.get("metricQueries", [])
            for query in queries:
                if (stat := query.pop("metric", None)) is not None:
                    # The provider has in one what CloudWatch has in two.
                    query["metricStat"] = {"metric": stat, "period": stat.pop("period"), "stat": stat.pop("stat")}
            _create(made, "cloudwatch", "put_metric_alarm", given, AlarmName=name)
            arn = ""
        case _:
            raise AssertionError(f"no test makes a {kind}")
    return {"id": name, "name": name, "arn": arn}


def _create(made: Made, service: str, operation: str, given: Mapping[str, Any], **more: Any) -> Any:
    client = made.clients[service]
    shape = client.meta.service_model.operation_model(client.meta.method_to_api_mapping[operation]).input_shape
    told = {k: v for k, v in given.items() if k not in _ALWAYS_THEIRS and v is not None}
    return made.call(service, operation, **translated(shape, told), **more)


def _plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return _plain(value.value)
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [_plain(v) for v in cast("list[Any]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value
