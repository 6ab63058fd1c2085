"""The identity made for a router: it may ask its backends, and nothing else. That a cloud gives credentials is not proven."""

import json
from typing import Any

import pulumi
import pulumi_aws as aws
import pytest
from tests.infra.kubernetes.service import planned, refused
from tests.infra.sdk_types import faults as sdk_faults

from slipway import AiApiService, SageMakerEndpoint, VertexEndpoint, vendor
from slipway.aws.invoke import document, grant_invoke
from slipway.gcp.invoke import account_id, role_id
from slipway.plan import plan_program

NOVA = vendor("bedrock", name="nova", model="amazon.nova-lite-v1:0", region="eu-central-1")
CLAUDE = vendor("bedrock", name="claude", model="eu.anthropic.claude-x-v1:0", region="eu-central-1")
GEMINI = vendor("vertex", name="gemini", model="google/gemini-2.5-flash", project="my-project", location="europe-west4")
OPENAI = vendor("openai", name="gpt", model="gpt-4o", api_key={"name": "keys", "key": "openai"})


def test_on_eks_a_role_that_may_ask_these_models_and_nothing_else() -> None:
    plan = planned(make_identity={"eks_cluster": "prod"}, backends=[NOVA, CLAUDE, OPENAI])
    role, policy, association = plan["api-role"], plan["api-role-invoke"], plan["api-identity"]
    for resource in (role, policy, association):
        assert sdk_faults(resource) == []
        assert resource.parent == plan.of_type("slipway:index:AiApiService")[0].urn
        assert resource.urn in plan["api-router"].options["dependsOn"] or resource is role
    assert json.loads(role.inputs["assumeRolePolicy"])["Statement"] == [
        {"Effect": "Allow", "Action": ["sts:AssumeRole", "sts:TagSession"], "Principal": {"Service": "pods.eks.amazonaws.com"}}
    ]
    assert json.loads(policy.inputs["policy"])["Statement"] == [
        {
            "Sid": "Invoke0",
            "Effect": "Allow",
            "Action": ["bedrock:InvokeModel", "bedrock:InvokeModelWithResponseStream"],
            "Resource": [
                "arn:aws:bedrock:eu-central-1::foundation-model/amazon.nova-lite-v1:0",
                "arn:aws:bedrock:eu-central-1:*:inference-profile/eu.anthropic.claude-x-v1:0",
                "arn:aws:bedrock:*::foundation-model/anthropic.claude-x-v1:0",
            ],
        }
    ]
    assert (association.inputs["clusterName"], association.inputs["serviceAccount"]) == ("prod", "api-account")
    assert ("169.254.170.23/32", 80) in ways_out(plan)
    config = json.loads(plan["api-config"].inputs["data"]["router.json"])
    assert "aws_permissions" not in json.dumps(config)


def ways_out(plan: Any) -> list[tuple[str | None, int]]:
    rules = plan["api-network"].inputs["spec"]["egress"]
    return [(rule["to"][0].get("ipBlock", {}).get("cidr"), rule["ports"][0]["port"]) for rule in rules]


def test_on_gke_an_account_that_may_ask_and_nothing_else() -> None:
    plan = planned(make_identity={"gcp_project": "cluster-project"}, backends=[GEMINI, OPENAI])
    account, user = plan["api-identity"], plan["api-identity-user"]
    role, member = plan["api-invoke-gemini"], plan["api-invoke-gemini-member"]
    for resource in (account, user, role, member):
        assert sdk_faults(resource) == []
        assert resource.parent == plan.of_type("slipway:index:AiApiService")[0].urn
    assert account.inputs["project"] == "cluster-project"
    assert (user.inputs["role"], user.inputs["member"]) == (
        "roles/iam.workloadIdentityUser",
        "serviceAccount:cluster-project.svc.id.goog[ai/api-account]",
    )
    assert (role.inputs["permissions"], role.inputs["project"]) == (["aiplatform.endpoints.predict"], "my-project")
    assert member.inputs["project"] == "my-project"
    assert {user.urn, member.urn} <= set(plan["api-router"].options["dependsOn"])
    assert "iam.gke.io/gcp-service-account" in plan["api-account"].inputs["metadata"]["annotations"]
    assert ("169.254.169.252/32", 988) in ways_out(plan)


