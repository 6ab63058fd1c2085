"""A container of one's own on Vertex AI: OpenAI's API by rawPredict and streamRawPredict."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, Behaviour, event
from tests.app.providers.fake_google import Google
from tests.app.serving import Served, backend, serving, upstream

from slipway_router.config import Config, ConfigError
from slipway_router.probe import probe

ENDPOINT = "/v1/projects/p/locations/europe-west4/endpoints/123"


def at(port: int, **more: Any) -> dict[str, Any]:
    return {**backend(f"http://127.0.0.1:{port}{ENDPOINT}", "llama"), "protocol": "vertex-raw", **more}


@pytest.fixture
def google(tmp_path: Path) -> Google:
    return Google()


async def asked(google: Google, folder: Path, patch: pytest.MonkeyPatch, behaviour: Behaviour, **fields: Any) -> tuple[Any, Any]:
    async with upstream(google.api(behaviour, path=None)) as up:
        patch.setenv("GOOGLE_APPLICATION_CREDENTIALS", google.key_file(folder, up.port))
        async with serving(at(up.port)) as served:
            answer = await served.chat(**fields)
    return answer, up.posts[-1]


async def test_whole_answers_and_streams_have_their_own_operations(
    google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer, got = await asked(google, tmp_path, monkeypatch, fake.whole(fake.completion("hello")))
    assert (got.path, answer.content) == (f"{ENDPOINT}:rawPredict", fake.completion("hello"))
    assert (got.json["model"], got.headers["authorization"]) == ("mock", "Bearer ya29.token-1")
    answer, got = await asked(google, tmp_path, monkeypatch, fake.stream("a"), stream=True)
    assert got.path == f"{ENDPOINT}:streamRawPredict"
    assert answer.content == event("a") + event("", "stop") + DONE


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (
            b'{"error":{"message":"max_tokens is too large","type":"BadRequestError","param":null,"code":400}}',
            {"message": "max_tokens is too large", "type": "BadRequestError", "param": None, "code": 400},
        ),
        (
            b'{"error":{"code":400,"message":"The request is too big.","status":"INVALID_ARGUMENT"}}',
            {
                "message": "The request is too big.",
                "type": "invalid_request_error",
                "param": None,
                "code": "invalid_argument",
            },
        ),
    ],
    ids=["container", "google"],
)
async def test_errors_of_the_container_and_of_google(
    google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, body: bytes, error: Any
) -> None:
    answer, _ = await asked(google, tmp_path, monkeypatch, fake.whole(body, "400 Bad Request"))
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_a_cold_endpoint_and_a_wrong_one_go_to_the_next(
    google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cold = b'{"error":{"code":503,"message":"no healthy upstream","status":"UNAVAILABLE"}}'
    async with upstream() as other, upstream(google.api(fake.whole(cold, "503 Service Unavailable"), path=None)) as up:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", google.key_file(tmp_path, up.port))
        settings: dict[str, Any] = {"policy": {"preferences": ["llama", "two"]}}
        async with serving(at(up.port), backend(other, "two"), **settings) as served:
            answer = await served.chat()
            served_alone: Served = served
            alone = await served_alone.chat(model="llama")
            up.models = google.api(fake.whole(b"<html>", "404 Not Found", kind="text/html"), path=None)
            await probe(served.router.targets["llama"])
            assert served.router.targets["llama"].status.reachable
    assert answer.headers["x-slipway-backend"] == "two"
    assert "llama answered 503 (unavailable)" in alone.json()["error"]["message"]


def test_an_endpoint_has_one_route() -> None:
    with pytest.raises(ConfigError, match=r"backends\[0\]\.tasks: are more than one; an endpoint has one predict route"):
        Config.parse({"backends": [at(1, tasks=["chat", "completions"])]})
    assert Config.parse({"backends": [at(1)]}).backends[0].tasks == ("chat",)
    assert Config.parse({"backends": [at(1, tasks=["embeddings"])]}).backends[0].tasks == ("embeddings",)


def error(code: int, status: str, message: str) -> bytes:
    return json.dumps({"error": {"code": code, "message": message, "status": status}}).encode()


THROTTLED = fake.whole(
    error(429, "RESOURCE_EXHAUSTED", "Quota exceeded for aiplatform.googleapis.com/online_prediction_requests_per_base_model."),
    "429 Too Many Requests",
)
COLD = fake.whole(error(503, "UNAVAILABLE", "no healthy upstream"), "503 Service Unavailable")
FORBIDDEN = fake.whole(
    error(403, "PERMISSION_DENIED", "Permission 'aiplatform.endpoints.predict' denied on resource."), "403 Forbidden"
)
WRONG_REGION = fake.whole(
    error(404, "NOT_FOUND", "Endpoint `projects/p/locations/us-east1/endpoints/123` not found."), "404 Not Found"
)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (THROTTLED, "llama answered 429 (resource_exhausted)"),
        (COLD, "llama answered 503 (unavailable)"),
        (FORBIDDEN, "llama answered 403 (permission_denied)"),
        (WRONG_REGION, "llama answered 404 (not_found)"),
    ],
    ids=["throttled", "cold", "forbidden", "wrong region"],
)
async def test_what_vertex_ai_refuses_another_backend_answers_and_alone_it_is_told(
    google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behaviour: Behaviour, said: str, stream: bool
) -> None:
    async with upstream(fake.stream("a") if stream else fake.whole()) as other, upstream(google.api(behaviour, path=None)) as up:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", google.key_file(tmp_path, up.port))
        async with serving(at(up.port), backend(other, "two"), policy={"preferences": ["llama", "two"]}) as served:
            answer = await served.chat(stream=stream)
        async with serving(at(up.port)) as served:
            alone = await served.chat(model="llama", stream=stream)
    assert (answer.status_code, answer.headers["x-slipway-backend"]) == (200, "two")
    assert alone.status_code in (429, 502, 503)
    assert said in alone.json()["error"]["message"]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_an_expired_token_goes_to_the_next_and_is_got_anew(
    google: Google, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: bool
) -> None:
    behaviour = fake.stream("a") if stream else fake.whole()
    async with upstream(behaviour) as other, upstream(google.api(behaviour, path=None)) as up:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", google.key_file(tmp_path, up.port))
        async with serving(at(up.port), backend(other, "two"), policy={"preferences": ["llama", "two"]}) as served:
            first = await served.chat(stream=stream)
            google.revoked.add(google.tokens[0])
            second = await served.chat(stream=stream)
            third = await served.chat(stream=stream)
    assert [a.headers["x-slipway-backend"] for a in (first, second, third)] == ["llama", "two", "llama"]
    assert len(google.tokens) == 2
