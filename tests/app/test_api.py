"""FastAPI's part: models, metrics, documentation, and errors for what is not there."""

import pytest
from tests.app import fake_upstream as fake
from tests.app.serving import backend, serving, upstream


async def test_models_lists_every_name_that_can_be_asked_for() -> None:
    async with upstream() as up, serving(backend(up, "llama", model="meta/llama-3", serves=["gpt-4o"])) as served:
        listed = (await served.client.get("/v1/models")).json()
        one = await served.client.get("/v1/models/meta/llama-3")
        none = await served.client.get("/v1/models/gpt-5")
    assert listed["object"] == "list"
    assert {m["id"]: m["owned_by"] for m in listed["data"]} == {
        "auto": "slipway",
        "llama": "llama",
        "meta/llama-3": "llama",
        "gpt-4o": "llama",
    }
    assert one.json()["id"] == "meta/llama-3"
    assert none.status_code == 404
    assert "'gpt-4o'" in none.json()["error"]["message"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("POST", "/v1/responses", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/health", 405, "method_not_allowed"),
    ],
)
async def test_what_is_not_there_is_told_in_openais_shape(method: str, path: str, status: int, code: str) -> None:
    async with upstream() as up, serving(backend(up)) as served:
        answer = await served.client.request(method, path)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"], error["type"]) == (status, code, "invalid_request_error")
    assert answer.headers["x-request-id"]
    if status == 405:
        assert answer.headers["allow"] in error["message"]


async def test_the_document_lists_the_data_path_too() -> None:
    async with upstream() as up, serving(backend(up)) as served:
        document = (await served.client.get("/openapi.json")).json()
        docs = await served.client.get("/docs")
    asked = {"/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/messages", "/v1/models"}
    assert asked | {"/health", "/ready", "/metrics"} <= set(document["paths"])
    assert docs.status_code == 200


async def test_metrics_count_requests_tokens_and_times_by_backend() -> None:
    async with upstream() as up, serving(backend(up, model="llama-3")) as served:
        for _ in range(3):
            await served.chat()
        up.behaviour = fake.stream("a")
        await served.chat(stream=True)
        await served.chat(model="made-up-by-a-client")
        answer = await served.client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    for line in (
        'slipway_router_requests_total{backend="one",code="200",model="llama-3",task="chat"} 4.0',
        'slipway_router_requests_total{backend="none",code="404",model="none",task="chat"} 1.0',
        'slipway_router_attempts_total{backend="one"} 4.0',
        'slipway_router_tokens_total{backend="one",kind="prompt",model="llama-3"} 96.0',
        'slipway_router_tokens_total{backend="one",kind="completion",model="llama-3"} 192.0',
        'slipway_router_time_to_first_byte_seconds_count{backend="one",model="llama-3",task="chat"} 4.0',
        'slipway_router_request_duration_seconds_count{backend="one",model="llama-3",task="chat"} 4.0',
        'slipway_router_requests_in_flight{backend="one"} 0.0',
        'slipway_router_backend_available{backend="one"} 1.0',
        'slipway_router_key_requests_total{key="anonymous"} 5.0',
    ):
        assert line in lines
    assert "made-up" not in answer.text


async def test_a_text_that_speaks_of_usage_is_not_counted() -> None:
    spoken = fake.completion('"usage": {"prompt_tokens": 5000}')
    async with upstream(fake.whole(spoken)) as up, serving(backend(up)) as served:
        await served.chat()
        metrics = (await served.client.get("/metrics")).text
    assert 'slipway_router_tokens_total{backend="one",kind="prompt",model="mock"} 32.0' in metrics
