"""Alertmanager from the system's packages with the very files that a stack renders, but for folders and ports.

Of receivers a Slack of the test's own is told; PagerDuty's address is in Alertmanager's own code. The release that Debian has
takes no webhook's address from a file, which newer ones do (0.26).
"""

import http.server
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import yaml
from tests.infra.kubernetes.observability.real_prometheus import free_port

from slipway.args import Faults
from slipway.kubernetes.observability.alertmanager import AUTH, CONFIG, DATA, PORT, RECEIVERS, arguments, configuration
from slipway.kubernetes.observability.alertmanager_args import AlertmanagerSettings, ReceiverKind
from slipway.kubernetes.observability.passwords import PASSWORD_KEY, USERNAME
from slipway.kubernetes.observability.prometheus import credentials

SLACK: dict[str, Any] = {
    "name": "people",
    "kind": ReceiverKind.SLACK,
    "secret": {"name": "slack", "key": "url"},
    "channel": "#alerts",
    "severities": ["page"],
}
PAGER: dict[str, Any] = {"name": "on-call", "kind": ReceiverKind.PAGERDUTY, "secret": {"name": "pager", "key": "key"}}
HOOK: dict[str, Any] = {"name": "hook", "kind": ReceiverKind.WEBHOOK, "secret": {"name": "hook", "key": "url"}}


def settings(*receivers: dict[str, Any]) -> AlertmanagerSettings:
    faults = Faults("ObservabilityStack")
    made = AlertmanagerSettings.of({"receivers": list(receivers)}, faults)
    assert not faults
    return made


class Place:
    """Folders as the pod has them."""

    def __init__(self, folder: Path, *receivers: dict[str, Any]) -> None:
        self.places = {CONFIG: folder / "config", AUTH: folder / "auth", RECEIVERS: folder / "receivers"}
        self.data = folder / "data"
        for place in (*self.places.values(), self.data):
            place.mkdir()
        self.held = credentials()
        for name, text in self.held.items():
            (self.places[AUTH] / name).write_text(text)
        for name, text in configuration(settings(*receivers)).items():
            (self.places[CONFIG] / name).write_text(self.here(text))
        self.config = self.places[CONFIG] / "alertmanager.yml"

    def here(self, text: str) -> str:
        for inside, place in self.places.items():
            text = text.replace(inside, str(place))
        return text.replace(f"path={DATA}", f"path={self.data}")


def test_amtool_takes_the_configuration(tmp_path: Path) -> None:
    amtool = shutil.which("amtool")
    if amtool is None:
        pytest.skip("amtool is not installed")
    place = Place(tmp_path, SLACK, PAGER)
    done = subprocess.run([amtool, "check-config", str(place.config)], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 receivers" in done.stdout


def test_secrets_are_read_from_files_only() -> None:
    told = yaml.safe_load(configuration(settings(SLACK, PAGER, HOOK))["alertmanager.yml"])
    by_name = {r["name"]: r for r in told["receivers"]}
    assert by_name["people"]["slack_configs"][0]["api_url_file"] == f"{RECEIVERS}/people/url"
    assert by_name["on-call"]["pagerduty_configs"][0]["routing_key_file"] == f"{RECEIVERS}/on-call/key"
    assert by_name["hook"]["webhook_configs"][0]["url_file"] == f"{RECEIVERS}/hook/url"


class Slack(http.server.BaseHTTPRequestHandler):
    """Takes what it is told."""

    told: list[str]

    def do_POST(self) -> None:
        self.told.append(self.rfile.read(int(self.headers["content-length"])).decode())
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- the base class's name
        pass


@pytest.fixture
def slack() -> Iterator[tuple[str, list[str]]]:
    told: list[str] = []
    handler = type("Told", (Slack,), {"told": told})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/hook", told
        server.shutdown()
        thread.join()


def test_it_tells_slack_of_what_pages_and_lets_nobody_in_without_the_password(
    tmp_path: Path, slack: tuple[str, list[str]]
) -> None:
    program = shutil.which("prometheus-alertmanager")
    if program is None:
        pytest.skip("prometheus-alertmanager is not installed")
    place = Place(tmp_path, SLACK)
    url, told = slack
    (place.places[RECEIVERS] / "people").mkdir()
    (place.places[RECEIVERS] / "people" / "url").write_text(url)
    # Half a minute to gather what belongs together is long for a test.
    place.config.write_text(place.config.read_text().replace("group_wait: 30s", "group_wait: 100ms"))
    port = free_port()
    command = [program, *(place.here(word).replace(f":{PORT}", f"127.0.0.1:{port}") for word in arguments())]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    base = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=base, auth=(USERNAME, place.held[PASSWORD_KEY]), trust_env=False) as client:
            _until(lambda: client.get("/-/ready").status_code == 200)
            assert httpx.get(f"{base}/api/v2/alerts", trust_env=False).status_code == 401
            for name, severity in (("ErrorBudgetBurn", "page"), ("BreakerOpen", "ticket")):
                labels = {"alertname": name, "severity": severity, "namespace": "ai", "service": "api"}
                alert = {"labels": labels, "annotations": {"summary": "api: requests fail", "runbook_url": "a-page"}}
                assert client.post("/api/v2/alerts", json=[alert]).status_code == 200
            _until(lambda: bool(told))
            time.sleep(0.5)
            assert len(told) == 1
            assert "ErrorBudgetBurn: api: requests fail" in told[0]
            assert "a-page" in told[0]
            asked = cast("list[Any]", client.get("/api/v2/alerts").json())
            assert {a["labels"]["alertname"] for a in asked} == {"ErrorBudgetBurn", "BreakerOpen"}
    finally:
        process.terminate()
        process.wait(20)


def _until(holds: Any) -> None:
    end = time.monotonic() + 15
    while time.monotonic() < end:
        try:
            if holds():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("it does not come to that")
