"""VertexEndpoint: its refusals, and the graph that it registers. That Vertex AI deploys it is not proven here."""

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.sdk_types import faults
from tests.support.arguments import at, wrong_everywhere
from tests.support.arguments import path as dotted

from slipway import VertexEndpoint
from slipway.args import Faults
from slipway.backend import check_router
from slipway.gcp.vertex_deployments import INPUTS as DEPLOYMENT_INPUTS
from slipway.gcp.vertex_endpoint import VertexEndpointArgs, VertexModelArgs
from slipway.gcp.vertex_model_spec import CONTAINER
from slipway.gcp.vertex_model_spec import PLACE as MODEL_PLACE
from slipway.plan import UNKNOWN, Plan, Secret, plan_program

SMALL: VertexEndpointArgs = {"location": "europe-west4", "hugging_face_model_id": "Qwen/Qwen3-0.6B"}
FULL: VertexEndpointArgs = {
    "location": "europe-west4",
    "project": "search",
    "hugging_face_model_id": "google/gemma-3-4b-it",
    "hugging_face_token": "hf_hush",
    "accept_eula": True,
    "machine_type": "g2-standard-24",
    "accelerator_type": "NVIDIA_L4",
    "accelerator_count": 2,
    "min_replicas": 1,
    "max_replicas": 3,
    "spot": True,
    "dedicated_endpoint": False,
}
ROUTER = "serviceAccount:router@search.iam.gserviceaccount.com"


def planned(args: VertexEndpointArgs) -> Plan:
    def program() -> None:
        VertexEndpoint("chat", args).grant_invoke(ROUTER)

    return plan_program(program)


@pytest.mark.parametrize("args", [SMALL, FULL], ids=["small", "full"])
def test_every_input_is_one_that_the_sdk_knows(args: VertexEndpointArgs) -> None:
    plan = planned(args)
    made = [r for r in plan.resources if r.custom]
    assert {r.name for r in made} == {"chat-endpoint", "chat-invoker", "chat-invoke-caller"}
    assert {r.parent for r in made} == {plan["chat"].urn}
    assert [line for r in made for line in faults(r)] == []


def test_machines_and_replicas_are_those_asked_for() -> None:
    assert planned(FULL)["chat-endpoint"].inputs["deployConfig"] == {
        "dedicatedResources": {
            "machineSpec": {"machineType": "g2-standard-24", "acceleratorType": "NVIDIA_L4", "acceleratorCount": 2},
            "minReplicaCount": 1,
            "maxReplicaCount": 3,
            "spot": True,
        }
    }


def test_without_a_machine_model_garden_decides() -> None:
    inputs = planned(SMALL)["chat-endpoint"].inputs
    assert "deployConfig" not in inputs
    assert inputs["modelConfig"] == {"acceptEula": False, "modelDisplayName": "chat"}
    assert inputs["endpointConfig"]["dedicatedEndpointEnabled"] is True


def test_as_many_replicas_at_most_as_at_least_unless_told() -> None:
    resources = planned({**SMALL, "machine_type": "n1-standard-8", "min_replicas": 2})["chat-endpoint"].inputs["deployConfig"]
    assert resources["dedicatedResources"]["maxReplicaCount"] == 2


def test_the_token_is_a_secret_wherever_it_is() -> None:
    plan = planned(FULL)
    config = plan["chat-endpoint"].inputs["modelConfig"]
    config = config.value if isinstance(config, Secret) else config
    assert config["huggingFaceAccessToken"] == Secret("hf_hush")
    assert "hf_hush" not in str([dict(r.inputs) for r in plan.resources])


def test_a_router_takes_it_as_a_backend() -> None:
    told: list[dict[str, Any]] = []

    def program() -> None:
        backend = VertexEndpoint("chat", FULL).backend(replica_cost_per_hour=2, quality="low")
        faults = Faults("AiApiService")
        check_router({}, [backend], faults)
        faults.refuse("api")
        told.append({**backend})

    plan_program(program)
    assert {k: v for k, v in told[0].items() if k not in ("url", "gcp_permissions")} == {
        "name": "chat",
        "protocol": "vertex",
        "model": "google/gemma-3-4b-it",
        "tasks": ["chat"],
        "self_hosted": True,
        "resource": "chat",
        "domain": "gcp/europe-west4",
        "min_replicas": 1,
        "max_replicas": 3,
        "replica_cost_per_hour": 2,
        "quality": "low",
    }
    (allowed,) = told[0]["gcp_permissions"]
    assert allowed["permissions"] == ["aiplatform.endpoints.predict"]
    assert "endpoint" in allowed


