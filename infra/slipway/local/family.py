"""All that one local process is: the recorded one, its descendants, and whatever else was started for its directory."""

import atexit
import contextlib
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from slipway.local.record import Record, remove_record
from slipway.local.spec import MARK

_KILL_SECONDS = 5.0
_PAUSE_SECONDS = 0.02
# Children of this process that were started here and go on without it. Reaped when they end, so that none stays a zombie.
_started: dict[int, "subprocess.Popen[bytes]"] = {}


class ProcessError(Exception):
    """A local process could not be started or stopped. The message is meant for the user."""


@dataclass(frozen=True)
class Running:
    """A recorded process that is alive."""

    record: Record
    process: psutil.Process


def running(home: Path) -> Running | None:
    """The live process of this directory's record.

    None when there is no record, or when its process ended, is a zombie, or its pid belongs to another process by now.
    """
    record = Record.load(home)
    process = None if record is None else _leader(record, home)
    return None if record is None or process is None else Running(record, process)


def adopt(process: "subprocess.Popen[bytes]") -> None:
    """Take note of a child that was started here, so that it is reaped when it ends."""
    reap()
    _started[process.pid] = process


@atexit.register
def reap() -> None:
    """Forget the children that have ended, whoever ended them. Python would warn of each at its own end."""
    for pid, child in list(_started.items()):
        if child.poll() is not None:
            _started.pop(pid, None)


def terminate(home: Path, name: str, grace_seconds: float) -> bool:
    """End everything that was started for this directory, then forget it."""
    left = leftovers(home)
    anything = bool(left)
    deadline = time.monotonic() + grace_seconds
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    while left and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
        left = [p for p in left if _lives(p)]
    # Looked for again: a process that is told to end may have started others meanwhile.
    left = leftovers(home)
    deadline = time.monotonic() + _KILL_SECONDS
    while left and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(_PAUSE_SECONDS)
        left = leftovers(home)
    if left:
        raise ProcessError(f"'{name}' cannot be ended: {', '.join(f'pid {p.pid}' for p in left)} survived SIGKILL")
    remove_record(home)
    return anything


def leftovers(home: Path) -> list[psutil.Process]:
    """Every live process that was started for this directory: the recorded one, its session, and what carries its mark."""
    record = Record.load(home)
    leader = None if record is None else _leader(record, home)
    found = {} if leader is None else {leader.pid: leader}
    if leader is not None:
        with contextlib.suppress(psutil.Error):
            found |= {child.pid: child for child in leader.children(recursive=True)}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, ProcessLookupError, PermissionError):
            in_session = leader is not None and os.getsid(process.pid) == leader.pid
            if in_session or mark_of(process).rpartition("#")[0] == str(home):
                found[process.pid] = process
    found.pop(os.getpid(), None)
    return [process for process in found.values() if _lives(process)]


def _leader(record: Record, home: Path) -> psutil.Process | None:
    if record.pid is None or record.create_time is None:
        return None
    try:
        process = psutil.Process(record.pid)
        # A clock that was set since the start shifts creation times; the mark in the environment does not move.
        same = abs(process.create_time() - record.create_time) < 1 or mark_of(process) == mark(home, record)
        return process if same and _lives(process) else None
    except psutil.Error:
        return None


def _lives(process: psutil.Process) -> bool:
    if process.pid in _started:
        reap()
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def mark(home: Path, record: Record) -> str:
    return f"{home}#{record.token}"


def mark_of(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "")
    except (psutil.Error, OSError):
        return ""
