"""A real Prometheus with what a stack renders reads a real router while its backend fails.

How it finds pods is Kubernetes' matter, and written down here in its place; tests/cluster shows that it may look for them.
"""

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import httpx
from tests.app.fake_upstream import FakeUpstream, failing, models, stream, whole
from tests.app.process import running
from tests.infra.kubernetes.observability.real_prometheus import RealPrometheus, asked, firing, names
from tests.infra.kubernetes.observability.services import gpus, promtool, router

from slipway.args import Faults
from slipway.kubernetes.observability.objectives import Promise
from slipway.kubernetes.observability.panels import panels
from slipway.kubernetes.observability.prometheus import configuration
from slipway.kubernetes.observability.prometheus_args import PrometheusSettings
from slipway.kubernetes.observability.rules import rule_groups
from slipway_router.metric_table import METRICS

# All windows are 300 times as short as they are by default: 12 s for an hour, a second for 5 minutes.
PROMISE = Promise(period_days=0.1, patience_seconds=1, daily_dollars=1e6)
POD = "api-router-5d4f8c7b6-x2z45"
CHAT = {"model": "auto", "messages": [{"role": "user", "content": "hi"}]}
API = router(replicas=1)
EXPOSITIONS = Path(__file__).parent / "expositions"


def settings() -> PrometheusSettings:
    faults = Faults("ObservabilityStack")
    made = PrometheusSettings.of({"interval_seconds": 0.25, "storage_gib": 1}, PROMISE.period_days, "monitoring", faults)
    assert not faults
    return made


def real(folder: Path, address: str) -> RealPrometheus:
    files = configuration([API], PROMISE, 0.25, "docs/runbooks")
    return RealPrometheus(folder, files, settings(), {"ai/api": [(POD, address)]})


def wanted(text: str) -> set[str]:
    """The metrics of the router that a text names."""
    return set(re.findall(r"slipway_router_\w+", text))