def test_a_backend_whose_address_or_model_nobody_knows_is_refused() -> None:
    def program() -> None:
        own = VertexEndpoint("own", SMALL)
        with pytest.raises(ValueError, match="give backend\\(\\) 'project_number'"):
            own.backend()
        assert "min_replicas" not in own.backend(project_number="42")
        late = VertexEndpoint("late", {"location": "us-east1", "hugging_face_model_id": pulumi.Output.from_input("a/b")})
        with pytest.raises(ValueError, match="give backend\\(\\) 'model'"):
            late.backend()

    plan_program(program)


def test_a_caller_gets_the_one_permission_on_this_endpoint() -> None:
    plan = planned(SMALL)
    assert plan["chat-invoker"].inputs["permissions"] == ["aiplatform.endpoints.predict"]
    binding = plan["chat-invoke-caller"]
    assert binding.type == "gcp:vertex/aiEndpointIamMember:AiEndpointIamMember"
    assert binding.inputs["member"] == ROUTER
    assert binding.inputs["endpoint"] is UNKNOWN
    assert {plan["chat-endpoint"].urn, plan["chat-invoker"].urn} <= set(binding.options["dependsOn"])


def test_the_role_s_id_is_one_that_iam_takes_and_differs_between_stacks_and_endpoints() -> None:
    def ids(stack: str) -> list[str]:
        def program() -> None:
            for name in ("a" * 47, "chat-v1", "chat_v1"):
                VertexEndpoint(name, SMALL).grant_invoke(ROUTER)

        plan = plan_program(program, stack=stack)
        return [r.inputs["roleId"] for r in plan.of_type("gcp:projects/iAMCustomRole:IAMCustomRole")]

    every = [*ids("dev"), *ids("prod")]
    assert len(set(every)) == 6
    assert [i for i in every if not re.fullmatch(r"[A-Za-z0-9_.]{3,64}", i)] == []
    assert ids("dev") == every[:3]


def test_two_callers_share_the_role() -> None:
    def program() -> None:
        endpoint = VertexEndpoint("chat", SMALL)
        endpoint.grant_invoke(ROUTER)
        endpoint.grant_invoke("group:testers@example.com", grantee="testers")
        with pytest.raises(ValueError, match="has a grant 'caller' already"):
            endpoint.grant_invoke(ROUTER)
        with pytest.raises(ValueError, match="give a principal such as"):
            endpoint.grant_invoke("router@search.iam.gserviceaccount.com", grantee="other")

    plan = plan_program(program)
    assert len(plan.of_type("gcp:projects/iAMCustomRole:IAMCustomRole")) == 1
    assert {r.name for r in plan.of_type("gcp:vertex/aiEndpointIamMember:AiEndpointIamMember")} == {
        "chat-invoke-caller",
        "chat-invoke-testers",
    }


def test_without_a_caller_there_is_no_role() -> None:
    def program() -> None:
        VertexEndpoint("chat", SMALL)

    assert {r.name for r in plan_program(program)} == {"chat", "chat-endpoint"}


