"""The protocols that a backend can speak, and what each rules out."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

Protocol = Literal["openai", "azure", "anthropic", "vertex", "vertex-raw", "vertex-anthropic", "sagemaker", "bedrock"]

CHAT_ONLY: frozenset[str] = frozenset({"anthropic", "vertex", "vertex-anthropic", "bedrock"})
"""Protocols that know conversations only."""
VERSIONED: tuple[str, ...] = ("azure", "anthropic", "vertex-anthropic")
"""Protocols that name the version of their API in each request."""
MESSAGES: tuple[str, ...] = ("anthropic", "vertex-anthropic")
"""Protocols that are Anthropic's Messages API."""

KEYLESS: frozenset[str] = frozenset({"vertex", "vertex-raw", "vertex-anthropic", "sagemaker", "bedrock"})
"""Protocols that ask by an identity, not by a key."""
AWS: frozenset[str] = frozenset({"sagemaker", "bedrock"})
"""Those whose requests are signed for a region."""
GCP: frozenset[str] = frozenset({"vertex", "vertex-raw", "vertex-anthropic"})
"""Those whose requests carry a token of Google."""
_AWS_HOST = re.compile(
    r"https?://(?:[a-z0-9-]+\.)?(?:runtime(?:-fips)?\.sagemaker|bedrock-runtime(?:-fips)?)"
    r"\.([a-z0-9-]+)\.(?:vpce\.)?amazonaws\.com(?:\.cn)?(?:[:/]|$)"
)


def aws_region(url: str) -> str | None:
    """The AWS region that an address of SageMaker's or Bedrock's runtime is in. None where it does not tell."""
    found = _AWS_HOST.match(url)
    return found[1] if found else None


def with_default_tasks(backend: object) -> object:
    """The backend as given, with what it can be asked for where its protocol leaves no choice."""
    if not isinstance(backend, Mapping):
        return backend
    given = cast("Mapping[str, Any]", backend)
    return {"tasks": ("chat",), **given} if given.get("protocol") in (*CHAT_ONLY, "vertex-raw") else given


def protocol_faults(path: str, backend: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a backend's protocol rules out, with the paths of its fields."""
    protocol: object = backend.get("protocol", "openai")
    faults: list[tuple[str, str]] = []
    if not isinstance(protocol, str):
        return faults  # the schema tells
    if backend.get("api_version") is not None and protocol not in VERSIONED:
        faults.append((f"{path}.api_version", f"goes with the protocols {', '.join(VERSIONED)} only; leave it out"))
    if backend.get("default_max_tokens") is not None and protocol not in MESSAGES:
        faults.append((f"{path}.default_max_tokens", f"goes with the protocols {', '.join(MESSAGES)} only; leave it out"))
    if backend.get("region") is not None and protocol not in AWS:
        faults.append((f"{path}.region", "goes with the protocols sagemaker and bedrock only; leave it out"))
    names = [key for key in ("target_variant", "inference_component") if backend.get(key) is not None]
    if protocol != "sagemaker":
        faults += [(f"{path}.{key}", "goes with the protocol sagemaker only; leave it out") for key in names]
    elif len(names) > 1:
        faults.append((f"{path}.target_variant", "does not go with 'inference_component': give the one that is to be asked"))
    if protocol in KEYLESS and backend.get("api_key_env") is not None:
        faults.append(
            (f"{path}.api_key_env", f"is not for the protocol {protocol}, which asks by the pod's identity; leave it out")
        )
    url = backend.get("url")
    if protocol in AWS and backend.get("region") is None and isinstance(url, str) and aws_region(url) is None:
        faults.append((f"{path}.region", "is required: the address does not tell the AWS region"))
    tasks = backend.get("tasks")
    if protocol == "vertex-raw" and isinstance(tasks, list | tuple) and len(cast("Sequence[object]", tasks)) > 1:
        faults.append((f"{path}.tasks", "are more than one; an endpoint has one predict route: give the task that it is for"))
    if protocol in CHAT_ONLY and isinstance(tasks, list | tuple):
        for i, task in enumerate(cast("Sequence[object]", tasks)):
            if task != "chat":
                faults.append((f"{path}.tasks[{i}]", f"is {task!r}; the protocol {protocol} knows 'chat' only"))
    return faults
