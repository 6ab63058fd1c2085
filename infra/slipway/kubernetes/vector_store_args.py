"""What can be said about a VectorStore, and what it becomes once checked."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast
from urllib.parse import urlsplit

import pulumi
import pulumi_kubernetes as k8s

from slipway.args import Faults, check_shape, known
from slipway.backend import SecretKeyRef
from slipway.kubernetes import quantity, secret_env
from slipway.kubernetes.backup_args import BackupSettings, StoreBackup
from slipway.kubernetes.data_store_args import StoreSettings, check_store
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.external_endpoint import check_external
from slipway.kubernetes.network import OURS, Peer
from slipway.kubernetes.quantity import ComputeResources
from slipway.kubernetes.vector_engine import ENGINES, VectorEngine, VectorEngineFacts

SUFFIX = "zip"
"""What the names of backups end with."""
BYTES_PER_VALUE = 4
"""A vector is kept as 32-bit floating point numbers."""
OVERHEAD = 1.5
"""Bytes in memory for one of the vectors' own: the index and its optimiser too (Qdrant, "Capacity Planning": vectors *
dimensions * 4 bytes * 1.5). Chroma's index of one node is kept in memory too."""
BASE_MIB = 256
"""For the process itself."""
_KEY = re.compile(r"[A-Za-z0-9._~-]{16,256}")
KEY_RULE = "give 16 to 256 letters, digits, '-', '.', '_' and '~'"
_URL_RULE = "give an address such as 'https://qdrant.example.com:6333', without a path"


class VectorCapacity(TypedDict):
    """How much the store is to hold."""

    vectors: int
    """How many vectors."""
    dimensions: int
    """Numbers in each, such as 1536."""


class VectorStoreArgs(TypedDict):
    """What a VectorStore is made of. Sizes, and all that decides how many objects there are, must be plain."""

    namespace: pulumi.Input[str]
    """Namespace to run in, and of the Secret with the key. It must exist."""
    engine: NotRequired[VectorEngine]
    """'qdrant' or 'chroma'. Default 'qdrant'. Chroma knows no API key: there `allow_from` is all that guards it."""
    external_url: NotRequired[pulumi.Input[str]]
    """Address of a store that exists, in place of one made here. Excludes everything else but `namespace`, `engine`, `api_key`
    and `external_api_key`."""
    image: NotRequired[pulumi.Input[str]]
    """The store's image with a version as tag, or a digest. Default: the engine's release 1.17 or 1.5."""
    api_key: NotRequired[pulumi.Input[str]]
    """Key that clients send, as header `api-key`: 16 to 256 letters, digits, '-', '.', '_' and '~'. Kept as a secret. Default:
    one of 256 random bits, made at the first `up` and kept from then on. Qdrant only. A change restarts the server."""
    external_api_key: NotRequired[SecretKeyRef]
    """Key of a Secret in the same namespace that has the API key of `external_url`, such as one that the External Secrets
    Operator made; its value is not read here. Excludes `api_key`. Default: the store asks for no key, or `api_key` has it."""
    capacity: NotRequired[VectorCapacity]
    """How much it is to hold, from which memory follows and is checked. Default: not said, and 1 Gi of memory."""
    storage_gib: NotRequired[int]
    """Volume for the data, in GiB, at least 1. Default 10, or what `capacity` needs twice. A change replaces the server:
    Kubernetes takes no change of a StatefulSet's volumes."""
    storage_class: NotRequired[pulumi.Input[str]]
    """Storage class of that volume. Default: the cluster's. A change replaces the server."""
    deletion_policy: NotRequired[DeletionPolicy]
    """What becomes of the volume when the store is deleted: 'delete', 'retain' or 'protect'. Default 'retain'."""
    backup: NotRequired[StoreBackup]
    """Backups by the clock, and a Job that restores one; `{}` for its defaults. Default: none."""
    resources: NotRequired[ComputeResources]
    """CPU and memory. Default: requests of 500m and the memory that `capacity` needs; a memory limit as high."""
    allow_from: NotRequired[Sequence[Peer]]
    """Who may connect. Default: the pods that this library runs in the same namespace. `[]`: only the backup."""
    node_selector: NotRequired[Mapping[str, str]]
    """Labels that a node must have. Default: none."""


@dataclass(frozen=True)
class VectorSettings:
    """A VectorStore's arguments, checked, with every default filled in."""

    store: StoreSettings
    engine: VectorEngine
    external_url: pulumi.Input[str] | None
    api_key: pulumi.Input[str] | None
    """As given; `None`: to be made, or there is none."""
    external_api_key: SecretKeyRef | None

    @property
    def facts(self) -> VectorEngineFacts:
        """What is particular about the engine."""
        return ENGINES[self.engine]

    @classmethod
    def of(cls, name: str, args: VectorStoreArgs) -> "VectorSettings":
        """Check and decide.

        Raises:
            pulumi.InputPropertiesError: with every fault there is.
        """
        faults = Faults("VectorStore")
        given = check_shape(args, VectorStoreArgs, faults)
        engine = given.get("engine", VectorEngine.QDRANT)
        engine = engine if isinstance(engine, VectorEngine) else VectorEngine.QDRANT
        check_store(name, "store", given, faults, keeps=True)
        check_external(given, url_fault, faults, beside=("engine", "api_key", "external_api_key"))
        _check_key(given, engine, faults)
        need = _need_mib(given, faults)
        storage = _storage_gib(need, given, faults)
        resources = _resources(need, given, faults)
        backup = None
        if "backup" in given and not faults.at("storage_gib"):
            backup = BackupSettings.of(given["backup"], storage, name, SUFFIX, faults, whole=True)
        faults.refuse(name)
        return cls(
            store=StoreSettings(
                namespace=given["namespace"],
                image=given.get("image", ENGINES[engine].image),
                storage_gib=storage,
                storage_class=given.get("storage_class"),
                deletion_policy=given.get("deletion_policy", DeletionPolicy.RETAIN),
                resources=resources,
                allow_from=given.get("allow_from", [OURS]),
                node_selector=given.get("node_selector", {}),
                backup=backup,
            ),
            engine=engine,
            external_url=given.get("external_url"),
            api_key=given.get("api_key"),
            external_api_key=given.get("external_api_key"),
        )


