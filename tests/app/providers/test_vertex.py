"""Vertex AI: a service account's tokens, got by Google's own library from a server that checks its signature."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, Behaviour, FakeUpstream, event
from tests.app.providers import fake_google
from tests.app.providers.fake_google import Google
from tests.app.serving import Served, backend, serving, upstream

import slipway_router.providers
from slipway_router.config import Config, ConfigError
from slipway_router.probe import probe
from slipway_router.router import Router


@asynccontextmanager
async def vertex(
    google: Google, behaviour: Behaviour, folder: Path, monkeypatch: pytest.MonkeyPatch, *others: dict[str, Any]
) -> AsyncGenerator[tuple[Served, FakeUpstream], None]:
    async with upstream(behaviour) as up:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", google.key_file(folder, up.port))
        at = {
            **backend(f"http://127.0.0.1:{up.port}{fake_google.PATH}", "gemini"),
            "protocol": "vertex",
            "model": "google/gemini-2.5-flash",
        }
        async with serving(at, *others) as served:
            yield served, up


def chats(up: FakeUpstream) -> list[fake.Got]:
    return [g for g in up.posts if g.path != "/token"]


async def test_requests_carry_a_token_that_is_got_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    google = Google()
    async with vertex(google, google.api(fake.whole(fake.completion("hello"))), tmp_path, monkeypatch) as (served, up):
        answers = await asyncio.gather(*(served.chat() for _ in range(5)))
    assert [a.status_code for a in answers] == [200] * 5
    assert answers[0].content == fake.completion("hello")
    assert google.tokens == ["ya29.token-1"]
    assert {g.json["model"] for g in chats(up)} == {"google/gemini-2.5-flash"}


async def test_a_stream_is_passed_on_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    google = Google()
    async with vertex(google, google.api(fake.stream("a", "b")), tmp_path, monkeypatch) as (served, _):
        answer = await served.chat(stream=True)
    assert answer.content == event("a") + event("b") + event("", "stop") + DONE


async def test_a_token_is_renewed_before_it_expires_and_no_request_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    google = Google(seconds=120)  # less than the time ahead: it is good still, and to be renewed
    async with vertex(google, google.api(fake.whole()), tmp_path, monkeypatch) as (served, up):
        await served.chat()
        google.seconds = 3600
        assert (await served.chat()).status_code == 200
        for _ in range(100):
            if len(google.tokens) == 2:
                break
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.05)
        await served.chat()
        await served.chat()
    assert len(google.tokens) == 2
    used = [g.headers["authorization"].removeprefix("Bearer ") for g in chats(up)]
    assert used == ["ya29.token-1", "ya29.token-1", "ya29.token-2", "ya29.token-2"]


async def test_while_google_is_down_the_old_token_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    google = Google(seconds=120)
    async with vertex(google, google.api(fake.whole()), tmp_path, monkeypatch) as (served, _):
        await served.chat()
        google.down = True
        answers = [(await served.chat()).status_code for _ in range(3)]
    assert answers == [200, 200, 200]
    assert len(google.tokens) == 1


async def test_a_token_that_is_refused_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    google = Google()
    async with vertex(google, google.api(fake.whole()), tmp_path, monkeypatch) as (served, _):
        await served.chat()
        google.revoked.add(google.tokens[0])
        assert (await served.chat()).status_code == 502
        assert (await served.chat()).status_code == 200
    assert len(google.tokens) == 2


async def test_without_a_token_another_backend_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    google = Google()
    google.down = True
    monkeypatch.setattr("slipway_router.providers.fresh.LIMIT_SECONDS", 0.3)
    async with upstream() as well:
        behaviour = google.api(fake.whole())
        async with vertex(google, behaviour, tmp_path, monkeypatch, backend(well, "two", self_hosted=False)) as (served, up):
            answer = await served.chat(model="auto")
            alone = await served.chat(model="gemini")
    assert answer.headers["x-slipway-backend"] == "two"
    assert chats(up) == []
    assert "no token of Google could be had" in alone.json()["error"]["message"]


async def test_googles_error_in_openais_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    google = Google()
    error = b'[{"error": {"code": 400, "message": "Invalid value at messages.", "status": "INVALID_ARGUMENT"}}]'
    async with vertex(google, google.api(fake.whole(), error), tmp_path, monkeypatch) as (served, _):
        answer = await served.chat()
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "message": "Invalid value at messages.",
        "type": "invalid_request_error",
        "param": None,
        "code": "invalid_argument",
    }


async def test_the_probe_has_a_token_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    google = Google()
    async with vertex(google, google.api(fake.whole()), tmp_path, monkeypatch) as (served, up):
        up.models = google.api(fake.whole())
        await probe(served.router.targets["gemini"])
        assert served.router.targets["gemini"].status.reachable
    assert [g.headers["authorization"] for g in up.got if g.method == "GET"] == ["Bearer ya29.token-1"]


def test_without_the_package_the_configuration_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "google.auth", None)
    for name in ("google", "vertex"):
        monkeypatch.delitem(sys.modules, f"slipway_router.providers.{name}", raising=False)
        monkeypatch.delattr(slipway_router.providers, name, raising=False)
    config = Config.parse({"backends": [{"name": "a", "url": "http://127.0.0.1/v1", "model": "m", "protocol": "vertex"}]})
    with pytest.raises(ConfigError, match=r"backends\.a\.protocol: the protocols vertex.* need google-auth.*slipway\[vertex\]"):
        Router(config, {})
