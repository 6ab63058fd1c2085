"""LocalProcess as the engine sees it: its plan, its provider's answers, and the provider behind Pulumi's own gRPC service."""

import os
import pickletools
import signal
import subprocess
import sys
from base64 import b64decode
from collections.abc import Callable, Iterator
from typing import Any, cast

import grpc
import psutil
import pulumi
import pytest
from google.protobuf import json_format, struct_pb2
from pulumi.dynamic import dynamic
from pulumi.runtime import proto
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc
from pulumi.runtime.rpc import UNKNOWN as ENGINE_UNKNOWN
from tests.infra.local.place import SERVER, Place, free_port, until

from slipway.local.family import running
from slipway.local.process import LocalProcess, LocalProcessProvider, ProcessError
from slipway.plan import UNKNOWN, plan_program

# The SDK leaves its type open.
serialize_provider: Callable[[LocalProcessProvider], str] = cast("Any", dynamic).serialize_provider
PROVIDER = serialize_provider(LocalProcessProvider())
"""What the SDK sends to the engine in the place of a provider."""


def test_the_plan_is_the_same_on_every_machine(place: Place) -> None:
    def program() -> None:
        made = LocalProcess("web", {"command": ["{python}", "-c", "pass"], "port": 8000})
        outside = pulumi.Output.from_input(str(place.directory / "own"))
        LocalProcess("worker", {"command": ["sleep", "1"], "state_dir": outside, "environment": {"PID": made.pid.apply(str)}})

    plan = plan_program(program, stack="local")
    web, worker = plan["web"], plan["worker"]
    assert web.type == "pulumi-python:dynamic/slipway:LocalProcess"
    assert {k: v for k, v in web.inputs.items() if k != "__provider"} == {
        "command": ["{python}", "-c", "pass"],
        "port": 8000,
        "name": "web",
        "stack": "local",
        "state_dir": ".slipway/local/local",
    }
    assert worker.inputs["state_dir"] == "own"
    assert worker.inputs["environment"] == {"PID": UNKNOWN}
    assert str(place.directory) not in str(plan.resources)


def test_state_holds_a_reference_to_the_provider_and_no_code(place: Place) -> None:
    words = [argument for _, argument, _ in pickletools.genops(b64decode(PROVIDER)) if isinstance(argument, str)]
    assert words == ["slipway.local.process", "LocalProcessProvider", "owner", "pulumi", "project"]
    assert serialize_provider(LocalProcessProvider()) == PROVIDER


def test_faults_are_refused_in_the_program_all_together() -> None:
    wrong: Any = {"command": [], "prot": 1}
    with pytest.raises(pulumi.InputPropertiesError) as refused:
        plan_program(lambda: LocalProcess("web", wrong))
    assert [f["property_path"] for f in refused.value.errors or []] == ["args.prot", "args.command"]


def test_the_provider_refuses_all_faults_together_and_takes_what_is_unknown(place: Place) -> None:
    wrong = place.provider.check({}, {"name": "web", "command": [], "port": 70000, "state_dir": "x", "__provider": "y"})
    assert [f.property for f in wrong.failures] == ["command", "port"]
    unknown = place.props(environment={"A": ENGINE_UNKNOWN}, health={"url": ENGINE_UNKNOWN}) | {"port": ENGINE_UNKNOWN}
    right = place.provider.check({}, unknown)
    assert (right.failures, right.inputs) == ([], unknown)


def test_unchanged_and_alive_is_no_difference(place: Place) -> None:
    props = place.props()
    made = place.provider.create(props)
    assert made.outs is not None
    assert made.id == ".slipway/local/test/web"
    assert made.outs["url"] == f"http://127.0.0.1:{props['port']}"
    assert made.outs["log"] == ".slipway/local/test/web/output.log"
    found = place.provider.diff(made.id, made.outs, props)
    assert (found.changes, found.reasons, found.remarks) == (False, [], [])


