"""Starts and stops local processes that outlive the command that starts them, and leaves none behind."""

import contextlib
import dataclasses
import fcntl
import http.client
import os
import re
import secrets
import subprocess
import time
import urllib.parse
from collections.abc import Generator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import psutil

from slipway.files import write_private
from slipway.local.family import ProcessError, Running, adopt, leftovers, mark, running, terminate
from slipway.local.port import holder, listeners, taken
from slipway.local.record import LOG, Record, environment_digest, new_salt
from slipway.local.spec import MARK, Health, ProcessSpec

LOG_LINES = 20
"""Lines of the log that an error shows."""
PROBE_SECONDS = 2.0
# Without a health check: still running after this long counts as started.
_SETTLED_SECONDS = 0.5
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
        terminate(spec.home, spec.name, spec.stop_grace_seconds)
        stopped = f" The one that ran before (pid {found.process.pid}) was stopped for it." if found else ""
        _check_port(spec)
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
            terminate(spec.home, spec.name, spec.stop_grace_seconds)
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
        return terminate(home, name, grace_seconds)


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
    given |= {**spec.environment, MARK: mark(spec.home, record)}
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
    adopt(process)
    return process


def _wait_healthy(spec: ProcessSpec, process: "subprocess.Popen[bytes]") -> None:
    health = spec.health
    deadline = time.monotonic() + (health.timeout_seconds if health else _SETTLED_SECONDS)
    fault: str | None = "no answer yet"
    while True:
        if health is not None:
            fault = unhealthy(health, min(PROBE_SECONDS, max(deadline - time.monotonic(), 0.05)))
            if fault is None and spec.port is not None:
                fault = _answered_by_another(spec.home, spec.port)
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
    if found is not None and found.record.port != spec.port:
        _check_port(spec)


def _check_port(spec: ProcessSpec) -> None:
    if spec.port is not None and (reason := taken(spec.host, spec.port)):
        raise ProcessError(
            f"'{spec.name}' cannot have port {spec.port} on {spec.host} ({reason}); stop that or give another port"
        )


def _answered_by_another(home: Path, port: int) -> str | None:
    """What is wrong when somebody else took the port after it was found free: a health check would believe that one."""
    pids = set(listeners(port))
    if pids and not pids & {process.pid for process in leftovers(home)}:
        return f"port {port} was taken meanwhile{holder(port)}"
    return None


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
