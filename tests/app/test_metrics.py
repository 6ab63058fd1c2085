"""What the router tells Prometheus: by its conventions, no more series than are bounded, and as Prometheus itself reads it."""

import asyncio
import json
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import DONE, USAGE, event
from tests.app.process import running
from tests.app.serving import CHAT, backend, serving, upstream

from slipway_router.config import Config
from slipway_router.metric_table import METRICS
from slipway_router.metrics import MOST_GONE
from slipway_router.reload import Reloader
from slipway_router.router import Router

LAST = b"data: " + json.dumps({"id": "c1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}).encode() + b"\n\n"
MOST_SERIES = 20_000


def samples(text: str) -> dict[str, float]:
    """The router's own samples, by name and labels."""
    parts = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("slipway_router"))
    return {name: float(value) for name, value in parts}


def of(found: Mapping[str, float], name: str, **labels: str) -> float:
    told = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
    return found[f"slipway_router_{name}{{{told}}}" if told else f"slipway_router_{name}"]


def router(**more: Any) -> Router:
    return Router(Config.parse({"backends": [backend("http://127.0.0.1:1/v1")], **more}), {})


def test_all_that_is_told_is_in_the_table_and_the_reverse() -> None:
    families = {f.name: f for f in text_string_to_metric_families(router().metrics.text().decode())}
    told = {m.name.removesuffix("_total"): (m.kind, m.help) for m in METRICS.values()}
    assert {n: (f.type, f.documentation) for n, f in families.items() if not n.startswith("process_")} == told
    assert families["process_resident_memory_bytes"].samples[0].value > 1e6


def test_a_histogram_is_told_in_its_unit_and_a_counter_ends_in_total() -> None:
    for metric in METRICS.values():
        assert metric.name.endswith("_total") == (metric.kind == "counter")
        assert metric.unit != "seconds" or metric.name.endswith("_seconds")
        assert len(set(metric.labels)) == len(metric.labels)


async def test_promtool_finds_nothing_against_them() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    async with upstream() as up, serving(backend(up), backend(up, "own", replica_cost_per_hour=2.5)) as served:
        await served.chat()
        await served.chat(model="unknown")
        text = (await served.client.get("/metrics")).content
    assert promtool_against(promtool, text) == (0, b"", b"")
    assert promtool_against(promtool, b"# TYPE a counter\na 1\n")[0] != 0


def promtool_against(promtool: str, text: bytes) -> tuple[int, bytes, bytes]:
    done = subprocess.run([promtool, "check", "metrics"], input=text, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout, done.stderr


async def test_a_streams_times_tokens_and_cost_are_told_by_backend_model_and_key() -> None:
    events = [event("a"), event("b"), event("", "stop"), LAST, DONE]
    costs: dict[str, Any] = {"input_cost_per_1m_tokens": 2.5, "output_cost_per_1m_tokens": 10.0}
    keys = [{"name": "team", "env": "TEAM"}]
    async with (
        upstream(fake.stream(events=events, delay=0.02)) as up,
        serving(backend(up, **costs), keys=keys, environ={"TEAM": "k" * 40}) as served,
    ):
        bearer = {"authorization": f"Bearer {'k' * 40}"}
        await served.chat(bearer, stream=True)
        await served.chat(bearer, stream=True)
        found = samples((await served.client.get("/metrics")).text)
    which = {"backend": "one", "model": "mock"}
    assert of(found, "time_to_first_token_seconds_count", **which) == 2
    assert 0.04 <= of(found, "time_to_first_token_seconds_sum", **which) < 2
    assert of(found, "time_per_output_token_seconds_count", **which) == 2
    # Four more events of 20 ms each, over 63 more tokens.
    assert 2 * 0.06 / 63 <= of(found, "time_per_output_token_seconds_sum", **which) < 1 / 63
    assert of(found, "queue_duration_seconds_count", **which) == 2
    assert of(found, "queue_duration_seconds_sum", **which) < 0.5
    dollars = 2 * (32 * 2.5 + 64 * 10) / 1_000_000
    assert of(found, "cost_dollars_total", **which) == pytest.approx(dollars)
    assert of(found, "key_cost_dollars_total", key="team") == pytest.approx(dollars)
    assert [of(found, "key_tokens_total", key="team", kind=k) for k in ("prompt", "completion")] == [64, 128]
    assert (of(found, "key_requests_total", key="team"), of(found, "key_requests_total", key="anonymous")) == (2, 0)
    assert of(found, "requests_under_way") == 0


async def test_what_is_no_stream_has_no_first_token() -> None:
    async with upstream() as up, serving(backend(up)) as served:
        await served.chat()
        found = samples((await served.client.get("/metrics")).text)
    assert of(found, "time_to_first_token_seconds_count", backend="one", model="mock") == 0
    assert of(found, "time_per_output_token_seconds_count", backend="one", model="mock") == 0
    assert of(found, "time_to_first_byte_seconds_count", backend="one", model="mock", task="chat") == 1


async def test_failed_attempts_are_part_of_the_queue_and_retries_are_told_by_backend() -> None:
    async def slow_failure(out: fake.Exit) -> None:
        await asyncio.sleep(0.15)
        await fake.whole(b"{}", "500 Internal Server Error")(out)

    async with upstream(slow_failure) as bad, upstream() as well, serving(backend(bad), backend(well, "two")) as served:
        assert (await served.chat()).status_code == 200
        found = samples((await served.client.get("/metrics")).text)
    assert of(found, "queue_duration_seconds_sum", backend="two", model="mock") >= 0.15
    assert of(found, "retries_total", backend="two", outcome="made") == 1
    assert of(found, "retries_total", backend="one", outcome="made") == 0


def test_the_breakers_state_is_one_of_three() -> None:
    one = router()
    breaker = one.targets["one"].breaker

    def states() -> dict[str, float]:
        found = samples(one.metrics.text().decode())
        return {s: of(found, "backend_breaker_state", backend="one", state=s) for s in ("closed", "open", "half_open")}

    assert states() == {"closed": 1, "open": 0, "half_open": 0}
    for _ in range(100):
        breaker.failed()
    assert states() == {"closed": 0, "open": 1, "half_open": 0}
    breaker.admit(early=True)
    assert states() == {"closed": 0, "open": 0, "half_open": 1}


def test_a_new_price_counts_for_new_tokens_only() -> None:
    cheap = {"backends": [backend("http://127.0.0.1:1/v1", cost_per_1k_tokens=1.0)]}
    one = Router(Config.parse(cheap), {})
    one.targets["one"].metrics.prompt_tokens.inc(1000)
    one.reload(Config.parse({"backends": [backend("http://127.0.0.1:1/v1", cost_per_1k_tokens=3.0)]}), {})
    one.targets["one"].metrics.answer_tokens.inc(2000)
    assert of(samples(one.metrics.text().decode()), "cost_dollars_total", backend="one", model="mock") == 1 + 6


def test_series_stay_bounded_with_a_thousand_keys_and_fifty_backends(capsys: pytest.CaptureFixture[str]) -> None:
    backends = [backend("http://127.0.0.1:1/v1", f"b{i}", model=f"m{i}", tasks=["chat", "completions"]) for i in range(50)]
    keys = [{"name": f"tenant-{i}", "sha256": f"{i:064x}"} for i in range(1000)]
    one = Router(Config.parse({"backends": backends, "keys": keys}), {})
    for i in range(50):
        for code in (200, 400, 499):
            one.metrics.answered(f"b{i}", f"m{i}", "chat", code)
    before = len(samples(one.metrics.text().decode()))
    for i in range(5000):
        one.metrics.keys.of(f"made-later-{i}").requests.inc()
    found = samples(one.metrics.text().decode())
    taken: list[float] = []
    # What coverage takes for itself is not the router's.
    tracer = sys.gettrace()
    sys.settrace(None)
    for _ in range(9):
        began = time.thread_time()
        one.metrics.text()
        taken.append((time.thread_time() - began) * 1000)
    sys.settrace(tracer)
    with capsys.disabled():
        print(f"\n{len(found)} series of 50 backends and 1,000 keys, told in {min(taken):.1f} ms of CPU time")
    assert of(found, "key_requests_total", key="other") == 5000
    assert before < len(found) == before + 4 <= MOST_SERIES
    assert min(taken) < 50


def test_how_many_keys_are_told_apart_can_be_set() -> None:
    keys = [{"name": f"k{i}", "sha256": f"{i:064x}"} for i in range(3)]
    text = router(keys=keys, telemetry={"most_keys": 2}).metrics.text().decode()
    assert re.findall(r'key_requests_total{key="(\w+)"}', text) == ["anonymous", "k0", "k1", "other"]


def test_keys_that_are_gone_make_room() -> None:
    keys = router().metrics.keys
    keys.most = 2
    one, two, three = keys.of("one"), keys.of("two"), keys.of("three")
    assert len({id(k) for k in (one, two, three)}) == 3
    keys.forget("one")
    assert keys.of("four") is not three
    assert keys.of("five") is three
    keys.forget("never there")


def test_backends_that_come_and_go_leave_no_more_series_than_are_bounded() -> None:
    one = router()

    def to(name: str) -> None:
        one.reload(Config.parse({"backends": [backend("http://127.0.0.1:1/v1", name)]}), {})
        one.metrics.answered(name, "mock", "chat", 200)

    for i in range(MOST_GONE + 1):
        to(f"b{i}")
    before = len(samples(one.metrics.text().decode()))
    for i in range(MOST_GONE + 1, 2 * MOST_GONE):
        to(f"b{i}")
    text = one.metrics.text().decode()
    assert len(samples(text)) <= before
    assert 'backend="b5"' not in text
    assert of(samples(text), "requests_total", backend="b150", model="mock", task="chat", code="200") == 1
    assert re.findall(r'backend_available{backend="(\w+)"', text) == [f"b{2 * MOST_GONE - 1}"]


async def test_reloads_are_counted_and_the_configuration_in_force_is_told(tmp_path: Path) -> None:
    file = tmp_path / "router.json"
    first = {"backends": [backend("http://127.0.0.1:1/v1")]}
    file.write_text(json.dumps(first))
    one = Router(Config.load(file), {})
    reloader = Reloader(one, file, {})
    digest = one.metrics.config_digest
    await reloader.reload()
    file.write_text("backends: []")
    await reloader.reload()
    refused = samples(one.metrics.text().decode())
    assert (of(refused, "config_last_reload_successful"), of(refused, "config_info", sha256=digest[:12])) == (0, 1)
    file.write_text(json.dumps({**first, "max_body_mib": 8}))
    await reloader.reload()
    found = samples(one.metrics.text().decode())
    assert [of(found, "config_reloads_total", outcome=o) for o in ("done", "unchanged", "refused")] == [1, 1, 1]
    assert of(found, "config_last_reload_successful") == 1
    assert of(found, "config_info", sha256=one.metrics.config_digest[:12]) == 1
    assert one.metrics.config_digest != digest
    assert abs(of(found, "config_last_reload_success_timestamp_seconds") - time.time()) < 60


async def test_a_real_prometheus_reads_a_real_router(tmp_path: Path) -> None:
    prometheus = shutil.which("prometheus")
    if prometheus is None:
        pytest.skip("prometheus is not installed")
    async with upstream() as up:
        config = tmp_path / "router.json"
        config.write_text(json.dumps({"backends": [backend(up)]}))
        with running(config) as (_, url, _):
            async with httpx.AsyncClient() as client:
                for _ in range(3):
                    assert (await client.post(f"{url}/v1/chat/completions", json=CHAT)).status_code == 200
            found = await asyncio.to_thread(scraped, prometheus, url.removeprefix("http://"), tmp_path)
    assert of(found, "requests_total", backend="one", model="mock", task="chat", code="200") == 3
    assert of(found, "tokens_total", backend="one", model="mock", kind="prompt") == 96
    assert of(found, "ready") == 1
    assert found["types"] == len(METRICS)


def scraped(prometheus: str, target: str, folder: Path) -> dict[str, float]:
    """What a Prometheus knows of a target once it has read it; `types`: of how many of our metrics it knows type and help."""
    jobs = [{"job_name": "router", "scrape_interval": "1s", "static_configs": [{"targets": [target]}]}]
    (folder / "prometheus.yml").write_text(json.dumps({"scrape_configs": jobs}))
    port = free_port()
    command = [prometheus, "--config.file", str(folder / "prometheus.yml"), "--storage.tsdb.path", str(folder / "data")]
    command += [f"--web.listen-address=127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    until = time.monotonic() + 30
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1") as client:
            while time.monotonic() < until:
                time.sleep(0.2)
                try:
                    answer = client.get("/query", params={"query": '{__name__=~"slipway_router_.+"}'})
                    about = client.get("/targets/metadata")
                except httpx.TransportError:
                    continue
                result: list[Any] = answer.json()["data"]["result"] if answer.status_code == 200 else []
                if result:
                    known = {m["metric"]: (m["type"], m["help"]) for m in about.json()["data"]}
                    right = sum(known.get(m.name) == (m.kind, m.help) for m in METRICS.values())
                    return {**{series(r["metric"]): float(r["value"][1]) for r in result}, "types": right}
        raise AssertionError("Prometheus has read nothing")
    finally:
        process.terminate()
        process.wait()


def series(metric: Mapping[str, str]) -> str:
    labels = {k: v for k, v in metric.items() if k not in ("__name__", "instance", "job")}
    told = ",".join(f'{k}="{v}"' for k, v in sorted(labels.items()))
    return f"{metric['__name__']}{{{told}}}" if told else metric["__name__"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return taken.getsockname()[1]