def test_a_changed_setting_restarts_in_place(place: Place) -> None:
    props = place.props()
    made = place.provider.create(props)
    assert made.outs is not None
    news = {**props, "environment": {"A": "1"}}
    found = place.provider.diff(made.id, made.outs, news)
    assert (found.changes, found.replaces, found.reasons) == (True, [], ["environment changed"])
    updated = place.provider.update(made.id, made.outs, news).outs
    assert updated is not None
    assert updated["pid"] != made.outs["pid"]
    assert [p.pid for p in place.alive()] == [updated["pid"]]
    assert not place.provider.diff(made.id, updated, news).changes


def test_a_changed_patience_restarts_nothing(place: Place) -> None:
    props = place.props()
    made = place.provider.create(props)
    assert made.outs is not None
    news = {**props, "stop_grace_seconds": 7}
    assert place.provider.diff(made.id, made.outs, news).changes
    updated = place.provider.update(made.id, made.outs, news).outs
    assert updated == {**made.outs, "stop_grace_seconds": 7}


def test_an_unknown_value_is_a_difference(place: Place) -> None:
    props = place.props()
    made = place.provider.create(props)
    assert made.outs is not None
    assert place.provider.diff(made.id, made.outs, {**props, "files": {"a": ENGINE_UNKNOWN}}).changes


@pytest.mark.parametrize("key", ["name", "state_dir"])
def test_another_name_or_directory_replaces_the_old_one_first(place: Place, key: str) -> None:
    props = place.props()
    made = place.provider.create(props)
    assert made.outs is not None
    news = {**props, key: "other"}
    found = place.provider.diff(made.id, made.outs, news)
    assert (found.replaces, found.delete_before_replace) == ([key], True)
    # An engine that knows no replacement comes to the same.
    updated = place.provider.update(made.id, made.outs, news).outs
    assert updated is not None
    assert [p.pid for p in place.alive()] == [updated["pid"]]


def test_a_dead_process_is_told_healed_and_gone_on_refresh(place: Place) -> None:
    props = place.props()
    made = place.provider.create(props)
    assert made.outs is not None
    assert place.provider.read(made.id, made.outs).id == made.id
    os.kill(made.outs["pid"], signal.SIGKILL)
    until(lambda: running(place.home()) is None)
    found = place.provider.diff(made.id, made.outs, props)
    assert (found.changes, found.reasons) == (True, ["the process is dead"])
    gone = place.provider.read(made.id, made.outs)
    assert (gone.id, gone.outs) == ("", {})
    updated = place.provider.update(made.id, made.outs, props).outs
    assert updated is not None
    assert not place.provider.diff(made.id, updated, props).changes


