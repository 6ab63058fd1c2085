"""VertexDeployments' provider, by Google's own client, against a server of the published service that remembers every instant."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.infra.gcp.fake_vertex import FakeVertex, RefusedError, api

from slipway.gcp import vertex_cancel
from slipway.gcp.vertex_cancel import engine_gone
from slipway.gcp.vertex_client import VertexError
from slipway.gcp.vertex_deployment_spec import deployments, traffic_fault
from slipway.gcp.vertex_deployments import VertexDeploymentsProvider
from slipway.gcp.vertex_model import ADOPTED

ENDPOINT = "projects/p/locations/europe-west4/endpoints/77"
PLACE: dict[str, Any] = {"project": "p", "location": "europe-west4", "endpoint": "77", "owner": "0a1b2c3d", "name": "chat"}
GPU: dict[str, Any] = {"machine_type": "g2-standard-12", "accelerator_type": "NVIDIA_L4", "accelerator_count": 1.0}
ROOT = Path(__file__).parents[3]
provider = VertexDeploymentsProvider()


def model(vertex: FakeVertex, id_: str) -> dict[str, Any]:
    name = f"projects/p/locations/europe-west4/models/{id_}"
    vertex.models[name] = api.Model(name=name)
    return {"model": name, **GPU}


def props(traffic: Mapping[str, float], **asked: dict[str, Any]) -> dict[str, Any]:
    return {**PLACE, "deployments": asked, "traffic": dict(traffic)}


def serving(vertex: FakeVertex) -> dict[str, Any]:
    """An endpoint with one model."""
    vertex.endpoint(ENDPOINT)
    made = provider.create(props({"main": 100.0}, main=model(vertex, "one")))
    return made.outs or {}


def share(vertex: FakeVertex) -> dict[str, int]:
    """Traffic by the models' names."""
    endpoint = vertex.endpoints[ENDPOINT]
    names = {m.id: m.model.rpartition("/")[2] for m in endpoint.deployed_models}
    return {names[id_]: percent for id_, percent in endpoint.traffic_split.items()}


def names(vertex: FakeVertex) -> list[str]:
    return sorted(m.model.rpartition("/")[2] for m in vertex.deployed(ENDPOINT).values())


def test_created_as_asked_and_then_nothing_to_do(vertex: FakeVertex) -> None:
    vertex.endpoint(ENDPOINT)
    whole = {
        **model(vertex, "one"),
        "spot": True,
        "service_account": "runs@p.iam.gserviceaccount.com",
        "access_logging": True,
        "min_replicas": 2.0,
        "max_replicas": 5.0,
        "metrics": {"accelerator": 70.0, "cpu": 80.0},
    }
    asked = props({"main": 100.0}, main=whole)
    made = provider.create(asked)
    assert made.id == ENDPOINT
    (there,) = vertex.deployed(ENDPOINT).values()
    resources = there.dedicated_resources
    assert (resources.machine_spec.machine_type, resources.machine_spec.accelerator_type.name) == ("g2-standard-12", "NVIDIA_L4")
    assert (resources.machine_spec.accelerator_count, resources.spot) == (1, True)
    assert (resources.min_replica_count, resources.max_replica_count) == (2, 5)
    assert {s.metric_name.rpartition("online/")[2]: s.target for s in resources.autoscaling_metric_specs} == {
        "accelerator/duty_cycle": 70,
        "cpu/utilization": 80,
    }
    assert (there.service_account, there.enable_access_logging) == ("runs@p.iam.gserviceaccount.com", True)
    assert share(vertex) == {"one": 100}

    outs = made.outs or {}
    assert outs["deployed"] == {"main": there.id}
    assert not provider.diff(made.id, outs, asked).changes
    read = provider.read(made.id, outs)
    assert (read.id, read.inputs) == (ENDPOINT, asked)
    assert not provider.diff(made.id, read.outs or {}, asked).changes
    calls = len(vertex.calls)
    provider.update(made.id, outs, asked)
    assert set(vertex.calls[calls:]) == {"ListOperations", "GetEndpoint"}, "a second time nothing is changed"


