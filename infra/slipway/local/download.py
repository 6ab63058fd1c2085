"""Model files from the Hugging Face Hub, by commit."""

import importlib
import re
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SHAPE = re.compile(
    r"(?P<repo>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)/(?P<file>[\w./-]+\.gguf)@(?P<revision>[0-9a-f]{40})", re.ASCII
)
"""ORGANISATION/REPOSITORY/FILE.gguf@COMMIT. Only a commit, with all its 40 digits, never moves."""
_PROGRESS_SECONDS = 5.0


class ServeError(Exception):
    """A model cannot be had or served as asked. The message is one line for the user."""


@dataclass(frozen=True)
class Download:
    """One file of one commit on the Hugging Face Hub."""

    repo: str
    file: str
    revision: str

    @classmethod
    def parse(cls, text: str) -> "Download":
        """Raises `ValueError` that says what is expected."""
        match = SHAPE.fullmatch(text)
        if match is None:
            raise ValueError(
                f"is {text!r}; give ORGANISATION/REPOSITORY/FILE.gguf@COMMIT, COMMIT being the 40 digits that the file's "
                "history on the Hub shows: a branch or a tag moves"
            )
        return cls(**match.groupdict())


def fetch(download: Download, cache: Path) -> Path:
    """The file, downloaded unless it is in the cache already. Progress goes to standard output.

    HF_TOKEN is used where it is set, and HF_ENDPOINT.

    Raises:
        ServeError: It cannot be downloaded.
    """
    try:
        hub: Any = importlib.import_module("huggingface_hub")
        progress = _in_lines()
    except ModuleNotFoundError as error:
        raise missing(error) from None

    say(f"fetching {download.repo}/{download.file} at {download.revision}, cached in {cache}")
    try:
        path = hub.hf_hub_download(download.repo, download.file, revision=download.revision, cache_dir=cache, tqdm_class=progress)
    except Exception as error:  # noqa: BLE001 -- whatever the hub's library raises, its first line is what the user needs
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ServeError(f"{download.repo}/{download.file}@{download.revision} cannot be downloaded: {reason[0]}") from None
    return Path(path)


def _in_lines() -> Any:
    """A progress bar that writes lines to a log now and then, instead of redrawing itself."""
    from tqdm import tqdm

    bar: type[tqdm[Any]] = tqdm

    class Lines(bar):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            # The hub's library gives its own bars a group to be switched off by.
            kwargs.pop("name", None)
            self._said = time.monotonic()
            quiet = {**kwargs, "disable": False, "file": _Nowhere()}
            super().__init__(*args, **quiet)  # pyright: ignore[reportUnknownMemberType] -- its stub leaves keywords untyped

        def update(self, n: float | None = 1) -> bool | None:
            shown = super().update(n)
            done: float = self.n
            if self.total and (done >= self.total or time.monotonic() - self._said >= _PROGRESS_SECONDS):
                self._said = time.monotonic()
                say(f"downloaded {done / 2**20:.1f} of {self.total / 2**20:.1f} MiB ({100 * done / self.total:.0f} %)")
            return shown

    return Lines


class _Nowhere:
    def write(self, text: str) -> int:
        return len(text)

    def flush(self) -> None:
        pass


def missing(error: ModuleNotFoundError) -> ServeError:
    """The error for a package that only `slipway[local]` installs."""
    return ServeError(f"the Python package '{error.name}' is not installed; it comes with: pip install 'slipway[local]'")


def say(text: str) -> None:
    """One line of the server's log, at once."""
    sys.stdout.write(f"slipway.local: {text}\n")
    sys.stdout.flush()
