"""The Alertmanager of a stack: whom it tells, and who may tell it."""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import pulumi
import yaml

from slipway.backend import Egress
from slipway.kubernetes import restricted
from slipway.kubernetes.observability.alertmanager_args import AlertmanagerSettings, AlertReceiver, ReceiverKind
from slipway.kubernetes.observability.generated import generated_secret
from slipway.kubernetes.observability.part import Part, Place, Volume
from slipway.kubernetes.observability.passwords import PASSWORD_KEY, USERNAME
from slipway.kubernetes.observability.prometheus import APP as PROMETHEUS
from slipway.kubernetes.observability.prometheus import WEB_KEY, credentials
from slipway.kubernetes.observability.server import deploy

ROLE = APP = "alertmanager"
PORT = 9093
USER = 65534
"""User of the official image."""
CONFIG, AUTH, DATA = "/etc/alertmanager/config", "/etc/alertmanager/auth", "/alertmanager"
RECEIVERS = "/etc/alertmanager/receivers"
"""Folder with a folder of each receiver's, which has its secret."""
PROMETHEUS_SIDE = "/etc/prometheus/alertmanager"
"""Where Prometheus has the password."""
START_SECONDS = 120


def configuration(settings: AlertmanagerSettings) -> dict[str, str]:
    """The files that Alertmanager is started with."""
    receivers = [{"name": "nobody"}, *(_receiver(r) for r in settings.receivers)]
    routes: list[dict[str, Any]] = [
        {
            "receiver": r["name"],
            "continue": True,
            "matchers": [f'severity=~"{"|".join(r.get("severities", ("page", "ticket")))}"'],
        }
        for r in settings.receivers
    ]
    main: dict[str, Any] = {
        "route": {
            "receiver": "nobody",
            "group_by": ["alertname", "namespace", "service"],
            "group_wait": "30s",
            "group_interval": "5m",
            "repeat_interval": f"{settings.repeat_hours}h",
            "routes": routes,
        },
        # Whoever is called for the fast burn need not be told of the slow one too.
        "inhibit_rules": [
            {
                "source_matchers": ['alertname=~"(Error|FirstToken)BudgetBurn"'],
                "target_matchers": ['alertname=~"(Error|FirstToken)Budget(BurnSlow|Spent)"'],
                "equal": ["namespace", "service"],
            }
        ],
        "receivers": receivers,
    }
    client = {"basic_auth": {"username": USERNAME, "password_file": f"{AUTH}/{PASSWORD_KEY}"}}
    files: dict[str, object] = {"alertmanager.yml": main, "client.yml": client}
    return {name: yaml.safe_dump(content, sort_keys=False, width=1000) for name, content in files.items()}


def arguments() -> list[str]:
    """Its command line."""
    return [
        f"--config.file={CONFIG}/alertmanager.yml",
        f"--web.config.file={AUTH}/{WEB_KEY}",
        f"--web.listen-address=:{PORT}",
        f"--storage.path={DATA}",
        # There is one, which has nobody to talk to.
        "--cluster.listen-address=",
    ]


def told_by_prometheus(address: str) -> list[dict[str, Any]]:
    """How Prometheus tells it.

    Args:
        address: Its host and port.
    """
    password = f"{PROMETHEUS_SIDE}/{PASSWORD_KEY}"
    return [
        {
            "basic_auth": {"username": USERNAME, "password_file": password},
            "static_configs": [{"targets": [address]}],
        }
    ]


def told_at(url: str) -> list[dict[str, Any]]:
    """How Prometheus tells one that exists.

    Args:
        url: Its base address.
    """
    address = urlsplit(url)
    made: dict[str, Any] = {"scheme": address.scheme, "static_configs": [{"targets": [address.netloc]}]}
    return [{**made, "path_prefix": address.path}] if address.path.strip("/") else [made]


def way_to(place: Place) -> Egress:
    """Alertmanager, as Prometheus' policy needs to know it."""
    return {"pod_labels": restricted.selector(APP, place.name), "namespace": place.namespace, "port": PORT}


def make_alertmanager(place: Place, settings: AlertmanagerSettings) -> pulumi.Output[str]:
    """Make the server.

    Returns:
        Name of the Secret with the password.
    """
    secret = generated_secret(f"{ROLE}-auth", place, restricted.labels(APP, place.name), credentials())
    held: Mapping[str, tuple[pulumi.Input[str], Sequence[str]]] = {
        f"{RECEIVERS}/{r['name']}": (r["secret"]["name"], [r["secret"]["key"]]) for r in settings.receivers
    }
    ask = ["amtool", "cluster", "show", f"--alertmanager.url=http://127.0.0.1:{PORT}", f"--http.config.file={CONFIG}/client.yml"]
    part = Part(
        role=ROLE,
        app=APP,
        image=settings.image,
        user=USER,
        args=arguments(),
        port=PORT,
        resources=settings.resources,
        volume=Volume(DATA, settings.storage_gib, settings.storage_class),
        ready={"exec_": {"command": ask}, "timeout_seconds": 5},
        alive={"tcp_socket": {"port": "http"}, "timeout_seconds": 5},
        start_seconds=START_SECONDS,
        config=dict(configuration(settings)),
        config_path=CONFIG,
        secrets={AUTH: (secret.metadata.name, [PASSWORD_KEY, WEB_KEY]), **held},
        allow_from={PORT: [{"pod_labels": restricted.selector(PROMETHEUS, place.name)}]},
        egress=settings.egress,
    )
    deploy(part, place, [secret])
    return pulumi.Output.from_input(f"{place.name}-{ROLE}-auth")


def _receiver(receiver: AlertReceiver) -> dict[str, Any]:
    name, held = receiver["name"], f"{RECEIVERS}/{receiver['name']}/{receiver['secret']['key']}"
    match receiver["kind"]:
        case ReceiverKind.SLACK:
            slack = {
                "api_url_file": held,
                "channel": receiver.get("channel", ""),
                "send_resolved": True,
                "title": "{{ .CommonLabels.alertname }}: {{ .CommonAnnotations.summary }}",
                "text": "{{ range .Alerts }}{{ .Annotations.description }} {{ .Annotations.runbook_url }}\n{{ end }}",
            }
            return {"name": name, "slack_configs": [slack]}
        case ReceiverKind.PAGERDUTY:
            return {"name": name, "pagerduty_configs": [{"routing_key_file": held, "send_resolved": True}]}
        case ReceiverKind.WEBHOOK:
            return {"name": name, "webhook_configs": [{"url_file": held, "send_resolved": True}]}