def test_a_new_image_serves_before_the_old_one_goes(vertex: FakeVertex) -> None:
    outs = serving(vertex)
    old = outs["deployed"]["main"]
    asked = props({"main": 100.0}, main=model(vertex, "two"))
    found = provider.diff(ENDPOINT, outs, asked)
    assert (found.changes, found.replaces) == (True, [])
    new = (provider.update(ENDPOINT, outs, asked).outs or {})["deployed"]["main"]
    assert new != old
    assert (share(vertex), names(vertex)) == ({"two": 100}, ["two"])
    assert vertex.gaps() == []
    both = [i for i in vertex.history if {old, new} <= i.ready]
    assert [dict(i.split) for i in both] == [{old: 100}, {new: 100}], "the traffic moves at once, between two that are ready"


def test_the_check_for_gaps_finds_one(vertex: FakeVertex) -> None:
    outs = serving(vertex)
    vertex.ready.clear()
    vertex.endpoints[ENDPOINT].traffic_split = {outs["deployed"]["main"]: 60}
    vertex._note()  # pyright: ignore[reportPrivateUsage] -- as the service would at such a moment
    assert len(vertex.gaps()) == 1


def test_a_canary_grows_and_goes_back_without_a_new_deployment(vertex: FakeVertex) -> None:
    outs = serving(vertex)
    one, two = model(vertex, "one"), model(vertex, "two")
    for traffic in ({"main": 90.0, "canary": 10.0}, {"main": 50.0, "canary": 50.0}, {"main": 100.0, "canary": 0.0}):
        outs = provider.update(ENDPOINT, outs, props(traffic, main=one, canary=two)).outs or {}
        wanted = {name: int(traffic[key]) for key, name in (("main", "one"), ("canary", "two")) if traffic[key]}
        assert share(vertex) == wanted
    assert vertex.calls.count("DeployModel") == 2
    provider.update(ENDPOINT, outs, props({"main": 100.0}, main=one))
    assert names(vertex) == ["one"]
    assert vertex.gaps() == []


def test_replicas_and_metrics_change_in_place(vertex: FakeVertex) -> None:
    outs = serving(vertex)
    more = {**model(vertex, "one"), "max_replicas": 4.0, "metrics": {"requests": 120.0}}
    after = provider.update(ENDPOINT, outs, props({"main": 100.0}, main=more)).outs or {}
    assert after["deployed"] == outs["deployed"]
    (there,) = vertex.deployed(ENDPOINT).values()
    assert there.dedicated_resources.max_replica_count == 4
    assert [s.target for s in there.dedicated_resources.autoscaling_metric_specs] == [120]
    assert there.dedicated_resources.machine_spec.machine_type == "g2-standard-12"
    assert vertex.calls.count("DeployModel") == 1


def test_what_fails_leaves_nothing_new_billed_and_what_served_serves_on(vertex: FakeVertex) -> None:
    outs = serving(vertex)
    one, two, three = (model(vertex, n) for n in ("one", "two", "three"))
    vertex.operation_errors["DeployModel"] = [(8, "The machine is out of stock."), (8, "The machine is out of stock.")]
    with pytest.raises(VertexError) as error:
        provider.update(ENDPOINT, outs, props({"main": 50.0, "b": 50.0}, main=one, b=two))
    assert "deploying chat-b on g2-standard-12 failed: The machine is out of stock. (code 8)" in str(error.value)
    assert "is undeployed again, so nothing new is billed" in str(error.value)
    assert (share(vertex), names(vertex)) == ({"one": 100}, ["one"])

    vertex.operation_errors["DeployModel"] = [None, (8, "Out of stock.")]
    with pytest.raises(VertexError, match=r"chat-b \(\d+\), chat-c \(\d+\) is undeployed again"):
        provider.update(ENDPOINT, outs, props({"main": 50.0, "b": 25.0, "c": 25.0}, main=one, b=two, c=three))
    assert (share(vertex), names(vertex)) == ({"one": 100}, ["one"])
    assert vertex.gaps() == []