@pytest.mark.parametrize(
    ("wrong", "path", "words"),
    [
        ({"publisher_model_name": "publishers/google/models/gemma3@gemma-3-4b-it"}, "publisher_model_name", "give either"),
        ({"hugging_face_model_id": None}, "publisher_model_name", "give either"),
        ({"hugging_face_model_id": "Qwen3"}, "hugging_face_model_id", "ORGANISATION/MODEL"),
        ({"hugging_face_model_id": None, "publisher_model_name": "gemma3"}, "publisher_model_name", "MODEL@VERSION"),
        ({"accelerator_type": "NVIDIA_L4"}, "accelerator_type", "goes with 'machine_type'"),
        ({"max_replicas": 2}, "max_replicas", "goes with 'machine_type'"),
        ({"spot": True}, "spot", "goes with 'machine_type'"),
        ({"accelerator_count": 2}, "accelerator_count", "goes with 'accelerator_type'"),
        ({"machine_type": "g2-standard-12"}, "accelerator_type", "carries NVIDIA_L4"),
        ({"machine_type": "n1-standard-8", "min_replicas": 0}, "min_replicas", "at least 1"),
        ({"machine_type": "n1-standard-8", "min_replicas": 3, "max_replicas": 2}, "max_replicas", "below min_replicas (3)"),
        ({"locaton": "x"}, "locaton", "did you mean 'location'?"),
        ({"location": None}, "location", "is required"),
        ({"spot": "yes", "machine_type": "n1-standard-8"}, "spot", "true or false"),
    ],
)
def test_each_fault_is_told_by_its_path_and_nothing_beside_it(wrong: Mapping[str, Any], path: str, words: str) -> None:
    args: Any = {**SMALL, **wrong}
    with pytest.raises(pulumi.InputPropertiesError) as error:
        planned(args)
    (fault,) = error.value.errors or []
    assert fault["property_path"] == f"args.{path}"
    assert words in fault["reason"]


def test_a_token_needs_a_hugging_face_model() -> None:
    with pytest.raises(pulumi.InputPropertiesError, match=r"args\.hugging_face_token: goes with 'hugging_face_model_id'"):
        planned(
            {
                "location": "europe-west4",
                "publisher_model_name": "publishers/google/models/gemma3@gemma-3-4b-it",
                "hugging_face_token": "hf_hush",
            }
        )


@pytest.mark.parametrize("name", ["a" * 48, "my model"])
def test_the_component_s_name_leaves_room_for_the_role_s_id(name: str) -> None:
    with pytest.raises(pulumi.InputPropertiesError, match="at most 47"):
        plan_program(lambda: VertexEndpoint(name, SMALL))


def test_the_extra_is_named_where_pulumi_gcp_is_missing() -> None:
    script = "import sys; sys.modules['pulumi_gcp'] = None\nimport slipway\nslipway.VertexEndpoint"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode != 0
    assert "pip install 'slipway[gcp]'" in ran.stderr.splitlines()[-1]


def test_it_can_be_hosted_for_other_languages() -> None:
    component = Analyzer("slipway").analyze([VertexEndpoint])["component_definitions"]["VertexEndpoint"]
    assert {name for name, given in component.inputs.items() if not given.optional} == {"location"}
    assert set(component.outputs) == {"endpointId", "endpointName", "deployedModelId"}


IMAGE = f"europe-west4-docker.pkg.dev/search/serving/vllm@sha256:{'a' * 64}"
MAIN: VertexModelArgs = {"image": IMAGE, "machine_type": "g2-standard-12", "accelerator_type": "NVIDIA_L4"}
OWN: VertexEndpointArgs = {"location": "europe-west4", "models": {"main": MAIN}}
WHOLE: VertexEndpointArgs = {
    "location": "europe-west4",
    "project": "search",
    "models": {
        "main": {
            **MAIN,
            "artifact_uri": "gs://search-weights/qwen3-8b/",
            "command": ["vllm", "serve"],
            "args": ["--model=/weights"],
            "environment": {"HF_TOKEN": "hf_hush", "VLLM_USE_V1": "1"},
            "port": 8000,
            "predict_route": "/v1/completions",
            "health_route": "/ping",
            "shared_memory_mib": 4096,
            "start_timeout_seconds": 1800,
            "accelerator_count": 1,
            "min_replicas": 2,
            "max_replicas": 6,
            "scaling": {"cpu": 70, "accelerator": 80, "requests": 240, "waiting": 4, "cache": 90},
            "spot": True,
            "access_logging": True,
            "traffic": 90,
        },
        "canary": {**MAIN, "machine_type": "g2-standard-24", "accelerator_count": 2, "traffic": 10},
    },
    "private_service_connect": {"projects": ["search"]},
    "request_logging": {"bigquery_uri": "bq://search.logs.chat", "sampling_rate": 0.1},
    "alerts": {
        "notification_channels": ["projects/search/notificationChannels/1"],
        "error_ratio": 0.02,
        "latency_p95_ms": 30000,
        "window_seconds": 600,
    },
    "kms_key": "projects/search/locations/europe-west4/keyRings/r/cryptoKeys/k",
    "labels": {"team": "search"},
    "deploy_timeout_minutes": 90,
}
ALERTS: Any = {"notification_channels": ["projects/p/notificationChannels/1"]}
DYNAMIC = {
    "pulumi-python:dynamic/slipway:VertexModel": {*CONTAINER, *MODEL_PLACE, "labels", "model_name", "version_id"},
    "pulumi-python:dynamic/slipway:VertexDeployments": {*DEPLOYMENT_INPUTS, "deployed", "leftovers"},
}


