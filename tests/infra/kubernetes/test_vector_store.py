"""VectorStore: its objects against Kubernetes' published schema, and what it refuses. Backups run in tests/stores."""

import base64
from collections.abc import Mapping
from typing import Any, cast

import kubernetes_validate
import pulumi
import pytest
from pulumi.provider.experimental.analyzer import Analyzer
from tests.infra.kubernetes.model_server import revealed

from slipway import VectorStore
from slipway.kubernetes.quantity import parse
from slipway.kubernetes.vector_store_args import VectorSettings, VectorStoreArgs
from slipway.plan import Plan, Secret, plan_program

ARGS: VectorStoreArgs = {"namespace": "ai"}
KEY = "Given-by-hand.8f2a~7_Q"
EXTERNAL: Mapping[str, Any] = {"external_url": "https://qdrant.example.com:6333", "api_key": KEY}
HELD: Mapping[str, Any] = {"external_url": EXTERNAL["external_url"], "external_api_key": {"name": "qdrant", "key": "token"}}
EVERYTHING: Mapping[str, Any] = {
    "image": "registry.example/qdrant@sha256:" + "0" * 64,
    "api_key": KEY,
    "capacity": {"vectors": 1_000_000, "dimensions": 1536},
    "storage_gib": 40,
    "storage_class": "fast-ssd",
    "deletion_policy": "protect",
    "backup": {"schedule": "30 1 * * *", "timezone": "Europe/Vienna", "keep": 3, "gib": 100, "storage_class": "slow"},
    "resources": {"requests": {"cpu": "2"}, "limits": {"memory": "16Gi"}},
    "allow_from": [{"namespace": "edge", "pod_labels": {"app": "router"}}],
    "node_selector": {"pool": "data"},
}
OURS = {"podSelector": {"matchLabels": {"app.kubernetes.io/part-of": "slipway"}}}


def planned(name: str = "docs", /, **more: Any) -> Plan:
    return plan_program(lambda: VectorStore(name, cast("VectorStoreArgs", {**ARGS, **more})))


def refused(name: str = "docs", /, **more: Any) -> dict[str, str]:
    """Faults by path."""
    try:
        VectorSettings.of(name, cast("VectorStoreArgs", {**ARGS, **more}))
    except pulumi.InputPropertiesError as error:
        return {fault["property_path"].removeprefix("args."): fault["reason"] for fault in error.errors or []}
    return {}


