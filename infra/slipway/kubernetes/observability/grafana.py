"""The Grafana of a stack: it knows what to ask, and its dashboards, from the start."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from slipway.kubernetes import restricted
from slipway.kubernetes.network import Peer
from slipway.kubernetes.observability.data_sources import DataSource
from slipway.kubernetes.observability.generated import generated_secret
from slipway.kubernetes.observability.grafana_args import GrafanaSettings
from slipway.kubernetes.observability.part import Part, Place, Volume
from slipway.kubernetes.observability.passwords import PASSWORD_KEY, new_password
from slipway.kubernetes.observability.server import deploy

ROLE = APP = "grafana"
PORT = 3000
USER = 472
"""User of the official image."""
CONFIG, DATA = "/etc/slipway", "/var/lib/grafana"
START_SECONDS = 300


def provisioning(sources: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """The files by which Grafana knows its data sources and its dashboards, by path."""
    provider: dict[str, Any] = {"name": "slipway", "folder": "Slipway", "options": {"path": f"{CONFIG}/shown"}}
    files: dict[str, object] = {
        "provisioning/datasources/slipway.yml": {"apiVersion": 1, "datasources": list(sources)},
        "provisioning/dashboards/slipway.yml": {"apiVersion": 1, "providers": [provider]},
    }
    return {path: yaml.safe_dump(content, sort_keys=False) for path, content in files.items()}


def make_grafana(
    place: Place,
    settings: GrafanaSettings,
    shown: pulumi.Output[dict[str, str]],
    sources: Sequence[DataSource],
) -> pulumi.Output[str]:
    """Make the server.

    Args:
        place: Where.
        settings: What was asked for.
        shown: The dashboards, by name of their file.
        sources: What it asks.

    Returns:
        Name of the Secret with the password of the user `admin`.
    """
    labels = restricted.labels(APP, place.name)
    secret = generated_secret(f"{ROLE}-admin", place, labels, {PASSWORD_KEY: new_password()})
    every: pulumi.Output[list[Any]] = pulumi.Output.all(shown, *(source.told for source in sources))
    files = every.apply(lambda told: {**provisioning(told[1:]), **{f"shown/{name}": text for name, text in told[0].items()}})
    admin = (secret.metadata.name, PASSWORD_KEY)
    part = Part(
        role=ROLE,
        app=APP,
        image=settings.image,
        user=USER,
        args=(),
        port=PORT,
        resources=settings.resources,
        volume=Volume(DATA, settings.storage_gib, settings.storage_class),
        ready={"http_get": {"path": "/api/health", "port": "http"}, "timeout_seconds": 5},
        alive={"tcp_socket": {"port": "http"}, "timeout_seconds": 5},
        start_seconds=START_SECONDS,
        config=files,
        config_path=CONFIG,
        env={
            "GF_PATHS_PROVISIONING": f"{CONFIG}/provisioning",
            "GF_SECURITY_ADMIN_USER": "admin",
            "GF_AUTH_ANONYMOUS_ENABLED": "false",
            "GF_USERS_ALLOW_SIGN_UP": "false",
            "GF_ANALYTICS_REPORTING_ENABLED": "false",
            "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
            "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
            **({"GF_SERVER_ROOT_URL": settings.root_url} if settings.root_url else {}),
        },
        env_secrets={
            "GF_SECURITY_ADMIN_PASSWORD": admin,
            **{key: held for source in sources for key, held in source.password.items()},
        },
        scratch={"/tmp": "256Mi"},  # noqa: S108 -- a mount
        allow_from={PORT: settings.allow_from},
        egress=[way for source in sources for way in source.egress],
    )
    deploy(part, place, [secret])
    return pulumi.Output.from_input(f"{place.name}-{ROLE}-admin")


def asker(place: Place) -> Peer:
    """Grafana, as policies of what it asks need to know it."""
    return {"pod_labels": restricted.selector(APP, place.name)}


def make_dashboards(place: Place, names: list[str], shown: pulumi.Output[dict[str, str]]) -> None:
    """A ConfigMap for each dashboard, as a Grafana that exists takes them up.

    Args:
        place: Where.
        names: Names of the services, in the order of their dashboards.
        shown: The dashboards.
    """
    labels = {**restricted.labels(APP, place.name), "grafana_dashboard": "1"}
    for i, name in enumerate(names):
        data = shown.apply(lambda told, i=i: dict([list(told.items())[i]]))
        role = f"dashboard-{i}-{name}"
        k8s.core.v1.ConfigMap(
            f"{place.name}-{role}",
            metadata=place.meta(role, labels),
            data=data,
            opts=pulumi.ResourceOptions(parent=place.parent),
        )
