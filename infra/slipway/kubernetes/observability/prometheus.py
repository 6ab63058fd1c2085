"""The Prometheus of a stack: its configuration, and the server that has it."""

from collections.abc import Mapping, Sequence
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from slipway.backend import Egress
from slipway.kubernetes import restricted
from slipway.kubernetes.network import ANYWHERE, Peer
from slipway.kubernetes.observability.generated import generated_secret
from slipway.kubernetes.observability.objectives import Promise, duration
from slipway.kubernetes.observability.part import Part, Place, Volume
from slipway.kubernetes.observability.passwords import PASSWORD_KEY, USERNAME, hashed, new_password
from slipway.kubernetes.observability.prometheus_args import API_PORTS, PrometheusSettings
from slipway.kubernetes.observability.rules import RULES_FILE, rule_groups
from slipway.kubernetes.observability.scrape import scrape_configs, timeout
from slipway.kubernetes.observability.server import deploy
from slipway.kubernetes.observability.watched import Watched, WatchedService
from slipway.kubernetes.observability.workload import Workload

ROLE = APP = "prometheus"
PORT = 9090
USER = 65534
"""User of the official image."""
CONFIG, AUTH, DATA = "/etc/prometheus/config", "/etc/prometheus/auth", "/prometheus"
WEB_KEY = "web.yml"
START_SECONDS = 1800
"""How long the last hours' readings may take to be read back from the volume."""


def configuration(
    services: Sequence[Watched],
    promise: Promise,
    interval: float,
    runbooks: str,
    alertmanagers: Sequence[Mapping[str, Any]] = (),
    jobs: Sequence[Mapping[str, Any]] = (),
    workloads: Sequence[Workload] = (),
) -> dict[str, str]:
    """The files that Prometheus is started with.

    Args:
        services: What it reads.
        promise: What it judges that by.
        interval: Seconds between two readings.
        runbooks: Where the alerts' pages are.
        alertmanagers: Whom it tells, in terms of its configuration.
        jobs: What it reads beside the services, in the same terms.
        workloads: What is watched by its objects alone.
    """
    every = duration(interval)
    main: dict[str, Any] = {
        "global": {"scrape_interval": every, "scrape_timeout": timeout(interval), "evaluation_interval": every},
        "rule_files": [f"{CONFIG}/{RULES_FILE}"],
        "scrape_configs": [*scrape_configs(services), *jobs],
    }
    if alertmanagers:
        main["alerting"] = {"alertmanagers": list(alertmanagers)}
    # By this the pod's probes ask it.
    client = {"basic_auth": {"username": USERNAME, "password_file": f"{AUTH}/{PASSWORD_KEY}"}}
    files: dict[str, object] = {
        "prometheus.yml": main,
        RULES_FILE: {"groups": rule_groups(services, promise, runbooks, workloads)},
        "client.yml": client,
    }
    return {name: yaml.safe_dump(content, sort_keys=False, width=1000) for name, content in files.items()}


def arguments(settings: PrometheusSettings) -> list[str]:
    """Its command line."""
    return [
        f"--config.file={CONFIG}/prometheus.yml",
        f"--web.config.file={AUTH}/{WEB_KEY}",
        f"--web.listen-address=:{PORT}",
        f"--storage.tsdb.path={DATA}",
        f"--storage.tsdb.retention.time={settings.retention_days}d",
        # The write-ahead log comes on top of what this bounds.
        f"--storage.tsdb.retention.size={settings.storage_gib * 1024 * 4 // 5}MB",
    ]


def credentials() -> dict[str, str]:
    """A new password, and the file by which the server knows it."""
    password = new_password()
    return {PASSWORD_KEY: password, WEB_KEY: yaml.safe_dump({"basic_auth_users": {USERNAME: hashed(password)}})}


