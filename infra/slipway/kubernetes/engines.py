"""The engines that a model server can run. A new one is a module of its own and an entry here."""

from collections.abc import Mapping
from types import MappingProxyType

from slipway.kubernetes.llama_cpp import LLAMA_CPP
from slipway.kubernetes.model_engine import Engine, ModelEngine
from slipway.kubernetes.sglang import SGLANG
from slipway.kubernetes.tgi import TGI
from slipway.kubernetes.triton import TRITON
from slipway.kubernetes.vllm import VLLM

ENGINES: Mapping[ModelEngine, Engine] = MappingProxyType(
    {
        ModelEngine.VLLM: VLLM,
        ModelEngine.SGLANG: SGLANG,
        ModelEngine.TGI: TGI,
        ModelEngine.TRITON: TRITON,
        ModelEngine.LLAMA_CPP: LLAMA_CPP,
    }
)
