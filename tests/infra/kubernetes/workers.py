"""What the tests of workers share: a pool's plan, what is refused of its arguments, and a Redis to take tasks from."""

import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pulumi

from slipway import WorkerPool
from slipway.kubernetes.worker_pool_args import WorkerPoolArgs, WorkerSettings
from slipway.plan import Plan, plan_program

PASSWORD = "a-password-of-the-tests"
ARGS: Mapping[str, Any] = {
    "namespace": "ai",
    "image": "registry.example.com/app:1.2.3",
    "broker": {"host": "redis.ai.svc", "password": {"name": "redis-password", "key": "password"}},
    "celery": {"app": "src.tasks.celery_app"},
}


def planned(**more: Any) -> Plan:
    """The plan of a pool called 'worker'; what is None is left out."""
    given = {key: value for key, value in {**ARGS, **more}.items() if value is not None}
    return plan_program(lambda: WorkerPool("worker", cast("WorkerPoolArgs", given)))


def refused(name: str = "worker", /, **more: Any) -> dict[str, str]:
    """Faults by path; several at one path are joined."""
    given = {key: value for key, value in {**ARGS, **more}.items() if value is not None}
    faults: dict[str, str] = {}
    try:
        WorkerSettings.of(name, cast("WorkerPoolArgs", given))
    except pulumi.InputPropertiesError as error:
        for fault in error.errors or []:
            path = fault["property_path"].removeprefix("args.")
            faults[path] = "; ".join(filter(None, [faults.get(path), fault["reason"]]))
    return faults


def pod(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", plan["worker-worker"].inputs["spec"]["template"]["spec"])


def container(plan: Plan) -> dict[str, Any]:
    return cast("dict[str, Any]", pod(plan)["containers"][0])


def environment(made: Mapping[str, Any], secrets: Mapping[str, str]) -> dict[str, str]:
    """A container's variables as a kubelet makes them: from Secrets, by their keys, and `$(NAME)` of the ones before put in."""
    told: dict[str, str] = {}
    for entry in made["env"]:
        value = secrets[entry["valueFrom"]["secretKeyRef"]["key"]] if "valueFrom" in entry else entry["value"]
        told[entry["name"]] = re.sub(r"\$\((\w+)\)", lambda found: told.get(found[1], found[0]), value)
    return told


@contextmanager
def redis(folder: Path) -> Generator[int]:
    """A Redis with a password, on a port of the loopback."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = int(found.getsockname()[1])
    settings = f"port {port}\nbind 127.0.0.1\ndir {folder}\nsave ''\nrequirepass {PASSWORD}\n"
    process = subprocess.Popen(["redis-server", "-"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    assert process.stdin is not None
    process.stdin.write(settings)
    process.stdin.close()
    try:
        eventually(lambda: ask(port, "ping") == "PONG", "Redis answers")
        yield port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(10)


def ask(port: int, *words: str) -> str:
    """What redis-cli gets for an answer."""
    command = ["redis-cli", "-p", str(port), *words]
    env = {**os.environ, "REDISCLI_AUTH": PASSWORD}
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=10, check=False).stdout.strip()


def eventually(holds: Any, what: str, seconds: float = 30) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, f"not within {seconds:g} s: {what}"
        time.sleep(0.05)
