"""What is known of one local process, kept beside its log so that any later command finds it again."""

import dataclasses
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.files import write_private

FILE = "record.json"
LOG = "output.log"


@dataclass(frozen=True)
class Record:
    """One start of one process. It holds no secret: of variables passed on, only a salted digest."""

    owner: str
    """Who runs the stack: 'pulumi', its engine, or 'slipway', the embedded runner."""
    stack: str
    token: str
    """With the process's directory, it marks the process and its descendants in their environment."""
    started: str
    """When, in UTC, ISO 8601."""
    command_digest: str
    inputs_digest: str
    environment_salt: str
    environment_digest: str
    port: int | None = None
    pid: int | None = None
    """Not there between this record's writing and the start."""
    create_time: float | None = None
    """When the kernel started `pid`, in seconds since the epoch: a pid alone may be somebody else's by now."""
    ready: bool = False
    """Whether it was healthy once. A record without this belongs to a start that was cut short."""

    @classmethod
    def load(cls, home: Path) -> "Record | None":
        """The record in a process's directory. None where there is none, or none that this version can read."""
        known = {f.name for f in dataclasses.fields(cls)}
        try:
            return cls(**{k: v for k, v in json.loads((home / FILE).read_text()).items() if k in known})
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError, AttributeError):
            return None

    def save(self, home: Path) -> None:
        """Write it, or replace the one that is there, in one step."""
        write_private(home / FILE, json.dumps(dataclasses.asdict(self), indent=2) + "\n")

    def environment_changed(self, names: Sequence[str], environment: Mapping[str, str]) -> bool:
        """Whether the variables passed on have other values than at the start."""
        return self.environment_digest != environment_digest(self.environment_salt, names, environment)


def remove_record(home: Path) -> None:
    """Forget the process. Its log stays."""
    (home / FILE).unlink(missing_ok=True)


def new_salt() -> str:
    """A salt for `environment_digest`: without it, equal keys would show in equal digests."""
    return secrets.token_hex(16)


def environment_digest(salt: str, names: Sequence[str], environment: Mapping[str, str]) -> str:
    """HMAC-SHA256 (RFC 2104) of the named variables' values, absent ones included."""
    values: list[tuple[str, Any]] = [(name, environment.get(name)) for name in sorted(set(names))]
    return hmac.new(bytes.fromhex(salt), json.dumps(values).encode(), hashlib.sha256).hexdigest()