def test_a_vertex_endpoint_is_allowed_alone() -> None:
    def program() -> None:
        chat = VertexEndpoint(
            "chat", {"location": "europe-west4", "hugging_face_model_id": "Qwen/Qwen3-0.6B", "dedicated_endpoint": False}
        )
        identity: Any = {"gcp_project": "cluster-project"}
        AiApiService("api", {"namespace": "ai", "image": "router:1.2.3", "backends": [chat.backend()], "make_identity": identity})

    plan = plan_program(program)
    member = plan["api-invoke-chat-member"]
    assert member.type == "gcp:vertex/aiEndpointIamMember:AiEndpointIamMember"
    assert sdk_faults(member) == []
    assert member.inputs["location"] == "europe-west4"
    assert "gcp:projects/iAMMember:IAMMember" not in {r.type for r in plan.resources}


@pytest.mark.parametrize(
    ("args", "path", "said"),
    [
        ({"backends": [NOVA]}, "backends[0].protocol", "is 'bedrock', which is asked by the pods' identity, and they have none"),
        ({"backends": [OPENAI, GEMINI]}, "backends[1].protocol", "give 'make_identity' with 'gcp_project', an 'identity'"),
        ({"backends": [GEMINI], "make_identity": {"eks_cluster": "c"}}, "make_identity.eks_cluster", "would be allowed nothing"),
        ({"backends": [NOVA], "make_identity": {}}, "make_identity", "give either 'eks_cluster' or 'gcp_project'"),
        ({"backends": [NOVA], "make_identity": {"eks_cluster": "c", "gcp_project": "p"}}, "make_identity", "give either"),
        ({"backends": [NOVA], "make_identity": {"eks_cluster": "my cluster"}}, "make_identity.eks_cluster", "is 'my cluster'"),
        (
            {"backends": [GEMINI], "make_identity": {"gcp_project": "P"}},
            "make_identity.gcp_project",
            "is 'P'; give a project's id",
        ),
        (
            {
                "backends": [NOVA],
                "make_identity": {"eks_cluster": "c"},
                "identity": {"aws_role_arn": "arn:aws:iam::123456789012:role/x"},
            },
            "make_identity",
            "excludes 'identity'",
        ),
    ],
)
def test_bad_input(args: dict[str, Any], path: str, said: str) -> None:
    assert said in refused(**args)[path]


@pytest.mark.parametrize("wrong", [3, "x", [], [{}], {"eks_cluster": 3}, {"gcp_project": None}, {"eks": "c"}, object()])
def test_no_wrong_value_gives_anything_but_a_refusal(wrong: object) -> None:
    assert any(path.startswith("make_identity") for path in refused(backends=[NOVA], make_identity=wrong))
    assert "backends[0].protocol" in refused(backends=[{**NOVA, "protocol": wrong}], make_identity={"eks_cluster": "c"})


@pytest.mark.parametrize(
    "more",
    [
        {"identity": {"aws_role_arn": "arn:aws:iam::123456789012:role/x"}},
        {"env_from_secrets": {"AWS_ACCESS_KEY_ID": {"name": "aws", "key": "id"}}},
    ],
)
def test_an_identity_of_ones_own_will_do(more: dict[str, Any]) -> None:
    assert "api-role" not in planned(backends=[NOVA], **more)


def test_a_sagemaker_endpoint_asks_for_itself_only() -> None:
    def program() -> None:
        chat = SageMakerEndpoint(
            "chat",
            {
                "image": "123456789012.dkr.ecr.eu-central-1.amazonaws.com/llm:1.0.0",
                "instance_type": "ml.g6.2xlarge",
                "endpoint_name": "chat",
            },
        )
        backend = chat.backend(model="llama", quality="high")
        role = aws.iam.Role("mine", assume_role_policy="{}")
        grant_invoke("mine-invoke", role.name, [backend])
        pulumi.export("url", backend["url"])
        with pytest.raises(ValueError, match="no backend has 'aws_permissions'"):
            grant_invoke("nothing", role.name, [OPENAI])

    plan = plan_program(program)
    assert "mine-invoke" in plan
    assert "nothing" not in plan
    policy = json.loads(
        document([{"actions": ["a:B"], "resources": ["arn:1"]}, {"actions": ["a:B"], "resources": ["arn:1", "arn:2"]}])
    )
    assert policy["Statement"] == [{"Sid": "Invoke0", "Effect": "Allow", "Action": ["a:B"], "Resource": ["arn:1", "arn:2"]}]


@pytest.mark.parametrize("name", ["a", "api", "9lives", "An_Odd.Name-that-is-much-longer-than-ids-may-be-and-goes-on", "x" * 63])
def test_ids_within_googles_limits(name: str) -> None:
    ids: list[tuple[str, str]] = []
    plan_program(lambda: ids.append((account_id(name), role_id(name))))
    account, role = ids[0]
    assert 6 <= len(account) <= 30
    assert account[0].isalpha()
    assert account == account.lower()
    assert set(account) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert 3 <= len(role) <= 64
