"""What can be said about a PostgresDatabase, and what it becomes once checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, check_shape, known
from slipway.kubernetes import quantity
from slipway.kubernetes.backup_args import BackupSettings, StoreBackup
from slipway.kubernetes.data_store_args import StoreSettings, check_store
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.external_endpoint import ExternalEndpoint, check_external
from slipway.kubernetes.names import check_object_name
from slipway.kubernetes.network import OURS, Peer
from slipway.kubernetes.postgres_memory import PostgresMemory, check_memory
from slipway.kubernetes.quantity import ComputeResources

IMAGE = "postgres:17.6"
SUFFIX = "dump"
"""What the names of backups end with."""
PASSWORD = re.compile(r"[A-Za-z0-9._~-]{16,128}")
"""Characters that need no quotes in SQL and no escapes in an address (RFC 3986, unreserved)."""
PASSWORD_RULE = "give 16 to 128 letters, digits, '-', '.', '_' and '~', since it stands in an address"  # noqa: S105 -- a rule
_ADDRESS_RULE = "give an address such as 'postgresql://USER:PASSWORD@db.example.com:5432/chat?sslmode=require'"
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")
"""Names that PostgreSQL takes without quotes (PostgreSQL 17, 4.1.1), as long as it keeps them."""
_RESERVED = ("postgres", "template0", "template1")


class PostgresDatabaseArgs(TypedDict):
    """What a PostgresDatabase is made of. Sizes, and all that decides how many objects there are, must be plain."""

    namespace: pulumi.Input[str]
    """Namespace to run in, and of the Secret with the address. It must exist."""
    external_url: NotRequired[pulumi.Input[str]]
    """Address of a database that exists, as `postgresql://`, in place of one made here. Kept as a secret. Excludes everything
    else but `namespace`."""
    external: NotRequired[ExternalEndpoint]
    """A database that exists, whose address is in a Secret already: then nothing is made here. Excludes everything else but
    `namespace`. Its usual port is 5432."""
    image: NotRequired[pulumi.Input[str]]
    """PostgreSQL image on Debian, as the official one is, with a version as tag, or a digest. Default: release 17. Another major
    version reads no older one's volume: restore a backup into a new database."""
    database: NotRequired[str]
    """Name of the database: lower case letters, digits and '_'. Default 'app'. Another name, later, makes another database beside
    the first."""
    user: NotRequired[str]
    """Who owns the database, and may do in it what an owner may, and nothing beside it. Default 'app'."""
    password: NotRequired[pulumi.Input[str]]
    """Password of that user: 16 to 128 letters, digits, '-', '.', '_' and '~'. Kept as a secret. Default: one of 256 random bits,
    made at the first `up` and kept from then on. A change restarts the server."""
    max_connections: NotRequired[int]
    """Most connections at once. Default 100; 10 to 5000."""
    storage_gib: NotRequired[int]
    """Volume for the data, in GiB; at least 1. Default 8. A change replaces the server: Kubernetes takes no change of a
    StatefulSet's volumes."""
    storage_class: NotRequired[pulumi.Input[str]]
    """Storage class of that volume. Default: the cluster's. A change replaces the server."""
    deletion_policy: NotRequired[DeletionPolicy]
    """What becomes of the volume when the database is deleted: 'delete', 'retain' or 'protect'. Default 'retain'."""
    backup: NotRequired[StoreBackup]
    """Backups by the clock, and a Job that restores one; `{}` for its defaults. Default: none."""
    tls_secret: NotRequired[pulumi.Input[str]]
    """A Secret of the type `kubernetes.io/tls` in the same namespace, such as one of cert-manager's, for NAME.NAMESPACE.svc. Then
    nobody connects without TLS. Default: no TLS."""
    resources: NotRequired[ComputeResources]
    """CPU and memory. Default: requests of 250m and 1Gi, and a memory limit of 1Gi. PostgreSQL's buffers are sized from the
    memory limit."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect. Default: the pods that this library runs in the same namespace. `[]`: nobody."""
    node_selector: NotRequired[Mapping[str, str]]
    """Labels that a node must have. Default: none."""


