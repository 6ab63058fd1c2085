"""What reads the logs on every node: as a real collector that follows files laid out as kubelet does, and sends to a real Loki.

Where one of these is not installed it is its configuration alone that is looked at.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import httpx
import yaml
from tests.infra.kubernetes.observability.real_loki import RealLoki, found, program, running, until
from tests.infra.kubernetes.observability.real_prometheus import free_port
from tests.infra.kubernetes.observability.services import model, router

from slipway.kubernetes.observability.collector import DATA, HEALTH_PORT
from slipway.kubernetes.observability.log_agent import AUTH, FILES, Destination, configuration
from slipway.kubernetes.observability.log_queries import levels_query, lines_query
from slipway.kubernetes.observability.passwords import PUSH_KEY, PUSH_USERNAME

API, LLAMA = router(), model()
API_POD = "ai_api-router-7d9f8b6c5d-abcde"
TO = Destination("", PUSH_USERNAME, "held", PUSH_KEY, None, [])
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
REQUEST = {
    "time": "2026-11-26T12:00:00.000Z",
    "level": "warning",
    "message": "request",
    "status": 502,
    "request_id": "req-1",
    "trace_id": TRACE,
    "span_id": SPAN,
}


def read(**more: Any) -> dict[str, Any]:
    told = configuration([API, LLAMA], "http://loki", Destination(**{**vars(TO), **more}))["agent.yml"]
    return cast("dict[str, Any]", yaml.safe_load(told))


def test_the_watched_namespaces_are_read_and_no_others() -> None:
    assert read()["receivers"]["file_log"]["include"] == [f"{FILES}/ai_*/*/*.log"]
    both = configuration([API, model(namespace="models")], "http://loki", TO)["agent.yml"]
    assert yaml.safe_load(both)["receivers"]["file_log"]["include"] == [f"{FILES}/{n}_*/*/*.log" for n in ("ai", "models")]


def test_a_password_is_read_from_a_file_and_a_tenant_is_sent() -> None:
    assert read()["extensions"]["basicauth"]["client_auth"] == {"username": "agent", "password_file": f"{AUTH}/{PUSH_KEY}"}
    told = read(secret=None, tenant="a$b")
    assert "auth" not in told["exporters"]["otlp_http"]
    assert "basicauth" not in told["extensions"]
    assert told["exporters"]["otlp_http"]["headers"] == {"X-Scope-OrgID": "a$$b"}


class Node:
    """A node's files, and an agent that reads them."""

    def __init__(self, folder: Path, loki: RealLoki) -> None:
        self.command = [program("otelcol-contrib"), f"--config={folder}/agent.yml"]
        self.pods, self.data, self.log = folder / "pods", folder / "data", folder / "log"
        places = {FILES: self.pods, AUTH: folder / "auth", DATA: self.data}
        for place in places.values():
            place.mkdir()
        (places[AUTH] / PUSH_KEY).write_text(loki.held[PUSH_KEY])
        text = configuration([API, LLAMA], loki.base, TO)["agent.yml"]
        for inside, place in places.items():
            text = text.replace(inside, str(place))
        self.port = free_port()
        (folder / "agent.yml").write_text(text.replace(f"0.0.0.0:{HEALTH_PORT}", f"127.0.0.1:{self.port}"))

    def write(self, pod: str, container: str, *lines: str) -> None:
        """Lines as containerd writes them: time, stream, whether whole."""
        file = self.pods / f"{pod}_12345678-1234-1234-1234-123456789012" / container / "0.log"
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("a") as log:
            for i, line in enumerate(lines):
                now = time.time_ns() + i
                moment = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now // 10**9))}.{now % 10**9:09}Z"
                log.write(f"{moment} stderr F {line}\n")

    def agent(self) -> Any:
        return running(self.command, self.log)


def test_lines_reach_loki_by_service_with_their_level_request_and_trace_and_none_is_lost_while_it_is_away(tmp_path: Path) -> None:
    home = tmp_path / "loki"
    home.mkdir()
    program("loki")
    loki = RealLoki(home)
    node = Node(tmp_path, loki)
    request = json.dumps(REQUEST)
    # Before Loki is there, and before the agent is.
    node.write(API_POD, "router", request, "no JSON")
    node.write("ai_llama-server-0", "vllm", "INFO: loading")
    node.write("ai_worker-1", "celery", "a task")
    node.write("other_api-router-7d9f8b6c5d-abcde", "router", "not watched")
    with node.agent() as agent:
        until(lambda: httpx.get(f"http://127.0.0.1:{node.port}", trust_env=False).status_code == 200, agent)
        with loki.running() as client:

            def lines() -> list[tuple[Mapping[str, str], str]]:
                return found(client, '{k8s_namespace_name=~".+"}')

            until(lambda: len(lines()) == 4, agent, 40)
            assert {line: labels["service_name"] for labels, line in lines()} == {
                request: "api",
                "no JSON": "api",
                "INFO: loading": "llama",
                "a task": "celery",
            }
            (told,) = (labels for labels, line in lines() if line == request)
            assert (told["k8s_pod_name"], told["k8s_container_name"]) == ("api-router-7d9f8b6c5d-abcde", "router")
            assert (told["request_id"], told["trace_id"], told["span_id"]) == ("req-1", TRACE, SPAN)
            assert told["detected_level"] == "warn"
            assert not {"parsed", "logtag", "log_file_path", "k8s_pod_uid"} & told.keys()
            for key, value in (("request_id", "req-1"), ("trace_id", TRACE)):
                assert [line for _, line in found(client, f'{{k8s_namespace_name=~".+"}} | {key}=`{value}`')] == [request]
            assert [line for _, line in found(client, lines_query(API))] == [request, "no JSON"]
            levels = client.get("/loki/api/v1/query", params={"query": levels_query(API).replace("$__auto", "5m")}).json()
            assert {result["metric"]["detected_level"] for result in levels["data"]["result"]} == {"warn", "unknown"}
        # Loki is away, and then the agent's container is killed.
        node.write(API_POD, "router", "while it was away")
        time.sleep(2)
        agent.kill()
    with loki.running() as client:

        def count() -> int:
            query = 'sum(count_over_time({k8s_namespace_name=~".+"}[1h]))'
            result = client.get("/loki/api/v1/query", params={"query": query}).json()["data"]["result"]
            return int(result[0]["value"][1]) if result else 0

        with node.agent() as agent:
            until(lambda: count() == 5, agent, 40)
            # More at once than Loki takes in a second, and a line that is longer than it keeps whole.
            node.write(API_POD, "router", *(f"{i} " + "x" * 4000 for i in range(3000)), "y" * 600_000)
            until(lambda: count() == 3006, agent, 90)
        # Another pod takes up where the last one was.
        with node.agent() as agent:
            node.write(API_POD, "router", "the last")
            until(lambda: count() == 3007, agent, 60)
            time.sleep(2)
            assert count() == 3007
            (long,) = (line for _, line in found(client, '{service_name="api"} |= "yyyy"'))
            assert 200_000 < len(long) < 300_000
