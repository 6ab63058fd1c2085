"""One model in one place after another, by its lines of YAML alone: the router serves it under the same name."""

import json
import runpy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
import yaml
from moto.iam.access_control import IAMPolicy, PermissionResult
from pulumi.runtime.proto import resource_pb2

from slipway.plan.monitor import Monitor
from slipway.plan.plan import Resource
from slipway.plan.run import run_program
from slipway.plan.values import of_struct
from slipway_router.backend import Backend
from slipway_router.config import Config

ROOT = Path(__file__).parents[2]
ROUTING = {"routing": {"quality": "high", "serves": ["llama"]}}
IN_CLUSTER = {
    "place": "kubernetes",
    "model": "meta-llama/Llama-3.3-70B-Instruct",
    "accelerator": "a100-80gb:4",
    "tensor_parallel_size": 4,
    "context_tokens": 16384,
}
ON_SAGEMAKER = {
    "place": "aws",
    "image": "763104351884.dkr.ecr.eu-central-1.amazonaws.com/djl-inference:0.33.0-lmi15.0.0-cu128",
    "instance_type": "ml.g6.2xlarge",
    "environment": {"HF_MODEL_ID": "meta-llama/Llama-3.1-8B-Instruct"},
}
ON_VERTEX = {
    "place": "gcp",
    "location": "europe-west4",
    "hugging_face_model_id": "Qwen/Qwen3-8B",
    "dedicated_endpoint": False,
}
OWN_ON_VERTEX = {
    "place": "gcp",
    "location": "europe-west4",
    "models": {
        "main": {
            "image": "europe-west4-docker.pkg.dev/example-project/serving/vllm:1",
            "machine_type": "g2-standard-12",
            "accelerator_type": "NVIDIA_L4",
            "accelerator_count": 1,
        }
    },
}
IN_EKS = {"make_identity": {"eks_cluster": "prod"}}
IN_GKE = {"make_identity": {"gcp_project": "example-project"}}


class Made(Monitor):
    """Answers as if each resource had been made, with what only its cloud tells."""

    def __init__(self) -> None:
        super().__init__("slipway", "mine")

    def RegisterResource(self, request: resource_pb2.RegisterResourceRequest) -> resource_pb2.RegisterResourceResponse:  # noqa: N802
        response = super().RegisterResource(request)
        if not request.custom:
            return response
        state: Any = type(request.object)()
        state.CopyFrom(request.object)
        given = of_struct(request.object)
        name = given.get("name") or f"{request.name}-0a1b2c3"
        told = {
            "id": name,
            "name": name,
            "arn": f"arn:aws:sagemaker:eu-central-1:123456789012:endpoint/{name}",
            "endpoint": "4711",
            "deployed": {"main": "1"},
            "project": "example-project",
            "dedicatedEndpointDns": "4711.europe-west4-42.prediction.vertexai.goog",
        }
        for key, value in told.items():
            if key not in given:
                state[key] = value
        return resource_pb2.RegisterResourceResponse(urn=response.urn, id=name, object=state)


def program(settings: Mapping[str, Any]) -> dict[str, Resource]:
    """What the shipped program makes of a stack, by logical name."""
    config = {f"slipway:{key}": json.dumps(value) for key, value in settings.items()}
    monitor = Made()
    path = str(ROOT / "stacks" / "__main__.py")
    run_program(lambda: runpy.run_path(path, run_name="__main__"), monitor, config=config, secret_keys=(), dry_run=False)
    return {r.name: r for r in monitor.registered()}


def made(model: Mapping[str, Any], router: Mapping[str, Any]) -> dict[str, Resource]:
    """What it makes of this model, called `chat`, and a router in a cluster."""
    one = {"name": "chat", **ROUTING, **model}
    return program({"models": [one], "router": {"place": "kubernetes", "image": "router:1", **router}})


def backend_of(found: Mapping[str, Resource]) -> Backend:
    """The one backend of the router, as it will read its own configuration."""
    texts = [text for r in found.values() if r.type == "kubernetes:core/v1:ConfigMap" for text in r.inputs["data"].values()]
    [config] = [told for told in map(yaml.safe_load, texts) if "backends" in told]
    [backend] = Config.parse(config).backends
    return backend


@pytest.mark.parametrize(
    ("model", "router", "protocol", "host"),
    [
        (IN_CLUSTER, {}, "openai", "chat.slipway"),
        (ON_SAGEMAKER, IN_EKS, "sagemaker", "runtime.sagemaker.eu-central-1.amazonaws.com"),
        (ON_VERTEX, IN_GKE, "vertex", "europe-west4-aiplatform.googleapis.com"),
        ({**OWN_ON_VERTEX, "routing": {**ROUTING["routing"], "model": "m"}}, IN_GKE, "vertex-raw", "4711.europe-west4-42."),
    ],
    ids=["kubernetes", "sagemaker", "model-garden", "vertex-own"],
)
def test_the_router_serves_it_under_the_same_name_and_by_no_key(
    model: Mapping[str, Any], router: Mapping[str, Any], protocol: str, host: str
) -> None:
    found = made(model, router)
    backend = backend_of(found)
    assert (backend.name, backend.serves, backend.quality) == ("chat", ("llama",), "high")
    assert backend.protocol == protocol
    assert str(backend.url).partition("://")[2].startswith(host)
    assert backend.api_key_env is None
    (container,) = found["router-router"].inputs["spec"]["template"]["spec"]["containers"]
    assert [v for v in container.get("env", []) if "KEY" in v["name"] or "valueFrom" in v] == []