def test_a_create_that_fails_leaves_an_empty_endpoint(vertex: FakeVertex) -> None:
    vertex.endpoint(ENDPOINT)
    vertex.operation_errors["DeployModel"] = [(13, "The container did not start.")]
    with pytest.raises(VertexError, match=r"The container did not start\. \(code 13\); .* nothing new is billed"):
        provider.create(props({"main": 100.0}, main=model(vertex, "one")))
    assert (share(vertex), names(vertex)) == ({}, [])
    vertex.refusals["DeployModel"] = [RefusedError(8, "Quota CustomModelServingL4GPUsPerProjectPerRegion exceeded.")]
    with pytest.raises(VertexError, match=r"PerRegion exceeded \(429 TooManyRequests\); nothing .* is there, so nothing new"):
        provider.create(props({"main": 100.0}, main=model(vertex, "one")))


def test_what_cannot_be_cleaned_up_is_named_with_the_command(vertex: FakeVertex) -> None:
    vertex.endpoint(ENDPOINT)
    vertex.operation_errors["DeployModel"] = [(13, "No.")]
    vertex.operation_errors["UndeployModel"] = [(13, "Not now.")]
    with pytest.raises(VertexError, match=r"may be left, and billed: .*Not now.*gcloud ai endpoints undeploy-model projects/p/"):
        provider.create(props({"main": 100.0}, main=model(vertex, "one")))


def test_the_service_may_be_gone_and_the_answer_lost_meanwhile(vertex: FakeVertex) -> None:
    vertex.endpoint(ENDPOINT)
    vertex.seconds, vertex.lost_answers["DeployModel"] = 0.4, 1
    asked = props({"main": 100.0}, main=model(vertex, "one"))
    worker = threading.Thread(target=provider.create, args=(asked,))
    worker.start()
    eventually(lambda: vertex.calls.count("DeployModel") == 2)
    vertex.stop()
    time.sleep(0.2)
    vertex.start()
    worker.join(20)
    assert share(vertex) == {"one": 100}
    assert len([r for r in vertex.running.values() if "endpoints" in r.name]) == 1


def test_a_crash_in_the_middle_is_resumed(vertex: FakeVertex) -> None:
    vertex.endpoint(ENDPOINT)
    vertex.seconds = 600
    asked = props({"main": 100.0}, main=model(vertex, "one"))
    script = "from slipway.gcp.vertex_deployments import VertexDeploymentsProvider as P; P().create(json.load(sys.stdin))"
    child = subprocess.Popen([sys.executable, "-c", f"import json, sys; {script}"], stdin=subprocess.PIPE, text=True)
    assert child.stdin is not None
    child.stdin.write(json.dumps(asked))
    child.stdin.close()
    eventually(lambda: "GetOperation" in vertex.calls, seconds=60)
    os.kill(child.pid, signal.SIGKILL)
    child.wait(10)
    (running,) = vertex.running.values()
    assert not running.done, "the service goes on by itself"
    running.until = time.monotonic() + 0.3
    vertex.seconds = 0.05
    made = provider.create(asked)
    assert vertex.calls.count("DeployModel") == 1
    assert (share(vertex), names(vertex)) == ({"one": 100}, ["one"])
    assert (made.outs or {})["deployed"] == {"main": next(iter(vertex.deployed(ENDPOINT)))}


def test_what_was_done_before_a_crash_is_adopted(vertex: FakeVertex) -> None:
    outs = serving(vertex)
    made = provider.create(props({"main": 100.0}, main=model(vertex, "one")))
    assert made.outs == outs
    assert vertex.calls.count("DeployModel") == 1


