"""VertexModel's provider, by Google's own client, on a server of the published service. That an image starts is not shown."""

import base64
import json
from collections.abc import Mapping
from typing import Any

import pulumi
import pytest
from pulumi.dynamic import dynamic
from tests.infra.gcp.fake_vertex import FakeVertex, RefusedError

from slipway.gcp.vertex_client import VertexError
from slipway.gcp.vertex_deployments import VertexDeploymentsProvider
from slipway.gcp.vertex_login import Login
from slipway.gcp.vertex_model import VertexModel, VertexModelProvider
from slipway.gcp.vertex_model_spec import model_id
from slipway.plan import Secret, plan_program

PROPS: dict[str, Any] = {
    "project": "p",
    "location": "europe-west4",
    "owner": "0a1b2c3d",
    "name": "chat-main",
    "image": "europe-west4-docker.pkg.dev/p/serving/vllm@sha256:1",
    "args": ["--port=8080"],
    "env": {"A": "1"},
    "secret_env": {"HF_TOKEN": "hf_hush"},
    "port": 8080.0,
    "predict_route": "/v1/chat/completions",
    "health_route": "/health",
    "artifact_uri": "gs://weights/qwen/",
    "shared_memory_mb": 4096.0,
    "start_timeout_seconds": 1800.0,
    "labels": {"team": "search"},
}
provider = VertexModelProvider()


def test_a_model_is_uploaded_found_again_and_deleted(vertex: FakeVertex) -> None:
    made = provider.create(PROPS)
    (model,) = vertex.models.values()
    assert made.id == model.name == f"projects/p/locations/europe-west4/models/{model_id(PROPS)}"
    spec = model.container_spec
    assert (spec.image_uri, list(spec.args), spec.ports[0].container_port) == (PROPS["image"], ["--port=8080"], 8080)
    assert {v.name: v.value for v in spec.env} == {"A": "1", "HF_TOKEN": "hf_hush"}
    assert (spec.predict_route, spec.health_route) == ("/v1/chat/completions", "/health")
    assert (spec.shared_memory_size_mb, spec.deployment_timeout.seconds) == (4096, 1800)
    assert (model.artifact_uri, dict(model.labels)) == ("gs://weights/qwen/", {"team": "search", "slipway-owner": "0a1b2c3d"})
    assert made.outs is not None
    assert not provider.diff(made.id, made.outs, PROPS).changes

    read = provider.read(made.id, made.outs)
    assert (read.id, read.outs, read.inputs) == (made.id, made.outs, PROPS)
    provider.delete(made.id, made.outs)
    assert vertex.models == {}
    provider.delete(made.id, made.outs)
    assert provider.read(made.id, made.outs).id == ""


def test_what_an_earlier_run_uploaded_is_used(vertex: FakeVertex, capfd: pytest.CaptureFixture[str]) -> None:
    assert provider.create(PROPS).id == provider.create(PROPS).id
    assert vertex.calls.count("UploadModel") == 1
    assert "is there already, from an earlier run" in capfd.readouterr().err


@pytest.mark.parametrize("lost", [True, False], ids=["the answer is lost", "another uploads it at that moment"])
def test_an_upload_that_is_under_way_is_waited_for(vertex: FakeVertex, lost: bool) -> None:
    if lost:
        vertex.lost_answers["UploadModel"] = 1
    else:
        vertex.refusals["UploadModel"] = [RefusedError(6, "already exists")]
        with pytest.raises(VertexError, match="it is done, and there is no"):
            provider.create(PROPS)
    assert provider.create(PROPS).id in vertex.models
    assert len([r for r in vertex.running if "/models/" in r]) == 1


def test_an_upload_that_fails_says_why_and_leaves_nothing(vertex: FakeVertex) -> None:
    vertex.operation_errors["UploadModel"] = [(9, "Image not found: vllm.")]
    with pytest.raises(VertexError, match=r"uploading model chat-main failed: Image not found: vllm\..*nothing of it is left"):
        provider.create(PROPS)
    assert vertex.models == {}
    vertex.refusals["UploadModel"] = [RefusedError(3, "Invalid image.")]
    with pytest.raises(VertexError, match=r"^Invalid image \(400 BadRequest\); nothing of it is left$"):
        provider.create(PROPS)


def test_a_model_that_is_deployed_elsewhere_is_not_lost(vertex: FakeVertex) -> None:
    made = provider.create(PROPS)
    vertex.refusals["DeleteModel"] = [RefusedError(9, "The Model is deployed at an endpoint.")]
    with pytest.raises(VertexError, match=r"deleting model chat-main failed: The Model is deployed at an endpoint"):
        provider.delete(made.id, made.outs or {})
    assert made.id in vertex.models