def container(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", plan["docs-store"].inputs["spec"]["template"]["spec"]["containers"][0])


def held(plan: Plan) -> str:
    data = plan["docs-api-key"].inputs["data"]
    assert isinstance(data, Secret)
    return base64.b64decode(revealed(data)["api-key"]).decode()


@pytest.mark.parametrize(
    ("more", "count"),
    [
        ({}, 5),
        ({"engine": "chroma"}, 4),
        (EVERYTHING, 10),
        ({"engine": "chroma", "backup": {}, "allow_from": []}, 9),
        (EXTERNAL, 1),
        (HELD, 0),
    ],
)
def test_every_object_passes_the_published_schema_strictly(more: Mapping[str, Any], count: int) -> None:
    made = [revealed(r.inputs) for r in planned(**more) if r.custom]
    assert [kubernetes_validate.validate(m, "1.36", strict=True) for m in made] == ["1.36"] * count


@pytest.mark.parametrize(("engine", "ports"), [("qdrant", [6333, 6334]), ("chroma", [8000])])
def test_without_a_word_it_is_restricted_and_closed_to_all_but_our_own_pods(engine: str, ports: list[int]) -> None:
    plan = planned(engine=engine)
    pod = plan["docs-store"].inputs["spec"]["template"]["spec"]
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert container(plan)["securityContext"]["readOnlyRootFilesystem"] is True
    policy = plan["docs-network"].inputs["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["ingress"] == [{"from": [OURS], "ports": [{"protocol": "TCP", "port": port}]} for port in ports]
    assert "egress" not in policy
    assert [p["port"] for p in plan["docs-service"].inputs["spec"]["ports"]] == ports


def test_everything_that_can_be_asked_arrives() -> None:
    plan = planned(**EVERYTHING)
    spec = plan["docs-store"].inputs["spec"]
    assert container(plan)["image"] == EVERYTHING["image"]
    assert container(plan)["resources"] == {"requests": {"cpu": "2"}, "limits": {"memory": "16Gi"}}
    assert spec["template"]["spec"]["nodeSelector"] == {"pool": "data"}
    claim = spec["volumeClaimTemplates"][0]["spec"]
    assert (claim["storageClassName"], claim["resources"]["requests"]["storage"]) == ("fast-ssd", "40Gi")
    backup, restore = (plan[f"docs-{what}"].inputs["spec"] for what in ("backup", "restore"))
    assert (backup["schedule"], backup["timeZone"], backup["suspend"]) == ("30 1 * * *", "Europe/Vienna", False)
    # Nothing is ever restored by itself.
    assert restore["suspend"] is True
    volume = plan["docs-backups"].inputs["spec"]
    assert (volume["storageClassName"], volume["resources"]["requests"]["storage"]) == ("slow", "100Gi")


def test_a_backup_reaches_the_store_and_nothing_else_whoever_else_may() -> None:
    plan = planned(backup={}, allow_from=[])
    job = {"app.kubernetes.io/name": "vector-store-backup", "app.kubernetes.io/instance": "docs"}
    (rule,) = plan["docs-network"].inputs["spec"]["ingress"]
    assert rule == {"from": [{"podSelector": {"matchLabels": job}}], "ports": [{"protocol": "TCP", "port": 6333}]}
    policy = plan["docs-backup-network"].inputs["spec"]
    assert policy["podSelector"]["matchLabels"] == job
    (store,) = policy["egress"][1]["to"]
    assert store["podSelector"] == plan["docs-network"].inputs["spec"]["podSelector"]
    assert policy["egress"][1]["ports"] == [{"protocol": "TCP", "port": 6333}]
    labels = plan["docs-backup"].inputs["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert labels.items() >= job.items()
    # A Service must not send clients to it.
    selector = plan["docs-service"].inputs["spec"]["selector"]
    assert not labels.items() >= selector.items()


def test_memory_and_volume_follow_from_what_it_is_to_hold() -> None:
    for vectors, dimensions in ((100_000, 384), (5_000_000, 1536)):
        plan = planned(capacity={"vectors": vectors, "dimensions": dimensions})
        resources = container(plan)["resources"]
        need = vectors * dimensions * 4 * 1.5
        assert parse(resources["limits"]["memory"]) == parse(resources["requests"]["memory"])
        assert need < parse(resources["limits"]["memory"]) < need + 300 * 1024**2
        claim = plan["docs-store"].inputs["spec"]["volumeClaimTemplates"][0]["spec"]
        assert parse(claim["resources"]["requests"]["storage"]) >= 2 * need


@pytest.mark.parametrize(
    ("policy", "kept", "protected"), [("delete", "Delete", False), ("retain", "Retain", False), ("protect", "Retain", True)]
)
def test_one_argument_each_decides_what_becomes_of_data_and_backups(policy: str, kept: str, protected: bool) -> None:
    plan = planned(deletion_policy=policy, backup={"deletion_policy": policy})
    retention = plan["docs-store"].inputs["spec"]["persistentVolumeClaimRetentionPolicy"]
    assert retention == {"whenDeleted": kept, "whenScaled": "Retain"}
    backups = plan["docs-backups"].options
    assert bool(plan["docs-store"].options.get("protect")) is bool(backups.get("protect")) is protected
    assert bool(backups.get("retainOnDelete")) is (policy != "delete")
    # Backups stay where nothing was said of them, whatever becomes of the store.
    assert planned(deletion_policy="delete", backup={})["docs-backups"].options["retainOnDelete"] is True


def test_a_key_is_generated_once_and_taken_from_the_secret() -> None:
    first, second = planned(), planned()
    assert len(base64.urlsafe_b64decode(held(first) + "=")) == 32
    assert held(first) != held(second)
    assert first["docs-api-key"].options["ignoreChanges"] == ["data"]
    (variable,) = [e for e in container(first)["env"] if "valueFrom" in e]
    assert variable == {
        "name": "QDRANT__SERVICE__API_KEY",
        "valueFrom": {"secretKeyRef": {"name": "docs-api-key", "key": "api-key"}},
    }


def test_a_given_key_restarts_the_server_when_it_changes_and_is_in_no_clear_text() -> None:
    plans = [planned(api_key=KEY), planned(api_key=KEY + "2")]
    assert [held(p) for p in plans] == [KEY, KEY + "2"]
    revisions = [p["docs-store"].inputs["spec"]["template"]["metadata"]["annotations"] for p in plans]
    assert revisions[0] != revisions[1]
    for plan in (*plans, planned(**EXTERNAL)):
        assert KEY not in plan.to_json()
        assert all(KEY not in repr(r.inputs) and base64.b64encode(KEY.encode()).decode() not in repr(r.inputs) for r in plan)


def outputs(**more: Any) -> dict[str, Any]:
    def program() -> None:
        store = VectorStore("docs", cast("VectorStoreArgs", {**ARGS, **more}))
        for key in ("url", "host", "api_key_secret", "api_key_key"):
            pulumi.export(key, getattr(store, key))
        seen.append((store.env(), [way["port"] for way in store.egress()]))

    seen: list[Any] = []
    # What is None is not exported.
    exported = {"api_key_secret": None, "api_key_key": None, **plan_program(program).outputs}
    reference = seen[0][0].get("QDRANT_API_KEY", {"name": None, "key": None})
    assert (reference["name"], reference["key"]) == (exported["api_key_secret"], exported.pop("api_key_key"))
    return {**exported, "ports": seen[0][1]}


def test_whoever_uses_it_need_not_know_where_it_is_from() -> None:
    made = {"host": "docs.ai.svc"}
    assert outputs() == {**made, "url": "http://docs.ai.svc:6333", "api_key_secret": "docs-api-key", "ports": [6333, 6334]}
    assert outputs(engine="chroma") == {**made, "url": "http://docs.ai.svc:8000", "api_key_secret": None, "ports": [8000]}
    existing = {"url": "https://qdrant.example.com:6333", "host": "qdrant.example.com", "ports": [6333, 6333]}
    assert outputs(**EXTERNAL) == {**existing, "api_key_secret": "docs-api-key"}
    assert outputs(**HELD) == {**existing, "api_key_secret": "qdrant"}
    assert outputs(external_url="https://qdrant.example.com")["ports"] == [443, 443]
    assert outputs(engine="chroma", external_url="http://chroma.example.com")["api_key_secret"] is None


def test_two_do_not_meet() -> None:
    def program() -> None:
        for name in ("one", "two"):
            VectorStore(name, cast("VectorStoreArgs", {**ARGS, "backup": {}}))

    objects = [(r.inputs["kind"], r.inputs["metadata"]["name"]) for r in plan_program(program) if r.custom]
    assert len(set(objects)) == len(objects) == 20


def test_what_comes_from_another_resource_is_checked_when_it_is_known() -> None:
    with pytest.raises(Exception, match=r"args\.api_key has 3 characters"):
        planned(api_key=pulumi.Output.from_input("a b"))
    with pytest.raises(Exception, match=r"args\.external_url is no address of a store"):
        planned(external_url=pulumi.Output.from_input("redis://x"))


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"namespace": "AI"}, "namespace", "is 'AI'; give lower case letters"),
    ({"namespace": None}, "namespace", "is required"),
    ({"engine": "milvus"}, "engine", "is the text 'milvus'; give one of 'qdrant', 'chroma'"),
    ({"image": "qdrant/qdrant"}, "image", "which means ':latest'"),
    ({"api_key": "short"}, "api_key", "has 5 characters, or others than can stand everywhere; give 16 to 256 letters"),
    ({"api_key": KEY, "engine": "chroma"}, "api_key", "does nothing with engine 'chroma', which knows no keys"),
    ({"external_url": "qdrant:6333"}, "external_url", "is no address of a store; give an address such as"),
    ({"external_url": "http://[::1"}, "external_url", "is no address; give"),
    ({"external_url": "https://key@qdrant.example.com"}, "external_url", "give the key as 'api_key'"),
    ({"external_url": "https://qdrant.example.com/collections"}, "external_url", "has a path"),
    ({"external_url": "https://qdrant.example.com", "storage_gib": 5}, "storage_gib", "does nothing with 'external_url'"),
    ({"capacity": {"vectors": 0, "dimensions": 3}}, "capacity.vectors", "is 0; give 1 or more"),
    ({"capacity": {"vectors": 3, "dimensions": 0}}, "capacity.dimensions", "is 0; give 1 or more"),
    ({"capacity": {"vectors": 3}}, "capacity.dimensions", "is required"),
    ({"storage_gib": 0}, "storage_gib", "is 0; give 1 or more: it keeps its data"),
    ({"storage_class": "Fast Disk"}, "storage_class", "is 'Fast Disk'; give lower case letters"),
    ({"node_selector": {"a b": "c"}}, "node_selector.a b", "give"),
    (
        {"external_api_key": {"name": "Q", "key": "k"}, "external_url": "https://q.example"},
        "external_api_key.name",
        "is 'Q'; give",
    ),
    ({"external_api_key": {"name": "q", "key": "k"}}, "external_api_key", "goes with 'external_url'; for a store made here give"),
    ({**EXTERNAL, "external_api_key": {"name": "q", "key": "k"}}, "external_api_key", "excludes 'api_key'"),
    (
        {"capacity": {"vectors": 1_000_000, "dimensions": 1536}, "storage_gib": 10},
        "storage_gib",
        "takes twice the 9046 MiB of 'capacity'; give 18 or more",
    ),
    (
        {"capacity": {"vectors": 1_000_000, "dimensions": 1536}, "resources": {"limits": {"memory": "4Gi"}}},
        "resources.limits.memory",
        "is '4Gi', but 1,000,000 vectors x 1536 dimensions x 4 bytes x 1.5 and 256 MiB for the process are 9046 MiB",
    ),
    ({"resources": {"requests": {"memory": "1Q"}}}, "resources.requests.memory", "1Q"),
    ({"deletion_policy": "keep"}, "deletion_policy", "is the text 'keep'; give one of 'delete', 'retain', 'protect'"),
    ({"backup": {"schedule": "nightly"}}, "backup.schedule", "is 'nightly'; give a cron line of five fields"),
    ({"backup": {"timezone": "Vienna"}}, "backup.timezone", "is 'Vienna'; give a name of the IANA database"),
    ({"backup": {"keep": 0}}, "backup.keep", "is 0; give 1 to 1000"),
    ({"backup": {"restore_file": "docs.zip"}}, "backup.restore_file", "such as 'docs-20260131T030000Z.zip'"),
    ({"backup": {"bucket": {"uri": "ftp://x/y"}}}, "backup.bucket.uri", "is 'ftp://x/y'; give s3://BUCKET/FOLDER or gs://"),
    ({"backup": {"gib": 0}}, "backup.gib", "is 0; give 1 or more"),
    ({"backup": {"hours": 3}}, "backup.hours", "is not an argument"),
    ({"allow_from": [{"cidr": "10.0.0.1/8"}]}, "allow_from[0].cidr", "10.0.0.1/8"),
]


@pytest.mark.parametrize(("more", "where", "says"), WRONG)
def test_what_cannot_be_is_refused_with_its_path_and_the_choice(more: dict[str, Any], where: str, says: str) -> None:
    faults = refused(**more)
    assert list(faults) == [where]
    assert says in faults[where]


def test_a_name_too_long_for_its_jobs_is_refused() -> None:
    assert refused("d" * 44, backup={}) == {}
    assert "give at most 44" in refused("d" * 45, backup={})["name"]
    assert "give at most 46" in refused("d" * 47)["name"]


def test_pulumis_own_analyser_takes_it() -> None:
    component = Analyzer("slipway").analyze([VectorStore])["component_definitions"]["VectorStore"]
    assert set(component.inputs_mapping.values()) == VectorStoreArgs.__annotations__.keys()
    assert all(definition.description for definition in component.inputs.values())
    assert set(component.outputs_mapping.values()) == planned(backup={}).of_type("slipway:index:VectorStore")[0].outputs.keys()
