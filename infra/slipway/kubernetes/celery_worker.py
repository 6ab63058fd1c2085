"""A Celery worker that loses nothing: how it is started, what its probes ask, and the arithmetic between its times."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from slipway.args import Faults

QUEUE = "celery"
"""Where Celery puts tasks that name no queue."""
FOLDER = "/etc/slipway"
FILE = "celery_with_beat.py"
STATE = "/tmp/slipway"  # noqa: S108 -- a mount
BEAT_SECONDS = 10
DEAD_SECONDS = 600
"""Without a beat. While its Redis is away a worker waits for that and does not beat; to be restarted would not help it."""
LOST_SECONDS = 10
"""In which Celery notices that a process was killed: it looks every 5 s, and waits 2 s for its result. A time limit that came
first would count the task as failed, and so as done."""
_LOST_WAIT = 2
ROOM_SECONDS = 60
"""In the default of the visibility timeout."""
_APP = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*)?")
_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

LAUNCHER = f'''"""Starts Celery with a beat that probes can see; `alive` and `ready` are those probes.

`celery inspect ping` would load the whole application each time, and fail while Redis is away.
"""

import pathlib
import sys
import time

BEAT, READY = pathlib.Path("{STATE}/beat"), pathlib.Path("{STATE}/ready")
if sys.argv[1:] == ["ready"]:
    sys.exit(not READY.exists())
if sys.argv[1:] == ["alive"]:
    sys.exit(not BEAT.exists() or time.time() - BEAT.stat().st_mtime > {DEAD_SECONDS})

# The application may have a module of any name, and finds it from its own folder.
sys.path[:] = [folder for folder in sys.path if folder != "{FOLDER}"]
from celery import bootsteps, signals
from celery.__main__ import main


class Beat(bootsteps.StartStopStep):
    """By the timer of the worker's own event loop, so that one that hangs does not beat."""

    requires = {{"celery.worker.components:Timer"}}

    def start(self, worker):
        BEAT.touch()
        self.entry = worker.timer.call_repeatedly({BEAT_SECONDS}, BEAT.touch)

    def stop(self, worker):
        self.entry.cancel()


@signals.celeryd_init.connect(weak=False)
def install(instance, **_):
    BEAT.parent.mkdir(exist_ok=True)
    READY.unlink(missing_ok=True)
    instance.app.steps["worker"].add(Beat)


@signals.worker_ready.connect(weak=False)
def ready(**_):
    READY.touch()


sys.argv[0] = "celery"
main()
'''
"""What is mounted beside the application. It runs in the image's own Python."""


class CeleryWorker(TypedDict):
    """A worker of Celery 5.3 or later, with the prefork pool. Its image must have `python` and `celery[redis]`."""

    app: str
    """The application, as `celery --app` takes it, such as `src.tasks.celery_app`."""
    concurrency: NotRequired[int]
    """Processes of one replica, each of which does one task at a time. Default 1: replicas are what is scaled."""
    longest_delay_seconds: NotRequired[int]
    """The longest `countdown`, or time until an `eta`, that tasks are sent with, retries among them, in seconds. A worker holds
    such a task unacknowledged until it is due. Default 0."""
    visibility_timeout_seconds: NotRequired[int]
    """When Redis hands a task that nobody has acknowledged out again, in seconds: that is when a task comes back whose worker was
    killed. More than `longest_delay_seconds` + `longest_task_seconds` + 10, or tasks run twice at once. Default: the first and
    twice the second, and 60. All pools of one queue must have the same."""
    max_tasks_per_child: NotRequired[int]
    """After how many tasks a process is replaced, against leaks. Default: never."""
    log_level: NotRequired[str]
    """'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL'. Default 'INFO'."""


def check_celery(path: str, given: Mapping[str, Any], longest_task: object, faults: Faults) -> None:
    """Refuse what Celery would, and times by which tasks would be done twice."""
    app, level = given.get("app"), given.get("log_level")
    if isinstance(app, str) and not _APP.fullmatch(app):
        faults.add(f"{path}.app", f"is {app!r}; give a module and perhaps the name in it, such as 'src.tasks:app'")
    if isinstance(level, str) and level not in _LEVELS:
        faults.add(f"{path}.log_level", f"is {level!r}; give {', '.join(repr(each) for each in _LEVELS)}")
    for key, least in (
        ("concurrency", 1),
        ("longest_delay_seconds", 0),
        ("visibility_timeout_seconds", 1),
        ("max_tasks_per_child", 1),
    ):
        value = given.get(key)
        if isinstance(value, int) and not faults.at(f"{path}.{key}") and value < least:
            faults.add(f"{path}.{key}", f"is {value}; give {least} or more")
    visible, delay = given.get("visibility_timeout_seconds"), given.get("longest_delay_seconds", 0)
    whole = all(isinstance(n, int) for n in (visible, delay, longest_task))
    if not whole or any(faults.at(f"{path}.{key}") for key in ("visibility_timeout_seconds", "longest_delay_seconds")):
        return
    assert isinstance(longest_task, int)
    held = delay + longest_task + LOST_SECONDS
    if visible <= held:
        faults.add(
            f"{path}.visibility_timeout_seconds",
            f"is {visible}, but a worker may hold a task for longest_delay_seconds {delay} + longest_task_seconds {longest_task}"
            f" + {LOST_SECONDS} = {held} s, and Redis would hand it to a second one meanwhile; give more than {held}",
        )


def visibility_timeout(given: CeleryWorker, longest_task: int) -> int:
    """When a task comes back, in seconds. Twice a task's time: one that is due may have to wait for a process that is at work."""
    return given.get("visibility_timeout_seconds", given.get("longest_delay_seconds", 0) + 2 * longest_task + ROOM_SECONDS)


def command(given: CeleryWorker, queues: Sequence[str], longest_task: int) -> list[str]:
    """How it is started (Celery, "Command Line Interface"; the settings after '--' by "Configuration and defaults")."""
    recycled = ["--max-tasks-per-child", str(given["max_tasks_per_child"])] if "max_tasks_per_child" in given else []
    return [
        *("python", f"{FOLDER}/{FILE}", "--app", given["app"], "worker"),
        *("--queues", ",".join(queues), "--concurrency", str(given.get("concurrency", 1)), "--pool", "prefork"),
        # None that waits behind another one: it is in the queue, for the scaler to count and for other workers to take.
        *("--prefetch-multiplier", "1"),
        # So that no task outlives what is reckoned with: first an exception in it, then the end of its process.
        *("--soft-time-limit", str(longest_task), "--time-limit", str(longest_task + LOST_SECONDS)),
        *recycled,
        *("--loglevel", given.get("log_level", "INFO"), "--without-gossip", "--without-mingle"),
        "--",
        # Acknowledged when done, not when begun; and not at all where the process that does it is killed.
        *("task.acks_late=1", "task.reject_on_worker_lost=1", f"worker.lost_wait={_LOST_WAIT}"),
        f'broker.transport_options=(json){{"visibility_timeout": {visibility_timeout(given, longest_task)}}}',
        "broker.connection_retry_on_startup=1",
    ]


def probe(question: str) -> list[str]:
    """The command of a probe: whether it is 'ready', or 'alive'. It takes 20 ms, where `celery inspect ping` takes a second."""
    return ["python", "-I", "-S", f"{FOLDER}/{FILE}", question]