@pytest.mark.parametrize(
    ("change", "replaced"),
    [
        ({"image": "another"}, ["image"]),
        ({"secret_env": {"HF_TOKEN": "new"}}, ["secret_env"]),
        ({"location": "us-east1"}, ["location"]),
        ({"labels": {"team": "ads"}}, []),
    ],
)
def test_content_makes_another_model_and_labels_do_not(
    vertex: FakeVertex, change: Mapping[str, Any], replaced: list[str]
) -> None:
    found = provider.diff("id", PROPS, {**PROPS, **change})
    assert (found.changes, found.replaces, found.delete_before_replace) == (True, replaced, False)
    assert (model_id({**PROPS, **change}) != model_id(PROPS)) == bool(replaced)


def test_labels_change_in_place_and_drift_is_read(vertex: FakeVertex) -> None:
    made = provider.create(PROPS)
    outs = provider.update(made.id, made.outs or {}, {**PROPS, "labels": {"team": "ads"}}).outs
    assert dict(vertex.models[made.id].labels) == {"team": "ads", "slipway-owner": "0a1b2c3d"}
    vertex.models[made.id].labels = {"team": "else", "slipway-owner": "0a1b2c3d"}
    assert (provider.read(made.id, outs or {}).inputs or {})["labels"] == {"team": "else"}


def test_a_model_that_is_replaced_by_itself_stays(vertex: FakeVertex) -> None:
    made = provider.create(PROPS)
    again = provider.create(PROPS)
    provider.delete(made.id, made.outs or {})
    assert list(vertex.models) == [again.id] == [made.id]
    assert vertex.calls.count("UploadModel") == 1


def test_ids_are_what_the_service_takes() -> None:
    assert model_id({**PROPS, "name": "9 Lives " + "x" * 80}).startswith("m-9-lives-xxx")
    assert len(model_id({**PROPS, "name": "x" * 80})) == 63
    assert model_id({**PROPS, "port": 8080}) == model_id(PROPS)


def test_what_is_missing_is_told_before_anything_is_asked() -> None:
    failures = provider.check({}, {k: v for k, v in PROPS.items() if k not in ("image", "project")}).failures
    assert [(f.property, f.reason) for f in failures] == [("image", "is required"), ("project", "is required")]
    assert provider.check({}, PROPS).failures == []


def test_a_token_that_is_refused_is_replaced_and_refused_credentials_are_named(
    vertex: FakeVertex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GOOGLE_OAUTH_ACCESS_TOKEN")
    vertex.refused_tokens = 1
    provider.create(PROPS)
    vertex.refused_tokens = 100
    with pytest.raises(
        VertexError, match=r"invalid authentication credentials .401 Unauthorized.; run `gcloud auth application-default login"
    ):
        provider.create({**PROPS, "image": "another"})


def test_without_credentials_it_says_how_to_get_some(vertex: FakeVertex, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GOOGLE_OAUTH_ACCESS_TOKEN")
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere.json")
    with pytest.raises(VertexError, match=r"there are no credentials for Google Cloud.*application-default login"):
        provider.create(PROPS)


def test_the_stack_s_own_identity_is_used_and_never_kept(vertex: FakeVertex, monkeypatch: pytest.MonkeyPatch) -> None:
    own = VertexModelProvider()
    key = vertex.private_key
    settings = {"gcp:credentials": json.dumps({"private_key": key}), "other": "x"}
    monkeypatch.delenv("GOOGLE_OAUTH_ACCESS_TOKEN")

    class Request:
        config = settings

    request: Any = Request()  # of the engine's request it is all that is read
    own.configure(request)
    assert own.login.key == {"private_key": key}
    assert key.splitlines()[1] not in repr(own.login)
    serialize_provider: Any = vars(dynamic)["serialize_provider"]
    for each in (own, VertexModelProvider(), VertexDeploymentsProvider()):
        pickled = base64.b64decode(serialize_provider(each))
        assert key.splitlines()[1].encode() not in pickled
        assert b"slipway.gcp.vertex_" in pickled
        assert len(pickled) < 150, "a reference to the class, and nothing with it"


@pytest.mark.parametrize(
    ("config", "environment", "login"),
    [
        ({}, {}, Login()),
        ({"gcp:accessToken": "ya29.a"}, {"GOOGLE_CREDENTIALS": "/key.json"}, Login(access_token="ya29.a")),
        ({}, {"GOOGLE_OAUTH_ACCESS_TOKEN": "ya29.b"}, Login(access_token="ya29.b")),
        ({"gcp:credentials": "/key.json"}, {}, Login(key_file="/key.json")),
        ({}, {"GOOGLE_CREDENTIALS": '{"a": "b"}'}, Login(key={"a": "b"})),
    ],
)
def test_the_identity_is_that_of_google_s_provider(
    config: Mapping[str, str], environment: Mapping[str, str], login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("GOOGLE_OAUTH_ACCESS_TOKEN", "GOOGLE_CREDENTIALS"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    assert Login.of(config.get) == login


def test_secrets_stay_secret_in_the_plan() -> None:
    def program() -> None:
        VertexModel("it", {**PROPS, "secret_env": pulumi.Output.secret({"HF_TOKEN": "hf_hush"})})

    made = plan_program(program)["it"]
    assert made.inputs["secret_env"] == Secret({"HF_TOKEN": "hf_hush"})
    assert "hf_hush" not in str(dict(made.inputs))
