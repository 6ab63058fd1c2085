"""The weights of a model server: how large they are, and the file that has them."""

import re
from typing import Any

from slipway import sizing
from slipway.args import Faults
from slipway.kubernetes.gpu_model_server_args import GgufArgs
from slipway.kubernetes.model_engine import Gguf
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
    billion = given.get("model_parameters_billion") or sizing.parameters_billion(str(model))
    if billion is None:
        faults.add(
            "model_parameters_billion", f"is required: the name '{model}' does not tell how many there are; give them in 10^9"
        )
        return None
    asked = given.get("weight_bits")
    bits, source = (asked, "weight_bits") if asked else sizing.weight_bits(str(model), dtype)
    return Weights.of(billion, bits, source)
