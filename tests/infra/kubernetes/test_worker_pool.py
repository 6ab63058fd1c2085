"""WorkerPool: its objects against Kubernetes' published schema and KEDA's definitions, and what it refuses."""

from collections.abc import Mapping
from typing import Any

import kubernetes_validate
import pulumi
import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.kubernetes.workers import ARGS, PASSWORD, container, environment, planned, pod, refused
from tests.support.crds import crd_faults, is_custom

from slipway import WorkerPool
from slipway.kubernetes.network import dns
from slipway.kubernetes.worker_pool_args import OWN_ENV, WorkerPoolArgs

OWN: Mapping[str, Any] = {"celery": None, "command": ["node", "worker.js"], "queues": ["jobs"]}
EVERYTHING: Mapping[str, Any] = {
    "broker": {
        "host": "redis.example.com",
        "port": 6380,
        "database": 2,
        "tls": True,
        "username": "workers",
        "password": {"name": "redis", "key": "secret"},
        "egress": {"port": 6380, "cidr": "10.0.0.0/8"},
    },
    "celery": {"app": "tasks:app", "concurrency": 4, "max_tasks_per_child": 100, "log_level": "WARNING"},
    "queues": ["fast", "slow"],
    "longest_task_seconds": 900,
    "scaling": {
        "min": 0,
        "max": 40,
        "tasks_per_replica": 4,
        "idle_seconds": 60,
        "keda_namespace": "scaling",
        "schedule": [{"start": "0 8 * * 1-5", "end": "0 18 * * 1-5", "timezone": "Europe/Vienna", "replicas": 2}],
    },
    "resources": {"requests": {"cpu": "1"}, "limits": {"memory": "8Gi"}},
    "scratch_gib": 20,
    "env": {"CELERY_RESULT_BACKEND": "$(REDIS_URL)"},
    "env_from_secrets": {"OPENAI_API_KEY": {"name": "api-keys", "key": "openai"}},
    "egress": [{"port": 8000, "pod_labels": {"app.kubernetes.io/name": "slipway-router"}}],
    "identity": {"gcp_service_account": "worker@acme.iam.gserviceaccount.com"},
    "user": 1000,
    "node_selector": {"pool": "work"},
    "tolerations": [{"key": "spot"}],
    "priority_class": "batch",
    "image_pull_secrets": ["registry"],
}
HPA: Mapping[str, Any] = {"scaling": {"by": "hpa", "metric": {"name": "redis_key_size", "labels": {"key": "celery"}}}}


@pytest.mark.parametrize(
    ("more", "count"),
    [({}, 7), (EVERYTHING, 7), (OWN, 6), (HPA, 6), ({"replicas": 0}, 5), ({"broker": {"host": "redis"}}, 6)],
)
def test_every_object_passes_the_published_schema_strictly(more: Mapping[str, Any], count: int) -> None:
    made = [dict(r.inputs) for r in planned(**more) if r.custom]
    assert len(made) == count
    assert [fault for m in made if is_custom(m) for fault in crd_faults(m)] == []
    plain = [m for m in made if not is_custom(m)]
    assert [kubernetes_validate.validate(m, "1.36", strict=True) for m in plain] == ["1.36"] * len(plain)


def test_without_a_word_it_is_restricted_and_reaches_its_redis_alone() -> None:
    plan = planned()
    assert plan["worker-account"].inputs["automountServiceAccountToken"] is False
    assert (pod(plan)["automountServiceAccountToken"], pod(plan)["securityContext"]["runAsNonRoot"]) == (False, True)
    assert container(plan)["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    policy = plan["worker-network"].inputs["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in policy
    assert [rule["ports"][0]["port"] for rule in policy["egress"]] == [dns()["ports"][0]["port"], 6379, 6379]  # pyright: ignore
    assert plan["worker-pdb"].inputs["spec"]["maxUnavailable"] == 1
    assert "replicas" not in plan["worker-worker"].inputs["spec"]


def test_everything_that_can_be_asked_arrives() -> None:
    plan = planned(**EVERYTHING)
    command = container(plan)["command"]
    for option, value in {"--queues": "fast,slow", "--concurrency": "4", "--max-tasks-per-child": "100"}.items():
        assert command[command.index(option) + 1] == value
    env = environment(container(plan), {"secret": PASSWORD, "openai": "sk"})
    url = f"rediss://workers:{PASSWORD}@redis.example.com:6380/2?ssl_cert_reqs=required"
    assert env == {
        "HOME": "/tmp",
        "REDIS_PASSWORD": PASSWORD,
        "REDIS_URL": url,
        "CELERY_BROKER_URL": url,
        "CELERY_RESULT_BACKEND": url,
        "OPENAI_API_KEY": "sk",
    }
    assert container(plan)["resources"] == {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"cpu": "2", "memory": "8Gi"}}
    assert pod(plan)["terminationGracePeriodSeconds"] == 925
    assert pod(plan)["volumes"][0] == {"name": "tmp", "emptyDir": {"sizeLimit": "20Gi"}}
    assert pod(plan)["securityContext"]["runAsUser"] == 1000
    assert (pod(plan)["nodeSelector"], pod(plan)["priorityClassName"]) == ({"pool": "work"}, "batch")
    assert pod(plan)["tolerations"] == [{"key": "spot", "operator": "Exists"}]
    assert pod(plan)["imagePullSecrets"] == [{"name": "registry"}]
    assert plan["worker-account"].inputs["metadata"]["annotations"].keys() == {"iam.gke.io/gcp-service-account"}
    ports = [rule["ports"][0]["port"] for rule in plan["worker-network"].inputs["spec"]["egress"]]
    assert ports[:3] == [53, 6380, 8000]