@pytest.mark.parametrize("args", [OWN, WHOLE], ids=["small", "whole"])
def test_every_input_of_one_s_own_models_is_one_that_the_provider_knows(args: VertexEndpointArgs) -> None:
    plan = planned(args)
    made = [r for r in plan.resources if r.custom]
    assert {r.parent for r in made} == {plan["chat"].urn}
    assert [line for r in made if r.type not in DYNAMIC for line in faults(r)] == []
    for resource in made:
        if resource.type in DYNAMIC:
            assert set(resource.inputs) - {"__provider"} <= DYNAMIC[resource.type]
    # Only what the cloud makes is unknown: nothing of it became text.
    assert "Unknown" not in json.dumps([plain(r.inputs) for r in made])
    assert "Output" not in json.dumps([plain(r.inputs) for r in made])


def plain(value: Any) -> Any:
    if isinstance(value, Secret):
        return plain(value.value)
    if isinstance(value, Mapping):
        return {k: plain(v) for k, v in cast("Mapping[str, Any]", value).items()}
    if isinstance(value, list):
        return [plain(v) for v in cast("list[Any]", value)]
    return None if value is UNKNOWN else value


def test_the_whole_of_one_s_own_models() -> None:
    plan = planned(WHOLE)
    endpoint = plan["chat-endpoint"].inputs
    assert re.fullmatch(r"[1-9][0-9]{9}", endpoint["name"])
    assert {k: v for k, v in endpoint.items() if k != "name"} == {
        "displayName": "chat",
        "location": "europe-west4",
        "project": "search",
        "dedicatedEndpointEnabled": False,
        "labels": {"team": "search"},
        "privateServiceConnectConfig": {"enablePrivateServiceConnect": True, "projectAllowlists": ["search"]},
        "predictRequestResponseLoggingConfig": {
            "enabled": True,
            "samplingRate": 0.1,
            "bigqueryDestination": {"outputUri": "bq://search.logs.chat"},
        },
        "encryptionSpec": {"kmsKeyName": "projects/search/locations/europe-west4/keyRings/r/cryptoKeys/k"},
    }
    assert plan["chat-endpoint"].options["ignoreChanges"] == ["trafficSplit"]

    model = plan["chat-model-main"].inputs
    assert model["secret_env"] == Secret({"HF_TOKEN": "hf_hush"})
    assert (model["image"], model["env"], model["port"]) == (IMAGE, {"VLLM_USE_V1": "1"}, 8000)
    assert (model["predict_route"], model["health_route"]) == ("/v1/completions", "/ping")
    assert (model["command"], model["args"]) == (["vllm", "serve"], ["--model=/weights"])
    assert (model["shared_memory_mb"], model["start_timeout_seconds"]) == (4096, 1800)

    deployed = plan["chat-deployments"].inputs
    assert deployed["traffic"] == {"main": 90, "canary": 10}
    assert deployed["timeout_minutes"] == 90
    main = deployed["deployments"]["main"]
    assert {k: v for k, v in main.items() if v is not UNKNOWN} == {
        "machine_type": "g2-standard-12",
        "accelerator_type": "NVIDIA_L4",
        "accelerator_count": 1,
        "spot": True,
        "access_logging": True,
        "min_replicas": 2,
        "max_replicas": 6,
        "metrics": {"cpu": 70, "accelerator": 80, "requests": 240, "waiting": 4, "cache": 90},
    }
    assert main["model"] is main["service_account"] is UNKNOWN
    assert plan["chat-artifacts-main"].urn in plan["chat-deployments"].options["dependsOn"]


