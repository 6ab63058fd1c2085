"""A router's pods ask another cloud by the token of their own cluster: the clouds' own libraries take it from there.

That a cloud trusts a cluster's issuer is not shown: moto's token service looks at no signature, and Google's is played here.
"""

import base64
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import botocore.session
import google.auth
import pulumi
import pytest
from moto.server import ThreadedMotoServer

from slipway import AiApiService
from slipway.backend import Backend
from slipway.plan import Plan, plan_program

PROVIDER = "projects/123456789012/locations/global/workloadIdentityPools/clusters/providers/prod"
ACCOUNT = "router@my-project.iam.gserviceaccount.com"
ROLE = "arn:aws:iam::123456789012:role/router"
VERTEX: Backend = {
    "name": "gemini",
    "url": "https://europe-west4-aiplatform.googleapis.com/v1/projects/p/locations/europe-west4/endpoints/openapi",
    "protocol": "vertex",
    "model": "google/gemini-2.5-flash",
}
SAGEMAKER: Backend = {
    "name": "chat",
    "url": "https://runtime.sagemaker.eu-central-1.amazonaws.com/endpoints/chat",
    "protocol": "sagemaker",
    "region": "eu-central-1",
    "model": "chat",
}
ON_EKS = {"identity": {"aws_role_arn": ROLE}, "federation": {"gcp_provider": PROVIDER, "gcp_service_account": ACCOUNT}}
ON_GKE = {"identity": {"gcp_service_account": ACCOUNT}, "federation": {"aws_role_arn": ROLE}}


def planned(**more: Any) -> Plan:
    args: Any = {"namespace": "ai", "image": "router:1", "backends": [VERTEX, SAGEMAKER], **more}

    def program() -> None:
        AiApiService("api", args)

    return plan_program(program)


def pod(plan: Plan) -> Mapping[str, Any]:
    return plan["api-router"].inputs["spec"]["template"]["spec"]


def env(plan: Plan) -> dict[str, str]:
    [container] = pod(plan)["containers"]
    return {e["name"]: e["value"] for e in container["env"] if "value" in e}


def tokens(plan: Plan, folder: Path) -> dict[str, str]:
    """What the kubelet would write, by the pod's own volume, and the variables with this folder for the container's."""
    [volume] = [v for v in pod(plan)["volumes"] if v["name"] == "federation"]
    [mount] = [m for m in pod(plan)["containers"][0]["volumeMounts"] if m["name"] == "federation"]
    for source in volume["projected"]["sources"]:
        told = source["serviceAccountToken"]
        claims = base64.urlsafe_b64encode(json.dumps({"aud": told["audience"]}).encode()).decode().rstrip("=")
        (folder / told["path"]).write_text(f"e30.{claims}.c2ln")
    told_of = plan["api-config"].inputs["data"].get("google.json")
    if told_of is not None:
        (folder / "google.json").write_text(told_of.replace(mount["mountPath"], str(folder)))
    return {k: v.replace(mount["mountPath"], str(folder)).replace("/etc/slipway", str(folder)) for k, v in env(plan).items()}


def test_google_takes_the_token_of_a_pod_in_eks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in tokens(planned(**ON_EKS), tmp_path).items():
        monkeypatch.setenv(name, value)
    asked: list[tuple[str, Any]] = []

    class Answer:
        status = 200
        headers: Mapping[str, str] = {}

        def __init__(self, told: Mapping[str, Any]) -> None:
            self.data = json.dumps(told).encode()

    def google_answers(url: str, method: str = "GET", body: bytes | None = None, **_more: Any) -> Answer:
        del method
        asked.append((url, body))
        if url.startswith("https://sts.googleapis.com/"):
            return Answer({"access_token": "federated", "token_type": "Bearer", "expires_in": 3600, "issued_token_type": "t"})
        return Answer({"accessToken": "ya29.of-the-account", "expireTime": "2999-01-01T00:00:00Z"})

    auth: Any = google.auth
    # As the router does it.
    credentials, _ = auth.default(scopes=["https://www.googleapis.com/auth/cloud-platform"], request=google_answers)
    credentials.refresh(google_answers)
    assert credentials.token == "ya29.of-the-account"
    [body, *_] = [body for url, body in asked if url == "https://sts.googleapis.com/v1/token"]
    [impersonation, *_] = [url for url, _ in asked if url.startswith("https://iamcredentials.googleapis.com/")]
    assert f"//iam.googleapis.com/{PROVIDER}".replace("/", "%2F") in body.decode()
    assert (tmp_path / "google").read_text() in body.decode()
    assert impersonation.endswith(f"/serviceAccounts/{ACCOUNT}:generateAccessToken")
    # The token is for this provider alone.
    claims = (tmp_path / "google").read_text().split(".")[1]
    assert json.loads(base64.urlsafe_b64decode(claims + "=="))["aud"] == f"https://iam.googleapis.com/{PROVIDER}"


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server: Any = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


def test_aws_takes_the_token_of_a_pod_in_gke(moto: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", moto)
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-central-1")
    for name, value in tokens(planned(**ON_GKE), tmp_path).items():
        monkeypatch.setenv(name, value)
    session: Any = botocore.session.Session()
    found = session.get_credentials()
    assert found.method == "assume-role-with-web-identity"
    assert found.get_frozen_credentials().token


def test_nothing_changes_for_a_router_of_one_cloud() -> None:
    args: Any = {"identity": {"gcp_service_account": ACCOUNT}, "backends": [VERTEX]}
    plain, other = planned(**args), planned(**args, federation={"aws_role_arn": ROLE})
    assert not [v for v in pod(plain)["volumes"] if v["name"] == "federation"]
    # Nor its configuration for another cloud whose library reads no file.
    assert plain["api-config"].inputs["metadata"]["name"] == other["api-config"].inputs["metadata"]["name"]
    assert planned(**ON_EKS)["api-config"].inputs["data"].keys() == {"router.json", "google.json"}


@pytest.mark.parametrize(
    ("more", "path", "words"),
    [
        ({**ON_EKS, "federation": {}}, "federation", "names nobody; give 'gcp_provider' or 'aws_role_arn'"),
        ({**ON_EKS, "federation": {"gcp_service_account": ACCOUNT}}, "federation", "names nobody"),
        ({**ON_EKS, "federation": {"gcp_provider": "pool"}}, "federation.gcp_provider", "workloadIdentityPools/POOL/providers/"),
        ({**ON_GKE, "federation": {"aws_role_arn": "router"}}, "federation.aws_role_arn", "an ARN such as"),
        ({**ON_EKS, "federation": {**ON_EKS["federation"], "aws_role_arn": ROLE}}, "federation.aws_role_arn", "is not needed"),
        (
            {"identity": ON_GKE["identity"], "federation": {"gcp_provider": PROVIDER, "aws_role_arn": ROLE}},
            "federation.gcp_provider",
            "have an identity of Google Cloud from their cluster",
        ),
        ({"identity": ON_EKS["identity"]}, "backends[0].protocol", "outside of GKE 'federation'"),
        ({"identity": ON_GKE["identity"]}, "backends[1].protocol", "outside of EKS 'federation'"),
    ],
)
def test_what_no_cloud_would_take_is_refused(more: Mapping[str, Any], path: str, words: str) -> None:
    with pytest.raises(pulumi.InputPropertiesError) as error:
        planned(**more)
    told = {f["property_path"]: f["reason"] for f in error.value.errors or []}
    assert words in told[f"args.{path}"]
