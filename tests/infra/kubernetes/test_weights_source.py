"""Where weights come from: what each kind of address becomes, and what is refused.

The loaders themselves run in test_loaders.py. That Kubernetes mounts an image is not proven here.
"""

from collections.abc import Mapping
from typing import Any

import kubernetes_validate
import pytest
from tests.infra.kubernetes.model_server import LLAMA, SMALL, env, planned, pod, refused, revealed, server, stateful_set

from slipway.kubernetes.loaders import script
from slipway.plan import Plan

COMMIT = "6f6073b423013f6a7d4d9f39144961bfbfbc386b"
DIGEST = "ab" * 32
HUB: Mapping[str, Any] = {"uri": f"hf://meta-llama/Llama-3.3-70B-Instruct@{COMMIT}"}
S3: Mapping[str, Any] = {"uri": "s3://acme-models/llama/3.3", "sha256": DIGEST, "region": "eu-west-1"}
GS: Mapping[str, Any] = {"uri": "gs://acme-models/llama/3.3", "sha256": DIGEST}
OCI: Mapping[str, Any] = {"uri": f"oci://ghcr.io/acme/llama@sha256:{DIGEST}", "path": "models/llama"}
PVC: Mapping[str, Any] = {"uri": "pvc://llama-weights/3.3"}
ROLE = "arn:aws:iam::123456789012:role/llama"
SHARED: Mapping[str, Any] = {"storage_class": "filestore", "gib": 400}


def egress(plan: Plan) -> list[tuple[str, int]]:
    rules = plan["llama-network"].inputs["spec"]["egress"]
    return [(r["to"][0]["ipBlock"]["cidr"], r["ports"][0]["port"]) for r in rules if "ipBlock" in r["to"][0]]


@pytest.mark.parametrize(
    ("weights", "more"),
    [
        (HUB, {"hub_token": "hush"}),
        ({**HUB, "shared_volume": SHARED}, {"replicas": 2, "hub_token_secret": {"name": "hub", "key": "token"}}),
        (S3, {"identity": {"aws_role_arn": ROLE}}),
        ({**S3, "endpoint": "http://minio.store:9000", "credentials_secret": "minio", "shared_volume": SHARED}, {}),
        (GS, {"download_mb_per_second": 500}),
        (OCI, {}),
        (PVC, {"scaling": {"max": 3, "prometheus_url": "http://prometheus"}}),
    ],
)
def test_every_object_is_valid_by_kubernetes_own_schemas(weights: Mapping[str, Any], more: Mapping[str, Any]) -> None:
    plan = planned(weights=weights, **more)
    objects = [r for r in plan if r.type.startswith("kubernetes:") and not r.type.startswith("kubernetes:keda")]
    assert len(objects) >= 5
    for resource in objects:
        kubernetes_validate.validate(revealed(resource.inputs), "1.36", strict=True)


@pytest.mark.parametrize(
    ("weights", "target"),
    [
        (HUB, f"/model-cache/weights/{COMMIT[:16]}"),
        ({**HUB, "shared_volume": SHARED}, f"/weights/{COMMIT[:16]}"),
        (S3, f"/model-cache/weights/{DIGEST[:16]}"),
        (OCI, "/weights/models/llama"),
        ({"uri": OCI["uri"]}, "/weights"),
        (PVC, "/weights/3.3"),
        ({"uri": "pvc://llama-weights"}, "/weights"),
    ],
)
def test_the_server_finds_them_in_a_folder_and_asks_no_network(weights: Mapping[str, Any], target: str) -> None:
    plan = planned(weights=weights, hub_token="hush") if weights["uri"].startswith("hf") else planned(weights=weights)
    container = server(plan)
    assert container["args"][:3] == [target, "--served-model-name", "meta-llama/Llama-3.3-70B-Instruct"]
    assert env(container)["HF_HUB_OFFLINE"] == "1"
    assert "HF_TOKEN" not in env(container)
    mounts = {m["mountPath"]: m.get("readOnly") for m in container["volumeMounts"]}
    assert any(target == path or target.startswith(f"{path}/") for path in mounts)
    assert mounts.get("/weights", True) is True


def test_from_the_hub_by_the_engines_own_image_and_with_its_token() -> None:
    plan = planned(weights=HUB, hub_token_secret={"name": "hub", "key": "token"})
    (loader,) = pod(plan)["initContainers"]
    assert loader["image"] == server(plan)["image"]
    assert loader["command"] == ["python3", "-c", script("hub.py")]
    told = env(loader)
    assert (told["SOURCE"], told["COMMIT"]) == ("meta-llama/Llama-3.3-70B-Instruct", COMMIT)
    assert told["TARGET"] == f"/model-cache/weights/{COMMIT[:16]}"
    assert told["HF_TOKEN"] == {"secretKeyRef": {"name": "hub", "key": "token"}}
    assert told["MAKE_ROOM"] == "1"
    assert egress(plan) == [("0.0.0.0/0", 443), ("::/0", 443)]


