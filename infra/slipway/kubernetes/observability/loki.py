"""The Loki of a stack: its configuration, and the nginx before it that asks for passwords."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pulumi_kubernetes as k8s
import yaml

from slipway.backend import Egress
from slipway.kubernetes import restricted
from slipway.kubernetes.network import Peer
from slipway.kubernetes.observability.generated import generated_secret
from slipway.kubernetes.observability.logs_args import LogsSettings
from slipway.kubernetes.observability.part import Front, Part, Place, Volume
from slipway.kubernetes.observability.passwords import PASSWORD_KEY, PUSH_KEY, PUSH_USERNAME, USERNAME, hashed, new_password
from slipway.kubernetes.observability.server import deploy
from slipway.quantities import parse

ROLE = APP = "loki"
PORT = 3100
"""Of nginx. Loki itself listens on the loopback."""
INNER_PORT, GRPC_PORT = 3101, 9096
USER = 10001
"""User of the official image."""
CONFIG, AUTH, DATA = "/etc/slipway", "/etc/slipway-auth", "/loki"
READERS, WRITERS = "readers", "writers"
OTLP = "/otlp"
"""Where OTLP goes, below the base address."""
LABELS: Mapping[str, str] = {
    "service": "service.name",
    "namespace": "k8s.namespace.name",
    "container": "k8s.container.name",
}
"""The attributes by which lines are found. Each value of each is a stream of its own, so names of pods are not among them."""
BODY_MIB = 32
"""Most that a request may have."""
MOST_MIB = 2
"""Of lines at once: less than what is taken in a moment, or it would never be taken."""
START_SECONDS = 600
"""How long the last hours' lines may take to be read back from the volume."""
_ROUNDS = 4
"""Of bcrypt: nginx reckons it anew for every request."""
_LIKE_NGINX: k8s.core.v1.ResourceRequirementsArgsDict = {
    "requests": {"cpu": "20m", "memory": "32Mi"},
    "limits": {"cpu": "500m", "memory": "64Mi"},
}
_READ = "query|query_range|labels|label/[^/]+/values|series|tail|index/(stats|volume|volume_range)|detected_(labels|fields)"
"""What Grafana asks. Nothing here deletes, flushes or ends the server."""


