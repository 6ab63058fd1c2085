"""A router that leads back to itself: refused where it can be seen, stopped where it cannot."""

import json
from pathlib import Path
from typing import Any

import pytest
from tests.app.serving import backend, serving, upstream

from slipway_router.config import Config, ConfigError
from slipway_router.loops import At


@pytest.mark.parametrize(
    ("listen", "url", "own"),
    [
        ({}, "http://127.0.0.1:8000/v1", True),
        ({}, "http://localhost:8000/v1", True),
        ({}, "http://127.0.0.1:8001/v1", False),
        ({"port": 8080}, "http://127.0.0.1:8000/v1", False),
        ({"host": "0.0.0.0", "port": 8080}, "http://[::1]:8080/v1", True),
        ({"host": "0.0.0.0", "port": 80}, "http://localhost/v1", True),
        ({"host": "0.0.0.0"}, "http://llama.ai.svc:8000/v1", False),
        ({"host": "10.0.0.7"}, "http://10.0.0.7:8000/v1", True),
        ({"host": "10.0.0.7"}, "http://127.0.0.1:8000/v1", False),
    ],
)
def test_a_backend_that_is_the_router_itself_is_refused(listen: dict[str, Any], url: str, own: bool) -> None:
    told: list[tuple[str, str]] = []
    try:
        Config.parse({"listen": listen, "backends": [{"name": "a", "url": url, "model": "m"}]})
    except ConfigError as error:
        told = error.faults
    wanted = ("backends[0].url", f"is {url!r}, where this router listens itself; give the model server's address")
    assert told == ([wanted] if own else [])


@pytest.mark.parametrize(
    "junk", [{"listen": 7}, {"listen": {"port": "x"}}, {"backends": [7, {"url": 7}, {"url": "http://[::1"}]}]
)
def test_junk_is_told_as_faults(junk: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Config.parse({"backends": [{"name": "a", "url": "http://x/v1", "model": "m", "no": 1}], **junk})


async def test_two_routers_that_lead_to_each_other_stop() -> None:
    quick = {"connect": 1, "first_byte": 5, "total": 10}
    async with (
        upstream() as last,
        serving(backend("http://127.0.0.1:9/v1", timeouts=quick), retries={"rounds": 0}) as one,
        serving(backend(f"{one.url}/v1", model="auto", timeouts=quick), retries={"rounds": 0}) as two,
    ):
        loop = [backend(f"{two.url}/v1", model="auto", timeouts=quick)]
        one.router.reload(Config.parse({"backends": loop, "retries": {"rounds": 0}}), {})
        answer = await one.chat()
        assert answer.status_code == 502
        # Each went round twice and no further.
        assert (one.router.targets["one"].metrics.attempts.value, two.router.targets["one"].metrics.attempts.value) == (2, 2)
        # The one at which it was stopped has another backend to go to, and the client never notices.
        more = backend(last, "last")
        one.router.reload(Config.parse({"backends": [*loop, more], "retries": {"rounds": 0}}), {})
        assert (await one.chat()).status_code == 200
        assert last.posts[0].headers["x-slipway-hops"] != "1"


async def test_who_has_gone_round_is_told() -> None:
    async with upstream() as up, serving(backend(up)) as served:
        answer = await served.chat({"x-slipway-hops": "4"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (508, "loop_detected")
        assert (await served.chat({"x-slipway-hops": "3"})).status_code == 200
        assert (await served.chat({"x-slipway-hops": "junk"})).status_code == 200
    assert [g.headers["x-slipway-hops"] for g in up.posts] == ["4", "1"]


@pytest.mark.parametrize(
    ("at", "refused"), [((None, None), True), ((None, 9000), False), (("10.0.0.7", None), False), (("0.0.0.0", 8000), True)]
)
def test_a_backend_where_the_router_listens_is_refused_and_the_command_line_says_where_that_is(
    at: At, refused: bool, tmp_path: Path
) -> None:
    file = tmp_path / "router.json"
    file.write_text(json.dumps({"backends": [backend("http://127.0.0.1:8000/v1", model="m")]}))
    if refused:
        with pytest.raises(ConfigError, match=r"backends\[0\].url: is 'http://127.0.0.1:8000/v1', where this router listens"):
            Config.load(file, at)
    else:
        assert Config.load(file, at).backends[0].url == "http://127.0.0.1:8000/v1"
