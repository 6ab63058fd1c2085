"""Filebeat, as what reads the logs on every node where these go to an Elasticsearch."""

from collections.abc import Sequence
from typing import Any

import yaml

from slipway.kubernetes.observability.collector import CONFIG
from slipway.kubernetes.observability.log_agent import FILES, Destination, Program
from slipway.kubernetes.observability.log_index import INDEX
from slipway.kubernetes.observability.watched import Watched

DATA = "/usr/share/filebeat/data"
HEALTH_PORT = 5066
PASSWORD = "ELASTICSEARCH_PASSWORD"  # noqa: S105 -- a name
LINE_BYTES = 256 * 1024
"""Most of a line that is kept, as Loki does."""
WAITING, AT_ONCE = 512, 128
"""Lines: in memory, and in a request, which with the longest of them is within the 100 MiB that Elasticsearch takes."""


def configuration(services: Sequence[Watched], url: str, to: Destination) -> dict[str, str]:
    """The file that it is started with.

    Args:
        services: What is watched: all pods of their namespaces are read, and theirs are told by their names.
        url: Where Elasticsearch is.
        to: What else is known of it.
    """
    out: dict[str, Any] = {"hosts": [_with_port(url)], "index": INDEX, "bulk_max_size": AT_ONCE, "compression_level": 1}
    if to.secret is not None:
        out |= {"username": to.username, "password": f"${{{PASSWORD}}}"}
    namespaces = sorted({service.namespace for service in services})
    told: dict[str, Any] = {
        "filebeat.inputs": [
            {
                "type": "filestream",
                "id": "pods",
                "paths": [f"{FILES}/{namespace}_*/*/*.log" for namespace in namespaces],
                "parsers": [{"container": {"stream": "all", "format": "auto"}}],
                "message_max_bytes": LINE_BYTES,
                # By their first bytes, which is what it would go by, files shorter than these would not be read.
                "file_identity.native": None,
                "prospector.scanner.fingerprint.enabled": False,
                "close.on_state_change.inactive": "5m",
            }
        ],
        "processors": [*_places(), *_fields(), *_names(services), *_once()],
        "output.elasticsearch": out,
        # The index and how long it is kept are not the agents' to say, who may but add to it.
        "setup.template.enabled": False,
        "setup.ilm.enabled": False,
        "queue.mem": {"events": WAITING, "flush.min_events": AT_ONCE, "flush.timeout": "1s"},
        "http": {"enabled": True, "host": "0.0.0.0", "port": HEALTH_PORT},  # noqa: S104 -- of the pod, for kubelet's probes
        "logging.metrics.enabled": False,
    }
    return {"filebeat.yml": yaml.safe_dump(told, sort_keys=False, width=1000)}


FILEBEAT = Program(configuration, ["-e", "-c", f"{CONFIG}/filebeat.yml", "--path.data", DATA], DATA, HEALTH_PORT, PASSWORD)


def _with_port(url: str) -> str:
    """It takes 9200 where an address has none, whatever its scheme."""
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    port = "443" if scheme == "https" else "80"
    return url if ":" in host.rpartition("]")[2] else f"{scheme}://{host}:{port}{slash}{path}"


def _places() -> list[dict[str, Any]]:
    """Whose lines they are, as the file's path tells."""
    # What is left out has a name that is unlike the others.
    path = f"{FILES}/%{{namespace.name}}_%{{pod.name}}_%{{pod.uid}}/%{{container.name}}/%{{file}}"
    return [{"dissect": {"tokenizer": path, "field": "log.file.path", "target_prefix": "k8s"}}]


def _fields() -> list[dict[str, Any]]:
    """What the lines of JSON tell of themselves, as fields of their own. The line stays as it is."""
    taken = {"level": "log.level", "request_id": "request_id", "trace_id": "trace_id", "span_id": "span_id"}
    parse = {"fields": ["message"], "target": "parsed", "max_depth": 1, "add_error_key": False}
    convert = {
        "fields": [{"from": f"parsed.{key}", "to": field, "type": "string"} for key, field in taken.items()],
        "ignore_missing": True,
        "fail_on_error": False,
    }
    return [
        {"decode_json_fields": {**parse, "when": {"regexp": {"message": r"^\{"}}}},
        {"convert": convert},
    ]


def _names(services: Sequence[Watched]) -> list[dict[str, Any]]:
    """Who wrote: the service's name for the pods of one that is watched, the container's for others."""
    return [
        {"copy_fields": {"fields": [{"from": "k8s.container.name", "to": "service.name"}], "fail_on_error": False}},
        *(
            {
                "add_fields": {
                    "when": {
                        "and": [
                            {"equals": {"k8s.namespace.name": service.namespace}},
                            {"regexp": {"k8s.pod.name": _literal(f"^(?:{service.pods})$")}},
                        ]
                    },
                    "target": "service",
                    "fields": {"name": _literal(service.name)},
                }
            }
            for service in services
        ),
    ]


def _once() -> list[dict[str, Any]]:
    """A line that is sent again, since nobody said that it had come, has the id of the first."""
    named = {"fields": ["log.file.path", "log.offset", "k8s.pod.uid", "message", "@timestamp"], "target_field": "@metadata._id"}
    others = ["agent", "ecs", "host", "input", "parsed", "k8s.file", "k8s.pod.uid", "log.file"]
    return [
        {"fingerprint": {**named, "ignore_missing": True}},
        {"drop_fields": {"fields": others, "ignore_missing": True}},
    ]


def _literal(plain: str) -> str:
    """Beats put variables in after a '$' and a brace, unless there are two."""
    return plain.replace("${", "$${")
