"""SageMaker: requests signed by botocore, streams decoded from AWS's frames. The fake is held against AWS's own client."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import botocore.session
import pytest
from botocore.config import Config as BotocoreConfig
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, Behaviour, event
from tests.app.providers import fake_aws as aws
from tests.app.providers import fake_sagemaker as sage
from tests.app.serving import Served, backend, serving, upstream

import slipway_router.providers
from slipway_router.config import Config, ConfigError
from slipway_router.probe import probe
from slipway_router.router import Router

EVENTS = [event("a"), event("b"), event("", "stop")]
PARTS = [sage.part(EVENTS[0][:9]), sage.part(EVENTS[0][9:] + EVENTS[1]), sage.part(EVENTS[2])]


@pytest.fixture(autouse=True)
def _identity(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction] -- pytest uses it
    aws.be_somebody(monkeypatch)


def at(port: int, path: str = sage.ENDPOINT, name: str = "llama") -> dict[str, Any]:
    return {**backend(f"http://127.0.0.1:{port}{path}", name), "protocol": "sagemaker", "region": aws.REGION}


@asynccontextmanager
async def sagemaker(behaviour: Behaviour, *others: dict[str, Any]) -> AsyncGenerator[Served, None]:
    async with upstream(behaviour) as up, serving(at(up.port), *others) as served:
        yield served


async def test_awss_own_client_takes_the_fake_for_sagemaker() -> None:
    def call(port: int) -> tuple[bytes, bytes]:
        settings = BotocoreConfig(retries={"total_max_attempts": 1})
        session: Any = botocore.session.Session()
        client = session.create_client(
            "sagemaker-runtime", region_name=aws.REGION, endpoint_url=f"http://127.0.0.1:{port}", config=settings
        )
        body = b'{"messages": []}'
        whole = client.invoke_endpoint(EndpointName="llama", Body=body, ContentType="application/json")
        streamed = client.invoke_endpoint_with_response_stream(EndpointName="llama", Body=body, ContentType="application/json")
        parts = [e["PayloadPart"]["Bytes"] for e in streamed["Body"]]
        client.close()
        return whole["Body"].read(), b"".join(parts)

    async with upstream(sage.api(streamed=PARTS)) as up:
        whole, streamed = await asyncio.to_thread(call, up.port)
    assert whole == fake.completion("hello")
    assert streamed == b"".join(EVENTS)


async def test_a_whole_answer() -> None:
    seen: list[Any] = []
    async with sagemaker(sage.api(check=seen.append)) as served:
        answer = await served.chat(temperature=0.5)
    assert (answer.status_code, answer.content) == (200, fake.completion("hello"))
    assert answer.headers["x-amzn-requestid"] == "r1"
    assert (seen[0]["model"], seen[0]["temperature"]) == ("mock", 0.5)


@pytest.mark.parametrize(
    "done", [[], [sage.part(DONE)], [sage.part(DONE[:4]), sage.part(DONE[4:])]], ids=["not", "said", "split"]
)
async def test_a_stream_is_the_containers_own_with_its_end(done: list[bytes]) -> None:
    async with sagemaker(sage.api(streamed=[*PARTS, *done])) as served:
        answer = await served.chat(stream=True)
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.content == b"".join(EVENTS) + DONE


@pytest.mark.parametrize(
    ("last", "said"),
    [
        ([], "in the middle of its answer"),
        ([aws.exception("ModelStreamError", Message="StreamBroken")], "ModelStreamError"),
        ([aws.exception("InternalStreamFailure", Message="")], "InternalStreamFailure"),
        ([sage.part(b"x")[:-1] + b"\0"], "malformed event stream"),
    ],
    ids=["cut", "model", "internal", "checksum"],
)
async def test_a_stream_that_breaks_off_says_so(last: list[bytes], said: str) -> None:
    async with sagemaker(sage.api(streamed=[*PARTS[:2], *last])) as served:
        answer = await served.chat(stream=True)
    assert answer.content.startswith(EVENTS[0])
    error = json.loads(answer.content.removesuffix(b"\n\n").rpartition(b"data: ")[2])["error"]
    assert error["code"] == "stream_broken"
    assert said in error["message"]
    assert b"[DONE]" not in answer.content


async def test_a_stream_that_fails_at_once_is_asked_for_elsewhere() -> None:
    broken = sage.api(streamed=[aws.exception("InternalStreamFailure", Message="")])
    async with upstream(fake.stream("x")) as other, sagemaker(broken, backend(other, "two")) as served:
        answer = await served.chat(stream=True)
    assert answer.headers["x-slipway-backend"] == "two"


MISTAKE = '{"error":{"message":"max_tokens is too large","type":"BadRequestError","param":null,"code":400}}'


@pytest.mark.parametrize(
    ("behaviour", "status", "said"),
    [
        (
            aws.error("424 Failed Dependency", "ModelError", OriginalStatusCode=400, OriginalMessage=MISTAKE),
            400,
            "max_tokens is too large",
        ),
        (aws.error("424 Failed Dependency", "ModelError", OriginalStatusCode=400, OriginalMessage="no"), 400, "no"),
        (
            aws.error("424 Failed Dependency", "ModelError", OriginalStatusCode=500, OriginalMessage="x"),
            502,
            "llama answered 500",
        ),
        (aws.error("400 Bad Request", "ThrottlingException", message="Rate exceeded"), 429, "llama answered 429"),
        (aws.error("429 Too Many Requests", "ModelNotReadyException", Message="x"), 502, "llama answered 503"),
        (aws.error("530 <none>", "InternalDependencyException", Message="x"), 502, "llama answered 530"),
    ],
    ids=["mistake", "text", "model", "throttled", "not_ready", "internal"],
)
async def test_errors(behaviour: Behaviour, status: int, said: str) -> None:
    async with sagemaker(sage.api(behaviour)) as served:
        answer = await served.chat()
    assert answer.status_code == status
    assert said in answer.json()["error"]["message"]


NO_CAPACITY = "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress"


@pytest.mark.parametrize(
    "behaviour",
    [
        aws.error("400 Bad Request", "ThrottlingException", message="Rate exceeded"),
        aws.error("429 Too Many Requests", "ModelNotReadyException", Message="x"),
        aws.error("400 Bad Request", "ValidationError", Message=NO_CAPACITY),
        aws.error("403 Forbidden", "ExpiredTokenException", message="The security token included in the request is expired"),
        aws.error("403 Forbidden", "InvalidSignatureException", message="Credential should be scoped to a valid region."),
        aws.error("400 Bad Request", "ValidationError", Message="Endpoint llama of account 123456789012 not found."),
        aws.error("503 Service Unavailable", "ServiceUnavailable", Message="x"),
    ],
    ids=["throttled", "not_ready", "no_copy", "expired", "wrong_region", "elsewhere", "unavailable"],
)
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
async def test_what_the_service_refuses_another_backend_answers(behaviour: Behaviour, stream: bool) -> None:
    good = fake.stream("x") if stream else fake.whole(fake.completion("x"))

    async def refuse(out: fake.Exit) -> None:
        await behaviour(out)

    async with upstream(good) as other, sagemaker(refuse, backend(other, "two")) as served:
        answer = await served.chat(stream=stream)
    assert answer.status_code == 200
    assert answer.headers["x-slipway-backend"] == "two"


async def test_a_component_without_copies_is_away_and_not_wrong() -> None:
    nobody = aws.error("400 Bad Request", "ValidationError", Message=NO_CAPACITY)
    async with upstream(sage.api(nobody)) as up, upstream() as other:
        asleep = {**at(up.port), "min_replicas": 0, "inference_component": "chat-llama"}
        async with serving(asleep, backend(other, "two")) as served:
            await served.chat()
            await served.chat()
            assert served.router.targets["llama"].away
    assert len(up.posts) == 1


async def test_expired_credentials_are_told_and_got_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "The security token included in the request is expired"

    async def behave(out: fake.Exit) -> None:
        fresh = out.got.headers["x-amz-security-token"] == aws.TOKEN
        await (sage.api() if fresh else aws.error("403 Forbidden", "ExpiredTokenException", message=said))(out)

    monkeypatch.setenv("AWS_SESSION_TOKEN", "yesterday's")
    async with sagemaker(behave) as served:
        answer = await served.chat()
        assert answer.status_code == 502
        assert "llama answered 403" in answer.json()["error"]["message"]
        assert "yesterday" not in answer.text
        monkeypatch.setenv("AWS_SESSION_TOKEN", aws.TOKEN)
        assert (await served.chat()).status_code == 200


@pytest.mark.parametrize(
    ("field", "header"),
    [("target_variant", "x-amzn-sagemaker-target-variant"), ("inference_component", "x-amzn-sagemaker-inference-component")],
)
async def test_one_variant_or_component_is_asked_by_name_and_the_signature_holds(field: str, header: str) -> None:
    async with upstream(sage.api(streamed=PARTS)) as up:
        async with serving({**at(up.port), field: "tuned-g6-2xlarge"}) as served:
            assert (await served.chat()).status_code == 200
            assert (await served.chat(stream=True)).status_code == 200
        async with serving(at(up.port)) as served:
            await served.chat()
    assert [got.headers.get(header) for got in up.posts] == ["tuned-g6-2xlarge", "tuned-g6-2xlarge", None]
    assert header in up.posts[0].headers["authorization"]


async def test_a_wrong_identity_and_a_wrong_endpoint_go_to_the_next() -> None:
    async with upstream() as other, sagemaker(sage.api(secret="another"), backend(other, "two")) as served:
        answer = await served.chat()
    assert answer.headers["x-slipway-backend"] == "two"
    async with upstream(sage.api()) as up, serving(at(up.port, "/endpoints/other")) as served:
        refused = await served.chat()
        assert served.router.targets["llama"].status.error_rate == 0
    assert refused.status_code == 502
    assert "answered 400 (ValidationError)" in refused.json()["error"]["message"]
    assert "123456789012" not in refused.text
    assert aws.SECRET not in refused.text


async def test_without_credentials_the_reason_is_told(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    async with upstream(sage.api()) as up, serving(at(up.port)) as served:
        answer = await served.chat()
    assert answer.status_code == 502
    assert "no AWS credentials could be had" in answer.json()["error"]["message"]
    assert "found neither a role nor keys" in caplog.text
    assert up.posts == []


async def test_the_probe_takes_any_answer_of_the_service_for_life() -> None:
    async with upstream(sage.api()) as up, serving(at(up.port)) as served:
        up.models = fake.whole(b"{}", "403 Forbidden")
        await probe(served.router.targets["llama"])
        assert served.router.targets["llama"].status.reachable
        up.models = fake.failing()
        await probe(served.router.targets["llama"])
        assert served.router.targets["llama"].status.error_rate > 0
    assert up.got[0].path == "/ping"


def test_without_the_package_the_configuration_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "botocore.auth", None)
    for name in ("aws", "sagemaker"):
        monkeypatch.delitem(sys.modules, f"slipway_router.providers.{name}", raising=False)
        monkeypatch.delattr(slipway_router.providers, name, raising=False)
    config = Config.parse({"backends": [at(1)]})
    with pytest.raises(
        ConfigError, match=r"backends\.llama\.protocol: the protocol sagemaker needs botocore.*slipway\[sagemaker\]"
    ):
        Router(config, {})
