"""The Kibana of a stack: it shows what its Elasticsearch has, to those who have a password there."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pulumi_kubernetes as k8s
import yaml

from slipway.kubernetes import restricted
from slipway.kubernetes.network import Peer
from slipway.kubernetes.observability.elasticsearch import ENCRYPTION_KEYS, TOKEN_KEY, USER, way_to
from slipway.kubernetes.observability.kibana_args import KibanaSettings
from slipway.kubernetes.observability.part import Part, Place, Volume
from slipway.kubernetes.observability.server import pod_template, service
from slipway.quantities import parse

ROLE = APP = "kibana"
PORT = 5601
HOME = "/usr/share/kibana"
CONFIG, DATA = "/etc/slipway", f"{HOME}/data"
START_SECONDS = 600
"""How long its indices may take to be made, or to be brought to another version."""
_VARIABLES = {
    "elasticsearch.serviceAccountToken": ("SLIPWAY_TOKEN", TOKEN_KEY),
    "xpack.security.encryptionKey": ("SLIPWAY_SESSION_KEY", ENCRYPTION_KEYS["session"]),
    "xpack.encryptedSavedObjects.encryptionKey": ("SLIPWAY_OBJECTS_KEY", ENCRYPTION_KEYS["objects"]),
    "xpack.reporting.encryptionKey": ("SLIPWAY_REPORTS_KEY", ENCRYPTION_KEYS["reports"]),
}
"""Settings with the variable that fills each, and the Secret's key. Variables with names of Kibana's own would be put on its
command line by its image."""


def configuration(elasticsearch: str, root_url: str | None) -> dict[str, str]:
    """The file that it is started with.

    Args:
        elasticsearch: Where that is.
        root_url: Where browsers find it.
    """
    told: dict[str, Any] = {
        "server.name": "kibana",
        "server.host": "0.0.0.0",  # noqa: S104 -- of the pod
        "server.port": PORT,
        "elasticsearch.hosts": [elasticsearch],
        **{setting: f"${{{variable}}}" for setting, (variable, _) in _VARIABLES.items()},
        # It has no way out.
        "telemetry.optIn": False,
        "telemetry.allowChangingOptInStatus": False,
        "newsfeed.enabled": False,
        "map.includeElasticMapsService": False,
        "xpack.fleet.isAirGapped": True,
    }
    if root_url is not None:
        told["server.publicBaseUrl"] = root_url
    return {"kibana.yml": yaml.safe_dump(told, sort_keys=False, width=1000)}


def make_kibana(
    place: Place, settings: KibanaSettings, elasticsearch: pulumi.Output[str], secret: k8s.core.v1.Secret, server: pulumi.Resource
) -> None:
    """Make the server.

    Args:
        place: Where.
        settings: What was asked for.
        elasticsearch: Where that is.
        secret: With its token and keys.
        server: The Elasticsearch.
    """
    limits = cast("Mapping[str, str]", settings.resources.get("limits", {}))
    heap = int(parse(limits["memory"])) * 6 // 10 // 2**20
    part = Part(
        role=ROLE,
        app=APP,
        image=settings.image,
        user=USER,
        args=[],
        port=PORT,
        resources=settings.resources,
        volume=Volume(DATA, 0),
        # Without a password it tells whether it can serve, and nothing else.
        ready={"http_get": {"path": "/api/status", "port": PORT}, "timeout_seconds": 10},
        alive={"tcp_socket": {"port": PORT}, "timeout_seconds": 5},
        start_seconds=START_SECONDS,
        config=elasticsearch.apply(lambda url: configuration(url, settings.root_url)),
        config_path=CONFIG,
        env={"KBN_PATH_CONF": CONFIG, "NODE_OPTIONS": f"--max-old-space-size={heap}"},
        env_secrets={variable: (secret.metadata.name, key) for variable, key in _VARIABLES.values()},
        scratch={"/tmp": "1Gi", f"{HOME}/logs": "256Mi"},  # noqa: S108 -- mounts
        allow_from={PORT: settings.allow_from},
        egress=way_to(place),
    )
    labels = restricted.labels(APP, place.name)
    there = service(part, place)
    needed, template = pod_template(part, place)
    k8s.apps.v1.Deployment(
        f"{place.name}-{ROLE}",
        metadata=place.meta(ROLE, labels),
        spec={
            "replicas": 1,
            "selector": {"match_labels": restricted.selector(APP, place.name)},
            # Two of different versions would both bring its indices to theirs.
            "strategy": {"type": "Recreate"},
            "template": template,
        },
        opts=pulumi.ResourceOptions(parent=place.parent, depends_on=[there, *needed, secret, server]),
    )


def asker(place: Place) -> Peer:
    """Kibana, as Elasticsearch's policy needs to know it."""
    return {"pod_labels": restricted.selector(APP, place.name)}
