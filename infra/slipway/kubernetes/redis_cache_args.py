"""What can be said about a RedisCache, and what it becomes once checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
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
from slipway.kubernetes.network import OURS, Peer
from slipway.kubernetes.quantity import ComputeResources

IMAGE = "redis:7.2.11"
"""Of the last series under the BSD licence."""
LEAST_MEMORY_MIB = 16
OVERHEAD_MIB = 32
"""For what Redis takes beside its keys: code, client buffers, the backlog of the append-only file."""
SUFFIX = "rdb"
"""What the names of backups end with."""
PASSWORD = re.compile(r"[A-Za-z0-9._~-]{16,128}")
"""Characters that need no quotes in Redis' configuration and no escapes in an address (RFC 3986, unreserved)."""
PASSWORD_RULE = "give 16 to 128 letters, digits, '-', '.', '_' and '~', since it stands in an address"  # noqa: S105 -- a rule
_ADDRESS_RULE = "give an address such as 'rediss://:PASSWORD@redis.example.com:6379/0'"


class EvictionPolicy(StrEnum):
    """What Redis does when its keys fill `max_memory_mib` (Redis documentation, "Key eviction")."""

    NOEVICTION = "noeviction"
    """Refuse writes."""
    ALLKEYS_LRU = "allkeys-lru"
    """The least recently used key goes."""
    ALLKEYS_LFU = "allkeys-lfu"
    """The least frequently used key goes."""
    VOLATILE_LRU = "volatile-lru"
    """The least recently used of the keys that expire goes; where none expires, writes are refused."""
    VOLATILE_TTL = "volatile-ttl"
    """The key that would expire next goes; where none expires, writes are refused."""


class RedisCacheArgs(TypedDict):
    """What a RedisCache is made of. Sizes, and all that decides how many objects there are, must be plain."""

    namespace: pulumi.Input[str]
    """Namespace to run in, and of the Secret with the address. It must exist."""
    external_url: NotRequired[pulumi.Input[str]]
    """Address of a Redis that exists, as `redis://` or with TLS `rediss://`, in place of one made here. Kept as a secret.
    Excludes everything else but `namespace`."""
    external: NotRequired[ExternalEndpoint]
    """A Redis that exists, whose address is in a Secret already: then nothing is made here. Excludes everything else but
    `namespace`. Its usual port is 6379."""
    image: NotRequired[pulumi.Input[str]]
    """Redis image with a version as tag, or a digest. Default: release 7.2."""
    password: NotRequired[pulumi.Input[str]]
    """Password that clients send: 16 to 128 letters, digits, '-', '.', '_' and '~'. Kept as a secret. Default: one of 256 random
    bits, made at the first `up` and kept from then on. A change restarts the server."""
    max_memory_mib: NotRequired[int]
    """Most memory that keys may take, in MiB; at least 16. Default 256."""
    eviction_policy: NotRequired[EvictionPolicy]
    """What goes when that is full: 'noeviction', 'allkeys-lru', 'allkeys-lfu', 'volatile-lru' or 'volatile-ttl'.
    Default 'allkeys-lru'."""
    storage_gib: NotRequired[int]
    """Volume for the append-only file, in GiB. 0 keeps nothing over a restart. Default 8. A change replaces the server:
    Kubernetes takes no change of a StatefulSet's volumes."""
    storage_class: NotRequired[pulumi.Input[str]]
    """Storage class of that volume. Default: the cluster's. A change replaces the server. Goes with a volume."""
    deletion_policy: NotRequired[DeletionPolicy]
    """What becomes of the volume when the cache is deleted: 'delete', 'retain' or 'protect'. Default 'delete': it is a cache.
    Goes with a volume."""
    backup: NotRequired[StoreBackup]
    """Backups by the clock, and a Job that restores one; `{}` for its defaults. Default: none. Goes with a volume."""
    resources: NotRequired[ComputeResources]
    """CPU and memory. Default: requests of 100m and `max_memory_mib` + 32 Mi; a memory limit of twice `max_memory_mib` + 32 Mi,
    since each page can be there twice while Redis rewrites its file."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect. Default: the pods that this library runs in the same namespace, routers among them. `[]`: nobody."""
    node_selector: NotRequired[Mapping[str, str]]
    """Labels that a node must have. Default: none."""