def test_from_a_bucket_by_the_pods_own_identity() -> None:
    plan = planned(weights=S3, identity={"aws_role_arn": ROLE})
    (loader,) = pod(plan)["initContainers"]
    assert loader["image"].startswith("rclone/rclone:")
    told = env(loader)
    assert told["SOURCE"] == "acme-models/llama/3.3"
    assert told["SHA256"] == DIGEST
    assert told["RCLONE_CONFIG_SOURCE_PROVIDER"] == "AWS"
    assert told["RCLONE_CONFIG_SOURCE_ENV_AUTH"] == "true"
    assert told["RCLONE_CONFIG_SOURCE_REGION"] == "eu-west-1"
    assert plan["llama-account"].inputs["metadata"]["annotations"] == {"eks.amazonaws.com/role-arn": ROLE}
    # The store, and AWS's token service.
    assert egress(plan) == [("0.0.0.0/0", 443), ("::/0", 443)]
    agent = [("169.254.170.23/32", 80), ("fd00:ec2::23/128", 80)]
    by_agent = planned(weights=S3, identity={"aws_role_arn": ROLE, "eks_cluster": "prod"})
    assert egress(by_agent)[2:] == agent
    assert by_agent["llama-identity"].inputs["serviceAccount"] == "llama-account"
    assert by_agent["llama-identity"].urn in by_agent["llama-server"].options["dependsOn"]
    # An identity that others gave the ServiceAccount may be of either kind.
    assert egress(planned(weights=S3))[2:] == agent
    google = planned(weights=GS)
    assert env(pod(google)["initContainers"][0])["RCLONE_CONFIG_SOURCE_TYPE"] == "google cloud storage"
    assert egress(google)[2:] == [("169.254.169.252/32", 988), ("169.254.169.254/32", 80)]


def test_from_a_store_of_ones_own_with_keys_that_only_the_loader_gets() -> None:
    plan = planned(weights={**S3, "endpoint": "http://minio.store:9000", "credentials_secret": "minio"})
    (loader,) = pod(plan)["initContainers"]
    assert loader["envFrom"] == [{"secretRef": {"name": "minio"}}]
    assert "envFrom" not in server(plan)
    assert env(loader)["RCLONE_CONFIG_SOURCE_PROVIDER"] == "Other"
    assert egress(plan) == [("0.0.0.0/0", 9000), ("::/0", 9000)]


