"""What the tests of stores share: the containers of their Jobs, run as a kubelet would."""

import base64
import os
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from tests.infra.kubernetes.model_server import revealed

from slipway.plan import Plan, Secret


def held(plan: Plan, secret: str, key: str) -> str:
    """What a Secret has under a key."""
    data = plan[secret].inputs["data"]
    assert isinstance(data, Secret)
    return base64.b64decode(revealed(data)[key]).decode()


def replaced(text: str, old: str, new: str) -> str:
    """The text with something in another's place that it has once."""
    assert text.count(old) == 1
    return text.replace(old, new)


def free_port() -> int:
    """A port of the loopback that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def job_spec(plan: Plan, cron_job: str) -> dict[str, Any]:
    """The pod of a CronJob."""
    return cast("dict[str, Any]", plan[cron_job].inputs["spec"]["jobTemplate"]["spec"]["template"]["spec"])


def run_job(
    plan: Plan,
    cron_job: str,
    backups: Path,
    scratch: Path,
    told: Mapping[str, str],
    *,
    which: str = "containers",
    prefix: Sequence[str] = (),
) -> "subprocess.CompletedProcess[str]":
    """Run the container of a Job that a CronJob makes.

    Args:
        plan: The plan.
        cron_job: Logical name of the CronJob.
        backups: Folder in place of its volume.
        scratch: Folder in place of `/tmp`.
        told: Variables that lead it to what runs here, and those from Secrets.
        which: `containers` or `initContainers`.
        prefix: What the command is run by, such as another user.
    """
    (container,) = job_spec(plan, cron_job)[which]
    env = {e["name"]: e["value"] for e in container["env"] if "value" in e}
    folders = {"BACKUPS": str(backups), "SCRATCH": str(scratch), "HOME": str(scratch)}
    assert folders.keys() <= env.keys()
    assert told.keys() - {"PATH"} <= {e["name"] for e in container["env"]}
    command = [*prefix, *container["command"]]
    whole = {"PATH": os.environ["PATH"], **env, **folders, **told}
    return subprocess.run(command, env=whole, capture_output=True, text=True, timeout=60, check=False)
