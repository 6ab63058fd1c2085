"""The Elasticsearch of a stack: one node, whose users are in files that are made with it."""

import base64
import secrets
from collections.abc import Mapping, Sequence
from typing import cast

import bcrypt
import pulumi_kubernetes as k8s
import yaml

from slipway.backend import Egress
from slipway.kubernetes import restricted
from slipway.kubernetes.network import Peer
from slipway.kubernetes.observability.generated import generated_secret
from slipway.kubernetes.observability.log_index import INDEX
from slipway.kubernetes.observability.logs_args import LogsSettings
from slipway.kubernetes.observability.part import Part, Place, Volume
from slipway.kubernetes.observability.passwords import PASSWORD_KEY, PUSH_KEY, PUSH_USERNAME, ROUNDS, USERNAME, new_password
from slipway.kubernetes.observability.server import deploy
from slipway.quantities import parse

ROLE = APP = "elasticsearch"
PORT = 9200
READY_PORT = 9399
"""Open while the node is ready, and asks for no password."""
USER = 1000
"""User of the official images of Elasticsearch and Kibana."""
HOME = "/usr/share/elasticsearch"
CONFIG, AUTH, DATA = "/etc/slipway", "/etc/slipway-auth", f"{HOME}/data"
USERS, USERS_ROLES, TOKENS = "users", "users_roles", "service_tokens"
ADMIN, ADMIN_KEY = "elastic", "elastic-password"
TOKEN_KEY = "kibana-token"  # noqa: S105 -- a name
ENCRYPTION_KEYS = {"session": "kibana-session-key", "objects": "kibana-objects-key", "reports": "kibana-reports-key"}
"""Of what Kibana keeps in its users' cookies, in Elasticsearch, and in reports."""
READER, WRITER = "slipway_reader", "slipway_agent"
"""Roles of those who ask and of those who send."""
START_SECONDS = 900
"""How long shards may take to be read from the volume, and what was not yet in them to be put there."""
HEAP_MIB = 31 * 1024
"""Above that a JVM needs longer pointers, and has less room."""


def configuration() -> dict[str, str]:
    """The files that it is started with."""
    told = {
        "cluster.name": "logs",
        "node.name": ROLE,
        # With which neither what nodes say to each other nor Kibana's token wants TLS (HttpTlsRuntimeCheck.java).
        "discovery.type": "single-node",
        "http.host": "0.0.0.0",  # noqa: S104 -- of the pod
        "http.port": PORT,
        # Nobody joins.
        "transport.host": "127.0.0.1",
        "readiness.port": READY_PORT,
        # Else the node's `vm.max_map_count` would have to be raised, for which a pod would need privileges.
        "node.store.allow_mmap": False,
        "xpack.security.enabled": True,
        "xpack.security.autoconfiguration.enabled": False,
        "xpack.security.http.ssl.enabled": False,
        "xpack.security.transport.ssl.enabled": False,
        # `elastic` too is in the file of users, so that its password is the Secret's and no other.
        "xpack.security.authc.reserved_realm.enabled": False,
        "xpack.ml.enabled": False,
        # It has no way out.
        "ingest.geoip.downloader.enabled": False,
    }
    reads = {"names": [INDEX], "privileges": ["read", "view_index_metadata"]}
    return {
        "elasticsearch.yml": yaml.safe_dump(told, sort_keys=False),
        "roles.yml": yaml.safe_dump({READER: {"cluster": ["monitor"], "indices": [reads]}}, sort_keys=False),
    }


def heap_mib(resources: k8s.core.v1.ResourceRequirementsArgsDict) -> int:
    """Half of the memory that it may take: the other half is the kernel's cache of its files, and the JVM's own."""
    limits = cast("Mapping[str, str]", resources.get("limits", {}))
    return min(HEAP_MIB, int(parse(limits["memory"])) // 2 // 2**20)


def preparation() -> list[str]:
    """The command that puts together its folder of configuration, which it wants to write to: the image's files, then ours."""
    return ["bash", "-ec", f"cp -R {HOME}/config/. /prepared/ && cp {CONFIG}/* {AUTH}/* /prepared/"]


def credentials() -> dict[str, str]:
    """New passwords, the token by which Kibana comes, the files by which Elasticsearch knows them, and Kibana's keys."""
    admin, password, push, token = (new_password() for _ in range(4))
    known = {ADMIN: admin, USERNAME: password, PUSH_USERNAME: push}
    account = "elastic/kibana/slipway"
    # Elasticsearch, ServiceAccountToken.java: a version and a kind before the token's name and its secret.
    told = base64.b64encode(b"\0\1\0\1" + f"{account}:{token}".encode()).decode()
    return {
        ADMIN_KEY: admin,
        PASSWORD_KEY: password,
        PUSH_KEY: push,
        TOKEN_KEY: told,
        USERS: "".join(f"{user}:{_hashed(plain)}\n" for user, plain in known.items()),
        USERS_ROLES: f"superuser:{ADMIN}\nviewer:{USERNAME}\n{READER}:{USERNAME}\n{WRITER}:{PUSH_USERNAME}\n",
        TOKENS: f"{account}:{_hashed(token)}\n",
        **{key: secrets.token_hex(32) for key in ENCRYPTION_KEYS.values()},
    }


def _hashed(plain: str) -> str:
    """As Elasticsearch's own tools write it."""
    return bcrypt.hashpw(plain.encode(), bcrypt.gensalt(ROUNDS, prefix=b"2a")).decode()


def make_elasticsearch(
    place: Place, settings: LogsSettings, clients: Sequence[Peer]
) -> tuple[k8s.core.v1.Secret, k8s.apps.v1.StatefulSet]:
    """Make the server.

    Args:
        place: Where.
        settings: What was asked for.
        clients: This stack's own parts that connect.

    Returns:
        The Secret with the passwords, and the server.
    """
    secret = generated_secret(f"{ROLE}-auth", place, restricted.labels(APP, place.name), credentials())
    heap = heap_mib(settings.resources)
    part = Part(
        role=ROLE,
        app=APP,
        image=settings.image,
        user=USER,
        args=[],
        port=PORT,
        resources=settings.resources,
        volume=Volume(DATA, settings.storage_gib, settings.storage_class),
        ready={"tcp_socket": {"port": READY_PORT}, "timeout_seconds": 5},
        alive={"tcp_socket": {"port": PORT}, "timeout_seconds": 5},
        start_seconds=START_SECONDS,
        config=configuration(),
        config_path=CONFIG,
        secrets={AUTH: (secret.metadata.name, [USERS, USERS_ROLES, TOKENS])},
        env={"ES_JAVA_OPTS": f"-Xms{heap}m -Xmx{heap}m", "ES_TMPDIR": "/tmp"},  # noqa: S108 -- a mount
        scratch={"/tmp": "1Gi", f"{HOME}/logs": "1Gi", f"{HOME}/config": "16Mi"},  # noqa: S108 -- mounts
        allow_from={PORT: [*clients, *settings.allow_from]},
        prepare=(f"{HOME}/config", "/prepared", preparation()),
    )
    return secret, deploy(part, place, [secret])


def way_to(place: Place) -> list[Egress]:
    """Elasticsearch, as others' policies need to know it."""
    return [{"pod_labels": restricted.selector(APP, place.name), "namespace": place.namespace, "port": PORT}]
