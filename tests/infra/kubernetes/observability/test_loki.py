"""The Loki of a stack and the nginx before it, as real processes with the very files that a stack renders.

nginx is Debian's: who may do what is tested wherever that is installed, Loki itself where somebody has built it.
"""

import http.server
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from tests.infra.kubernetes.observability.real_loki import RealLoki, found, logs_settings

from slipway.kubernetes.observability.loki import OTLP, configuration

READ = ("/loki/api/v1/query_range", "/loki/api/v1/labels", "/loki/api/v1/label/service_name/values")
SENT = (f"{OTLP}/v1/logs", "/loki/api/v1/push")
NEVER = ("/loki/api/v1/delete", "/flush", "/ingester/shutdown", "/config", "/metrics", "/loki/api/v1/queryx", "/")


class Behind(http.server.BaseHTTPRequestHandler):
    """In Loki's place: it takes everything, and tells what it was asked for."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        self.asked.append((self.path, self.headers["authorization"]))
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        pass


@pytest.fixture
def place(tmp_path: Path) -> RealLoki:
    return RealLoki(tmp_path)


@pytest.fixture
def behind(place: RealLoki) -> Iterator[list[tuple[str, str | None]]]:
    asked: list[tuple[str, str | None]] = []
    handler = type("Asked", (Behind,), {"asked": asked})
    with http.server.ThreadingHTTPServer(("127.0.0.1", place.inner), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield asked
        server.shutdown()
        thread.join()


def test_nobody_gets_in_without_the_password_and_each_password_is_good_for_one_thing(
    place: RealLoki, behind: list[tuple[str, str | None]]
) -> None:
    with place.proxy() as client:

        def status(path: str, auth: tuple[str, str] | None) -> int:
            method = "POST" if path in SENT else "GET"
            return client.request(method, path, content=b"" if method == "GET" else b"x", auth=auth).status_code

        wrong = (place.reader[0], "guess")
        for path in (*READ, *SENT):
            assert [status(path, auth) for auth in (None, wrong)] == [401, 401], path
        assert behind == []
        assert [status(path, place.reader) for path in READ] == [200] * len(READ)
        assert [status(path, place.writer) for path in READ] == [401] * len(READ)
        assert [status(path, place.writer) for path in SENT] == [200] * len(SENT)
        assert [status(path, place.reader) for path in SENT] == [401] * len(SENT)
        assert [status(path, who) for path in NEVER for who in (None, place.reader, place.writer)] == [404] * 3 * len(NEVER)
        assert {path for path, _ in behind} == {*READ, *SENT}
        assert {given for _, given in behind} == {None}, "Loki need not know the password"
        # Probes have none.
        assert [status(path, None) for path in ("/ready", "/alive")] == [200, 200]
        assert [path for path, _ in behind[-2:]] == ["/ready", "/loki/api/v1/status/buildinfo"]


def test_it_takes_and_finds_lines_refuses_who_has_no_password_and_keeps_them_over_a_restart(place: RealLoki) -> None:
    with place.running() as client:
        assert place.push(client, "one", "two") in (200, 204)
        assert httpx.post(f"{place.base}{OTLP}/v1/logs", json={}, trust_env=False).status_code == 401
        assert httpx.get(f"{place.base}/loki/api/v1/labels", trust_env=False).status_code == 401
        assert [line for _, line in found(client, '{service_name="api", k8s_namespace_name="ai"}')] == ["one", "two"]
        labels = client.get("/loki/api/v1/labels").json()["data"]
        assert {*labels} == {"service_name", "k8s_namespace_name", "k8s_container_name"}
    with place.running() as client:
        assert place.push(client, "three") in (200, 204)
        lines = found(client, '{service_name="api"} | k8s_pod_name="api-1"')
        assert [line for _, line in lines] == ["one", "two", "three"]


@pytest.mark.timeout(300)
def test_it_deletes_what_is_too_old_and_nothing_else(tmp_path: Path) -> None:
    """It looks for that each 10 minutes, and deletes two hours later: here at once."""
    place = RealLoki(tmp_path, retention_days=1)

    def kept() -> int:
        return sum(file.is_file() for file in (place.data / "chunks" / "fake").rglob("*"))

    with place.running() as client:
        for service, days in (("gone", 3), ("api", 0)):
            assert place.push(client, service, service=service, days_ago=days) in (200, 204)
        # Its own port, which nobody else reaches.
        assert httpx.post(f"http://127.0.0.1:{place.inner}/flush", trust_env=False).status_code == 204
        end = time.monotonic() + 20
        while kept() < 2 and time.monotonic() < end:
            time.sleep(0.1)
        assert kept() == 2
    with place.running("-compactor.compaction-interval=2s", "-compactor.retention-delete-delay=1s"):
        end = time.monotonic() + 150
        while kept() == 2 and time.monotonic() < end:
            time.sleep(0.5)
        assert kept() == 1
    with place.running() as client:
        assert [line for _, line in found(client, '{k8s_namespace_name="ai"}', hours=100)] == ["api"]


@pytest.mark.parametrize(("daily", "rate"), [(5, 4), (1000, 48)])
def test_it_takes_four_times_as_much_as_on_average(daily: float, rate: int) -> None:
    settings = logs_settings(daily_gib=daily, storage_gib=10**6)
    limits = yaml.safe_load(configuration(settings)["loki.yml"])["limits_config"]
    assert (limits["ingestion_rate_mb"], limits["per_stream_rate_limit"]) == (rate, f"{rate}MB")


def test_what_is_too_old_goes() -> None:
    told = yaml.safe_load(configuration(logs_settings(retention_days=30, daily_gib=1))["loki.yml"])
    assert told["limits_config"]["retention_period"] == "720h"
    assert told["compactor"]["retention_enabled"] is True


def test_what_is_read_back_after_a_crash_fits_the_memory() -> None:
    settings = logs_settings(resources={"limits": {"memory": "6Gi"}})
    assert yaml.safe_load(configuration(settings)["loki.yml"])["ingester"]["wal"]["replay_memory_ceiling"] == "3072MB"
