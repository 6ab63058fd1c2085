"""Azure OpenAI: where the requests go, and how they prove who asks."""

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, Exit, event
from tests.app.serving import backend, serving, upstream

from slipway_router.config import Config, ConfigError
from slipway_router.probe import probe

KEY = "azure-key"


async def azure(out: Exit) -> None:
    """Answers what Azure would: the right key in the right header, a known deployment, a version; else its errors."""
    got = out.got
    path, query = urlsplit(got.path).path, parse_qs(urlsplit(got.path).query)
    if got.headers.get("api-key") != KEY or "authorization" in got.headers:
        error = b'{"error":{"code":"401","message":"Access denied due to invalid subscription key."}}'
        await fake.whole(error, "401 Access Denied")(out)
    elif query.get("api-version") not in (["2024-10-21"], ["2025-04-01-preview"]):
        await fake.whole(b'{"error":{"code":"404","message":"Resource not found"}}', "404 Not Found")(out)
    elif path == "/openai/deployments/chat%20one/chat/completions" and got.method == "POST":
        await (fake.stream("a") if got.json.get("stream") else fake.whole(fake.completion("hello")))(out)
    elif path == "/openai/models" and got.method == "GET":
        await fake.whole(b'{"object":"list","data":[]}')(out)
    else:
        error = b'{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}'
        await fake.whole(error, "404 Not Found")(out)


def at(url: str, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {"protocol": "azure", "api_key_env": "AZURE_KEY", "model": "chat one", "self_hosted": False}
    return {**backend(url), **given, **more}


@pytest.mark.parametrize("path", ["", "/openai"])
@pytest.mark.parametrize("version", [{}, {"api_version": "2025-04-01-preview"}])
async def test_a_request_goes_to_the_deployment_with_key_and_version(path: str, version: dict[str, str]) -> None:
    async with upstream(azure) as up:
        url = up.url.removesuffix("/v1") + path
        async with serving(at(url, **version), environ={"AZURE_KEY": KEY}) as served:
            whole = await served.chat()
            streamed = await served.chat(stream=True)
    assert (whole.status_code, whole.content) == (200, fake.completion("hello"))
    assert streamed.content == event("a") + event("", "stop") + DONE


async def test_a_wrong_key_is_the_routers_matter_and_goes_to_the_next() -> None:
    async with upstream(azure) as up, upstream() as well:
        url = up.url.removesuffix("/v1")
        async with serving(at(url), backend(well, "two"), environ={"AZURE_KEY": "other"}) as served:
            answer = await served.chat()
    assert answer.headers["x-slipway-backend"] == "two"
    assert "other" not in answer.text


async def test_the_probe_asks_for_the_models() -> None:
    async with upstream(azure) as up:
        up.models = azure
        url = up.url.removesuffix("/v1")
        async with serving(at(url), environ={"AZURE_KEY": KEY}) as served:
            await probe(served.router.targets["one"])
            status = served.router.targets["one"].status
    assert up.got[0].path == "/openai/models?api-version=2024-10-21"
    assert status.reachable
    assert status.error_rate == 0


def test_a_version_goes_with_azure_only_and_holds_no_more_than_a_version() -> None:
    with pytest.raises(ConfigError, match=r"backends\[0\]\.api_version: goes with the protocols azure"):
        Config.parse({"backends": [backend("http://a/v1", api_version="2024-10-21")]})
    with pytest.raises(ConfigError, match=r"backends\[0\]\.api_version: is .* give a version"):
        Config.parse({"backends": [at("http://a", api_version="1\r\nx: y")]})
