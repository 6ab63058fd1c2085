"""Files that nobody else on the machine may read, never seen half-written."""

import os
import tempfile
from pathlib import Path


def write_private(path: Path, text: str) -> Path:
    """Write a file of mode 0600 in one step, its folder too (mode 0700) where it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(draft).replace(path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise
    return path