def test_what_a_crash_left_and_nobody_wants_is_found_and_goes(vertex: FakeVertex) -> None:
    outs = serving(vertex)
    # A run that crashed deployed a second one; then the user went back.
    left = props({"main": 100.0}, main=model(vertex, "two"))
    message = deployments(left)["main"].message("chat", "0a1b2c3d")
    other = {**message, "id": "5", "display_name": "by hand"}
    vertex.endpoints[ENDPOINT].deployed_models.extend([api.DeployedModel(message), api.DeployedModel(other)])
    read = provider.read(ENDPOINT, outs)
    seen = read.outs or {}
    assert seen["leftovers"] == [message["id"]]
    asked = props({"main": 100.0}, main=model(vertex, "one"))
    assert provider.diff(ENDPOINT, seen, asked).changes
    provider.update(ENDPOINT, seen, asked)
    assert sorted(vertex.deployed(ENDPOINT)) == sorted(["5", outs["deployed"]["main"]]), "what somebody deployed by hand stays"


def test_an_operation_that_takes_too_long_is_cancelled_and_cleaned_up(vertex: FakeVertex) -> None:
    vertex.endpoint(ENDPOINT)
    vertex.seconds = 0.3
    asked = {**props({"main": 100.0}, main=model(vertex, "one")), "timeout_minutes": 0.002}
    vertex.seconds = 30

    def faster() -> None:
        eventually(lambda: "CancelOperation" in vertex.calls)
        vertex.seconds = 0.01

    threading.Thread(target=faster).start()
    with pytest.raises(VertexError, match=r"took longer than 0 minutes and was cancelled"):
        provider.create(asked)
    assert "CancelOperation" in vertex.calls
    assert share(vertex) == {}


def test_when_nobody_waits_any_more_it_is_cancelled_and_taken_away(vertex: FakeVertex, monkeypatch: pytest.MonkeyPatch) -> None:
    vertex.endpoint(ENDPOINT)
    vertex.seconds = 0.3
    monkeypatch.setattr("slipway.gcp.vertex_operation.cancelled", lambda: "DeployModel" in vertex.calls)
    with pytest.raises(VertexError, match=r"was cancelled; chat-main \(\d+\) is undeployed again"):
        provider.create(props({"main": 100.0}, main=model(vertex, "one")))
    assert vertex.calls[-1] == "UndeployModel", "and it does not wait for that"
    eventually(lambda: names(vertex) == [])


def test_an_engine_that_is_gone_is_noticed_by_its_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as engine:
        address = f"127.0.0.1:{engine.getsockname()[1]}"
        program = "/lib/python3/site-packages/pulumi/dynamic/__main__.py"
        assert not engine_gone([program, address])
        assert not engine_gone([program])
        assert not engine_gone([program, "no address"])
    assert engine_gone([program, address])
    assert not engine_gone(["another.py", address])


def test_deleted_with_all_that_is_the_stack_s(vertex: FakeVertex) -> None:
    vertex.endpoint(ENDPOINT)
    asked = props({"main": 60.0, "b": 40.0}, main=model(vertex, "one"), b=model(vertex, "two"))
    outs = provider.create(asked).outs or {}
    provider.delete(ENDPOINT, outs)
    assert (share(vertex), names(vertex)) == ({}, [])
    assert vertex.gaps() == []
    provider.delete(ENDPOINT, outs)
    assert provider.read(ENDPOINT, outs).id == ""
    del vertex.endpoints[ENDPOINT]
    provider.delete(ENDPOINT, outs)
    assert provider.read(ENDPOINT, outs).id == ""
    with pytest.raises(VertexError, match="endpoints/77 does not exist"):
        provider.create(asked)


def test_drift_is_read(vertex: FakeVertex) -> None:
    vertex.endpoint(ENDPOINT)
    asked = props({"main": 60.0, "b": 40.0}, main=model(vertex, "one"), b=model(vertex, "two"))
    outs = provider.create(asked).outs or {}
    endpoint = vertex.endpoints[ENDPOINT]
    endpoint.traffic_split = {outs["deployed"]["main"]: 100}
    endpoint.deployed_models[0].dedicated_resources.max_replica_count = 9
    read = provider.read(ENDPOINT, outs)
    assert (read.inputs or {})["traffic"] == {"main": 100, "b": 0}
    assert 9 in [d.get("max_replicas") for d in (read.inputs or {})["deployments"].values()]
    assert provider.diff(ENDPOINT, read.outs or {}, asked).changes
    provider.update(ENDPOINT, read.outs or {}, asked)
    assert share(vertex) == {"one": 60, "two": 40}


