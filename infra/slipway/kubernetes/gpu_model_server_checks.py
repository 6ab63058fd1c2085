"""What is refused of a model server's arguments one by one; what only their sum tells is refused where it is decided."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

import pulumi

from slipway.args import Faults, known
from slipway.kubernetes import names
from slipway.kubernetes.gpu_model_server_args import Rollout
from slipway.kubernetes.gpu_nodes import check_tolerations
from slipway.kubernetes.identity import check_identity
from slipway.kubernetes.lora import AdapterSource
from slipway.kubernetes.model_engine import Engine, ModelEngine
from slipway.kubernetes.network import Peer, check_peer
from slipway.kubernetes.spot import check_spot
from slipway.kubernetes.weights_source import WeightsSource
from slipway.sizing import Dtype

NAME_LENGTH = 45
"""Kubernetes makes a label, 63 characters at most, of a StatefulSet's name, here with '-server', and 11 more characters."""
GROUP_INDEX_LENGTH = 4
"""Of several nodes each group of pods has a StatefulSet of its own, with the group's number behind the name."""
HUB = "https://huggingface.co"
_TASKS = ("chat", "completions", "embeddings")
_REPOSITORY = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*/[A-Za-z0-9][A-Za-z0-9._-]*")
_WORD = re.compile(r"[^\s-]\S*")
_FOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_PATH = re.compile(r"/\S+")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]*")
_ENDPOINT = re.compile(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?")
_INPUTS = frozenset(
    {
        "namespace",
        "image",
        "storage_class",
        "hub_token",
        "hub_token_secret",
        "allow_from",
        "prometheus",
        "identity",
    }
)


def only_plain(value: object, path: str, faults: Faults) -> None:
    """Refuse what another resource makes, where a plain value must decide."""
    if isinstance(value, pulumi.Output) or hasattr(value, "__await__"):
        faults.add(path, "comes from another resource; give a plain value, since the plan is checked with it")
    elif isinstance(value, Mapping):
        for key, item in cast("Mapping[str, object]", value).items():
            if path or key not in _INPUTS:
                only_plain(item, f"{path}.{key}" if path else key, faults)
    elif isinstance(value, list | tuple):
        for i, item in enumerate(cast("Sequence[object]", value)):
            only_plain(item, f"{path}[{i}]", faults)


def check_texts(name: str, given: dict[str, Any], faults: Faults) -> None:
    """Refuse texts that are not what they should be, the name and the lists' entries too."""
    nodes = given.get("nodes", 1)
    longest = NAME_LENGTH - GROUP_INDEX_LENGTH if isinstance(nodes, int) and nodes > 1 else NAME_LENGTH
    if len(name) > longest:
        faults.add(
            "name", f"is {name!r} ({len(name)} characters); give at most {longest}, since Kubernetes labels pods with more"
        )
    else:
        names.check_name(name, faults)
    plain = {"namespace": names.check_namespace, "image": names.check_image, "storage_class": names.check_object_name}
    for key, check in plain.items():
        if not faults.at(key):
            known(given.get(key), lambda value, key=key, check=check: check(key, value, faults))
    shapes = {
        "served_name": (_WORD, "a name without spaces, not beginning with '-'"),
        "revision": (_REVISION, "a commit, tag or branch of the model's repository"),
        "hub_endpoint": (_ENDPOINT, f"an address such as '{HUB}', without a path"),
    }
    for key, (shape, wanted) in shapes.items():
        value = given.get(key)
        if isinstance(value, str) and not shape.fullmatch(value):
            faults.add(key, f"is {value!r}; give {wanted}")
    endpoint = given.get("hub_endpoint")
    if isinstance(endpoint, str) and not faults.at("hub_endpoint") and not 0 < int((endpoint + ":1").split(":")[2]) < 65536:
        faults.add("hub_endpoint", f"is {endpoint!r}; give a port from 1 to 65535")
    for i, task in enumerate(_listed(given, "tasks")):
        if isinstance(task, str) and task not in _TASKS:
            faults.add(f"tasks[{i}]", f"is {task!r}; give {', '.join(repr(t) for t in _TASKS)}")
    if "embeddings" in _listed(given, "tasks") and len(_listed(given, "tasks")) > 1:
        faults.add("tasks", "has 'embeddings' beside others; a model does the one or the other, so give it a server of its own")
    if given.get("tasks") is not None and not given["tasks"]:
        faults.add("tasks", f"is empty; give {', '.join(repr(t) for t in _TASKS)}, or leave it out")
    names.check_labels("node_selector", given.get("node_selector"), faults)
    check_tolerations(given, faults)
    peers = [(f"allow_from[{i}]", peer) for i, peer in enumerate(_listed(given, "allow_from"))]
    for path, peer in [*peers, ("prometheus", given.get("prometheus"))]:
        if isinstance(peer, Mapping) and not faults.at(path):
            check_peer(path, cast("Peer", peer), faults)


def check_numbers(given: dict[str, Any], faults: Faults) -> None:
    """Refuse numbers that no server can have."""
    least = {
        "replicas": 0,
        "nodes": 1,
        "context_tokens": 1,
        "parallel_requests": 1,
        "tokens_per_request": 1,
        "layers": 1,
        "kv_heads": 1,
        "head_dim": 1,
        "tensor_parallel_size": 1,
        "pipeline_parallel_size": 1,
        "longest_stream_seconds": 1,
        "cache_gib": 1,
    }
    for key, floor in least.items():
        value = given.get(key)
        if isinstance(value, int) and value < floor:
            faults.add(key, f"is {value}; give {floor} or more")
    for key in ("model_parameters_billion", "download_mb_per_second", "load_mb_per_second"):
        value = given.get(key)
        if isinstance(value, int | float) and not (value > 0 and math.isfinite(value)):
            faults.add(key, f"is {value:g}; give more than 0")
    share = given.get("gpu_memory_utilization")
    if isinstance(share, int | float) and not 0 < share <= 1:
        faults.add("gpu_memory_utilization", f"is {share:g}; give a share above 0 and up to 1, such as 0.9")
    bits = given.get("weight_bits")
    if isinstance(bits, int) and bits not in (4, 8, 16, 32):
        faults.add("weight_bits", f"is {bits}; give 4, 8, 16 or 32")


def check_engine(kind: ModelEngine, engine: Engine, given: dict[str, Any], faults: Faults) -> None:
    """Refuse what this engine does not take."""
    model = given.get("model")
    if isinstance(model, str):
        if kind is ModelEngine.LLAMA_CPP and not _REPOSITORY.fullmatch(model):
            faults.add("model", f"is {model!r}; give the repository on the hub that has the GGUF file, as OWNER/NAME")
        elif engine.on_gpus and not (_REPOSITORY.fullmatch(model) or _PATH.fullmatch(model) or _WORD.fullmatch(model)):
            faults.add("model", f"is {model!r}; give a repository on the hub, as OWNER/NAME, or a path in the image")
    name = given.get("served_name")
    if engine.name_is_a_folder and isinstance(name, str) and not _FOLDER.fullmatch(name):
        faults.add(
            "served_name", f"is {name!r}, and with engine '{kind.value}' it is a folder; give letters, digits, '-', '_', '.'"
        )
    key = "served_name" if "served_name" in given else "model"
    if engine.adapter_model.startswith("{model}:") and ":" in str(given.get(key)) and not faults.at(key):
        faults.add(
            key,
            f"is {given[key]!r}, and engine '{kind.value}' takes what is after ':' for an adapter; give a 'served_name' without",
        )
    for key in engine.unused:
        if key in given:
            faults.add(key, f"does nothing with engine '{kind.value}'; leave it out, or take another engine")
    if not faults.at("dtype") and given.get("dtype", Dtype.AUTO) not in engine.dtypes:
        choice = ", ".join(repr(d.value) for d in engine.dtypes)
        faults.add("dtype", f"is '{given['dtype'].value}', which engine '{kind.value}' does not compute in; give {choice}")
    for i, task in enumerate(_listed(given, "tasks")):
        if task in _TASKS and task not in engine.tasks:
            choice = ", ".join(repr(t) for t in engine.tasks)
            faults.add(
                f"tasks[{i}]", f"is '{task}', which engine '{kind.value}' does not serve; give {choice}, or another engine"
            )
    for i, word in enumerate(_listed(given, "extra_args")):
        flag = _flag(word) if isinstance(word, str) else ""
        if own := _own(flag, engine):
            short = "" if own == flag else f", short for {own!r}"
            faults.add(f"extra_args[{i}]", f"is {flag!r}{short}, which the component sets itself; {engine.own_arguments[own]}")


def _flag(word: str) -> str:
    """An argument's name alone, in the spelling with dashes: both engines take underscores too, and `--name=value`."""
    flag = word.split("=", 1)[0]
    return flag.replace("_", "-") if flag.startswith("--") else flag


def _own(flag: str, engine: Engine) -> str | None:
    """The argument of the component's that this is, or is short for: Python's parser takes the beginning of a name for it."""
    if flag in engine.own_arguments:
        return flag
    if flag[:2] != "--" or flag == "--" or flag in engine.whole_names:
        return None
    return next((own for own in engine.own_arguments if own.startswith(flag)), None)


def check_keys(given: dict[str, Any], faults: Faults) -> None:
    """Refuse arguments that exclude each other."""
    if "hub_token" in given and "hub_token_secret" in given:
        faults.add("hub_token", "excludes 'hub_token_secret'; give the token or the Secret that has it")
    tokens, context = given.get("tokens_per_request"), given.get("context_tokens")
    if tokens is not None and "parallel_requests" not in given:
        faults.add("tokens_per_request", "goes with 'parallel_requests', of which it is the check; give both or neither")
    elif isinstance(tokens, int) and isinstance(context, int) and tokens > context:
        faults.add("tokens_per_request", f"is {tokens}, above context_tokens = {context}; give that or less, or leave it out")
    if "replicas" in given and "scaling" in given:
        faults.add("replicas", "cannot go with 'scaling', which sets the number itself; give one of the two")
    if given.get("rollout") is Rollout.AVAILABILITY and given.get("keep_cache") is True:
        faults.add("keep_cache", "cannot go with rollout 'availability', where each server's volume goes with it; leave it out")
    check_spot(given, faults)
    if "spot" in given and given.get("nodes", 1) != 1:
        faults.add(
            "spot", "cannot go with 'nodes': with one node the cloud would take the whole server; leave out one of the two"
        )
    if "identity" in given and not faults.at("identity"):
        check_identity("identity", given["identity"], faults)
    if given.get("hub_token") == "":
        faults.add("hub_token", "is empty; leave it out where the model needs none")
    if given.get("offline") is True:
        for key in ("hub_token", "hub_token_secret", "download_mb_per_second", "adapters"):
            if key in given:
                faults.add(key, "does nothing with 'offline'; leave one of them out")


def check_source(source: WeightsSource | None, adapters: Sequence[AdapterSource], given: dict[str, Any], faults: Faults) -> None:
    """Refuse what means nothing where the weights come from elsewhere than by the engine."""
    if source is None:
        return
    for key, reason in {
        "revision": "goes with weights that the engine fetches; 'weights.uri' names the version already",
        "offline": "follows from 'weights': the server itself never connects anywhere; leave it out",
    }.items():
        if key in given:
            faults.add(key, reason)
    if source.scheme != "hf":
        for key in ("hub_token", "hub_token_secret", "hub_endpoint"):
            # Adapters may come from the hub, wherever the model is from.
            if key in given and not faults.at("adapters") and all(a.source.scheme != "hf" for a in adapters):
                faults.add(key, f"does nothing with weights from {source.scheme}://; leave it out")
    if not source.loads and "download_mb_per_second" in given:
        faults.add("download_mb_per_second", f"does nothing with weights from {source.scheme}://; leave it out")


def _listed(given: dict[str, Any], key: str) -> Sequence[object]:
    value = given.get(key)
    return cast("Sequence[object]", value) if isinstance(value, list | tuple) else ()
