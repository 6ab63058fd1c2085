"""What an engine did, and the one error that it fails with."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class EngineError(Exception):
    """An operation failed; the text says what, and what the user can do."""


@dataclass(frozen=True)
class Outcome:
    """The result of one operation on a stack."""

    changes: Mapping[str, int]
    """How many resources were (or would be) treated how: 'create', 'update', 'replace', 'delete', 'same'."""
    outputs: Mapping[str, Any]
    """What the program exported; secrets are left out."""

    @property
    def changed(self) -> int:
        """How many resources were not left as they were."""
        return sum(count for kind, count in self.changes.items() if kind != "same")
