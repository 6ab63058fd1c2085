"""Azure OpenAI: OpenAI's API under a path for each deployment.

After "Azure OpenAI in Azure AI Foundry Models REST API reference".
"""

from urllib.parse import quote

from slipway_router.providers.provider import PATHS, Provider
from slipway_router.schema import Task

API_VERSION = "2024-10-21"
"""The newest version that is generally available."""


class Azure(Provider):
    """`url` is the resource's endpoint, such as `https://NAME.openai.azure.com`; `model` is the deployment's name."""

    def headers(self, key: str | None) -> dict[str, str]:
        return {} if key is None else {"api-key": key}

    def path(self, task: Task) -> str:
        return f"{self._root()}/deployments/{quote(self.model, safe='')}{PATHS[task]}{self._query()}"

    def probe(self) -> bytes:
        return f"GET {self._root()}/models{self._query()} HTTP/1.1\r\n{self._common}\r\n".encode()

    def _root(self) -> str:
        return f"{self._base.removesuffix('/openai')}/openai"

    def _query(self) -> str:
        return f"?api-version={self.backend.api_version or API_VERSION}"
