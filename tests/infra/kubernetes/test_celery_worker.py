"""Celery workers with the very command, launcher and variables that the component renders, on a real Redis: killed they lose no
task, told to end they finish what they hold. That a kubelet does as these tests do is not proven."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.infra.kubernetes.workers import PASSWORD, ask, container, environment, eventually, planned, pod, redis, refused
from tests.support import crds

from slipway.kubernetes.celery_worker import FOLDER, STATE

needs_redis = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="no redis-server on PATH: apt-get install redis-server"
)
TASK, VISIBLE = 2, 13
APPLICATION = """
import os, time
import redis
from celery import Celery

app = Celery("tasks")
app.conf.result_backend = os.environ["CELERY_RESULT_BACKEND"]
told = redis.Redis.from_url(os.environ["REDIS_URL"])

@app.task
def work(name, seconds):
    told.rpush("begun", f"{name} {os.getpid()}")
    time.sleep(seconds)
    told.rpush("done", name)
"""


class Place:
    """A folder with an application, and a Redis."""

    def __init__(self, folder: Path, port: int) -> None:
        self.port, self.folder = port, folder
        (folder / "tasks.py").write_text(APPLICATION)
        celery = {"app": "tasks", "visibility_timeout_seconds": VISIBLE}
        broker = {"host": "127.0.0.1", "port": port, "database": 3, "password": {"name": "r", "key": "password"}}
        env = {"CELERY_RESULT_BACKEND": "$(REDIS_URL)"}
        self.plan = planned(celery=celery, broker=broker, longest_task_seconds=TASK, env=env)
        self.made = container(self.plan)
        (launcher,) = self.plan["worker-code"].inputs["data"].items()
        (folder / launcher[0]).write_text(self._here(launcher[1]))
        self.env = {**os.environ, **environment(self.made, {"password": PASSWORD}), "PYTHONPATH": ""}

    def _here(self, text: str) -> str:
        """Text with this place's folders in place of the pod's."""
        return text.replace(FOLDER, str(self.folder)).replace(STATE, str(self.folder / "state"))

    def command(self, words: list[str]) -> list[str]:
        assert words[0] == "python"
        return [sys.executable, *(self._here(word) for word in words[1:])]

    @contextmanager
    def worker(self) -> Generator["subprocess.Popen[bytes]"]:
        """Ready, and in a session of its own, as a container is."""
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self.command(self.made["command"]),
                cwd=self.folder,
                env=self.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            eventually(lambda: self.probe("startupProbe") == 0, f"a worker is ready:\n{(self.folder / 'log').read_text()}")
            yield process
        finally:
            kill(process)

    def probe(self, kind: str) -> int:
        command = self.command(self.made[kind]["exec"]["command"])
        return subprocess.run(command, env=self.env, cwd="/", timeout=10, check=False).returncode

    def send(self, *names: str, seconds: float) -> None:
        code = f"import tasks\nfor name in {names!r}: tasks.work.delay(name, {seconds})"
        subprocess.run([sys.executable, "-c", code], cwd=self.folder, env=self.env, check=True, timeout=30)

    def told(self, key: str) -> list[str]:
        """Names of the tasks that have 'begun', or are 'done'."""
        return [line.split()[0] for line in self.ask("lrange", key, "0", "-1").splitlines() if line]

    def ask(self, *words: str) -> str:
        return ask(self.port, "-n", "3", *words)

    def waiting(self) -> int:
        """The length of the queue as KEDA's scaler reads it: its own script, asked what the trigger says."""
        (trigger,) = self.plan["worker-scaler"].inputs["spec"]["triggers"]
        asked: Mapping[str, str] = trigger["metadata"]
        assert asked["address"] == f"127.0.0.1:{self.port}"
        return int(ask(self.port, "-n", asked["databaseIndex"], "eval", keda_script(), "1", asked["listName"]))


def keda_script() -> str:
    """The Lua script by which KEDA's scaler reads a list's length, out of its source."""
    source = crds.module_file("ScaledObject", "pkg/scalers/redis_scaler.go").read_text()
    found = re.search(r"luaScript := `(.*?)`", source, re.DOTALL)
    assert found is not None
    return found[1]


