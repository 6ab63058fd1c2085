"""VertexEndpoint: its refusals, and the graph that it registers. That Vertex AI deploys it is not proven here."""

import re
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.sdk_types import faults

from slipway import VertexEndpoint
from slipway.args import Faults
from slipway.backend import check_router
from slipway.gcp.vertex_endpoint import VertexEndpointArgs
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
