"""What the embedded runner has made, on disk: written after each step, so that a crash loses nothing."""

import fcntl
import json
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, cast

from slipway.engine.outcome import EngineError
from slipway.files import write_private

VERSION = 1


@dataclass
class Made:
    """One resource that exists."""

    urn: str
    type: str
    id: str
    inputs: dict[str, Any]
    outputs: dict[str, Any]


@dataclass
class Checkpoint:
    """The resources of one stack, in the order of their making."""

    path: Path
    resources: dict[str, Made] = field(default_factory=dict[str, Made])

    @classmethod
    def load(cls, path: Path) -> "Checkpoint":
        """Read a checkpoint; an absent one is empty.

        Raises:
            EngineError: it cannot be read, or another release wrote it.
        """
        if not path.exists():
            return cls(path)
        try:
            data = cast("dict[str, Any]", json.loads(path.read_text()))
            if data["version"] != VERSION:
                raise EngineError(
                    f"{path} is of version {data['version']}, this release writes {VERSION}; use the release that wrote it"
                )
            return cls(path, {entry["urn"]: Made(**entry) for entry in data["resources"]})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EngineError(
                f"{path} cannot be read ({error}); it holds what runs: mend it, or stop those processes and delete it"
            ) from None

    def put(self, made: Made) -> None:
        """Record a resource as it is now."""
        self.resources[made.urn] = made
        self._save()

    def drop(self, urn: str) -> None:
        """Record that a resource is gone."""
        if self.resources.pop(urn, None):
            self._save()

    def _save(self) -> None:
        if self.resources:
            data = {"version": VERSION, "resources": [asdict(made) for made in self.resources.values()]}
            write_private(self.path, json.dumps(data, indent=1))
        else:
            self.path.unlink(missing_ok=True)


@contextmanager
def locked(path: Path, stack: str) -> Generator[None]:
    """Hold a stack's lock.

    Raises:
        EngineError: somebody else holds it; the error says which process.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            holder = file.read().strip() or "another process"
            raise EngineError(f"another update of stack '{stack}' is under way (process {holder}); wait for it to end") from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
        file.truncate(0)