def test_defaults_of_one_s_own_models() -> None:
    plan = planned(OWN)
    assert plan["chat-endpoint"].inputs["dedicatedEndpointEnabled"] is True
    model = plan["chat-model-main"].inputs
    assert (model["port"], model["predict_route"], model["health_route"]) == (8080, "/v1/chat/completions", "/health")
    deployed = plan["chat-deployments"].inputs
    assert deployed["traffic"] == {"main": 100}
    assert (deployed["deployments"]["main"]["min_replicas"], deployed["deployments"]["main"]["max_replicas"]) == (1, 1)


def test_containers_may_read_their_weights_and_nothing_else() -> None:
    plan = planned(WHOLE)
    rights = [r for r in plan.resources if "iam" in r.type.lower() and r.name not in ("chat-invoker", "chat-invoke-caller")]
    assert [r.name for r in rights] == ["chat-artifacts-main"]
    binding = rights[0].inputs
    assert (binding["bucket"], binding["role"]) == ("search-weights", "roles/storage.objectViewer")
    bucket = "projects/_/buckets/search-weights"
    assert binding["condition"]["expression"] == (
        f'resource.name == "{bucket}" || resource.name.startsWith("{bucket}/objects/qwen3-8b/")'
    )
    given = planned({**OWN, "service_account": "runs@search.iam.gserviceaccount.com"})
    assert {r.name for r in given if r.custom} == {
        "chat-endpoint",
        "chat-model-main",
        "chat-deployments",
        "chat-invoker",
        "chat-invoke-caller",
    }


def test_the_endpoint_s_number_is_another_where_the_endpoint_must_be_another() -> None:
    def number(change: Mapping[str, Any]) -> str:
        args: Any = {**OWN, **change}
        return planned(args)["chat-endpoint"].inputs["name"]

    changed: list[Any] = [
        {"dedicated_endpoint": False},
        {"location": "us-central1"},
        {"private_service_connect": {"projects": ["a"]}},
    ]
    assert len({number({}), *(number(change) for change in changed)}) == 4
    kept: list[Any] = [{"labels": {"a": "b"}}, {"models": {"main": {**MAIN, "max_replicas": 4}}}]
    assert {number(change) for change in kept} == {number({})}


def test_alerts_tell_of_errors_latency_and_full_replicas_by_model() -> None:
    plan = planned(WHOLE)
    policies = {r.name: r.inputs for r in plan.of_type("gcp:monitoring/alertPolicy:AlertPolicy")}
    assert set(policies) == {"chat-alert-errors", "chat-alert-latency", "chat-alert-replicas"}
    thresholds = {name: p["conditions"][0]["conditionThreshold"] for name, p in policies.items()}
    assert {name: (t["thresholdValue"], t["duration"]) for name, t in thresholds.items()} == {
        "chat-alert-errors": (0.02, "600s"),
        "chat-alert-latency": (30000, "600s"),
        "chat-alert-replicas": (6.5, "900s"),
    }
    assert thresholds["chat-alert-errors"]["aggregations"][0]["groupByFields"] == ["metric.label.deployed_model_id"]
    few: VertexEndpointArgs = {**OWN, "alerts": {"notification_channels": ["projects/p/notificationChannels/1"]}}
    assert [r.name for r in planned(few).of_type("gcp:monitoring/alertPolicy:AlertPolicy")] == ["chat-alert-errors"]


def test_one_s_own_model_as_a_backend() -> None:
    told: list[Any] = []

    def program() -> None:
        own = VertexEndpoint("chat", {"location": "europe-west4", "models": {"main": {**MAIN, "max_replicas": 3}}})
        with pytest.raises(ValueError, match="give backend\\(\\) 'model'"):
            own.backend()
        backend = own.backend(model="qwen3")
        faults = Faults("AiApiService")
        check_router({}, [backend], faults)
        faults.refuse("api")
        private = VertexEndpoint("private", {**WHOLE})
        with pytest.raises(ValueError, match="behind Private Service Connect; give backend\\(\\) 'url'"):
            private.backend(model="qwen3")
        told.extend([backend, private.backend(model="qwen3", url="http://10.0.0.9/v1/projects/p/locations/l/endpoints/1")])

    plan_program(program)
    shared = {k: told[0][k] for k in ("name", "protocol", "model", "domain", "min_replicas", "max_replicas")}
    assert shared == {
        "name": "chat",
        "protocol": "vertex-raw",
        "model": "qwen3",
        "domain": "gcp/europe-west4",
        "min_replicas": 1,
        "max_replicas": 3,
    }
    assert told[0]["gcp_permissions"][0]["permissions"] == ["aiplatform.endpoints.predict"]
    assert (told[1]["url"], told[1]["max_replicas"]) == ("http://10.0.0.9/v1/projects/p/locations/l/endpoints/1", 7)