def configuration(settings: LogsSettings) -> dict[str, str]:
    """The files that Loki and nginx are started with."""
    # On average a day's lines come at this rate; four times as many at busy hours, and Loki's own default at least.
    rate = max(4, math.ceil(4 * settings.daily_gib * 1024 / 86400))
    limits = cast("Mapping[str, str]", settings.resources.get("limits", {}))
    told: dict[str, Any] = {
        "auth_enabled": False,
        "server": {
            "http_listen_address": "127.0.0.1",
            "http_listen_port": INNER_PORT,
            "grpc_listen_address": "127.0.0.1",
            "grpc_listen_port": GRPC_PORT,
            "log_format": "json",
            # Its own parts hand each other what comes at once, which may be as much as nginx lets in.
            "grpc_server_max_recv_msg_size": 2 * BODY_MIB * 2**20,
            "grpc_server_max_send_msg_size": 2 * BODY_MIB * 2**20,
        },
        "common": {
            "instance_addr": "127.0.0.1",
            "path_prefix": DATA,
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {"filesystem": {"chunks_directory": f"{DATA}/chunks", "rules_directory": f"{DATA}/rules"}},
        },
        "schema_config": {
            "configs": [
                {
                    "from": "2024-04-01",
                    "store": "tsdb",
                    "object_store": "filesystem",
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
        "ingester": {
            # There is no other whose joining would have to be waited for.
            "lifecycler": {"min_ready_duration": "0s"},
            # What is read back after a crash must not take all the memory there is.
            "wal": {"replay_memory_ceiling": f"{int(parse(limits.get('memory', '2Gi'))) // 2 // 2**20}MB"},
        },
        "distributor": {"otlp_config": {"default_resource_attributes_as_index_labels": list(LABELS.values())}},
        "limits_config": {
            "retention_period": f"{24 * settings.retention_days}h",
            # Else whoever writes a line longer than 256 KiB would lose it.
            "max_line_size_truncate": True,
            "ingestion_rate_mb": rate,
            "ingestion_burst_size_mb": 2 * rate,
            "per_stream_rate_limit": f"{rate}MB",
            "per_stream_rate_limit_burst": f"{2 * rate}MB",
        },
        "compactor": {
            "working_directory": f"{DATA}/compactor",
            "retention_enabled": True,
            "delete_request_store": "filesystem",
        },
        "analytics": {"reporting_enabled": False},
    }
    return {"loki.yml": yaml.safe_dump(told, sort_keys=False, width=1000), "nginx.conf": _nginx()}


def arguments() -> list[str]:
    """Its command line."""
    return [f"-config.file={CONFIG}/loki.yml", "-target=all"]


def proxy_command() -> list[str]:
    """nginx's."""
    return ["nginx", "-e", "stderr", "-c", f"{CONFIG}/nginx.conf"]


def credentials() -> dict[str, str]:
    """Two new passwords, and the files by which nginx knows them."""
    password, push = new_password(), new_password()
    return {
        PASSWORD_KEY: password,
        PUSH_KEY: push,
        READERS: f"{USERNAME}:{hashed(password, _ROUNDS)}\n",
        WRITERS: f"{PUSH_USERNAME}:{hashed(push, _ROUNDS)}\n",
    }


def make_loki(place: Place, settings: LogsSettings, askers: Sequence[Peer], senders: Sequence[Peer]) -> k8s.core.v1.Secret:
    """Make the server.

    Args:
        place: Where.
        settings: What was asked for.
        askers: This stack's own parts that ask it.
        senders: Those that send to it.

    Returns:
        The Secret with the passwords.
    """
    secret = generated_secret(f"{ROLE}-auth", place, restricted.labels(APP, place.name), credentials())
    ready: k8s.core.v1.ProbeArgsDict = {"http_get": {"path": "/ready", "port": PORT}, "timeout_seconds": 5}
    part = Part(
        role=ROLE,
        app=APP,
        image=settings.image,
        user=USER,
        args=arguments(),
        port=PORT,
        resources=settings.resources,
        volume=Volume(DATA, settings.storage_gib, settings.storage_class),
        ready=ready,
        alive={"http_get": {"path": "/alive", "port": PORT}, "timeout_seconds": 5},
        start_seconds=START_SECONDS,
        config=configuration(settings),
        config_path=CONFIG,
        secrets={AUTH: (secret.metadata.name, [READERS, WRITERS])},
        scratch={"/tmp": "256Mi"},  # noqa: S108 -- a mount
        allow_from={PORT: [*askers, *senders, *settings.allow_from]},
        front=Front(
            name="proxy",
            image=settings.proxy_image,
            command=proxy_command(),
            resources=_LIKE_NGINX,
            ready={"http_get": {"path": "/proxy", "port": PORT}, "timeout_seconds": 5},
            alive={"tcp_socket": {"port": PORT}, "timeout_seconds": 5},
        ),
    )
    deploy(part, place, [secret])
    return secret


def way_to(place: Place) -> list[Egress]:
    """Loki, as others' policies need to know it."""
    return [{"pod_labels": restricted.selector(APP, place.name), "namespace": place.namespace, "port": PORT}]


def _nginx() -> str:
    inner = f"proxy_pass http://127.0.0.1:{INNER_PORT}"

    def guarded(who: str) -> str:
        return f"auth_basic {json.dumps('Loki')}; auth_basic_user_file {AUTH}/{who};"

    temporary = "".join(f"  {what}_temp_path /tmp/{what};\n" for what in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    return f"""\
daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  server_tokens off;
{temporary}  client_max_body_size {BODY_MIB}m;
  proxy_http_version 1.1;
  proxy_read_timeout 310s;
  map $http_upgrade $connection_upgrade {{ default upgrade; '' ''; }}
  proxy_set_header Authorization "";
  proxy_set_header Upgrade $http_upgrade;
  proxy_set_header Connection $connection_upgrade;
  server {{
    listen {PORT};
    location = /proxy {{ return 204; }}
    location = /ready {{ {inner}; }}
    location = /alive {{ {inner}/loki/api/v1/status/buildinfo; }}
    location = {OTLP}/v1/logs {{ {guarded(WRITERS)} {inner}; }}
    location = /loki/api/v1/push {{ {guarded(WRITERS)} {inner}; }}
    location ~ "^/loki/api/v1/({_READ})$" {{ {guarded(READERS)} {inner}; }}
    location / {{ return 404; }}
  }}
}}
"""
