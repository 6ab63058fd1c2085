"""The local stack that ships, on ports of the test's: up, OpenAI's own client through it, change, heal, down.

It runs on the embedded runner. On Pulumi's engine the same resources are proven in tests/engine.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from tests.support.project import free_port, lives
from typer.testing import CliRunner

from slipway.cli import app

ROOT = Path(__file__).parents[2]
MESSAGES: Any = [{"role": "user", "content": "Hello!"}]


class Stack:
    """A copy of the shipped project, with ports of its own and no vendor's key in its environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        shutil.copytree(ROOT / "stacks", directory / "stacks", ignore=shutil.ignore_patterns(".venv", "__pycache__"))
        shutil.copy(ROOT / "Pulumi.yaml", directory)
        self.router, self.model = free_port(), free_port()
        self.change("port: 8000", f"port: {self.router}")
        self.change("port: 8101", f"port: {self.model}")

    def change(self, old: str, new: str) -> None:
        file = self.directory / "stacks" / "Pulumi.local.yaml"
        text = file.read_text()
        assert text.count(old) == 1
        file.write_text(text.replace(old, new))

    def slipway(self, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
        hidden = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
        environment = {k: v for k, v in os.environ.items() if k not in hidden} | {"PATH": "/usr/bin:/bin", **more}
        command = [sys.executable, "-m", "slipway", *words, "-s", "local", "-C", str(self.directory)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def up(self, **more: str) -> dict[str, int]:
        done = self.slipway("up", "--json", **more)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)["changes"]

    def pids(self) -> dict[str, int]:
        made = json.loads((self.directory / ".slipway" / "embedded" / "local.json").read_text())["resources"]
        return {m["urn"].rsplit("::", 1)[1]: m["outputs"]["pid"] for m in made}


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path / "shipped")
    yield stack
    stack.slipway("down")


def test_up_use_change_heal_and_down(stack: Stack) -> None:
    up = stack.slipway("up")
    assert up.returncode == 0, up.stderr
    told = " ".join(up.stdout.split())
    assert "llama available llama" in told
    assert "it babbles" in told
    curl = next(line.strip() for line in up.stdout.splitlines() if line.strip().startswith("curl "))
    pasted = subprocess.run(["bash", "-c", f"{curl} -s"], capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(pasted.stdout)["choices"][0]["message"]["content"]

    client = openai.OpenAI(base_url=f"http://127.0.0.1:{stack.router}/v1", api_key="none", max_retries=0)
    whole = client.chat.completions.create(model="auto", messages=MESSAGES, max_tokens=16)
    assert whole.choices[0].message.content
    assert whole.usage
    assert 1 <= whole.usage.completion_tokens <= 16
    chunks = list(client.chat.completions.create(model="llama", messages=MESSAGES, max_tokens=16, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].choices[0].finish_reason in ("length", "stop")

    before = stack.pids()
    assert stack.up() == {"same": 2}
    assert stack.pids() == before

    stack.change("quality: low", "quality: medium")
    assert stack.up() == {"same": 1, "update": 1}
    after = stack.pids()
    assert after["llama-server"] == before["llama-server"], "a setting of the router restarts the router only"
    assert after["router-process"] != before["router-process"]

    os.kill(after["llama-server"], signal.SIGKILL)
    assert stack.up() == {"same": 1, "update": 1}
    assert client.chat.completions.create(model="auto", messages=MESSAGES, max_tokens=4).choices

    last = stack.pids()
    assert stack.slipway("down").returncode == 0
    assert not [pid for pid in last.values() if lives(pid)]
    taken = {c.laddr[1] for c in psutil.net_connections("tcp") if c.status == psutil.CONN_LISTEN and c.laddr}
    assert not taken & {stack.router, stack.model}


def test_a_vendors_key_in_the_environment_adds_that_vendors_backend_and_is_written_nowhere(stack: Stack) -> None:
    plain = stack.slipway("up")
    assert "openai-gpt4-mini is left out: OPENAI_API_KEY is not set" in plain.stderr
    assert stack.up(OPENAI_API_KEY="sk-never-write-this") == {"same": 1, "update": 1}
    told = stack.slipway("up", OPENAI_API_KEY="sk-never-write-this")
    assert "openai-gpt4-mini" in told.stdout
    for file in (stack.directory / ".slipway").rglob("*"):
        assert not file.is_file() or b"sk-never-write-this" not in file.read_bytes(), file
    assert all("sk-never-write-this" not in " ".join(psutil.Process(pid).cmdline()) for pid in stack.pids().values())


def test_a_taken_port_is_one_clear_error_and_leaves_nothing_new_running(stack: Stack) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(stack.router), "--bind", "127.0.0.1"], stderr=subprocess.DEVNULL
    )
    try:
        deadline = 100
        while not any(c.laddr and c.laddr[1] == stack.router for c in psutil.net_connections("tcp")) and deadline:
            deadline -= 1
            psutil.cpu_percent(0.1)
        refused = stack.slipway("up")
        assert refused.returncode == 1
        assert f"cannot have port {stack.router} on 127.0.0.1" in refused.stderr
        assert f"(pid {holder.pid}) listens there" in refused.stderr
        assert "stop that or give another port" in refused.stderr
        assert "Traceback" not in refused.stderr
        assert "router-process" not in stack.pids()
    finally:
        holder.kill()
        holder.wait()


@pytest.mark.parametrize(
    ("old", "new", "fault"),
    [
        (
            "place: local\n      port:",
            "place: local\n      context_tokens: 8\n      port:",
            "slipway:models[0].context_tokens: is 8; give 64 to 1048576",
        ),
        ("quality: low", "quality: best", "slipway:models[0].routing.quality: is 'best'"),
        ("name: openai-gpt4-mini", "name: llama", "slipway:vendors[0].name: 'llama' is there twice, first as slipway:models[0]"),
        (
            "    settings:",
            "    settings:\n      policy: {best: gpt}",
            "slipway:router.settings.policy.best: names 'gpt', which is no backend",
        ),
    ],
)
def test_bad_settings_are_told_with_their_path_in_the_yaml(tmp_path: Path, old: str, new: str, fault: str) -> None:
    stack = Stack(tmp_path / "shipped")
    stack.change(old, new)
    refused = CliRunner().invoke(app, ["up", "-s", "local", "-C", str(stack.directory)], env={"PATH": "/usr/bin:/bin"})
    assert refused.exit_code == 2
    assert refused.stderr.startswith("Pulumi.local.yaml has 1 fault:")
    assert fault in refused.stderr
    assert not (stack.directory / ".slipway" / "local").exists()
