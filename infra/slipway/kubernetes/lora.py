"""LoRA adapters: small changes to a model's weights, each served under a name of its own beside the model."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

from slipway.args import Faults
from slipway.kubernetes.model_engine import CACHE, Adapter
from slipway.kubernetes.weights_source import HUB_LOADER_ENV

RANKS = (8, 16, 32, 64, 128, 256)
"""Ranks that vLLM makes room for (vLLM, "LoRA Adapters", `max_lora_rank`)."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_URI = re.compile(r"hf://(?P<repository>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)@(?P<commit>[0-9a-f]{40})", re.ASCII)


class LoraAdapter(TypedDict):
    """One adapter."""

    name: str
    """Its name in the API, beside the model's."""
    uri: str
    """Where it comes from, pinned: `hf://OWNER/NAME@COMMIT`."""


@dataclass(frozen=True)
class AdapterSource:
    """An adapter's address, checked."""

    repository: str
    commit: str
    adapter: Adapter

    def loader_env(self, hub_endpoint: str) -> dict[str, str]:
        """What its loader is told, beside the token."""
        return {
            "SOURCE": self.repository,
            "COMMIT": self.commit,
            "TARGET": self.adapter.path,
            "HF_ENDPOINT": hub_endpoint,
            **HUB_LOADER_ENV,
            "HOME": "/tmp",  # noqa: S108 -- a mount
        }


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
        name, uri = entry["name"], _URI.fullmatch(entry["uri"])
        if not _NAME.fullmatch(name):
            faults.add(f"adapters[{i}].name", f"is {name!r}; give letters, digits, '-', '_' and '.', at most 63")
        elif name in taken:
            faults.add(f"adapters[{i}].name", f"is {name!r}, as {taken[name]} is called; give another name")
        taken.setdefault(name, f"adapters[{i}]")
        if uri is None:
            faults.add(
                f"adapters[{i}].uri", f"is {entry['uri']!r}; give hf://OWNER/NAME@COMMIT, with the whole commit of 40 digits"
            )
        else:
            commit = uri["commit"]
            found.append(AdapterSource(uri["repository"], commit, Adapter(name, f"{CACHE}/adapters/{commit[:16]}")))
    return tuple(found)