def key_fault(key: str) -> str | None:
    """What is wrong with an API key, or None. The key itself is not told."""
    return None if _KEY.fullmatch(key) else f"has {len(key)} characters, or others than can stand everywhere; {KEY_RULE}"


def url_fault(url: str) -> str | None:
    """What is wrong with the address of a store, or None. The address, which may have a key in it by mistake, is not told."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return f"is no address; {_URL_RULE}"
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or re.search(r"\s", url):
        return f"is no address of a store; {_URL_RULE}"
    if parts.username is not None or parts.password is not None:
        return "has a user or a password in it; give the key as 'api_key'"
    return f"has a path, or more; {_URL_RULE}" if parts.path not in ("", "/") or parts.query or parts.fragment else None


def _check_key(given: dict[str, Any], engine: VectorEngine, faults: Faults) -> None:
    for key in ("api_key", "external_api_key"):
        if key in given and not ENGINES[engine].keyed:
            faults.add(key, f"does nothing with engine '{engine}', which knows no keys; leave it out, or take 'qdrant'")

    def refuse(plain: str) -> None:
        if reason := key_fault(plain):
            faults.add("api_key", reason)

    if not faults.at("api_key"):
        known(given.get("api_key"), refuse)
    if "external_api_key" not in given or faults.at("external_api_key"):
        return
    secret_env.check_reference("external_api_key", given["external_api_key"], faults)
    if "api_key" in given:
        faults.add("external_api_key", "excludes 'api_key', which a Secret is made of; give one of them")
    elif "external_url" not in given:
        faults.add("external_api_key", "goes with 'external_url'; for a store made here give the key itself as 'api_key'")


def _need_mib(given: dict[str, Any], faults: Faults) -> int:
    """Memory for what it is to hold, in MiB."""
    if "capacity" not in given or faults.at("capacity"):
        return 1024
    capacity = cast("VectorCapacity", given["capacity"])
    for key in ("vectors", "dimensions"):
        if capacity[key] < 1:
            faults.add(f"capacity.{key}", f"is {capacity[key]}; give 1 or more")
    return BASE_MIB + math.ceil(capacity["vectors"] * capacity["dimensions"] * BYTES_PER_VALUE * OVERHEAD / 1024**2)


def _storage_gib(need_mib: int, given: dict[str, Any], faults: Faults) -> int:
    storage = given.get("storage_gib")
    # The optimiser writes a segment anew before it drops the old one.
    twice = math.ceil(2 * need_mib / 1024)
    if not isinstance(storage, int):
        return max(10, twice)
    if "capacity" in given and not faults.at("capacity") and 1 <= storage < twice:
        faults.add(
            "storage_gib",
            f"is {storage}, but segments are written anew before the old ones go, which takes twice the {need_mib} MiB of "
            f"'capacity'; give {twice} or more",
        )
    return storage


def _resources(need_mib: int, given: dict[str, Any], faults: Faults) -> k8s.core.v1.ResourceRequirementsArgsDict:
    if faults.at("resources") or faults.at("capacity"):
        return {}
    asked: ComputeResources = given.get("resources", {})
    defaults: ComputeResources = {
        "requests": {"cpu": "500m", "memory": f"{need_mib}Mi"},
        "limits": {"memory": f"{need_mib}Mi"},
    }
    if "memory" in asked.get("limits", {}) and "memory" not in asked.get("requests", {}):
        # The default request belongs to the default limit.
        defaults["requests"] = {"cpu": "500m"}
    elif "memory" in asked.get("requests", {}) and "memory" not in asked.get("limits", {}):
        del defaults["limits"]
    filled = quantity.fill("resources", asked, defaults, faults)
    limit = cast("Mapping[str, str]", filled.get("limits", {})).get("memory")
    path = "resources.limits.memory"
    if limit and "capacity" in given and not faults.at(path) and quantity.parse(limit) < need_mib * 1024**2:
        capacity = cast("VectorCapacity", given["capacity"])
        faults.add(
            path,
            f"is '{limit}', but {capacity['vectors']:,} vectors x {capacity['dimensions']} dimensions x {BYTES_PER_VALUE} bytes "
            f"x {OVERHEAD} and {BASE_MIB} MiB for the process are {need_mib} MiB; give at least '{need_mib}Mi', or a lower "
            "'capacity'",
        )
    return filled
