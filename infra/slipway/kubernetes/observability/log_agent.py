"""What reads the logs on every node: it follows the files of the watched namespaces' pods, and sends their lines. To a Loki that
is a collector."""

import base64
import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_kubernetes as k8s
import yaml

from slipway.backend import Egress
from slipway.kubernetes import restricted
from slipway.kubernetes.ai_namespace_args import PodSecurityLevel, pod_security_labels
from slipway.kubernetes.observability.collector import CONFIG, DATA, HEALTH_PORT, START_SECONDS, memory_limiter
from slipway.kubernetes.observability.log_agent_args import LogAgentSettings
from slipway.kubernetes.observability.loki import MOST_MIB, OTLP
from slipway.kubernetes.observability.part import Part, Place, Volume
from slipway.kubernetes.observability.server import pod_template
from slipway.kubernetes.observability.watched import Watched

ROLE = APP = "log-agent"
AUTH = "/etc/slipway-logs"
FILES = "/var/log/pods"
"""Where kubelet has the runtimes write, on the node and in the pod: NAMESPACE_POD_UID/CONTAINER/N.log."""
MIB = 2**20
STATE = "/var/lib/slipway"
"""Folder of the node's in which root has a folder for what was read."""
GROUP = 0
"""Of the files, by which whoever is not root may read them: containerd makes them with the mode 0640, kubelet their folders with
0750 and 0755."""


@dataclass(frozen=True)
class Destination:
    """A Loki or an Elasticsearch, as those who send to it need to know it."""

    url: pulumi.Input[str]
    username: str
    secret: pulumi.Input[str] | None
    """The Secret with the password, in the agent's namespace. None: it asks for none."""
    key: str
    tenant: str | None
    egress: Sequence[Egress]


@dataclass(frozen=True)
class Program:
    """What an agent runs."""

    files: Callable[[Sequence[Watched], str, Destination], dict[str, str]]
    """Its configuration, of what is watched, where lines go, and what else is known of that."""
    args: Sequence[str]
    data: str
    """Folder for what was read."""
    port: int
    """Where it tells kubelet that it lives."""
    variable: str | None = None
    """Of its environment, for the password. None: it reads a file below `AUTH`."""


def configuration(services: Sequence[Watched], url: str, to: Destination) -> dict[str, str]:
    """The file that it is started with.

    Args:
        services: What is watched: all pods of their namespaces are read, and theirs are told by their names.
        url: Where Loki is.
        to: What else is known of it.
    """
    out: dict[str, Any] = {
        "endpoint": f"{url}{OTLP}",
        # What waits here is on disk beside the note of what was read, so that they are lost together; the rest waits in the
        # node's files. Nothing is given up.
        "retry_on_failure": {"max_elapsed_time": "0s"},
        "sending_queue": {
            "storage": "file_storage",
            "sizer": "bytes",
            "queue_size": 64 * MIB,
            "block_on_overflow": True,
            "batch": {"flush_timeout": "1s", "sizer": "bytes", "min_size": MIB, "max_size": MOST_MIB * MIB},
        },
    }
    extensions: dict[str, Any] = {
        "health_check": {"endpoint": f"0.0.0.0:{HEALTH_PORT}"},
        "file_storage": {"directory": DATA},
    }
    if to.secret is not None:
        client = {"username": to.username, "password_file": f"{AUTH}/{to.key}"}
        extensions["basicauth"] = {"client_auth": client}
        out["auth"] = {"authenticator": "basicauth"}
    if to.tenant is not None:
        out["headers"] = {"X-Scope-OrgID": _literal(to.tenant)}
    namespaces = sorted({service.namespace for service in services})
    reader: dict[str, Any] = {
        "include": [f"{FILES}/{namespace}_*/*/*.log" for namespace in namespaces],
        # Of a file that nothing was written down about.
        "start_at": "beginning",
        "storage": "file_storage",
        "include_file_path": True,
        "include_file_name": False,
        "retry_on_failure": {"enabled": True, "max_elapsed_time": "0s"},
        "operators": [{"type": "container"}, *_fields(), *_names(services)],
    }
    told: dict[str, Any] = {
        "extensions": extensions,
        "receivers": {"file_log": reader},
        "processors": {
            "memory_limiter": memory_limiter(),
            # When a line was read is not part of it: Loki would take one that is read again for another.
            "transform": {"log_statements": ["set(log.observed_time_unix_nano, 0)"]},
        },
        "exporters": {"otlp_http": out},
        "service": {
            "extensions": list(extensions),
            "pipelines": {
                "logs": {
                    "receivers": ["file_log"],
                    "processors": ["memory_limiter", "transform"],
                    "exporters": ["otlp_http"],
                }
            },
            "telemetry": {"metrics": {"level": "none"}, "logs": {"encoding": "json"}},
        },
    }
    return {"agent.yml": yaml.safe_dump(told, sort_keys=False, width=1000)}


COLLECTOR = Program(configuration, [f"--config={CONFIG}/agent.yml"], DATA, HEALTH_PORT)