def test_the_router_s_role_may_ask_this_endpoint_and_nothing_else() -> None:
    found = made(ON_SAGEMAKER, IN_EKS)
    endpoint = "arn:aws:sagemaker:eu-central-1:123456789012:endpoint/chat-endpoint-0a1b2c3"
    assert str(backend_of(found).url).endswith("/endpoints/chat-endpoint-0a1b2c3")
    grant = found["router-role-invoke"]
    policy = IAMPolicy(grant.inputs["policy"])
    for action, arn, allowed in (
        ("sagemaker:InvokeEndpoint", endpoint, True),
        ("sagemaker:InvokeEndpointWithResponseStream", endpoint, True),
        ("sagemaker:InvokeEndpoint", endpoint[:-1], False),
        ("sagemaker:DescribeEndpoint", endpoint, False),
    ):
        assert (policy.is_action_permitted(action, arn) is PermissionResult.PERMITTED) is allowed, (action, arn)
    assert found["router-identity"].inputs["clusterName"] == "prod"


def test_the_router_s_account_may_ask_this_endpoint_and_nothing_else() -> None:
    found = made(ON_VERTEX, IN_GKE)
    [binding] = [r for r in found.values() if r.type == "gcp:vertex/aiEndpointIamMember:AiEndpointIamMember"]
    assert (binding.inputs["endpoint"], binding.inputs["location"]) == ("4711", "europe-west4")
    [role] = [r for r in found.values() if r.type == "gcp:projects/iAMCustomRole:IAMCustomRole"]
    assert role.inputs["permissions"] == ["aiplatform.endpoints.predict"]
    assert not [r for r in found.values() if r.type.startswith("gcp:projects/iAMMember:")]


@pytest.mark.parametrize(
    ("model", "variable"), [(ON_SAGEMAKER, "AWS_PROFILE"), (ON_VERTEX, "GOOGLE_APPLICATION_CREDENTIALS")], ids=["aws", "gcp"]
)
def test_a_local_router_asks_with_the_developer_s_own_credentials(model: Mapping[str, Any], variable: str) -> None:
    found = program({"models": [{"name": "chat", **model}], "router": {"place": "local"}})
    process = found["router-process"]
    [backend] = Config.parse(json.loads(process.inputs["files"]["router.json"])).backends
    assert (backend.name, backend.api_key_env) == ("chat", None)
    assert variable in process.inputs["pass_environment"]


@pytest.mark.parametrize(
    ("model", "router"), [(IN_CLUSTER, {}), (ON_SAGEMAKER, IN_EKS), (ON_VERTEX, IN_GKE)], ids=["kubernetes", "aws", "gcp"]
)
def test_what_an_instance_costs_stands_in_the_stack_s_yaml(model: Mapping[str, Any], router: Mapping[str, Any]) -> None:
    priced = {**model, "routing": {"instance_cost_per_hour": 1.5}}
    backend = backend_of(made({**priced}, router))
    assert backend.replica_cost_per_hour == 1.5


def test_one_router_asks_both_clouds() -> None:
    models = [{"name": "chat", **ON_SAGEMAKER}, {"name": "qwen", **ON_VERTEX}]
    provider = "projects/123456789012/locations/global/workloadIdentityPools/clusters/providers/prod"
    federation = {"gcp_provider": provider, "gcp_service_account": "router@example-project.iam.gserviceaccount.com"}
    router = {"place": "kubernetes", "image": "router:1", **IN_EKS, "federation": federation}
    found = program({"models": models, "router": router})
    pod = found["router-router"].inputs["spec"]["template"]["spec"]
    [volume] = [v for v in pod["volumes"] if v["name"] == "federation"]
    [source] = volume["projected"]["sources"]
    assert source["serviceAccountToken"]["audience"] == f"https://iam.googleapis.com/{provider}"
    config = found["router-config"].inputs["data"]
    assert [b.name for b in Config.parse(json.loads(config["router.json"])).backends] == ["chat", "qwen"]
    assert provider in config["google.json"]
    with pytest.raises(
        pulumi.RunError, match=r"models\[1\]\.place: is 'gcp'.*outside of GKE slipway:router\.federation\.gcp_provider"
    ):
        program({"models": models, "router": {key: value for key, value in router.items() if key != "federation"}})


def test_one_variant_of_an_endpoint_has_the_model_s_name_too() -> None:
    blue = {**ON_SAGEMAKER, "variants": {"blue": {"weight": 0}}, "routing": {"variant": "blue", "model": "m"}}
    backend = backend_of(made(blue, IN_EKS))
    assert (backend.name, backend.model, backend.target_variant) == ("chat", "m", "blue-g6-2xlarge")


def test_an_asynchronous_endpoint_is_beside_the_router() -> None:
    written = {"async_inference": {"output_s3_uri": "s3://example-answers/out/"}}
    vendor = {"vendor": "openai", "name": "gpt", "model": "gpt-4o", "api_key": {"name": "keys", "key": "openai"}}
    models = [{"name": "chat", **ON_SAGEMAKER, **written}]
    found = program({"models": models, "vendors": [vendor], "router": {"place": "kubernetes", "image": "router:1"}})
    assert "chat-endpoint" in found
    assert backend_of(found).name == "gpt"
