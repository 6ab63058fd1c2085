"""A small project of local processes, as a user would write one, in a folder of the test's."""

import socket
import textwrap
from pathlib import Path

import psutil

PROGRAM = """
import json
import pulumi
from slipway import LocalProcess

config = pulumi.Config()
for server in config.require_object("servers"):
    process = LocalProcess(server["name"], {
        "command": ["{python}", "-m", "http.server", str(server["port"]), "--bind", "127.0.0.1", "--directory", "{dir}"],
        "files": {"index.html": server.get("text", "hello")},
        "port": server["port"],
        "health": {"url": f"http://127.0.0.1:{server['port']}/", "timeout_seconds": 20},
    })
    pulumi.export(server["name"], process.pid)
"""


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def lives(pid: int) -> bool:
    """Whether a process runs. One that ended and was not waited for, as happens where nobody adopts orphans, does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Project:
    """The project, and its settings to change."""

    def __init__(self, directory: Path, program: str = PROGRAM) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "Pulumi.yaml").write_text("name: small\nruntime: python\n")
        (directory / "__main__.py").write_text(textwrap.dedent(program))

    def settings(self, text: str, stack: str = "test") -> None:
        """Write the settings of a stack."""
        (self.directory / f"Pulumi.{stack}.yaml").write_text(text)

    def servers(self, *servers: dict[str, object]) -> None:
        """Settings with these servers."""
        lines = "".join(f"\n    - {server!r}" for server in servers)
        self.settings(f"config:\n  small:servers: {lines if servers else '[]'}\n")
