"""The build context of the router's image, from what is installed: no checkout of this project is needed."""

import hashlib
import os
import shutil
import tempfile
from importlib.resources import files
from pathlib import Path

import slipway_router

# Layers keep the time of a file: with one fixed time, the same content gives the same layer. Zip knows no earlier one.
_TIME = 315532800


def router_context(into: str | Path = ".slipway/images") -> str:
    """Write the build context of the router's image: its Dockerfile, its locked requirements, its code.

    It is the same, byte for byte, wherever the same version is installed. The folder is named after its content, so that one that
    is there already is used as it is.

    With the build argument `REQUIREMENTS: requirements-clouds.txt` the image can also ask AWS and Google Cloud, by its pods'
    identity.

    Args:
        into: Folder to write it in; made if absent. Default `.slipway/images`, in the current folder.

    Returns:
        The context's path, relative if `into` is: for `ContainerImage`'s `context`.

    Raises:
        OSError: It cannot be written.
        RuntimeError: The installed package does not carry the image's Dockerfile.
    """
    content = _content()
    digest = hashlib.sha256()
    for name, data in content.items():
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    context = Path(into, f"router-{digest.hexdigest()[:12]}")
    if not context.is_dir():
        context.parent.mkdir(parents=True, exist_ok=True)
        # Another process may be writing the same: whoever comes second finds it done.
        draft = Path(tempfile.mkdtemp(prefix=".router-", dir=context.parent))
        try:
            _write(content, draft)
            draft.rename(context)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if not context.is_dir():
                raise
    return str(context)


def _content() -> dict[str, bytes]:
    package = Path(slipway_router.__file__).parent
    # In the wheel they are data of this package; in a checkout they lie beside the router.
    packed = Path(str(files("slipway"))) / "data" / "router-image"
    home = packed if packed.is_dir() else package.parent
    content: dict[str, bytes] = {}
    for name in (".dockerignore", "Dockerfile", "requirements.txt", "requirements-clouds.txt"):
        try:
            content[name] = (home / name).read_bytes()
        except FileNotFoundError:
            raise RuntimeError(f"{home} has no {name}, which the router's image needs; install slipway from its wheel") from None
    sources = (f for f in package.rglob("*") if f.is_file() and "__pycache__" not in f.parts)
    content.update({f"slipway_router/{f.relative_to(package).as_posix()}": f.read_bytes() for f in sources})
    return dict(sorted(content.items()))


def _write(content: dict[str, bytes], folder: Path) -> None:
    for name, data in content.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(0o644)
        os.utime(file, (_TIME, _TIME))
    for inner in [folder, *(f for f in folder.rglob("*") if f.is_dir())]:
        inner.chmod(0o755)
        os.utime(inner, (_TIME, _TIME))
