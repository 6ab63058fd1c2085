"""Real processes: started, watched, ended. That the provider calls this rightly is test_process.py's part."""

import http.server
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.infra.local.place import SERVER, Place, until

from slipway.local.family import ProcessError, running
from slipway.local.record import Record
from slipway.local.spec import ProcessSpec
from slipway.local.supervisor import start, stop


def spec(place: Place, props: dict[str, Any]) -> ProcessSpec:
    return ProcessSpec.of(props, place.directory)


def test_starts_detached_healthy_and_stops(place: Place) -> None:
    props = place.props()
    record = start(spec(place, props), "slipway")
    found = running(place.home())
    assert found is not None
    assert found.process.pid == record.pid
    assert os.getsid(found.process.pid) == found.process.pid != os.getsid(0)
    with urllib.request.urlopen(props["health"]["url"]) as answer:
        assert answer.status == 200
    assert stop(place.home(), "web", "slipway", 5)
    assert place.alive() == []
    assert running(place.home()) is None
    assert not (place.home() / "record.json").exists()
    assert "listening" in (place.home() / "output.log").read_text()
    assert not stop(place.home(), "web", "slipway", 5)


def test_what_it_leaves_on_disk_is_private(place: Place) -> None:
    start(spec(place, place.props(files={"a.txt": "text"})), "slipway")
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in place.home().rglob("*") if p.is_file()}
    assert modes == dict.fromkeys(["record.json", "lock", "output.log", "a.txt"], 0o600)
    assert stat.S_IMODE(place.home().stat().st_mode) == 0o700
    assert (place.home() / "files" / "a.txt").read_text() == "text"