def kill(process: "subprocess.Popen[bytes]") -> None:
    """With SIGKILL, all of the container's processes, as a node's end or the kernel does for want of memory."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(5)


@pytest.fixture
def place(tmp_path: Path) -> Generator[Place]:
    with redis(tmp_path) as port:
        yield Place(tmp_path, port)


@needs_redis
def test_a_task_whose_worker_is_killed_is_done_by_another(place: Place) -> None:
    assert (place.probe("startupProbe"), place.probe("livenessProbe")) == (1, 1)
    with place.worker() as first:
        assert (place.probe("readinessProbe"), place.probe("livenessProbe")) == (0, 0)
        place.send("held", "waiting", seconds=1)
        eventually(lambda: place.told("begun") == ["held"], "a task begins")
        # One process, so one task is held, and the other one waits for whoever is free.
        assert (place.ask("llen", "celery"), place.ask("hlen", "unacked")) == ("1", "1")
        assert PASSWORD.encode() not in Path(f"/proc/{first.pid}/cmdline").read_bytes()
        kill(first)
    assert place.told("done") == []
    time.sleep(VISIBLE)
    with place.worker():
        eventually(lambda: sorted(place.told("done")) == ["held", "waiting"], "both are done")
        eventually(lambda: place.ask("hlen", "unacked") == "0", "and acknowledged")
    assert sorted(place.told("begun")) == ["held", "held", "waiting"]


@needs_redis
def test_told_to_end_it_finishes_what_it_holds_and_takes_nothing_more(place: Place) -> None:
    place.send("lost", "held", "third", "fourth", seconds=1.5)
    try:
        assert place.waiting() == 4
    except pytest.skip.Exception:
        assert place.ask("llen", "celery") == "4"
    with place.worker() as worker:
        eventually(lambda: place.told("begun") == ["lost"], "a task begins")
        # The process alone that does it, as the kernel does for want of memory: the task goes back at once.
        os.kill(int(place.ask("lrange", "begun", "0", "0").split()[1]), signal.SIGKILL)
        eventually(lambda: len(place.told("begun")) == 2, "the next begins")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(pod(place.plan)["terminationGracePeriodSeconds"]) == 0
    begun, done = place.told("begun"), place.told("done")
    # What had begun is done, once; the rest is where it was.
    assert (begun[0], begun[1:]) == ("lost", done)
    assert len(done) == 1
    assert place.ask("hlen", "unacked") == "0"
    kept = [
        json.loads(entry)["headers"]["argsrepr"].split("'")[1] for entry in place.ask("lrange", "celery", "0", "-1").splitlines()
    ]
    assert sorted([*kept, *done]) == ["fourth", "held", "lost", "third"]


def test_its_times_agree_where_nothing_is_said() -> None:
    plan = planned(celery={"app": "tasks", "longest_delay_seconds": 3600}, longest_task_seconds=600)
    command = container(plan)["command"]
    assert command[command.index("--time-limit") + 1] == "610"
    assert 'broker.transport_options=(json){"visibility_timeout": 4860}' in command
    assert pod(plan)["terminationGracePeriodSeconds"] == 625


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"app": "my app"}, {"celery.app": "is 'my app'; give a module"}),
    ({"app": "tasks", "concurrency": 0}, {"celery.concurrency": "is 0; give 1 or more"}),
    ({"app": "tasks", "max_tasks_per_child": 0}, {"celery.max_tasks_per_child": "is 0; give 1 or more"}),
    ({"app": "tasks", "longest_delay_seconds": -1}, {"celery.longest_delay_seconds": "is -1; give 0 or more"}),
    ({"app": "tasks", "log_level": "LOUD"}, {"celery.log_level": "is 'LOUD'; give 'DEBUG'"}),
    ({"app": "tasks", "visibility_timeout_seconds": 0}, {"celery.visibility_timeout_seconds": "is 0; give 1 or more"}),
    (
        {"app": "tasks", "visibility_timeout_seconds": 370, "longest_delay_seconds": 60},
        {
            "celery.visibility_timeout_seconds": "longest_delay_seconds 60 + longest_task_seconds 300 + 10 = 370 s,"
            " and Redis would hand it to a second one meanwhile; give more than 370"
        },
    ),
    ({"app": "tasks", "visibility_timeout_seconds": 311}, {}),
    ({}, {"celery.app": "is required"}),
]


@pytest.mark.parametrize(("celery", "told"), WRONG)
def test_what_celery_would_refuse_or_do_twice_is_refused_here(celery: dict[str, Any], told: dict[str, str]) -> None:
    faults = refused(celery=celery)
    assert faults.keys() == told.keys(), faults
    assert all(reason in faults[path] for path, reason in told.items()), faults