@dataclass(frozen=True)
class PostgresSettings:
    """A PostgresDatabase's arguments, checked, with every default filled in."""

    store: StoreSettings
    external_url: pulumi.Input[str] | None
    external: ExternalEndpoint | None
    database: str
    user: str
    password: pulumi.Input[str] | None
    """As given; `None`: to be made."""
    max_connections: int
    memory: PostgresMemory
    tls_secret: pulumi.Input[str] | None

    @classmethod
    def of(cls, name: str, args: PostgresDatabaseArgs) -> "PostgresSettings":
        """Check and decide.

        Raises:
            pulumi.InputPropertiesError: with every fault there is.
        """
        faults = Faults("PostgresDatabase")
        given = check_shape(args, PostgresDatabaseArgs, faults)
        check_store(name, "postgres", given, faults, keeps=True)
        check_external(given, address_fault, faults)
        _check_texts(given, faults)
        connections = given.get("max_connections", 100)
        if isinstance(connections, int) and not 10 <= connections <= 5000:
            faults.add("max_connections", f"is {connections}; give 10 to 5000")
        resources, memory = _resources(given, connections, faults)
        backup, storage = None, given.get("storage_gib", 8)
        if "backup" in given and not faults.at("storage_gib"):
            backup = BackupSettings.of(given["backup"], storage, name, SUFFIX, faults)
        faults.refuse(name)
        return cls(
            store=StoreSettings(
                namespace=given["namespace"],
                image=given.get("image", IMAGE),
                storage_gib=storage,
                storage_class=given.get("storage_class"),
                deletion_policy=given.get("deletion_policy", DeletionPolicy.RETAIN),
                resources=resources,
                allow_from=given.get("allow_from", [OURS]),
                node_selector=given.get("node_selector", {}),
                backup=backup,
            ),
            external_url=given.get("external_url"),
            external=given.get("external"),
            database=given.get("database", "app"),
            user=given.get("user", "app"),
            password=given.get("password"),
            max_connections=connections,
            memory=memory,
            tls_secret=given.get("tls_secret"),
        )


def password_fault(password: str) -> str | None:
    """What is wrong with a password, or None. The password itself is not told."""
    if PASSWORD.fullmatch(password):
        return None
    return f"has {len(password)} characters, or others than can stand everywhere; {PASSWORD_RULE}"


def address_fault(url: str) -> str | None:
    """What is wrong with the address of a database, or None. The address itself, which has a password in it, is not told."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return f"is no address; {_ADDRESS_RULE}"
    if parts.scheme not in ("postgresql", "postgres") or not parts.hostname or port == 0 or re.search(r"\s", url):
        return f"is no address of a PostgreSQL; {_ADDRESS_RULE}"
    if not re.fullmatch(r"/[^/]+", parts.path):
        return f"names no database; {_ADDRESS_RULE}"
    return None


def _check_texts(given: dict[str, Any], faults: Faults) -> None:
    for key in ("database", "user"):
        value = given.get(key, "app")
        if isinstance(value, str) and (not _IDENTIFIER.fullmatch(value) or value in _RESERVED or value.startswith("pg_")):
            rule = "give lower case letters, digits and '_', first no digit, at most 63, none of PostgreSQL's own"
            faults.add(key, f"is {value!r}; {rule}")

    def refuse(plain: str) -> None:
        if reason := password_fault(plain):
            faults.add("password", reason)

    if not faults.at("password"):
        known(given.get("password"), refuse)
    if not faults.at("tls_secret"):
        known(given.get("tls_secret"), lambda plain: check_object_name("tls_secret", plain, faults))


def _resources(
    given: dict[str, Any], connections: object, faults: Faults
) -> tuple[k8s.core.v1.ResourceRequirementsArgsDict, PostgresMemory]:
    nothing = PostgresMemory(0, 0)
    if faults.at("resources"):
        return {}, nothing
    asked: ComputeResources = given.get("resources", {})
    defaults: ComputeResources = {"requests": {"cpu": "250m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    if "memory" in asked.get("limits", {}) and "memory" not in asked.get("requests", {}):
        # What it is promised is what its buffers are sized for.
        defaults["requests"] = {"cpu": "250m", "memory": asked["limits"]["memory"]}  # pyright: ignore[reportTypedDictNotRequiredAccess]
    elif "memory" in asked.get("requests", {}) and "memory" not in asked.get("limits", {}):
        defaults["limits"] = {"memory": asked["requests"]["memory"]}  # pyright: ignore[reportTypedDictNotRequiredAccess]
    filled = quantity.fill("resources", asked, defaults, faults)
    limit = cast("Mapping[str, str]", filled.get("limits", {})).get("memory")
    if limit is None or faults.at("resources") or faults.at("max_connections") or not isinstance(connections, int):
        return filled, nothing
    memory = PostgresMemory(int(quantity.parse(limit)), connections)
    check_memory(memory, limit, faults)
    return filled, memory