def test_an_image_and_a_claim_are_mounted_and_nothing_is_loaded() -> None:
    image, claim = planned(weights=OCI), planned(weights=PVC)
    for plan in (image, claim):
        assert "initContainers" not in pod(plan)
        assert "Egress" in plan["llama-network"].inputs["spec"]["policyTypes"]
        assert "egress" not in plan["llama-network"].inputs["spec"]
        # Only what the engine compiles is on the server's own volume.
        storage = stateful_set(plan)["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
        assert storage == "10Gi"
    reference = f"ghcr.io/acme/llama@sha256:{DIGEST}"
    assert {"name": "weights", "image": {"reference": reference, "pullPolicy": "IfNotPresent"}} in pod(image)["volumes"]
    claimed = {"name": "weights", "persistentVolumeClaim": {"claimName": "llama-weights", "readOnly": True}}
    assert claimed in pod(claim)["volumes"]


def test_a_shared_volume_is_one_claim_that_several_nodes_mount() -> None:
    plan = planned(weights={**HUB, "shared_volume": {"storage_class": "filestore"}}, replicas=3, keep_cache=True)
    assert plan["llama-weights"].inputs["spec"] == {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": "filestore",
        # Twice 130.4.
        "resources": {"requests": {"storage": "263Gi"}},
    }
    assert plan["llama-weights"].urn in plan["llama-server"].options["dependsOn"]
    assert plan["llama-weights"].options["retainOnDelete"] is True
    (loader,) = pod(plan)["initContainers"]
    assert {"name": "weights", "mountPath": "/weights", "readOnly": False} in loader["volumeMounts"]
    assert {"name": "weights", "mountPath": "/weights", "readOnly": True} in server(plan)["volumeMounts"]
    assert {"name": "weights", "persistentVolumeClaim": {"claimName": "llama-weights"}} in pod(plan)["volumes"]
    # Another server may still read what this one does not.
    assert "MAKE_ROOM" not in env(loader)


def test_the_load_is_part_of_the_rollouts_time_and_not_of_the_servers_start() -> None:
    plan = planned(weights=HUB, download_mb_per_second=200)
    # 141,108 / 500 + 300 = 582, below the floor of 600.
    assert server(plan)["startupProbe"]["failureThreshold"] == 60
    # Grace 925, node and image 1,200, 141,108 MB at 200 and again at 500 MB/s, start 600.
    assert plan["llama-server"].options["customTimeouts"]["update"] == f"{925 + 1200 + 706 + 282 + 600}s"


@pytest.mark.parametrize(
    ("weights", "more", "path", "says"),
    [
        ({"uri": "meta-llama/Llama"}, {}, "weights.uri", "give hf://OWNER/NAME@COMMIT"),
        ({"uri": "http://a/b"}, {}, "weights.uri", "s3://BUCKET/FOLDER"),
        ({"uri": "hf://meta-llama/Llama"}, {}, "weights.uri", "with the whole commit of 40 digits"),
        ({"uri": "hf://meta-llama/Llama@main"}, {}, "weights.uri", "with the whole commit of 40 digits"),
        ({**S3, "uri": "s3://bucket"}, {}, "weights.uri", "give s3://BUCKET/FOLDER"),
        ({**S3, "uri": "s3://bucket/a/../b"}, {}, "weights.uri", "give s3://BUCKET/FOLDER"),
        ({**GS, "uri": "gs://bucket/a b"}, {}, "weights.uri", "give gs://BUCKET/FOLDER"),
        ({"uri": "oci://ghcr.io/acme/llama:v1"}, {}, "weights.uri", "@sha256:DIGEST"),
        ({"uri": "pvc://Claim/x"}, {}, "weights.uri", "give pvc://CLAIM/FOLDER"),
        ({"uri": "pvc://claim/../x"}, {}, "weights.uri", "give pvc://CLAIM/FOLDER"),
        ({}, {}, "weights.uri", "is required"),
        ({"uri": S3["uri"]}, {}, "weights.sha256", "sha256sum {} + > SHA256SUMS"),
        ({**S3, "sha256": "AB"}, {}, "weights.sha256", "64 hexadecimal digits"),
        ({**HUB, "sha256": DIGEST}, {}, "weights.sha256", "goes with s3:// and gs:// only"),
        ({**HUB, "path": "a"}, {}, "weights.path", "goes with oci:// only"),
        ({**OCI, "path": "../a"}, {}, "weights.path", "a folder within the image"),
        ({**GS, "region": "eu"}, {}, "weights.region", "goes with s3:// only"),
        ({**S3, "region": "EU West"}, {}, "weights.region", "such as 'eu-west-1'"),
        ({**S3, "endpoint": "minio:9000"}, {}, "weights.endpoint", "without a path"),
        ({**S3, "credentials_secret": "A_B"}, {}, "weights.credentials_secret", "a Secret's name"),
        ({**PVC, "credentials_secret": "a"}, {}, "weights.credentials_secret", "goes with s3:// and gs:// only"),
        ({**PVC, "shared_volume": SHARED}, {}, "weights.shared_volume", "goes with hf:// and s3:// and gs:// only"),
        ({**HUB, "shared_volume": {}}, {}, "weights.shared_volume.storage_class", "is required"),
        ({**HUB, "shared_volume": {"storage_class": "A"}}, {}, "weights.shared_volume.storage_class", "a StorageClass's name"),
        ({**HUB, "shared_volume": {"storage_class": "a", "gib": 0}}, {}, "weights.shared_volume.gib", "give 1 or more"),
        (
            {**HUB, "shared_volume": {"storage_class": "a", "gib": 100}},
            {},
            "weights.shared_volume.gib",
            "the weights take 131.4 GiB",
        ),
        ({**HUB, "uris": "x"}, {}, "weights.uris", "did you mean 'uri'?"),
        (HUB, {"revision": "main"}, "revision", "'weights.uri' names the version already"),
        (PVC, {"offline": True}, "offline", "follows from 'weights'"),
        (S3, {"hub_token": "a"}, "hub_token", "does nothing with weights from s3://"),
        (PVC, {"hub_endpoint": "https://hub.example"}, "hub_endpoint", "does nothing with weights from pvc://"),
        (OCI, {"download_mb_per_second": 5}, "download_mb_per_second", "does nothing with weights from oci://"),
        (S3, {"identity": {"aws_role_arn": "llama"}}, "identity.aws_role_arn", "an ARN such as"),
        (S3, {"identity": {}}, "identity", "names nobody"),
        (HUB, {"cache_gib": 100}, "cache_gib", "the weights take 131.4 GiB"),
    ],
)
def test_what_is_no_pinned_source_is_refused_with_its_path_and_the_choice(
    weights: Mapping[str, Any], more: Mapping[str, Any], path: str, says: str
) -> None:
    faults = refused(base=LLAMA, weights=weights, **more)
    assert list(faults) == [path]
    assert says in faults[path]


def test_llama_cpp_has_a_loader_of_its_own() -> None:
    assert "does nothing with engine 'llama.cpp'" in refused(base=SMALL, weights=HUB)["weights"]
