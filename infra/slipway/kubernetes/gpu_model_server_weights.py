"""The weights of a model server: how large they are, and the file that has them."""

import math
import re
from typing import Any

from slipway import sizing
from slipway.args import Faults
from slipway.kubernetes.gpu_model_server_args import GgufArgs
from slipway.kubernetes.model_engine import Gguf
from slipway.kubernetes.weights_source import WeightsSource
from slipway.model_shapes import parameters_billion
from slipway.sizing import Dtype, Weights

_GGUF_PART = re.compile(r"-[0-9]{5}-of-[0-9]{5}\.gguf$")
_GGUF_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._ -]*(/[A-Za-z0-9][A-Za-z0-9._ -]*)*\.gguf")


def gguf_of(given: dict[str, Any], faults: Faults) -> Gguf | None:
    """The file to serve, or `None` where it was refused."""
    if "gguf" not in given:
        if not faults.at("gguf"):
            faults.add(
                "gguf", "is required with engine 'llama.cpp'; give 'file' and 'bytes' of a GGUF file in the model's repository"
            )
        return None
    if faults.at("gguf"):
        return None
    gguf: GgufArgs = given["gguf"]
    file, size, digest = gguf["file"], gguf["bytes"], gguf.get("sha256")
    if _GGUF_PART.search(file):
        faults.add(
            "gguf.file", f"is {file!r}, one part of several; give a file that is whole, or join the parts with llama-gguf-split"
        )
    elif not _GGUF_FILE.fullmatch(file):
        faults.add("gguf.file", f"is {file!r}; give the path of a '.gguf' file in the repository")
    if size < 1:
        faults.add("gguf.bytes", f"is {size}; give the file's exact size in bytes")
    if digest is not None and not re.fullmatch("[0-9a-f]{64}", digest):
        faults.add("gguf.sha256", f"is {digest!r}; give 64 hexadecimal digits in lower case")
    return None if faults.at("gguf") else Gguf(file, size, digest)


def weights_of(given: dict[str, Any], faults: Faults) -> Weights | None:
    """The size of the weights by parameters and bits, or `None` where that cannot be told."""
    model, dtype = given.get("model"), given.get("dtype", Dtype.AUTO)
    if any(faults.at(key) for key in ("model", "dtype", "weight_bits", "model_parameters_billion", "gguf")):
        return None
    billion = given.get("model_parameters_billion") or parameters_billion(str(model))
    if billion is None:
        faults.add(
            "model_parameters_billion", f"is required: the name '{model}' does not tell how many there are; give them in 10^9"
        )
        return None
    asked = given.get("weight_bits")
    bits, source = (asked, "weight_bits") if asked else sizing.weight_bits(str(model), dtype)
    return Weights.of(billion, bits, source)


def startup_seconds(weights: Weights, given: dict[str, Any], *, downloads: bool, faults: Faults) -> tuple[int, str]:
    """How long a start may take, in seconds and in words. What an init container downloads is there before it begins."""
    if faults.at("download_mb_per_second") or faults.at("load_mb_per_second"):
        return 0, ""
    download = given.get("download_mb_per_second", sizing.DOWNLOAD_MB_S)
    return sizing.startup_seconds(
        weights,
        download_mb_s=download if downloads else None,
        load_mb_s=given.get("load_mb_per_second", sizing.LOAD_MB_S),
    )


def loading_seconds(weights: Weights, source: WeightsSource | None, given: dict[str, Any]) -> int:
    """How long an init container may load and check them, in seconds: once over the network, once from the volume."""
    if source is None or not source.loads:
        return 0
    megabytes = weights.size_bytes / 1e6
    download = megabytes / given.get("download_mb_per_second", sizing.DOWNLOAD_MB_S)
    return math.ceil(download + megabytes / given.get("load_mb_per_second", sizing.LOAD_MB_S))


def cache_gib(weights: Weights, source: WeightsSource | None, given: dict[str, Any], faults: Faults) -> int:
    """Each server's own volume, in GiB."""
    asked = given.get("cache_gib")
    if source and (source.shared_volume or not source.loads):
        shared = source.shared_volume
        if shared and shared.get("gib", math.inf) < weights.gib:
            faults.add(
                "weights.shared_volume.gib",
                f"is {shared.get('gib')}, and the weights take {weights.gib:.1f} GiB ({weights.words}); "
                f"give {math.ceil(2 * weights.gib)}, which has room for a second version, or leave it out",
            )
        # Only what the engine compiles is on it.
        return asked if isinstance(asked, int) else sizing.COMPILED_GIB
    if not isinstance(asked, int):
        return sizing.cache_gib(weights)
    if asked < weights.gib and not faults.at("cache_gib"):
        faults.add(
            "cache_gib",
            f"is {asked}, and the weights take {weights.gib:.1f} GiB ({weights.words}); "
            f"give {sizing.cache_gib(weights)}, which has room for a second revision, or leave it out",
        )
    return asked
