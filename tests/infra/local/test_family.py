"""Which live process is the recorded one, and what else belongs to it."""

import dataclasses
import os
import signal
import subprocess

import psutil
from tests.infra.local.place import SERVER, Place, until

from slipway.local.family import adopt, leftovers, reap, running, terminate
from slipway.local.spec import ProcessSpec
from slipway.local.supervisor import start, stop


def test_a_zombie_does_not_live(place: Place) -> None:
    record = start(ProcessSpec.of(place.props(), place.directory), "slipway")
    child = subprocess.Popen(["sleep", "60"])
    created = psutil.Process(child.pid).create_time()
    dataclasses.replace(record, pid=child.pid, create_time=created).save(place.home())
    assert running(place.home())
    child.kill()
    until(lambda: psutil.Process(child.pid).status() == psutil.STATUS_ZOMBIE)
    assert running(place.home()) is None
    child.wait()


def test_a_pid_that_belongs_to_somebody_else_by_now_is_left_alone(place: Place) -> None:
    props = place.props()
    record = start(ProcessSpec.of(props, place.directory), "slipway")
    bystander = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        stop(place.home(), "web", "slipway", 5)
        long_ago = psutil.Process(bystander.pid).create_time() - 3600
        dataclasses.replace(record, pid=bystander.pid, create_time=long_ago).save(place.home())
        assert running(place.home()) is None
        start(ProcessSpec.of(props, place.directory), "slipway")
        stop(place.home(), "web", "slipway", 5)
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()


def test_a_clock_that_was_set_does_not_lose_the_process(place: Place) -> None:
    record = start(ProcessSpec.of(place.props(), place.directory), "slipway")
    assert record.create_time
    dataclasses.replace(record, create_time=record.create_time - 3600).save(place.home())
    assert running(place.home())


def test_the_family_is_the_process_its_children_and_theirs(place: Place) -> None:
    grandchild = "import subprocess; subprocess.run(['sleep', '60'])"
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {grandchild!r}])\n{SERVER}"
    record = start(ProcessSpec.of(place.props(script), place.directory), "slipway")
    start(ProcessSpec.of(place.props(name="other"), place.directory), "slipway")
    until(lambda: "sleep" in [p.name() for p in place.alive()])
    family = leftovers(place.home())
    assert len(family) == 3
    assert record.pid in [p.pid for p in family]
    assert terminate(place.home(), "web", 5)
    assert [p.pid for p in place.alive()] == [place.record("other").pid]
    assert not terminate(place.home(), "web", 5)


def test_a_child_that_others_ended_is_no_zombie_when_the_next_one_starts() -> None:
    children = [subprocess.Popen(["sleep", "60"]) for _ in range(2)]
    try:
        adopt(children[0])
        os.kill(children[0].pid, signal.SIGKILL)
        until(lambda: psutil.Process(children[0].pid).status() == psutil.STATUS_ZOMBIE)
        adopt(children[1])
        assert (children[0].returncode, children[1].returncode) == (-signal.SIGKILL, None)
        assert not psutil.pid_exists(children[0].pid)
    finally:
        for child in children:
            child.kill()
            child.wait()
        reap()
