"""LoRA adapters: what engines and routers are told of them, and what is refused. Their loader runs in test_loaders.py."""

from collections.abc import Mapping
from typing import Any, cast

import kubernetes_validate
import pulumi
import pytest
from tests.infra.kubernetes.model_server import LLAMA, SMALL, env, following, planned, pod, refused, revealed, server

from slipway.backend import router_config
from slipway.kubernetes.gpu_model_server import GpuModelServer
from slipway.kubernetes.gpu_model_server_args import GpuModelServerArgs
from slipway.plan import plan_program

COMMITS = ("6f6073b423013f6a7d4d9f39144961bfbfbc386b", "0123456789abcdef0123456789abcdef01234567")
SQL: Mapping[str, Any] = {"name": "sql", "uri": f"hf://acme/llama-sql@{COMMITS[0]}"}
LAW: Mapping[str, Any] = {"name": "law", "uri": f"hf://acme/llama-law@{COMMITS[1]}"}
PVC: Mapping[str, Any] = {"uri": "pvc://llama/70b"}
BUCKET: Mapping[str, Any] = {
    "name": "art",
    "uri": "s3://acme/art",
    "sha256": "cd" * 32,
    "endpoint": "https://minio.example:9000",
    "credentials_secret": "minio",
}


def test_each_is_loaded_before_the_server_starts_and_served_by_name() -> None:
    plan = planned(adapters=[SQL, LAW], max_lora_rank=32, hub_token_secret={"name": "hub", "key": "token"})
    kubernetes_validate.validate(revealed(plan["llama-server"].inputs), "1.36", strict=True)
    loaders = pod(plan)["initContainers"]
    assert [c["name"] for c in loaders] == ["adapter-0", "adapter-1"]
    assert [(env(c)["SOURCE"], env(c)["COMMIT"]) for c in loaders] == [
        ("acme/llama-sql", COMMITS[0]),
        ("acme/llama-law", COMMITS[1]),
    ]
    assert all(env(c)["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}} for c in loaders)
    # Nothing else is on the volume beside them that a loader could take for an older version.
    assert all("MAKE_ROOM" not in env(c) for c in loaders)
    args = server(plan)["args"]
    at = args.index("--lora-modules")
    assert args[at + 1 : at + 3] == [f"sql={env(loaders[0])['TARGET']}", f"law={env(loaders[1])['TARGET']}"]
    assert "--enable-lora" in args
    assert (following(args, "--max-lora-rank"), following(args, "--max-loras")) == ("32", "2")


def test_sglang_is_told_in_its_own_words() -> None:
    args = server(planned(engine="sglang", adapters=[SQL]))["args"]
    assert following(args, "--lora-paths") == f"sql=/model-cache/adapters/{COMMITS[0][:16]}"
    # The model itself takes a place in a batch too.
    assert (following(args, "--max-lora-rank"), following(args, "--max-loras-per-batch")) == ("16", "2")


def test_they_come_from_the_hub_wherever_the_model_is_from() -> None:
    plan = planned(adapters=[SQL], weights=PVC, hub_token="hush")
    ways = [r["to"][0]["ipBlock"]["cidr"] for r in plan["llama-network"].inputs["spec"]["egress"][1:]]
    assert ways == ["0.0.0.0/0", "::/0"]
    assert env(pod(plan)["initContainers"][0])["HF_TOKEN"] == {"secretKeyRef": {"name": "llama-hub-token", "key": "token"}}
    assert "HF_TOKEN" not in env(server(plan))
    # A volume that is mounted to read only is the server's alone.
    assert {m["mountPath"] for m in pod(plan)["initContainers"][0]["volumeMounts"]} == {"/model-cache", "/tmp"}
    bucket = planned(adapters=[SQL], weights={"uri": "s3://acme/llama", "sha256": "ab" * 32}, hub_token="hush")
    assert ["HF_TOKEN" in env(c) for c in pod(bucket)["initContainers"]] == [False, True]


def test_they_come_from_buckets_images_and_volumes_as_weights_do() -> None:
    trained: Mapping[str, Any] = {"name": "ours", "uri": "pvc://tuning-checkpoints/final"}
    image: Mapping[str, Any] = {"name": "kept", "uri": f"oci://registry.example.com/kept@sha256:{'ef' * 32}", "path": "lora"}
    plan = planned(adapters=[SQL, BUCKET, trained, image], weights=PVC)
    kubernetes_validate.validate(revealed(plan["llama-server"].inputs), "1.36", strict=True)
    # Only what is not there yet is loaded.
    hub, bucket = pod(plan)["initContainers"]
    assert (hub["name"], bucket["name"]) == ("adapter-0", "adapter-1")
    assert (env(bucket)["SOURCE"], env(bucket)["SHA256"]) == ("acme/art", "cd" * 32)
    assert bucket["envFrom"] == [{"secretRef": {"name": "minio"}}]
    args = server(plan)["args"]
    at = args.index("--lora-modules")
    told = dict(word.split("=") for word in args[at + 1 : at + 5])
    assert told == {
        "sql": env(hub)["TARGET"],
        "art": env(bucket)["TARGET"],
        "ours": "/adapters/2/final",
        "kept": "/adapters/3/lora",
    }
    mounts = {m["mountPath"]: (m["name"], m["readOnly"]) for m in server(plan)["volumeMounts"] if m["name"].startswith("adapter")}
    assert mounts == {"/adapters/2": ("adapter-2", True), "/adapters/3": ("adapter-3", True)}
    volumes = {v["name"]: v for v in pod(plan)["volumes"]}
    assert volumes["adapter-2"]["persistentVolumeClaim"] == {"claimName": "tuning-checkpoints", "readOnly": True}
    assert volumes["adapter-3"]["image"]["reference"] == f"registry.example.com/kept@sha256:{'ef' * 32}"
    ports = {p["port"] for rule in plan["llama-network"].inputs["spec"]["egress"] for p in rule["ports"]}
    assert {443, 9000} <= ports


def test_a_bucket_alone_opens_the_way_to_it_and_to_none_other() -> None:
    rules = planned(adapters=[BUCKET], weights=PVC)["llama-network"].inputs["spec"]["egress"]
    ports = {p["port"] for rule in rules for p in rule["ports"]}
    assert ports == {53, 9000}


@pytest.mark.parametrize(("engine", "model"), [("vllm", "sql"), ("sglang", "meta-llama/Llama-3.3-70B-Instruct:sql")])
def test_each_is_a_backend_of_its_own(engine: str, model: str) -> None:
    def program() -> None:
        llama = GpuModelServer("llama", cast("GpuModelServerArgs", {**LLAMA, "engine": engine, "adapters": [SQL]}))
        pulumi.export("config", router_config({}, [llama.backend(), llama.backend(adapter="sql", quality="high")]))

    base, sql = plan_program(program).outputs["config"]["backends"]
    assert (base["name"], base["model"]) == ("llama", "meta-llama/Llama-3.3-70B-Instruct")
    assert (sql["name"], sql["model"], sql["quality"], sql["url"]) == ("llama-sql", model, "high", base["url"])


def test_an_adapter_that_is_not_there_is_no_backend() -> None:
    def program() -> None:
        GpuModelServer("llama", cast("GpuModelServerArgs", {**LLAMA, "adapters": [SQL]})).backend(adapter="art")

    with pytest.raises(pulumi.RunError, match="has no adapter 'art'; there are 'sql'"):
        plan_program(program)


@pytest.mark.parametrize(
    ("more", "path", "says"),
    [
        ({"adapters": []}, "adapters", "is empty"),
        ({"adapters": [{"name": "sql"}]}, "adapters[0].uri", "is required"),
        ({"adapters": [{**SQL, "name": "s q l"}]}, "adapters[0].name", "letters, digits"),
        ({"adapters": [SQL, {**LAW, "name": "sql"}]}, "adapters[1].name", "as adapters[0] is called"),
        ({"adapters": [SQL], "served_name": "sql"}, "adapters[0].name", "as the model is called"),
        ({"adapters": [{**SQL, "uri": "hf://acme/llama-sql"}]}, "adapters[0].uri", "with the whole commit"),
        ({"adapters": [{**SQL, "uri": "ftp://bucket/sql"}]}, "adapters[0].uri", "give hf://OWNER/NAME@COMMIT"),
        ({"adapters": [{**SQL, "uri": "s3://bucket/sql"}]}, "adapters[0].sha256", "is required for a bucket"),
        ({"adapters": [{**SQL, "region": "eu-west-1"}]}, "adapters[0].region", "goes with s3:// only"),
        ({"adapters": [{**SQL, "uri": "oci://acme/sql"}]}, "adapters[0].uri", "oci://REGISTRY/REPOSITORY@sha256:DIGEST"),
        ({"adapters": [{**SQL, "uri": "pvc://runs/../sql"}]}, "adapters[0].uri", "give pvc://CLAIM/FOLDER"),
        ({"adapters": [BUCKET], "weights": PVC, "hub_token": "hush"}, "hub_token", "does nothing with weights from pvc://"),
        ({"adapters": [SQL], "max_lora_rank": 12}, "max_lora_rank", "give 8, 16, 32, 64, 128, 256"),
        ({"max_lora_rank": 16}, "max_lora_rank", "goes with 'adapters'"),
        ({"adapters": [SQL], "offline": True}, "adapters", "does nothing with 'offline'"),
        ({"extra_args": ["--lora-modules", "a=b"]}, "extra_args[0]", "use 'adapters'"),
        ({"adapters": [SQL], "engine": "tgi"}, "adapters", "does nothing with engine 'tgi'"),
    ],
)
def test_what_is_no_adapter_is_refused_with_its_path_and_the_choice(more: dict[str, Any], path: str, says: str) -> None:
    faults = refused(**more)
    assert list(faults) == [path]
    assert says in faults[path]


def test_llama_cpp_takes_none() -> None:
    assert "does nothing with engine 'llama.cpp'" in refused(base=SMALL, adapters=[SQL])["adapters"]
