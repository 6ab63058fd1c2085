"""Starts and stops local processes that outlive the command that starts them, and leaves none behind."""

import contextlib
import dataclasses
import fcntl
import http.client
import os
import re
import secrets
import socket
import subprocess
import time
import urllib.parse
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil

from slipway.local.record import LOG, Record, environment_digest, new_salt, remove_record, write_private
from slipway.local.spec import MARK, Health, ProcessSpec

LOG_LINES = 20
"""Lines of the log that an error shows."""
PROBE_SECONDS = 2.0
# Without a health check: still running after this long counts as started.
_SETTLED_SECONDS = 0.5
_KILL_SECONDS = 5.0
_PAUSE_SECONDS = 0.02
# What programs need to find their files, their language and their certificates; nothing that holds a key.
_INHERITED = (
    *("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "PYTHONPATH", "VIRTUAL_ENV"),
)
_OWNERS = {
    "pulumi": ("Pulumi's engine", "pulumi destroy"),
    "slipway": ("slipway's embedded runner", "slipway down"),
}
# Children of this process that were started here and go on without it. Reaped when they end, so that none stays a zombie.
_started: dict[int, "subprocess.Popen[bytes]"] = {}


class ProcessError(Exception):
    """A local process could not be started or stopped. The message is meant for the user, and nothing was left running."""


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


def start(spec: ProcessSpec, owner: str, environment: Mapping[str, str] | None = None) -> Record:
    """Start a process, detached, and wait until it is healthy. One that this owner runs already is stopped first.

    Args:
        spec: What to start.
        owner: 'pulumi' or 'slipway'; a process of the other one is not touched.
        environment: Where `pass_environment` takes its values from. Default: this process's environment.

    Raises:
        ProcessError: It cannot start, ends, or is not healthy in time. Then nothing of it runs and its record is gone.
    """
    environment = os.environ if environment is None else environment
    with _locked(spec.home, spec.name):
        found = running(spec.home)
        _refuse_other_owner(spec.name, spec.home, owner, found)
        _check_startable(spec, found)
        _terminate(spec.home, spec.name, spec.stop_grace_seconds)
        stopped = f" The one that ran before (pid {found.process.pid}) was stopped for it." if found else ""
        if spec.port is not None:
            _check_port(spec.name, spec.host, spec.port)
        spec.files_directory.mkdir(mode=0o700, exist_ok=True)
        for name, text in spec.files.items():
            write_private(spec.files_directory / name, text)
        record = _new_record(spec, owner, environment)
        # On disk before there is a process: whatever happens from here on, the next command knows of it.
        record.save(spec.home)
        try:
            process = _spawn(spec, record, environment)
            # One that ended at once may have no creation time any more.
            with contextlib.suppress(psutil.Error):
                record = dataclasses.replace(record, pid=process.pid, create_time=psutil.Process(process.pid).create_time())
                record.save(spec.home)
            _wait_healthy(spec, process)
            record = dataclasses.replace(record, ready=True)
            record.save(spec.home)
        except BaseException as error:
            _terminate(spec.home, spec.name, spec.stop_grace_seconds)
            if not isinstance(error, ProcessError):
                raise
            secret = [environment[name] for name in spec.pass_environment if name in environment]
            raise ProcessError(f"'{spec.name}' {error}.{stopped}{_log_tail(spec.home / LOG, secret)}") from None
        return record


def stop(home: Path, name: str, owner: str, grace_seconds: float) -> bool:
    """End a process with all its descendants: SIGTERM, and SIGKILL after the grace. Its log stays.

    Returns:
        Whether something was stopped. A process that another owner runs is none of this owner's, and goes on.

    Raises:
        ProcessError: Something cannot be ended, or another command is at work on it.
    """
    if not home.is_dir():
        return False
    with _locked(home, name):
        record = Record.load(home)
        if record is not None and record.owner != owner:
            return False
        return _terminate(home, name, grace_seconds)


def unhealthy(health: Health, timeout_seconds: float = PROBE_SECONDS) -> str | None:
    """Ask once. None when the answer is as expected, else what is wrong with it."""
    url = urllib.parse.urlsplit(health.url)
    connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=timeout_seconds)
    try:
        connection.request("GET", urllib.parse.urlunsplit(("", "", url.path or "/", url.query, "")))
        status = connection.getresponse().status
        return None if status == health.status else f"{health.url} answers {status}, not {health.status}"
    except (OSError, http.client.HTTPException) as error:
        return f"{health.url} does not answer ({error or type(error).__name__})"
    finally:
        connection.close()