def test_a_worker_of_ones_own_is_told_where_its_queue_is_and_given_its_time() -> None:
    plan = planned(**OWN, alive_command=["/bin/alive"], longest_task_seconds=60)
    assert container(plan)["command"] == ["node", "worker.js"]
    assert "CELERY_BROKER_URL" not in environment(container(plan), {"password": PASSWORD})
    assert container(plan)["livenessProbe"]["exec"] == {"command": ["/bin/alive"]}
    assert not {"startupProbe", "readinessProbe"} & container(plan).keys()
    assert pod(plan)["terminationGracePeriodSeconds"] == 75
    assert [v["name"] for v in pod(plan)["volumes"]] == ["tmp"]
    assert plan["worker-scaler"].inputs["spec"]["triggers"][0]["metadata"]["listName"] == "jobs"


def test_up_waits_longer_than_kubernetes_and_for_the_last_task() -> None:
    plan = planned(longest_task_seconds=3600)
    deployment = plan["worker-worker"]
    timeouts = {key: int(text.removesuffix("s")) for key, text in deployment.options["customTimeouts"].items()}
    assert timeouts["create"] > deployment.inputs["spec"]["progressDeadlineSeconds"]
    assert timeouts["delete"] > pod(plan)["terminationGracePeriodSeconds"]


def test_another_launcher_is_another_configmap_and_the_one_before_stays() -> None:
    code = planned()["worker-code"]
    assert code.inputs["immutable"] is True
    assert code.options["retainOnDelete"] is True
    (volume,) = [v for v in pod(planned())["volumes"] if v["name"] == "code"]
    assert volume["configMap"]["name"] == code.inputs["metadata"]["name"]


def test_other_languages_can_use_it() -> None:
    component = Analyzer("slipway").analyze([WorkerPool])["component_definitions"]["WorkerPool"]
    assert set(component.inputs_mapping.values()) == WorkerPoolArgs.__annotations__.keys()
    assert all(definition.description for definition in component.inputs.values())
    assert set(component.outputs_mapping.values()) == planned().of_type("slipway:index:WorkerPool")[0].outputs.keys()
    assert container(planned(longest_task_seconds=60.0)) == container(planned(longest_task_seconds=60))


def test_names_and_numbers_from_other_resources_arrive() -> None:
    made = planned(broker={**ARGS["broker"], "host": pulumi.Output.from_input("cache.ai.svc")})
    assert made["worker-scaler"].inputs["spec"]["triggers"][0]["metadata"]["address"] == "cache.ai.svc:6379"