def make_agent(
    place: Place,
    program: Program,
    settings: LogAgentSettings,
    services: pulumi.Output[list[Watched]],
    to: Destination,
    password: pulumi.Output[str] | None,
) -> None:
    """Make the agents, and their namespace.

    Args:
        place: Where the stack is.
        program: What they run.
        settings: What was asked for.
        services: What is watched.
        to: Where lines go.
        password: What the Secret named there holds, if it is to be made.
    """
    labels = restricted.labels(APP, place.name)
    home = k8s.core.v1.Namespace(
        f"{place.name}-{ROLE}-namespace",
        metadata={
            "name": settings.namespace,
            "labels": {**labels, **pod_security_labels(PodSecurityLevel.PRIVILEGED)},
        },
        opts=pulumi.ResourceOptions(parent=place.parent),
    )
    inside = home.metadata.apply(lambda metadata: metadata.name or settings.namespace)
    there = dataclasses.replace(place, namespace=inside, node_selector=settings.node_selector)
    needed: list[pulumi.Resource] = []
    if password is not None:
        needed.append(
            k8s.core.v1.Secret(
                f"{place.name}-{ROLE}-auth",
                metadata=there.meta(f"{ROLE}-auth", labels),
                data={to.key: password.apply(lambda plain: base64.b64encode(plain.encode()).decode())},
                opts=pulumi.ResourceOptions(parent=place.parent),
            )
        )
    both: pulumi.Output[list[Any]] = pulumi.Output.all(services, to.url)
    answers: k8s.core.v1.ProbeArgsDict = {"http_get": {"path": "/", "port": program.port}, "timeout_seconds": 5}
    held = None if to.secret is None else (to.secret, to.key)
    part = Part(
        role=ROLE,
        app=APP,
        image=settings.image,
        user=settings.user,
        args=program.args,
        port=program.port,
        resources=settings.resources,
        volume=Volume(program.data, 0),
        ready=answers,
        alive=answers,
        start_seconds=START_SECONDS,
        config=both.apply(lambda known: program.files(known[0], known[1], to)),
        config_path=CONFIG,
        secrets={AUTH: (held[0], [held[1]])} if held and not program.variable else {},
        env_secrets={program.variable: held} if held and program.variable else {},
        egress=to.egress,
    )
    before, template = pod_template(part, there)
    k8s.apps.v1.DaemonSet(
        f"{place.name}-{ROLE}",
        metadata=there.meta(ROLE, labels),
        spec={
            "selector": {"match_labels": restricted.selector(APP, place.name)},
            "update_strategy": {"type": "RollingUpdate", "rolling_update": {"max_unavailable": "10%"}},
            "template": _on_the_node(template, settings),
        },
        opts=pulumi.ResourceOptions(parent=place.parent, depends_on=[*needed, *before]),
    )


def _on_the_node(
    template: k8s.core.v1.PodTemplateSpecArgsDict, settings: LogAgentSettings
) -> k8s.core.v1.PodTemplateSpecArgsDict:
    """The same on every node, with the node's files, by those who may: all else is as restricted as any pod here."""
    spec: Any = template.get("spec", {})
    (container,) = spec["containers"]
    root = settings.user == 0
    mount: k8s.core.v1.VolumeMountArgsDict = {"name": "logs", "mount_path": FILES, "read_only": True}
    volumes: list[k8s.core.v1.VolumeArgsDict] = [{"name": "logs", "host_path": {"path": FILES, "type": "Directory"}}]
    if root:
        state = f"{STATE}/{settings.namespace}"
        volumes.append({"name": "data", "host_path": {"path": state, "type": "DirectoryOrCreate"}})
    others = [volume for volume in spec["volumes"] if not (root and volume["name"] == "data")]
    made: Any = {
        **spec,
        "security_context": {**spec["security_context"], "run_as_non_root": not root, "run_as_group": GROUP},
        "containers": [{**container, "volume_mounts": [*container["volume_mounts"], mount]}],
        "volumes": [*others, *volumes],
        "tolerations": [{"operator": "Exists", "effect": "NoSchedule"}],
    }
    return {**template, "spec": made}


def _fields() -> list[dict[str, Any]]:
    """What the lines of JSON tell of themselves, in the fields where OpenTelemetry has it. The line stays as it is."""
    parsed = "attributes.parsed"
    quiet = {"on_error": "send_quiet"}
    return [
        {"type": "json_parser", "if": 'body matches "^[{]"', "parse_to": parsed, **quiet},
        {
            "type": "severity_parser",
            "if": f"{parsed}?.level != nil",
            "parse_from": f"{parsed}.level",
            **quiet,
        },
        {
            "type": "trace_parser",
            "if": f"{parsed}?.trace_id != nil",
            "trace_id": {"parse_from": f"{parsed}.trace_id"},
            "span_id": {"parse_from": f"{parsed}.span_id"},
            **quiet,
        },
        {
            "type": "copy",
            "if": f"{parsed}?.request_id != nil",
            "from": f"{parsed}.request_id",
            "to": "attributes.request_id",
            **quiet,
        },
        *[
            {"type": "remove", "if": f"{have} != nil", "field": field}
            for have, field in (
                (parsed, parsed),
                *((f'attributes["{key}"]', f'attributes["{key}"]') for key in ("log.file.path", "logtag")),
                *((f'resource["{key}"]', f'resource["{key}"]') for key in ("k8s.pod.uid", "k8s.container.restart_count")),
            )
        ],
    ]


def _names(services: Sequence[Watched]) -> list[dict[str, Any]]:
    """Who wrote: the service's name for the pods of one that is watched, the container's for others."""
    name = 'resource["service.name"]'
    return [
        {"type": "copy", "from": 'resource["k8s.container.name"]', "to": name},
        *(
            {
                "type": "add",
                "if": f'resource["k8s.namespace.name"] == {_text(service.namespace)}'
                f' and resource["k8s.pod.name"] matches {_text(f"^(?:{service.pods})$")}',
                "field": name,
                "value": _literal(service.name),
            }
            for service in services
        ),
    ]


def _text(plain: str) -> str:
    """A string of the collector's expressions, in its configuration."""
    return _literal(json.dumps(plain, ensure_ascii=False))


def _literal(plain: str) -> str:
    """The collector puts variables in after a '$', unless there are two."""
    return plain.replace("$", "$$")
