"""The protocols that a backend can speak, and what each rules out."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, cast

Protocol = Literal["openai", "azure", "anthropic"]

CHAT_ONLY: frozenset[str] = frozenset({"anthropic"})
"""Protocols that know conversations only."""
VERSIONED: tuple[str, ...] = ("azure", "anthropic")
"""Protocols that name the version of their API in each request."""


def with_default_tasks(backend: object) -> object:
    """The backend as given, with what it can be asked for where its protocol leaves no choice."""
    if not isinstance(backend, Mapping):
        return backend
    given = cast("Mapping[str, Any]", backend)
    return {"tasks": ("chat",), **given} if given.get("protocol") in CHAT_ONLY else given


def protocol_faults(path: str, backend: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What a backend's protocol rules out, with the paths of its fields."""
    protocol = backend.get("protocol", "openai")
    faults: list[tuple[str, str]] = []
    if backend.get("api_version") is not None and protocol not in VERSIONED:
        faults.append((f"{path}.api_version", f"goes with the protocols {', '.join(VERSIONED)} only; leave it out"))
    if backend.get("default_max_tokens") is not None and protocol != "anthropic":
        faults.append((f"{path}.default_max_tokens", "goes with the protocol anthropic only; leave it out"))
    tasks = backend.get("tasks")
    if protocol in CHAT_ONLY and isinstance(tasks, list | tuple):
        for i, task in enumerate(cast("Sequence[object]", tasks)):
            if task != "chat":
                faults.append((f"{path}.tasks[{i}]", f"is {task!r}; the protocol {protocol} knows 'chat' only"))
    return faults