def make_prometheus(
    place: Place,
    settings: PrometheusSettings,
    files: pulumi.Input[Mapping[str, str]],
    watch: Sequence[WatchedService],
    ways: Sequence[Egress],
    askers: Sequence[Peer],
    passwords: Mapping[str, pulumi.Input[str]],
) -> pulumi.Output[str]:
    """Make the server, and let it read what it watches.

    Args:
        place: Where.
        settings: What was asked for.
        files: Its configuration.
        watch: What it reads.
        ways: Where it connects to beside the services.
        askers: This stack's own parts that ask it.
        passwords: Folders, each with the Secret whose password is there.

    Returns:
        Name of the Secret with the password.
    """
    labels = restricted.labels(APP, place.name)
    secret = generated_secret(f"{ROLE}-auth", place, labels, credentials())
    reading = [
        resource for service in watch for resource in reader(place, service, labels, f"{place.name}-{ROLE}", place.namespace)
    ]
    api: list[Egress] = [
        {"cidr": cidr, "port": port}
        for port in API_PORTS
        for cidr in (ANYWHERE if settings.api_cidr is None else [settings.api_cidr])
    ]
    pods: list[Egress] = [
        {"pod_labels": service["pod_labels"], "namespace": service["namespace"], "port": service["port"]} for service in watch
    ]
    ask = ["promtool", "check"]
    client = [f"--url=http://127.0.0.1:{PORT}", f"--http.config.file={CONFIG}/client.yml"]
    part = Part(
        role=ROLE,
        app=APP,
        image=settings.image,
        user=USER,
        args=arguments(settings),
        port=PORT,
        resources=settings.resources,
        volume=Volume(DATA, settings.storage_gib, settings.storage_class),
        ready={"exec_": {"command": [*ask, "ready", *client]}, "timeout_seconds": 5},
        alive={"exec_": {"command": [*ask, "healthy", *client]}, "timeout_seconds": 5},
        start_seconds=START_SECONDS,
        config=files,
        config_path=CONFIG,
        secrets={
            AUTH: (secret.metadata.name, [PASSWORD_KEY, WEB_KEY]),
            **{folder: (held, [PASSWORD_KEY]) for folder, held in passwords.items()},
        },
        asks_kubernetes=True,
        allow_from={PORT: [*askers, *settings.allow_from]},
        egress=[*api, *pods, *ways],
    )
    deploy(part, place, [secret, *reading])
    return pulumi.Output.from_input(f"{place.name}-{ROLE}-auth")


def way_to_prometheus(place: Place) -> list[Egress]:
    """Prometheus, as others' policies need to know it."""
    return [{"pod_labels": restricted.selector(APP, place.name), "namespace": place.namespace, "port": PORT}]


def reader(
    place: Place, service: WatchedService, labels: Mapping[str, str], account: str, home: pulumi.Input[str]
) -> list[pulumi.Resource]:
    """The permission to find a service's pods, in its own namespace and nowhere else.

    Args:
        place: Where the stack is.
        service: Whose pods.
        labels: Of the permission.
        account: ServiceAccount that gets it.
        home: Namespace of the account.
    """
    name = f"{place.name}-reads-{service['name']}"
    meta: k8s.meta.v1.ObjectMetaArgsDict = {"name": name, "namespace": service["namespace"], "labels": labels}
    role = k8s.rbac.v1.Role(
        f"{name}-role",
        metadata=meta,
        rules=[{"api_groups": [""], "resources": ["pods"], "verbs": ["get", "list", "watch"]}],
        opts=pulumi.ResourceOptions(parent=place.parent),
    )
    binding = k8s.rbac.v1.RoleBinding(
        f"{name}-binding",
        metadata=meta,
        role_ref={"api_group": "rbac.authorization.k8s.io", "kind": "Role", "name": name},
        subjects=[{"kind": "ServiceAccount", "name": account, "namespace": home}],
        opts=pulumi.ResourceOptions(parent=place.parent, depends_on=[role]),
    )
    return [binding]
