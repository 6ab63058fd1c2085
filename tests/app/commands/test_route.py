"""`slipway-router route`: what it tells, and that a running router says the same."""

import io
import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.app.serving import CHAT, serving

from slipway_router.commands.route import main

BACKENDS: list[dict[str, Any]] = [
    {"name": "llama", "url": "http://127.0.0.1:9/v1", "model": "llama-70b", "self_hosted": True, "replica_cost_per_hour": 4.0},
    {"name": "gpt", "url": "http://127.0.0.1:9/v2", "model": "gpt-4o", "quality": "high", "cost_per_1k_tokens": 0.01},
    {"name": "small", "url": "http://127.0.0.1:9/v3", "model": "tiny", "context_tokens": 10, "domain": "edge"},
]
SETTINGS: dict[str, Any] = {
    "policies": {"own-first": {"kind": "priority", "backends": ["llama", "gpt"]}},
    "routes": [{"name": "search", "match": {"headers": {"x-team": "search-*"}}, "policy": "own-first"}],
    "shadows": [],
}
KEYED = [{"name": "app", "env": "ROUTE_TEST_KEY", "tier": "enterprise"}]


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "router.json"
    path.write_text(json.dumps({"backends": BACKENDS, **SETTINGS}))
    return str(path)


@pytest.fixture
def body(tmp_path: Path) -> str:
    path = tmp_path / "body.json"
    path.write_text(json.dumps({**CHAT, "max_tokens": 100}))
    return str(path)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("headers", [{}, {"x-team": "search-eu"}, {"x-quality": "high", "x-user-tier": "enterprise"}])
async def test_a_router_that_has_just_started_says_the_same(
    headers: dict[str, str], config: str, body: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async with serving(*BACKENDS, **SETTINGS) as served:
        answer = await served.client.post("/v1/route", json={**CHAT, "max_tokens": 100}, headers=headers)
    given = [part for name, value in headers.items() for part in ("--header", f"{name.title()}:  {value} ")]
    assert told(capsys, config, "--body", body, *given) == answer.json()


def test_the_table_tells_order_reasons_and_routes_passed_over(config: str, body: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([config, "--body", body]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "chat, model 'auto', about 101 tokens",
        "tier free, task type chat, quality medium, latency budget 60,000 ms",
        "'cost' decides, by the four rules:",
    ]
    rows = [line.split() for line in lines if line[:5].strip().isdigit()]
    assert [r[1] for r in rows] == ["llama", "gpt", "small"]
    assert "$4/h" in rows[0]
    assert "$0.01/1k" in rows[1]
    assert " ".join(rows[2]).endswith("edge no it holds 10 tokens")
    assert lines[-1].split() == ["search", "headers"]


def test_the_table_tells_a_route_a_named_model_needs_and_shadows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain: dict[str, Any] = {"name": "plain", "url": "http://127.0.0.1:9/v4", "model": "plain", "abilities": []}
    trial: dict[str, Any] = {"name": "small", "url": "http://127.0.0.1:9/v3", "model": "tiny"}
    able = [*BACKENDS[:2], plain, trial]
    shadows = [{"name": "trial", "backend": "small", "share": 0.5}]
    config, body = tmp_path / "r.json", tmp_path / "b.json"
    config.write_text(
        json.dumps({"backends": able, "shadows": shadows, "policies": SETTINGS["policies"], "routes": SETTINGS["routes"]})
    )
    tool = {"type": "function", "function": {"name": "f"}}
    body.write_text(json.dumps({**CHAT, "tools": [tool]}))
    assert main([str(config), "--body", str(body), "--header", "x-team: search-eu"]) == 0
    shown = capsys.readouterr().out
    assert "needs a backend that can do tools\n'search' decides, by a policy of kind priority:\n" in shown
    assert ["trial", "small", "0.5", "by", "chance"] in [line.split() for line in shown.splitlines()]
    body.write_text(json.dumps({**CHAT, "model": "gpt-4o"}))
    assert main([str(config), "--body", str(body)]) == 0
    assert "the client named a model that one backend has:" in capsys.readouterr().out


def test_the_tier_is_that_of_a_key_where_there_are_keys(tmp_path: Path, body: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "keyed.json"
    path.write_text(json.dumps({"backends": BACKENDS, "keys": KEYED}))
    header = ("--header", "x-user-tier: paid")
    assert told(capsys, str(path), "--body", body, *header)["user_tier"] == "free"
    assert told(capsys, str(path), "--body", body, *header, "--tier", "enterprise")["user_tier"] == "enterprise"


def test_it_needs_no_key_and_calls_nobody(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object) -> None:
        raise AssertionError("it called somebody")

    monkeypatch.setattr(socket.socket, "connect", forbidden)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(json.dumps(CHAT).encode())))
    path = tmp_path / "keyed.json"
    path.write_text(json.dumps({"backends": [{**BACKENDS[0], "api_key_env": "ROUTE_TEST_NONE"}], "keys": KEYED}))
    monkeypatch.delenv("ROUTE_TEST_NONE", raising=False)
    assert [b["backend"] for b in told(capsys, str(path), "--body", "-")["order"]] == ["llama"]


@pytest.mark.parametrize(
    ("text", "headers", "status", "said"),
    [
        ("{", [], 400, "The body is not JSON"),
        (json.dumps({**CHAT, "model": "none"}), [], 404, "The model 'none' does not exist here for chat"),
        (json.dumps(CHAT), ["x-quality: best"], 400, "x-quality is 'best'; give 'low', 'medium', 'high'"),
    ],
)
def test_what_the_router_would_refuse_is_told_with_its_status(
    text: str, headers: list[str], status: int, said: str, config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "b.json"
    path.write_text(text)
    given = [config, "--body", str(path), *(part for h in headers for part in ("--header", h))]
    assert main(given) == 1
    err = capsys.readouterr().err
    assert f"the request would be refused with {status}" in err
    assert said in err
    assert main([*given, "--json"]) == 1
    refusal = json.loads(capsys.readouterr().out)
    assert refusal["status"] == status
    assert said in refusal["error"]["message"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--body", "/none.json"], "--body: /none.json cannot be read: no such file"),
        (["--body", "/none.json", "--header", "quality"], "'quality' is no header; give 'NAME: VALUE'"),
        (["--body", "/none.json", "--header", "a b: c"], "'a b: c' is no header"),
        (["--body", "/none.json", "--header", "Authorization: Bearer sk-1"], "does not belong on a command line"),
        (["--body", "/none.json", "--tier", "gold"], "invalid choice: 'gold'"),
        ([], "required: --body"),
    ],
)
def test_wrong_arguments_are_one_clear_error(
    arguments: list[str], said: str, config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refused:
        main([config, *arguments])
    assert refused.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert "sk-1" not in err


def test_a_wrong_configuration_ends_with_2(tmp_path: Path, body: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "wrong.json"
    path.write_text("{}")
    assert main([str(path), "--body", body]) == 2
    assert "backends: is required" in capsys.readouterr().err