@contextmanager
def served(text: str) -> Generator[str]:
    """Address where this text is what is told."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- its own name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


async def until(client: httpx.Client, holds: Callable[[set[str]], bool], seconds: float) -> float:
    """How long it took until the alerts that fire were so."""
    began = time.monotonic()
    while time.monotonic() - began < seconds:
        if holds(await asyncio.to_thread(firing, client)):
            return time.monotonic() - began
        await asyncio.sleep(0.25)
    raise AssertionError(f"after {seconds:g} s there fire {firing(client)}")


async def test_the_burn_alert_fires_while_a_backend_fails_and_clears_after(tmp_path: Path) -> None:
    config = tmp_path / "router.json"
    async with FakeUpstream(whole(), models()) as upstream, httpx.AsyncClient(timeout=5, trust_env=False) as client:
        # The breaker stays out of it: it tries again at once.
        breaker = {"failures": 64, "window": 64}
        backend = {"name": "gpt", "url": upstream.url, "model": "mock", "breaker": breaker}
        config.write_text(json.dumps({"backends": [backend]}))
        router = running(config)
        _, url, _ = await asyncio.to_thread(router.__enter__)
        server = real(tmp_path, url.removeprefix("http://")).running()
        try:
            prometheus = await asyncio.to_thread(server.__enter__)

            async def load() -> None:
                while True:
                    await client.post(f"{url}/v1/chat/completions", json=CHAT)
                    await asyncio.sleep(0.02)

            upstream.behaviour = stream("hello", "world")
            await client.post(f"{url}/v1/chat/completions", json={**CHAT, "stream": True})
            upstream.behaviour = whole()
            loading = asyncio.ensure_future(load())
            try:
                # Prometheus looks for pods every 5 s, and until then knows of none.
                await until(prometheus, lambda alerts: "RouterDown" in alerts, 20)
                await until(prometheus, lambda alerts: not alerts, 20)
                await asyncio.sleep(2)
                assert await asyncio.to_thread(firing, prometheus) == set()
                upstream.behaviour = failing()
                await until(prometheus, lambda alerts: "ErrorBudgetBurn" in alerts, 20)
                upstream.behaviour = whole()
                await until(prometheus, lambda alerts: "ErrorBudgetBurn" not in alerts, 30)
            finally:
                loading.cancel()
            every = json.dumps(rule_groups([API], PROMISE, ""))
            assert wanted(every)
            assert wanted(every) <= await asyncio.to_thread(names, prometheus)
            (up,) = await asyncio.to_thread(asked, prometheus, "up")
            assert up["metric"].items() >= {"namespace": "ai", "pod": POD, "service": "api"}.items()
        finally:
            await asyncio.to_thread(server.__exit__, None, None, None)
            await asyncio.to_thread(router.__exit__, None, None, None)


def test_it_lets_nobody_in_without_the_password_and_keeps_what_it_read(tmp_path: Path) -> None:
    prometheus = real(tmp_path, "127.0.0.1:9")
    with prometheus.running() as client:
        assert httpx.get(f"{client.base_url}/api/v1/query?query=up", trust_env=False).status_code == 401
        wrong = httpx.get(f"{client.base_url}/api/v1/query?query=up", auth=("slipway", "wrong"), trust_env=False)
        assert wrong.status_code == 401
        end = time.monotonic() + 10
        while not asked(client, "up") and time.monotonic() < end:
            time.sleep(0.2)
        assert asked(client, "up")[0]["value"][1] == "0"
    began = time.time()
    with prometheus.running() as client:
        # From before it was started anew.
        kept = client.get("/api/v1/query", params={"query": "up[1m]", "time": began}).json()["data"]["result"]
        assert kept
        assert all(float(at) < began for series in kept for at, _ in series["values"])


def test_readings_of_gpus_keep_the_pods_that_have_them_and_have_none_where_there_is_none(tmp_path: Path) -> None:
    recorded = (EXPOSITIONS / "dcgm.txt").read_text()
    free = (
        recorded.splitlines()[-1].replace(',container="server",namespace="ai",pod="llama-server-0"', "").replace("GPU-0", "GPU-1")
    )
    with served(f"{recorded}{free}\n") as address:
        files = configuration([gpus()], PROMISE, 0.25, "docs/runbooks")
        prometheus = RealPrometheus(tmp_path, files, settings(), {"gpu-operator/gpus": [("nvidia-dcgm-exporter-x2z45", address)]})
        with prometheus.running() as client:
            end = time.monotonic() + 20
            while not (found := asked(client, '{__name__=~"DCGM_.+"}')) and time.monotonic() < end:
                time.sleep(0.2)
            every = " ".join(question.expr for panel in panels(gpus(), PROMISE) for question in panel.questions)
            every += json.dumps(rule_groups([gpus()], PROMISE, ""))
            assert set(re.findall(r"DCGM_\w+", every)) <= names(client)
    mine, nobodys = ([s["metric"] for s in found if s["metric"]["UUID"].startswith(id_)] for id_ in ("GPU-0", "GPU-1"))
    assert len(mine) > 20
    assert len(nobodys) == 1
    assert all((m["namespace"], m["pod"], m["service"]) == ("ai", "llama-server-0", "gpus") for m in mine)
    assert nobodys[0].keys() & {"namespace", "pod", "container"} == set()


def test_promtool_finds_nothing_wrong_with_the_configuration(tmp_path: Path) -> None:
    prometheus = real(tmp_path, "127.0.0.1:9")
    done = subprocess.run(
        [promtool(), "check", "config", str(prometheus.config)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "rules found" in done.stdout
    web = tmp_path / "auth" / "web.yml"
    assert (
        subprocess.run([promtool(), "check", "web-config", str(web)], capture_output=True, timeout=60, check=False).returncode
        == 0
    )


def test_every_metric_of_the_rules_is_in_the_routers_table() -> None:
    told = set(METRICS) | {f"{name}_{end}" for name, m in METRICS.items() if m.kind == "histogram" for end in ("bucket", "count")}
    assert wanted(json.dumps(rule_groups([API], PROMISE, ""))) <= told
