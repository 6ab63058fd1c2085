"""LoRA adapters: small changes to a model's weights, each served under a name of its own beside the model."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from slipway.args import Faults
from slipway.kubernetes.model_engine import CACHE, Adapter
from slipway.kubernetes.weights_source import WeightsSource

RANKS = (8, 16, 32, 64, 128, 256)
"""Ranks that vLLM makes room for (vLLM, "LoRA Adapters", `max_lora_rank`)."""
MOUNTS = "/adapters"
"""Below it are adapters that are mounted and not loaded."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


class LoraAdapter(TypedDict):
    """One adapter. From `sha256` on its fields are those of `weights`, and mean the same."""

    name: str
    """Its name in the API, beside the model's."""
    uri: str
    """Where it comes from, pinned: `hf://OWNER/NAME@COMMIT`, `s3://BUCKET/FOLDER`, `gs://BUCKET/FOLDER`,
    `oci://REGISTRY/REPOSITORY@sha256:DIGEST` or `pvc://CLAIM/FOLDER`, where a TrainingJob left it, say."""
    sha256: NotRequired[str]
    """SHA-256 of the file `SHA256SUMS` in a bucket's folder. Required for buckets, for which alone it is."""
    path: NotRequired[str]
    """Folder within the image that has the adapter. Default: the image's root. `oci://` only."""
    region: NotRequired[str]
    """The bucket's region. Default: the client's. `s3://` only."""
    endpoint: NotRequired[str]
    """Address of a store that speaks S3's protocol. Default: AWS. `s3://` only."""
    credentials_secret: NotRequired[str]
    """A Secret in the same namespace whose keys are the loader's environment. Default: the pods' `identity`. Buckets only."""


@dataclass(frozen=True)
class AdapterSource:
    """An adapter's address, checked."""

    source: WeightsSource
    adapter: Adapter
    mount: str
    """Where its own volume is mounted, for images and claims."""


def adapters_of(model: str, given: Mapping[str, Any], faults: Faults) -> Sequence[AdapterSource]:
    """The argument `adapters`, checked; what is wrong is told below its path. `model`: the model's name beside theirs."""
    if "adapters" not in given:
        if "max_lora_rank" in given:
            faults.add("max_lora_rank", "goes with 'adapters', of which it is the largest rank; give both or neither")
        return ()
    rank = given.get("max_lora_rank")
    if isinstance(rank, int) and rank not in RANKS:
        faults.add("max_lora_rank", f"is {rank}; give {', '.join(map(str, RANKS))}")
    if faults.at("adapters"):
        return ()
    if not given["adapters"]:
        faults.add("adapters", "is empty; give at least one, or leave it out")
    taken = {model: "the model"}
    found: list[AdapterSource] = []
    for i, entry in enumerate(given["adapters"]):
        name = entry["name"]
        if not _NAME.fullmatch(name):
            faults.add(f"adapters[{i}].name", f"is {name!r}; give letters, digits, '-', '_' and '.', at most 63")
        elif name in taken:
            faults.add(f"adapters[{i}].name", f"is {name!r}, as {taken[name]} is called; give another name")
        taken.setdefault(name, f"adapters[{i}]")
        source = WeightsSource.of(entry, faults, f"adapters[{i}]")
        if source is not None:
            mount = f"{MOUNTS}/{i}"
            path = f"{CACHE}/adapters/{source.version[:16]}" if source.loads else f"{mount}/{source.folder}".rstrip("/")
            found.append(AdapterSource(source, Adapter(name, path), mount))
    return tuple(found)