def test_a_key_reaches_the_process_and_nothing_else(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hush-hush-hush")
    monkeypatch.setenv("OTHER_API_KEY", "not-asked-for")
    props = place.props(pass_environment=["SOME_API_KEY"], environment={"GREETING": "hello"})
    start(spec(place, props), "slipway")
    served = {n: _get(f"http://127.0.0.1:{props['port']}/{n}") for n in ("SOME_API_KEY", "GREETING", "OTHER_API_KEY", "HOME")}
    assert served == {"SOME_API_KEY": "hush-hush-hush", "GREETING": "hello", "OTHER_API_KEY": "", "HOME": os.environ["HOME"]}
    kept = "".join(p.read_text() for p in place.home().rglob("*") if p.is_file())
    commands = [" ".join(p.cmdline()) for p in place.alive()]
    assert "hush" not in kept + "".join(commands)
    assert commands


def test_the_old_log_is_kept_beside_the_new_one(place: Place) -> None:
    props = place.props(SERVER.replace("listening", "first"))
    start(spec(place, props), "slipway")
    start(spec(place, {**props, "command": ["{python}", "-c", SERVER, str(props["port"])]}), "slipway")
    assert "first" in (place.home() / "output.log.1").read_text()
    assert "listening" in (place.home() / "output.log").read_text()
    assert len(place.alive()) == 1


def test_a_start_that_fails_tells_why_and_leaves_nothing(place: Place) -> None:
    script = "import subprocess, sys; subprocess.Popen(['sleep', '60']); [print('line', i) for i in range(50)]; sys.exit(3)"
    with pytest.raises(ProcessError) as refused:
        start(spec(place, place.props(script)), "slipway")
    text = str(refused.value)
    assert "'web' ended with exit code 3 before it was healthy" in text
    assert str(place.home() / "output.log") in text
    assert "line 30" in text
    assert "line 49" in text
    assert "line 29" not in text
    assert place.alive() == []
    assert Record.load(place.home()) is None


def test_a_start_that_hangs_is_stopped(place: Place) -> None:
    props = place.props("import time; print('waiting', flush=True); time.sleep(60)")
    began = time.monotonic()
    with pytest.raises(ProcessError, match=r"was not healthy within 0.7 s and was stopped: http://127.0.0.1:\d+/health does not"):
        start(spec(place, {**props, "health": {**props["health"], "timeout_seconds": 0.7}}), "slipway")
    assert time.monotonic() - began < 8
    assert place.alive() == []


def test_a_wrong_answer_is_told(place: Place) -> None:
    props = place.props()
    health = {"url": f"http://127.0.0.1:{props['port']}/nothing", "timeout_seconds": 3}
    with pytest.raises(ProcessError, match="/nothing answers 503, not 200"):
        start(spec(place, {**props, "health": health}), "slipway")
    start(spec(place, {**props, "health": {**health, "status": 503}}), "slipway")


def test_without_a_health_check_it_must_outlive_half_a_second(place: Place) -> None:
    props = {k: v for k, v in place.props("import time; time.sleep(60)").items() if k not in ("health", "port")}
    start(spec(place, props), "slipway")
    with pytest.raises(ProcessError, match="ended with exit code 0 before it was up"):
        start(spec(place, {**props, "command": ["true"]}), "slipway")


def test_a_key_in_the_log_is_not_in_the_error(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "hush-hush-hush")
    script = "import os, sys; sys.exit('refused: ' + os.environ['SOME_API_KEY'])"
    with pytest.raises(ProcessError, match=r"refused: \[secret\]") as refused:
        start(spec(place, place.props(script, pass_environment=["SOME_API_KEY"])), "slipway")
    assert "hush" not in str(refused.value)


def test_a_taken_port_names_its_holder(place: Place) -> None:
    with listening() as port, pytest.raises(ProcessError, match=rf"port {port} .*\(pid {os.getpid()}\) listens there"):
        start(spec(place, place.props(port=port)), "slipway")
    assert place.alive() == []


def test_a_port_taken_between_check_and_bind_is_no_success(place: Place) -> None:
    props = place.props("import time; print('waiting', flush=True); time.sleep(60)")
    props["health"]["timeout_seconds"] = 2
    log = place.home() / "output.log"

    class Healthy(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
            pass

    def intrude() -> None:
        until(lambda: log.exists() and "waiting" in log.read_text())
        with http.server.HTTPServer(("127.0.0.1", props["port"]), Healthy) as server:
            server.timeout = 0.2
            while not done.is_set():
                server.handle_request()

    done = threading.Event()
    intruder = threading.Thread(target=intrude)
    intruder.start()
    try:
        with pytest.raises(ProcessError, match=rf"port {props['port']} was taken meanwhile: .*\(pid {os.getpid()}\)"):
            start(spec(place, props), "slipway")
    finally:
        done.set()
        intruder.join()
    assert place.alive() == []


def test_a_port_taken_by_another_stack_says_which(place: Place) -> None:
    port = start(spec(place, place.props()), "slipway").port
    with pytest.raises(ProcessError, match=rf"the local process of {place.home()}\); stop that or give another port"):
        start(spec(place, place.props(name="other", port=port)), "slipway")
    assert running(place.home())


def test_a_port_that_is_taken_is_seen_before_the_old_one_is_stopped(place: Place) -> None:
    record = start(spec(place, place.props()), "slipway")
    with listening() as port, pytest.raises(ProcessError, match=f"port {port}"):
        start(spec(place, place.props(port=port)), "slipway")
    found = running(place.home())
    assert found is not None
    assert found.process.pid == record.pid


@pytest.mark.parametrize("more", [{"command": ["/nowhere/program"]}, {"command": ["no-such-program"]}, {"directory": "nowhere"}])
def test_what_cannot_start_leaves_the_old_one_alone(place: Place, more: dict[str, Any]) -> None:
    props = place.props()
    start(spec(place, props), "slipway")
    with pytest.raises(ProcessError, match=r"'web' cannot start: .*(no program|does not exist)"):
        start(spec(place, {**props, **more}), "slipway")
    assert running(place.home())


def test_one_that_ignores_sigterm_is_killed_after_its_grace_with_its_children(place: Place) -> None:
    script = f"""
import os, signal, subprocess, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
ignoring = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"
subprocess.Popen([sys.executable, "-c", ignoring])
subprocess.Popen([sys.executable, "-c", ignoring], start_new_session=True)
{SERVER}
"""
    start(spec(place, place.props(script)), "slipway")
    until(lambda: len(place.alive()) == 3)
    time.sleep(0.3)
    began = time.monotonic()
    assert stop(place.home(), "web", "slipway", 0.5)
    assert 0.5 <= time.monotonic() - began < 5
    assert place.alive() == []


def test_children_of_one_that_was_killed_are_ended_too(place: Place) -> None:
    script = f"import subprocess; subprocess.Popen(['sleep', '60'])\n{SERVER}"
    record = start(spec(place, place.props(script)), "slipway")
    assert record.pid
    os.kill(record.pid, signal.SIGKILL)
    until(lambda: running(place.home()) is None)
    assert [p.name() for p in place.alive()] == ["sleep"]
    stop(place.home(), "web", "slipway", 5)
    assert place.alive() == []


def test_the_other_owner_is_told_who_has_it(place: Place) -> None:
    record = start(spec(place, place.props()), "pulumi")
    with pytest.raises(ProcessError, match=r"is run by Pulumi's engine: `pulumi destroy -s test` first"):
        start(spec(place, place.props()), "slipway")
    assert not stop(place.home(), "web", "slipway", 5)
    found = running(place.home())
    assert found is not None
    assert found.process.pid == record.pid
    stop(place.home(), "web", "pulumi", 5)
    start(spec(place, place.props()), "slipway")
    with pytest.raises(ProcessError, match=r"is run by slipway's embedded runner: `slipway down -s test` first"):
        start(spec(place, place.props()), "pulumi")


def test_of_two_at_once_one_is_refused(place: Place) -> None:
    wanted = spec(place, place.props())
    told: list[object] = []

    def attempt() -> None:
        try:
            told.append(start(wanted, "slipway"))
        except ProcessError as error:
            told.append(str(error))

    threads = [threading.Thread(target=attempt) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([t for t in told if isinstance(t, Record)]) == 1
    refusals = [t for t in told if isinstance(t, str)]
    assert [f"another command (pid {os.getpid()}) is at work on 'web'" in t for t in refusals] == [True] * 3
    assert len(place.alive()) == 1


CRASH_AFTER_SPAWN = """
import os, pathlib, sys
from slipway.local import supervisor
from slipway.local.spec import ProcessSpec
spawn = supervisor._spawn
def crash(*args):
    spawn(*args)
    os._exit(9)
supervisor._spawn = crash
"""
START = """
import json, pathlib, sys
from slipway.local import supervisor
from slipway.local.spec import ProcessSpec
supervisor.start(ProcessSpec.of(json.loads(sys.argv[1]), pathlib.Path.cwd()), "pulumi")
"""


def test_a_crash_between_spawn_and_record_leaves_nothing_orphaned(place: Place) -> None:
    props = place.props()
    done = subprocess.run([sys.executable, "-c", CRASH_AFTER_SPAWN + START, json.dumps(props)], check=False)
    assert done.returncode == 9
    assert place.record().pid is None
    (orphan,) = place.alive()
    record = start(spec(place, props), "slipway")
    assert [p.pid for p in place.alive()] == [record.pid] != [orphan.pid]


def test_a_record_that_is_lost_leaves_nothing_orphaned(place: Place) -> None:
    props = place.props()
    first = start(spec(place, props), "slipway")
    (place.home() / "record.json").write_text("{")
    second = start(spec(place, props), "slipway")
    assert [p.pid for p in place.alive()] == [second.pid] != [first.pid]


@pytest.mark.parametrize(("number", "left"), [(signal.SIGKILL, 1), (signal.SIGINT, 0)])
def test_a_start_that_is_cut_short(place: Place, number: signal.Signals, left: int) -> None:
    hanging = place.props("import time; print('waiting', flush=True); time.sleep(60)")
    starter = subprocess.Popen([sys.executable, "-c", START, json.dumps(hanging)], stderr=subprocess.DEVNULL)
    log = place.home() / "output.log"
    until(lambda: log.exists() and "waiting" in log.read_text() and place.record().pid)
    starter.send_signal(number)
    starter.wait(timeout=15)
    assert len(place.alive()) == left
    # Even the other owner may clear away what was never up.
    record = start(spec(place, place.props()), "slipway")
    assert [p.pid for p in place.alive()] == [record.pid]


def test_a_directory_that_cannot_be_is_one_clear_error(place: Place) -> None:
    (place.directory / ".slipway").write_text("a file")
    with pytest.raises(ProcessError, match=r"'web' cannot use its directory .*; give another state_dir"):
        start(spec(place, place.props()), "slipway")


def test_the_working_directory_is_the_projects(place: Place) -> None:
    script = f"import pathlib; pathlib.Path('here').write_text('')\n{SERVER}"
    start(spec(place, place.props(script)), "slipway")
    assert Path("here").exists()


@contextmanager
def listening() -> Generator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken.getsockname()[1]


def _get(url: str) -> str:
    try:
        with urllib.request.urlopen(url) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return ""