def with_main(**change: Any) -> dict[str, Any]:
    return {"models": {"main": {**MAIN, **change}}}


def with_two(first: Any, second: Any) -> dict[str, Any]:
    return {"models": {"main": {**MAIN, "traffic": first}, "canary": {**MAIN, "traffic": second}}}


@pytest.mark.parametrize(
    ("wrong", "path", "words"),
    [
        (
            {"location": "Europe", "models": {"main": {"image": IMAGE, "machine_type": "n1-standard-8"}}},
            "location",
            "a region such as",
        ),
        ({"models": {}}, "models", "is empty"),
        ({"models": {"Main": MAIN}}, "models.Main", "at most 20 lower case"),
        ({"models": {"m" * 21: MAIN}}, f"models.{'m' * 21}", "at most 20 lower case"),
        ({"hugging_face_model_id": "Qwen/Qwen3-8B"}, "hugging_face_model_id", "give one of the two"),
        ({"machine_type": "g2-standard-12"}, "machine_type", "give models.NAME.machine_type instead"),
        (with_main(image="docker.io/vllm/vllm-openai:v0.9"), "models.main.image", "pulls from Artifact Registry"),
        (with_main(image="europe-west4-docker.pkg.dev/p/r/vllm"), "models.main.image", "with :TAG or @sha256:DIGEST"),
        (with_main(artifact_uri="s3://weights/"), "models.main.artifact_uri", "gs://BUCKET/FOLDER"),
        (with_main(predict_route="v1"), "models.main.predict_route", "begins with '/'"),
        (with_main(health_route="health"), "models.main.health_route", "begins with '/'"),
        (with_main(port=0), "models.main.port", "1 to 65535"),
        (with_main(shared_memory_mib=0), "models.main.shared_memory_mib", "at least 1"),
        (with_main(start_timeout_seconds=7201), "models.main.start_timeout_seconds", "1 to 7200"),
        (with_main(environment={"1A": "x"}), "models.main.environment.1A", "no name for a variable"),
        (with_main(environment={"AIP_MODE": "x"}), "models.main.environment.AIP_MODE", "not 'AIP_...'"),
        (with_main(environment={f"A{i}": "x" for i in range(101)}), "models.main.environment", "takes 100 at most"),
        (with_main(accelerator_type=None), "models.main.accelerator_type", "carries NVIDIA_L4"),
        (with_main(accelerator_count=2), "models.main.accelerator_count", "carries 1 of NVIDIA_L4"),
        (with_main(machine_type="e2-standard-4"), "models.main.machine_type", "takes no NVIDIA_L4"),
        (with_main(min_replicas=0), "models.main.min_replicas", "scales no deployment to 0"),
        (with_main(min_replicas=3, max_replicas=2), "models.main.max_replicas", "below min_replicas (3)"),
        (with_main(scaling={"cpu": 70}), "models.main.scaling", "nothing to scale"),
        (with_main(max_replicas=2, scaling={"cpu": 101}), "models.main.scaling.cpu", "1 to 100"),
        (with_main(max_replicas=2, scaling={"requests": 0}), "models.main.scaling.requests", "at least 1"),
        (
            {
                "models": {
                    "main": {"image": IMAGE, "machine_type": "n1-standard-8", "max_replicas": 2, "scaling": {"accelerator": 5}}
                }
            },
            "models.main.scaling.accelerator",
            "goes with 'accelerator_type'",
        ),
        (with_main(traffic=101), "models.main.traffic", "0 to 100"),
        (with_main(traffic=50), "models", "main 50, which adds up to 50"),
        (with_two(90, 20), "models", "main 90 + canary 20, which adds up to 110"),
        (
            {"models": {"main": {**MAIN, "traffic": 100}, "canary": MAIN}},
            "models.canary.traffic",
            "is required where there are several",
        ),
        (
            {
                "location": "europe-west1",
                "models": {
                    "main": {"image": IMAGE, "machine_type": "a2-ultragpu-1g", "accelerator_type": "NVIDIA_A100_80GB"},
                },
            },
            "models.main.machine_type",
            "which europe-west1 does not have",
        ),
        ({"service_account": "runs"}, "service_account", "e-mail address"),
        ({"kms_key": "k"}, "kms_key", "cryptoKeys/K"),
        ({"deploy_timeout_minutes": 0}, "deploy_timeout_minutes", "at least 1"),
        ({"private_service_connect": {"projects": []}}, "private_service_connect.projects", "is empty"),
        ({"request_logging": {"bigquery_uri": "search.logs"}}, "request_logging.bigquery_uri", "bq://PROJECT"),
        (
            {"request_logging": {"bigquery_uri": "bq://p", "sampling_rate": 0}},
            "request_logging.sampling_rate",
            "above 0 and at most 1",
        ),
        ({"labels": {"Team": "a"}}, "labels.Team", "lower case letters"),
        ({"labels": {f"l{i}": "a" for i in range(63)}}, "labels", "give 62 at most"),
        ({"alerts": {"notification_channels": []}}, "alerts.notification_channels", "nobody is told"),
        ({"alerts": {"notification_channels": ["1"]}}, "alerts.notification_channels[0]", "notificationChannels/ID"),
        ({"alerts": {**ALERTS, "error_ratio": 5}}, "alerts.error_ratio", "between 0 and 1"),
        ({"alerts": {**ALERTS, "latency_p95_ms": 0}}, "alerts.latency_p95_ms", "above 0"),
        ({"alerts": {**ALERTS, "window_seconds": 90}}, "alerts.window_seconds", "multiple of 60"),
    ],
)
def test_each_fault_of_one_s_own_models_is_told_by_its_path_and_nothing_beside_it(
    wrong: Mapping[str, Any], path: str, words: str
) -> None:
    args: Any = {**OWN, **wrong}
    with pytest.raises(pulumi.InputPropertiesError) as error:
        planned(args)
    (fault,) = error.value.errors or []
    assert fault["property_path"] == f"args.{path}"
    assert words in fault["reason"]


