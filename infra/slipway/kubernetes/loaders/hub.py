"""Loads a model from the hub into a folder. It runs by itself in an engine's image, so it imports nothing of this library.

The folder gets its name only when it is whole and checked, so one of that name needs no second look. What was cut is resumed.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from huggingface_hub import HfApi

# What no engine reads, and doubles many repositories: weights in other formats.
OTHER_FORMATS = (".pth", ".pt", ".gguf", ".onnx", ".h5", ".msgpack", ".ot", ".tflite", ".mlmodel")


def wanted(names: list[str]) -> list[str]:
    """The files that engines read: not those of other formats, and no pickles beside safetensors."""
    left_out = (*OTHER_FORMATS, ".bin") if any(n.endswith(".safetensors") for n in names) else OTHER_FORMATS
    return [n for n in names if not n.startswith("original/") and not n.endswith(left_out)]


def load(repository: str, commit: str, part: Path) -> None:
    """Bring every file, and compare the large ones with the SHA-256 that the hub tells of them."""
    info = HfApi().model_info(repository, revision=commit, files_metadata=True)
    if info.sha != commit:
        raise ValueError(f"the hub has {info.sha} for it")
    files = {s.rfilename: s.lfs.sha256 if s.lfs else None for s in info.siblings or []}
    names = wanted(list(files))

    def fetch(name: str) -> None:
        HfApi().hf_hub_download(  # pyright: ignore[reportUnknownMemberType] -- the library types its tqdm_class in part
            repository, name, revision=commit, local_dir=part
        )

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(fetch, names))
    for name in names:
        expected = files[name]
        with (part / name).open("rb") as file:
            if expected and hashlib.file_digest(file, "sha256").hexdigest() != expected:
                (part / name).unlink()
                raise ValueError(f"{name} has another SHA-256 than {expected}")
    # The library's own notes on what it downloaded; versions before 0.24, such as that of TGI's image, have the second folder.
    for notes in (".cache", ".huggingface"):
        shutil.rmtree(part / notes, ignore_errors=True)


def make_room(root: Path, part: Path) -> None:
    """Keep the version before this one, for a rollback, and no others: the volume has room for two."""
    folders = [d for d in root.iterdir() if d.is_dir() and d != part]
    whole = sorted((d for d in folders if d.suffix != ".part"), key=lambda d: d.stat().st_mtime)
    for old in [*(d for d in folders if d.suffix == ".part"), *whole[:-1]]:
        shutil.rmtree(old)


def main() -> None:
    repository, commit, target = os.environ["SOURCE"], os.environ["COMMIT"], Path(os.environ["TARGET"])
    part = target.with_name(f"{target.name}.part")
    target.parent.mkdir(parents=True, exist_ok=True)
    # Several servers may share the volume: the first loads, the others wait for it. The lock goes with the process.
    with target.with_name(f"{target.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if target.is_dir():
            print(f"{target} is there")  # noqa: T201 -- the container's log
            return
        if os.environ.get("MAKE_ROOM") == "1":
            make_room(target.parent, part)
        try:
            load(repository, commit, part)
        except Exception as error:  # noqa: BLE001 -- whatever it was, it goes into the log as one line
            sys.exit(f"cannot load {repository}@{commit}: {error}")
        part.rename(target)
        print(f"{target} is loaded")  # noqa: T201 -- the container's log


if __name__ == "__main__":
    main()