def test_another_endpoint_is_another_resource() -> None:
    asked = props({"main": 100.0}, main={"model": "m", **GPU})
    found = provider.diff(ENDPOINT, asked, {**asked, "endpoint": "78"})
    assert (found.changes, found.replaces, found.delete_before_replace) == (True, ["endpoint"], False)


@pytest.mark.parametrize(
    ("change", "path", "words"),
    [
        ({"endpoint": None}, "endpoint", "is required"),
        ({"deployments": {}}, "deployments", "give at least one model"),
        ({"traffic": {"main": 90.0}}, "traffic", "adds up to 90; give percents that add up to 100"),
        ({"traffic": {"main": 90.0, "canary": 10.0}}, "traffic", "names 'canary', which is not deployed; there are 'main'"),
        ({"traffic": {"main": 99.5}}, "traffic", "whole percents"),
        ({"traffic": {"main": 101.0}}, "traffic", "from 0 to 100"),
    ],
)
def test_what_the_service_would_refuse_is_told_before(change: Mapping[str, Any], path: str, words: str) -> None:
    asked = props({"main": 100.0}, main={"model": "m", **GPU})
    assert provider.check({}, asked).failures == []
    (failure,) = provider.check({}, {**asked, **change}).failures
    assert (failure.property, words in failure.reason) == (path, True)


def test_truth_is_no_percent() -> None:
    assert traffic_fault({"a": True, "b": 99}, ["a", "b"]) is not None


def eventually(condition: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until
        time.sleep(0.01)


def test_what_is_replaced_by_itself_is_not_taken_away(vertex: FakeVertex) -> None:
    outs = serving(vertex)
    asked = props({"main": 100.0}, main=model(vertex, "one"))
    # Pulumi's `up --replace` makes the new one first, then deletes the old one, in one run.
    made = provider.create(asked)
    provider.delete(made.id, outs)
    assert share(vertex) == {"one": 100}
    assert vertex.calls.count("DeployModel") == 1
    ADOPTED.clear()
    provider.delete(made.id, outs)
    assert vertex.deployed(ENDPOINT) == {}


def test_ctrl_c_is_heard_at_once_and_what_is_half_deployed_is_taken_away(vertex: FakeVertex) -> None:
    vertex.endpoint(ENDPOINT)
    vertex.operation_seconds["DeployModel"] = 600
    asked = props({"main": 100.0}, main=model(vertex, "one"))
    waiting = threading.Timer(0.5, vertex_cancel.cancel)
    waiting.start()
    began = time.monotonic()
    with pytest.raises(VertexError, match=r"was cancelled; chat-main \(\d+\) is undeployed again"):
        provider.create(asked)
    assert time.monotonic() - began < 5
    assert "CancelOperation" in vertex.calls


def test_pulumi_s_provider_passes_its_cancel_on(monkeypatch: pytest.MonkeyPatch) -> None:
    class DynamicResourceProviderServicer:
        def Cancel(self, request: object, context: object) -> None:  # noqa: N802 -- gRPC's name
            del request, context

    main = types.ModuleType("__main__")
    vars(main)["DynamicResourceProviderServicer"] = DynamicResourceProviderServicer
    monkeypatch.setitem(sys.modules, "__main__", main)
    bound = DynamicResourceProviderServicer().Cancel
    vertex_cancel.reset()
    vertex_cancel.hear_cancel()
    assert not vertex_cancel.cancelled()
    answer: object = bound(None, None)
    assert type(answer).__name__ == "Empty"
    assert vertex_cancel.cancelled()
    vertex_cancel.reset()
    # Where there is no such server, nothing is changed.
    monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
    vertex_cancel.hear_cancel()