def _new_record(spec: ProcessSpec, owner: str, environment: Mapping[str, str]) -> Record:
    salt = new_salt()
    return Record(
        owner=owner,
        stack=spec.stack,
        token=secrets.token_hex(16),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        command_digest=spec.command_digest(),
        inputs_digest=spec.inputs_digest(),
        environment_salt=salt,
        environment_digest=environment_digest(salt, spec.pass_environment, environment),
        port=spec.port,
    )


def _spawn(spec: ProcessSpec, record: Record, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    given = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    given |= {name: environment[name] for name in spec.pass_environment if name in environment}
    given |= {**spec.environment, MARK: _mark(spec.home, record)}
    log = spec.home / LOG
    if log.exists():
        log.replace(log.with_suffix(".log.1"))
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        process = subprocess.Popen(  # noqa: S603 -- the user's own command, without a shell
            spec.command,
            cwd=spec.directory,
            env=given,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        raise ProcessError(f"cannot be started: {spec.command[0]}: {error.strerror}") from None
    finally:
        os.close(output)
    _started[process.pid] = process
    return process


def _wait_healthy(spec: ProcessSpec, process: "subprocess.Popen[bytes]") -> None:
    health = spec.health
    deadline = time.monotonic() + (health.timeout_seconds if health else _SETTLED_SECONDS)
    fault: str | None = "no answer yet"
    while True:
        if health is not None:
            fault = unhealthy(health, min(PROBE_SECONDS, max(deadline - time.monotonic(), 0.05)))
            if fault is None and spec.port is not None:
                fault = _answered_by_another(spec.port, process.pid)
        code = process.poll()
        if code is not None:
            how = f"exit code {code}" if code >= 0 else f"signal {-code}"
            raise ProcessError(f"ended with {how} before it was {'healthy' if health else 'up'}")
        if fault is None:
            return
        if time.monotonic() >= deadline:
            if health is None:
                return
            raise ProcessError(f"was not healthy within {health.timeout_seconds:g} s and was stopped: {fault}")
        time.sleep(health.interval_seconds if health else _PAUSE_SECONDS)


def _check_startable(spec: ProcessSpec, found: Running | None) -> None:
    """What can be told before the running one is stopped."""
    if not spec.directory.is_dir():
        raise ProcessError(f"'{spec.name}' cannot start: its working directory {spec.directory} does not exist")
    if not os.access(spec.command[0], os.X_OK) or Path(spec.command[0]).is_dir():
        raise ProcessError(f"'{spec.name}' cannot start: there is no program {spec.command[0]}")
    if spec.port is not None and found is not None and found.record.port != spec.port:
        _check_port(spec.name, spec.host, spec.port)


def _check_port(name: str, host: str, port: int) -> None:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        # Connections of a predecessor that wait to be forgotten are no listener.
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind(address)
        except OSError as error:
            raise ProcessError(
                f"'{name}' cannot have port {port} on {host} ({error.strerror}){_holder(port)}; stop that or give another port"
            ) from None


def _listeners(port: int) -> list[int]:
    """Pids that listen on a TCP port, as far as the system tells."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.AccessDenied, OSError):
        return []
    return [c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr[1] == port and c.pid]


def _answered_by_another(port: int, leader: int) -> str | None:
    """What is wrong when somebody else took the port after it was found free: a health check would believe that one."""
    pids = _listeners(port)
    with contextlib.suppress(ProcessLookupError):
        if pids and not any(os.getsid(pid) == leader for pid in pids):
            return f"port {port} was taken meanwhile{_holder(port)}"
    return None


def _holder(port: int) -> str:
    pid = next(iter(_listeners(port)), None)
    if pid is None:
        return ""
    try:
        holder = psutil.Process(pid)
        ours = _mark_of(holder).rpartition("#")[0]
        return f": {holder.name()} (pid {pid}) listens there" + (f", the local process of {ours}" if ours else "")
    except psutil.Error:
        return f": pid {pid} listens there"


def _refuse_other_owner(name: str, home: Path, owner: str, found: Running | None) -> None:
    # A start that was cut short belongs to nobody: its owner may not know of it, so whoever comes next clears it away.
    if found is None or not found.record.ready or found.record.owner == owner:
        return
    who, command = _OWNERS.get(found.record.owner, (found.record.owner, "stop it"))
    raise ProcessError(
        f"'{name}' (pid {found.process.pid}, recorded in {home}) is run by {who}: `{command} -s {found.record.stack}` first"
    )


@contextlib.contextmanager
def _locked(home: Path, name: str) -> Generator[None]:
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Not removed afterwards: somebody else may hold it open by then. The kernel releases it when this process ends.
        handle = os.open(home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise ProcessError(f"'{name}' cannot use its directory {home}: {error.strerror}; give another state_dir") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # It may have taken the lock a moment ago and not have written its pid yet.
            time.sleep(_PAUSE_SECONDS)
            holder = os.read(handle, 32).decode(errors="replace").strip() or "unknown"
            raise ProcessError(f"another command (pid {holder}) is at work on '{name}'; wait until it has ended") from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(handle)


def _terminate(home: Path, name: str, grace_seconds: float) -> bool:
    """End everything that was started for this directory, then forget it."""
    left = _leftovers(home)
    anything = bool(left)
    deadline = time.monotonic() + grace_seconds
    for process in left:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    while left and time.monotonic() < deadline:
        time.sleep(_PAUSE_SECONDS)
        left = [p for p in left if _lives(p)]
    # Looked for again: a process that is told to end may have started others meanwhile.
    left = _leftovers(home)
    deadline = time.monotonic() + _KILL_SECONDS
    while left and time.monotonic() < deadline:
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.kill()
        time.sleep(_PAUSE_SECONDS)
        left = _leftovers(home)
    if left:
        raise ProcessError(f"'{name}' cannot be ended: {', '.join(f'pid {p.pid}' for p in left)} survived SIGKILL")
    remove_record(home)
    return anything


def _leftovers(home: Path) -> list[psutil.Process]:
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
            if in_session or _mark_of(process).rpartition("#")[0] == str(home):
                found[process.pid] = process
    found.pop(os.getpid(), None)
    return [process for process in found.values() if _lives(process)]


def _leader(record: Record, home: Path) -> psutil.Process | None:
    if record.pid is None or record.create_time is None:
        return None
    try:
        process = psutil.Process(record.pid)
        # A clock that was set since the start shifts creation times; the mark in the environment does not move.
        same = abs(process.create_time() - record.create_time) < 1 or _mark_of(process) == _mark(home, record)
        return process if same and _lives(process) else None
    except psutil.Error:
        return None


def _lives(process: psutil.Process) -> bool:
    child = _started.get(process.pid)
    if child is not None and child.poll() is not None:
        del _started[process.pid]
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def _mark(home: Path, record: Record) -> str:
    return f"{home}#{record.token}"


def _mark_of(process: psutil.Process) -> str:
    try:
        return process.environ().get(MARK, "")
    except (psutil.Error, OSError):
        return ""


def _log_tail(log: Path, secret: list[str]) -> str:
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 64 * 1024))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    for value in secret:
        # Short values would blank out half the text, and no key is that short.
        if len(value) >= 8:
            text = text.replace(value, "[secret]")
    lines = [re.sub(r"[^\x20-\x7e\t\u00a0-\uffff]", "", line)[:400] for line in text.splitlines() if line.strip()]
    if not lines:
        return f"\nIts log {log} is empty."
    shown = lines[-LOG_LINES:]
    return f"\nThe last {len(shown)} lines of its log {log}:\n" + "\n".join(f"  {line}" for line in shown)
