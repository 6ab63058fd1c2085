"""Files that nobody else on the machine may read, never seen half-written."""

import contextlib
import os
import tempfile
from pathlib import Path


def write_private(path: Path, text: str) -> Path:
    """Write a file of mode 0600 in one step, its folder too (mode 0700) where it is missing."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # mkstemp makes it with mode 0600.
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(draft).replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            Path(draft).unlink()
        raise
    return path