ROLE = "arn:aws:iam::123456789012:role/worker"
WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"namespace": "My_NS"}, {"namespace": "is 'My_NS'; give lower case"}),
    ({"image": "app"}, {"image": "means ':latest'; give a version"}),
    ({"image": None}, {"image": "is required"}),
    ({"broker": None}, {"broker": "is required"}),
    ({"broker": "redis://x"}, {"broker": "give a mapping with the keys 'host'"}),
    ({"celery": None}, {"celery": "is required, or 'command' is"}),
    ({"command": ["a"], "queues": ["a"]}, {"command": "excludes 'celery', which has a command of its own; give one"}),
    ({**OWN, "command": []}, {"command": "is empty; give a word or more"}),
    ({**OWN, "queues": None}, {"queues": "is required with 'command'"}),
    ({"queues": []}, {"queues": "is empty; give a word or more"}),
    ({"queues": ["a", "a"]}, {"queues[1]": "is 'a', which is there already; give it once"}),
    ({"queues": ["a,b"]}, {"queues[0]": "is 'a,b'; give letters, digits"}),
    ({"alive_command": ["a"]}, {"alive_command": "goes with 'command'"}),
    ({**OWN, "alive_command": []}, {"alive_command": "is empty"}),
    ({"longest_task_seconds": 0}, {"longest_task_seconds": "is 0; give 1 or more"}),
    ({"longest_task_seconds": 86_401}, {"longest_task_seconds": "give at most 86400, a day, or run it as a Job"}),
    ({"replicas": -1}, {"replicas": "is -1; give 0 or more"}),
    ({"replicas": 2, "scaling": {}}, {"replicas": "cannot go with 'scaling'"}),
    ({"resources": {"requests": {"cpu": "3"}}}, {"resources.limits.cpu": "is '2', below the request of '3'"}),
    ({"scratch_gib": 0}, {"scratch_gib": "is 0; give 1 or more"}),
    ({"env": {"REDIS_URL": "x"}}, {"env.REDIS_URL": "is set by the component; leave it out"}),
    ({"env": {"1A": "x"}}, {"env.1A": "is no name of an environment variable"}),
    ({"env_from_secrets": {"A": {"name": "S!", "key": "k"}}}, {"env_from_secrets.A.name": "is 'S!'; give a Secret's name"}),
    ({"egress": [{"port": 443}]}, {"egress[0]": "has no address; give 'pod_labels' or 'cidr'"}),
    ({"egress": [{"port": 443, "cidr": "all"}]}, {"egress[0].cidr": "is 'all': 'all' does not appear to be"}),
    ({"egress": [{"port": 443, "pod_labels": {"a": "b c"}}]}, {"egress[0].pod_labels.a": "is 'b c'; give letters"}),
    ({"egress": [{"port": 443, "namespace": "AI", "pod_labels": {}}]}, {"egress[0].namespace": "is 'AI'; give lower case"}),
    ({"identity": {}}, {"identity": "names nobody"}),
    ({"identity": {"aws_role_arn": "worker"}}, {"identity.aws_role_arn": "is 'worker'; give an ARN such as"}),
    ({"identity": {"gcp_service_account": "me"}}, {"identity.gcp_service_account": "is 'me'; give an address such as"}),
    ({"identity": {"aws_role_arn": ROLE, "eks_cluster": "a b"}}, {"identity.eks_cluster": "is 'a b'; give the cluster's name"}),
    ({"user": 0}, {"user": "is 0; give 1 or more, since pods under the restricted level do not run as root"}),
    ({"node_selector": {"a": "b c"}}, {"node_selector.a": "is 'b c'; give letters"}),
    ({"tolerations": [{"key": ""}]}, {"tolerations[0].key": "is ''; give a name of letters, digits"}),
    ({"tolerations": [{"key": "a", "value": "b c"}]}, {"tolerations[0].value": "is 'b c'; give letters"}),
    ({"tolerations": [{"key": "a", "effect": "Never"}]}, {"tolerations[0].effect": "is 'Never'; give 'NoSchedule'"}),
    ({"priority_class": "High!"}, {"priority_class": "is 'High!'; give lower case letters"}),
    ({"image_pull_secrets": ["A B"]}, {"image_pull_secrets[0]": "is 'A B'; give lower case letters"}),
    ({"scaling": {"max": 0}}, {"scaling.max": "is 0; give 1 or more"}),
    ({"celery": {"app": "a b"}}, {"celery.app": "is 'a b'; give a module"}),
    ({"concurrency": 2}, {"concurrency": "is not an argument"}),
]


@pytest.mark.parametrize(("wrong", "told"), WRONG)
def test_each_wrong_argument_is_one_clear_fault(wrong: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(**wrong)
    assert faults.keys() == told.keys(), faults
    assert all(reason in faults[path] for path, reason in told.items()), faults


def test_every_argument_has_a_wrong_value_in_the_table() -> None:
    assert {key for wrong, _ in WRONG for key in wrong} >= WorkerPoolArgs.__annotations__.keys()


@pytest.mark.parametrize("variable", sorted(OWN_ENV))
def test_variables_of_the_component_cannot_be_set(variable: str) -> None:
    assert refused(env={variable: "x"}) == {f"env.{variable}": "is set by the component; leave it out"}


def test_a_name_that_no_pod_can_have_is_refused() -> None:
    assert "at most 52" in refused("c" * 53)["name"]
    assert "give lower case letters" in refused("My_Pool")["name"]
    assert refused("c" * 52) == {}