@dataclass(frozen=True)
class RedisSettings:
    """A RedisCache's arguments, checked, with every default filled in."""

    store: StoreSettings
    external_url: pulumi.Input[str] | None
    external: ExternalEndpoint | None
    password: pulumi.Input[str] | None
    """As given; `None`: to be made."""
    max_memory_mib: int
    eviction_policy: EvictionPolicy

    @classmethod
    def of(cls, name: str, args: RedisCacheArgs) -> "RedisSettings":
        """Check and decide.

        Raises:
            pulumi.InputPropertiesError: with every fault there is.
        """
        faults = Faults("RedisCache")
        given = check_shape(args, RedisCacheArgs, faults)
        check_store(name, "redis", given, faults)
        check_external(given, address_fault, faults)
        if not faults.at("password"):
            known(given.get("password"), lambda plain: _refuse_password(plain, faults))
        memory, storage = given.get("max_memory_mib", 256), given.get("storage_gib", 8)
        if isinstance(memory, int) and memory < LEAST_MEMORY_MIB:
            faults.add("max_memory_mib", f"is {memory}; give {LEAST_MEMORY_MIB} or more")
        resources = _resources(memory, given, faults)
        backup = None
        if "backup" in given and not faults.at("storage_gib"):
            backup = BackupSettings.of(given["backup"], storage, name, SUFFIX, faults)
        faults.refuse(name)
        return cls(
            store=StoreSettings(
                namespace=given["namespace"],
                image=given.get("image", IMAGE),
                storage_gib=storage,
                storage_class=given.get("storage_class"),
                deletion_policy=given.get("deletion_policy", DeletionPolicy.DELETE),
                resources=resources,
                allow_from=given.get("allow_from", [OURS]),
                node_selector=given.get("node_selector", {}),
                backup=backup,
            ),
            external_url=given.get("external_url"),
            external=given.get("external"),
            password=given.get("password"),
            max_memory_mib=memory,
            eviction_policy=given.get("eviction_policy", EvictionPolicy.ALLKEYS_LRU),
        )


def password_fault(password: str) -> str | None:
    """What is wrong with a password, or None. The password itself is not told."""
    if PASSWORD.fullmatch(password):
        return None
    return f"has {len(password)} characters, or others than can stand everywhere; {PASSWORD_RULE}"


def address_fault(url: str) -> str | None:
    """What is wrong with the address of a Redis, or None. The address itself, which has a password in it, is not told."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return f"is no address; {_ADDRESS_RULE}"
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or port == 0 or re.search(r"\s", url):
        return f"is no address of a Redis; {_ADDRESS_RULE}"
    if not re.fullmatch(r"(/[0-9]{0,5})?", parts.path):
        return f"has a path that is no number of a database; {_ADDRESS_RULE}"
    return None


def _refuse_password(plain: str, faults: Faults) -> None:
    if reason := password_fault(plain):
        faults.add("password", reason)


def _resources(memory: object, given: dict[str, Any], faults: Faults) -> k8s.core.v1.ResourceRequirementsArgsDict:
    if faults.at("max_memory_mib") or not isinstance(memory, int) or faults.at("resources"):
        return {}
    asked: ComputeResources = given.get("resources", {})
    keys = memory + OVERHEAD_MIB
    defaults: ComputeResources = {
        "requests": {"cpu": "100m", "memory": f"{keys}Mi"},
        "limits": {"memory": f"{2 * memory + OVERHEAD_MIB}Mi"},
    }
    if "memory" in asked.get("limits", {}) and "memory" not in asked.get("requests", {}):
        # The default request belongs to the default limit.
        del defaults["requests"]["memory"]  # pyright: ignore[reportTypedDictNotRequiredAccess] -- it is set above
    elif "memory" in asked.get("requests", {}) and "memory" not in asked.get("limits", {}):
        del defaults["limits"]
    filled = quantity.fill("resources", asked, defaults, faults)
    limit = cast("Mapping[str, str]", filled.get("limits", {})).get("memory")
    path = "resources.limits.memory"
    if limit and not faults.at(path) and quantity.parse(limit) < keys * 1024**2:
        least = f"{keys}Mi"
        faults.add(
            path,
            f"is '{limit}', but {memory} MiB of keys and {OVERHEAD_MIB} MiB beside them must fit, or Redis is killed before it "
            f"evicts; give at least '{least}', or a lower max_memory_mib",
        )
    return filled