def test_one_that_is_alive_but_not_healthy_is_told_and_left_alone(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    script = SERVER.replace('self.path == "/health" or body', "not os.path.exists('ill')")
    provider = LocalProcessProvider()
    made = provider.create(place.props(script))
    assert made.outs is not None
    (place.directory / "ill").write_text("")
    found = provider.diff(made.id, made.outs, place.props(script, port=made.outs["port"]))
    assert not found.changes
    expected = f"runs (pid {made.outs['pid']}) but is not healthy: {made.outs['url']}/health answers 503, not 200"
    assert found.remarks == [f"{expected}; see {place.home() / 'output.log'}"]
    assert f"web: {expected}" in capfd.readouterr().err
    assert provider.read(made.id, made.outs).id == made.id
    provider.delete(made.id, made.outs)


def test_another_key_in_the_environment_restarts(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_API_KEY", "first-hush")
    props = place.props(pass_environment=["SOME_API_KEY"])
    made = place.provider.create(props)
    assert made.outs is not None
    assert "hush" not in str(made.outs)
    monkeypatch.setenv("SOME_API_KEY", "second-hush")
    found = place.provider.diff(made.id, made.outs, props)
    assert (found.changes, found.reasons) == (True, ["a variable that is passed on has another value"])
    updated = place.provider.update(made.id, made.outs, props).outs
    assert updated is not None
    assert updated["pid"] != made.outs["pid"]


def test_an_update_that_fails_leaves_nothing_and_the_next_one_heals(place: Place) -> None:
    props = place.props()
    made = place.provider.create(props)
    assert made.outs is not None
    broken = {**props, "command": ["{python}", "-c", "raise SystemExit('no such setting')"]}
    with pytest.raises(
        ProcessError, match=rf"(?s)ended with exit code 1 .*\(pid {made.outs['pid']}\) was stopped.*no such setting"
    ):
        place.provider.update(made.id, made.outs, broken)
    assert place.alive() == []
    assert place.provider.diff(made.id, made.outs, props).reasons == ["the process is dead"]
    assert place.provider.update(made.id, made.outs, props).outs
    assert len(place.alive()) == 1


def test_what_the_other_owner_runs_is_not_touched(place: Place) -> None:
    props = place.props()
    made = place.provider.create(props)
    assert made.outs is not None
    engine = LocalProcessProvider()
    assert engine.read(made.id, made.outs).id == ""
    assert engine.diff(made.id, made.outs, props).reasons == ["the process is run by slipway"]
    for act in (lambda: engine.create(props), lambda: engine.update(made.id, made.outs or {}, props)):
        with pytest.raises(ProcessError, match="`slipway down -s test` first"):
            act()
    engine.delete(made.id, made.outs)
    assert [p.pid for p in place.alive()] == [made.outs["pid"]]
    place.provider.delete(made.id, made.outs)
    place.provider.delete(made.id, made.outs)
    assert place.alive() == []


@pytest.fixture
def servicer(place: Place) -> Iterator[Any]:
    """Pulumi's dynamic provider as its engine starts it, in the project's directory."""
    service = subprocess.Popen(
        [sys.executable, "-u", "-m", "pulumi.dynamic", "127.0.0.1:1"], stdout=subprocess.PIPE, cwd=place.directory
    )
    assert service.stdout is not None
    with service.stdout, grpc.insecure_channel(f"127.0.0.1:{int(service.stdout.readline())}") as channel:
        stub: Any = provider_pb2_grpc.ResourceProviderStub(channel)
        stub.Configure(provider_pb2.ConfigureRequest())
        yield stub
        service.terminate()
        service.wait(timeout=10)


def test_through_pulumis_own_provider_it_outlives_the_command(place: Place, servicer: Any) -> None:
    port = free_port()

    def program() -> None:
        health: Any = {"url": f"http://127.0.0.1:{port}/health"}
        LocalProcess("web", {"command": ["{python}", "-c", SERVER, str(port)], "port": port, "health": health})

    planned = struct({**plan_program(program)["web"].inputs, "__provider": PROVIDER})
    checked = servicer.Check(proto.CheckRequest(news=planned))
    assert list(checked.failures) == []
    made = servicer.Create(proto.CreateRequest(properties=checked.inputs))
    pid = int(made.properties["pid"])
    assert psutil.Process(pid).is_running()
    same = servicer.Diff(proto.DiffRequest(id=made.id, olds=made.properties, news=checked.inputs))
    assert same.changes == proto.DiffResponse.DIFF_NONE
    read = servicer.Read(proto.ReadRequest(id=made.id, properties=made.properties, inputs=checked.inputs))
    assert (read.id, int(read.properties["pid"])) == (made.id, pid)

    os.kill(pid, signal.SIGKILL)
    until(lambda: servicer.Read(proto.ReadRequest(id=made.id, properties=made.properties)).id == "")
    dead = servicer.Diff(proto.DiffRequest(id=made.id, olds=made.properties, news=checked.inputs))
    assert dead.changes == proto.DiffResponse.DIFF_SOME
    healed = servicer.Update(proto.UpdateRequest(id=made.id, olds=made.properties, news=checked.inputs))
    assert int(healed.properties["pid"]) != pid
    servicer.Delete(proto.DeleteRequest(id=made.id, properties=healed.properties))
    assert place.alive() == []


def test_an_error_through_pulumis_own_provider_ends_with_what_happened(place: Place, servicer: Any) -> None:
    props = place.props("raise SystemExit('no such setting')", __provider=PROVIDER)
    with pytest.raises(grpc.RpcError) as refused:
        servicer.Create(proto.CreateRequest(properties=struct(props)))
    told: Any = refused.value
    assert "ProcessError: 'web' ended with exit code 1 before it was healthy" in told.details()
    assert told.details().strip().endswith("no such setting")
    assert "supervisor.py" not in told.details()
    assert place.alive() == []


def struct(values: Any) -> struct_pb2.Struct:
    made = struct_pb2.Struct()
    json_format.ParseDict(values, made)
    return made
