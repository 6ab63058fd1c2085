"""Which of AWS's containers runs, as a `SageMakerEndpoint` is told it."""

from enum import StrEnum
from typing import NotRequired, TypedDict


class SageMakerEngine(StrEnum):
    """Engines of which AWS publishes containers for SageMaker."""

    VLLM = "vllm"
    SGLANG = "sglang"
    DJL_LMI = "djl-lmi"
    """AWS's Large Model Inference: vLLM behind DJL Serving. Its version is that of LMI."""
    DJL_TENSORRTLLM = "djl-tensorrtllm"
    """NVIDIA's TensorRT-LLM behind DJL Serving."""
    TGI = "tgi"
    """Hugging Face's Text Generation Inference."""
    HUGGINGFACE_VLLM = "huggingface-vllm"
    """vLLM with Hugging Face's libraries."""
    HUGGINGFACE_SGLANG = "huggingface-sglang"
    """SGLang with Hugging Face's libraries."""
    LLAMACPP = "llamacpp"
    """llama.cpp on GPUs."""
    LLAMACPP_CPU = "llamacpp-cpu"
    """llama.cpp on CPUs, and so for `serverless` as well."""
    VLLM_NEURONX = "vllm-neuronx"
    """vLLM on AWS's Inferentia2 and Trainium. Its version is that of optimum-neuron."""
    TGI_NEURONX = "tgi-neuronx"
    """Text Generation Inference on them. Its version is that of optimum-neuron."""


class SageMakerContainer(TypedDict):
    """A container that AWS publishes: its registry is that of the region, its image that of the version."""

    engine: SageMakerEngine
    """'vllm', 'sglang', 'djl-lmi', 'djl-tensorrtllm', 'tgi', 'huggingface-vllm', 'huggingface-sglang', 'llamacpp',
    'llamacpp-cpu', 'vllm-neuronx' or 'tgi-neuronx'."""
    version: str
    """The engine's version, such as `0.27.1`. What is not known is refused with the versions that there are."""
    region: NotRequired[str]
    """The endpoint's region. Default: the stack's `aws:region`."""
