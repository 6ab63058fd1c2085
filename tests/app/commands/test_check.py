"""`slipway-router check`."""

import json
from pathlib import Path
from typing import Any

import pytest

from slipway_router.commands.check import main

RIGHT: dict[str, Any] = {
    "backends": [{"name": "gpt", "url": "https://api.openai.com/v1", "model": "gpt-4o", "api_key_env": "CHECK_TEST_KEY"}],
    "keys": [{"name": "app", "env": "CHECK_TEST_APP"}],
}


def write(folder: Path, data: dict[str, Any]) -> str:
    path = folder / "router.json"
    path.write_text(json.dumps(data))
    return str(path)


def test_a_right_configuration_is_told_with_its_backends(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, RIGHT)
    assert main([path]) == 0
    assert capsys.readouterr() == (f"{path} is right; backends: gpt\n", "")
    assert main([path, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"config": path, "faults": [], "backends": ["gpt"]}


def test_every_fault_is_told_with_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(tmp_path, {**RIGHT, "listen": {"port": 0}, "more": 1, "policy": {"best": "none"}})
    assert main([path]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    assert said.startswith(f"slipway-router: {path} has 3 faults:\n")
    assert main([path, "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert {f["path"] for f in told["faults"]} == {"listen.port", "more", "policy.best"}
    assert all(f"  {f['path']}: {f['reason']}" in said for f in told["faults"])
    assert told["backends"] == []


def test_the_environment_is_looked_at_only_when_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHECK_TEST_KEY", raising=False)
    monkeypatch.setenv("CHECK_TEST_APP", "two words")
    path = write(tmp_path, RIGHT)
    assert main([path]) == 0
    capsys.readouterr()
    assert main([path, "--env"]) == 2
    said = capsys.readouterr().err
    assert "2 faults" in said
    assert "backends[0].api_key_env: names the environment variable CHECK_TEST_KEY, which is not set" in said
    assert "keys[0].env: names the environment variable CHECK_TEST_APP, whose value is no key" in said
    assert "two words" not in said
    monkeypatch.setenv("CHECK_TEST_KEY", "sk-1")
    monkeypatch.setenv("CHECK_TEST_APP", "sk-2")
    assert main([path, "--env"]) == 0


def test_other_faults_and_those_of_the_environment_are_told_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CHECK_TEST_KEY", raising=False)
    monkeypatch.delenv("CHECK_TEST_APP", raising=False)
    assert main([write(tmp_path, {**RIGHT, "more": 1}), "--env", "--json"]) == 2
    told = json.loads(capsys.readouterr().out)
    assert [f["path"] for f in told["faults"]] == ["more", "backends[0].api_key_env", "keys[0].env"]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "cannot be read: No such file"), ("a: [", "is neither YAML nor JSON"), ("text", "(top): ")]
)
def test_what_is_no_configuration_is_one_fault(
    content: str | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "router.yaml"
    if content is not None:
        path.write_text(content)
    assert main([str(path), "--env"]) == 2
    err = capsys.readouterr().err
    assert "has 1 fault:" in err
    assert said in err
