"""Every example plans as a user's own program would, with the defaults that its Pulumi.yaml gives."""

import runpy
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.infra.sdk_types import args_class, faults

from slipway.plan import Plan, plan_program
from slipway.plan.foreseen import foreseen

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = sorted(p.parent.name for p in EXAMPLES.glob("*/Pulumi.yaml"))


def planned(name: str) -> Plan:
    project: dict[str, Any] = yaml.safe_load((EXAMPLES / name / "Pulumi.yaml").read_text())
    schema: dict[str, dict[str, Any]] = project.get("config", {})
    config: dict[str, str] = {}
    for key, setting in schema.items():
        value = setting.get("default", setting.get("value"))
        if value is not None:
            config[key if ":" in key else f"{project['name']}:{key}"] = str(value)
    program = EXAMPLES / name / "__main__.py"
    return plan_program(lambda: runpy.run_path(str(program), run_name="__main__"), project=project["name"], config=config)


def test_there_are_examples() -> None:
    assert {"model_on_sagemaker", "model_on_vertex"} <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_it_plans_and_its_resources_have_the_properties_that_the_providers_know(name: str) -> None:
    plan = planned(name)
    assert [r for r in plan if r.type.startswith("slipway:")]
    assert [line for r in plan if r.custom and has_sdk(r.type) for line in faults(r)] == []


def has_sdk(token: str) -> bool:
    """Custom resources and dynamic ones have no class in an SDK."""
    try:
        args_class(token)
    except LookupError:
        return False
    return True


@pytest.mark.parametrize("name", NAMES)
def test_it_says_what_it_is(name: str) -> None:
    project: dict[str, Any] = yaml.safe_load((EXAMPLES / name / "Pulumi.yaml").read_text())
    assert project["runtime"] in ("python", {"name": "python"}) or project["runtime"]["name"] == "python"
    assert project["description"].endswith(".")


def test_the_whole_stack_hangs_together() -> None:
    plan = planned("ai_stack")
    assert foreseen(plan) == []
    worker = plan["worker-worker"].inputs["spec"]["template"]["spec"]["containers"][0]
    told = {entry["name"]: entry.get("value") for entry in worker["env"]}
    assert told["OPENAI_BASE_URL"] == "http://ai-api.ai.svc/v1"
    # Workers are let out to the pods of that address, which listen on this port.
    ways = [(way["ports"][0]["port"], way["to"][0]) for way in plan["worker-network"].inputs["spec"]["egress"]]
    labels = plan["ai-api-router"].inputs["spec"]["template"]["metadata"]["labels"]
    (to_api,) = [to["podSelector"]["matchLabels"] for port, to in ways if port == 8000]
    assert to_api.items() <= labels.items()


def test_a_router_that_exists_is_watched_as_it_would_tell_of_itself() -> None:
    """By the labels and the port that the router of another example has, so that its pods are found and reached."""
    plan = planned("observability")
    router = planned("ai_stack")["ai-api-router"].inputs["spec"]["template"]
    job, *_ = yaml.safe_load(plan["watch-prometheus-config"].inputs["data"]["prometheus.yml"])["scrape_configs"]
    assert job["kubernetes_sd_configs"][0]["namespaces"]["names"] == ["ai"]
    ways = plan["watch-prometheus-network"].inputs["spec"]["egress"]
    selected = [(w["ports"][0]["port"], to["podSelector"]["matchLabels"]) for w in ways for to in w["to"] if "podSelector" in to]
    (labels,) = (of for port, of in selected if port == 8000)
    theirs = {**router["metadata"]["labels"], "app.kubernetes.io/instance": "api"}
    assert labels.items() <= theirs.items()
    assert router["spec"]["containers"][0]["ports"][0]["containerPort"] == 8000
    read = yaml.safe_load(plan["watch-log-agent-config"].inputs["data"]["agent.yml"])["receivers"]["file_log"]
    assert read["include"] == ["/var/log/pods/ai_*/*/*.log"]


def test_the_endpoint_examples_let_one_caller_in() -> None:
    assert planned("model_on_sagemaker")["chat-invoke-caller"].type == "aws:iam/rolePolicy:RolePolicy"
    assert planned("model_on_vertex")["chat-invoke-caller"].type == "gcp:vertex/aiEndpointIamMember:AiEndpointIamMember"
