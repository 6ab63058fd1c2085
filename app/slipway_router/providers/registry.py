"""Which provider speaks to a backend."""

from slipway_router.backend import Backend
from slipway_router.config import ConfigError
from slipway_router.providers.provider import Provider


def provider_for(backend: Backend, key: str | None) -> Provider:
    """The provider for a backend's `protocol`. A vendor's file is loaded only where a backend needs it.

    Args:
        backend: What the configuration says of it.
        key: The key that it wants, if any.

    Raises:
        ConfigError: The package that this protocol needs is not installed.
    """
    try:
        return _provider(backend, key)
    except ImportError as error:
        raise ConfigError([(f"backends.{backend.name}.protocol", str(error))]) from None


def _provider(backend: Backend, key: str | None) -> Provider:
    match backend.protocol:
        case "openai":
            return Provider(backend, key)
        case "azure":
            from slipway_router.providers.azure import Azure

            return Azure(backend, key)
        case "anthropic":
            from slipway_router.providers.anthropic import Anthropic

            return Anthropic(backend, key)
        case "vertex":
            from slipway_router.providers.vertex import Vertex

            return Vertex(backend, key)
        case "vertex-raw":
            from slipway_router.providers.vertex import VertexRaw

            return VertexRaw(backend, key)
        case "vertex-anthropic":
            from slipway_router.providers.vertex_anthropic import VertexAnthropic

            return VertexAnthropic(backend, key)
        case "sagemaker":
            from slipway_router.providers.sagemaker import SageMaker

            return SageMaker(backend, key)
        case "bedrock":
            from slipway_router.providers.bedrock import Bedrock

            return Bedrock(backend, key)