@pytest.mark.parametrize(
    ("wrong", "source"),
    [
        (with_main(accelerator_type=None), "(Vertex AI guide, 'Configure compute resources for inference')"),
        (with_main(accelerator_count=2), "(Vertex AI guide, 'Configure compute resources for inference')"),
        (with_main(min_replicas=3, max_replicas=2), "(Vertex AI API: DedicatedResources)"),
        (with_main(min_replicas=0), "(its API: DedicatedResources)"),
        (with_two(90, 20), "(Endpoint.traffic_split in Vertex AI's API reference)"),
        (
            {**with_main(machine_type="a2-ultragpu-1g", accelerator_type="NVIDIA_A100_80GB"), "location": "europe-west1"},
            "machineTypes.",
        ),
    ],
    ids=["no gpu", "gpus", "min above max", "zero", "weights", "region"],
)
def test_a_rule_is_told_with_its_source(wrong: Mapping[str, Any], source: str) -> None:
    args: Any = {**OWN, **wrong}
    with pytest.raises(pulumi.InputPropertiesError) as error:
        planned(args)
    assert source in str(error.value)


@pytest.mark.parametrize("key", ["request_logging", "kms_key", "labels", "deploy_timeout_minutes", "service_account"])
def test_what_model_garden_cannot_is_refused(key: str) -> None:
    args: Any = {**SMALL, key: cast("dict[str, Any]", {**WHOLE, "service_account": "a@b.iam.gserviceaccount.com"})[key]}
    with pytest.raises(pulumi.InputPropertiesError, match=rf"args\.{key}: goes with 'models'"):
        planned(args)


def test_every_argument_is_checked_for_its_type() -> None:
    missed: list[str] = []
    for keys, value in wrong_everywhere(VertexEndpointArgs):
        args: Any = at(keys, value, SMALL)
        with pytest.raises(pulumi.InputPropertiesError) as error:
            planned(args)
        where = {fault["property_path"] for fault in error.value.errors or []}
        if not any(w.startswith(f"args.{dotted(keys)}") for w in where):
            missed.append(dotted(keys))
    assert missed == []
