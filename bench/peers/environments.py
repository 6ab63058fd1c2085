"""Where the peers are installed: an environment each, made once, outside of the repository.

    ~/.cache/slipway/peers/NAME-DIGEST      the digest is of what is installed: other versions get another environment

`XDG_CACHE_HOME` moves it. Packages come from the registries that uv, npm and cargo are configured for.
"""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.peers.catalogue import PEERS, Peer

REPOSITORY = Path(__file__).parents[2]
_DONE = ".slipway-done"
_SECONDS = 1800


class MissingError(Exception):
    """A peer, or the load kit, that cannot be had on this machine; says why, and what helps."""


def cache() -> Path:
    """The folder of all environments."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "slipway" / "peers"


def home(name: str) -> Path:
    """A peer's environment, there or not."""
    return cache() / f"{name}-{hashlib.sha256(_recipe(PEERS[name], name).encode()).hexdigest()[:10]}"


def site_packages(folder: Path) -> Path:
    """Of a Python environment."""
    return next(folder.glob("lib/python3*/site-packages"), folder)


def find(name: str, as_told: Peer | None = None) -> Path:
    """A peer's environment.

    Args:
        name: The peer's.
        as_told: What it is, if not what the catalogue says.

    Raises:
        MissingError: it is not installed.
    """
    peer = as_told or PEERS[name]
    if peer.program is not None:
        if shutil.which(peer.program) is None:
            raise MissingError(f"{peer.program} is not on this machine; install your system's package")
        return cache()
    folder = home(name)
    if not (folder / _DONE).exists():
        raise MissingError(f"not installed; {_how(peer, name)}")
    return folder


def make(name: str) -> Path:
    """Install a peer, unless it is there.

    Raises:
        MissingError: it cannot be; the installer's own words go to standard error.
    """
    peer, folder = PEERS[name], home(name)
    if name == "ours":
        # As its image does. Where PYTHONDONTWRITEBYTECODE is set every start would compile it anew.
        _run(name, [sys.executable, "-m", "compileall", "-q", str(REPOSITORY / "app" / "slipway_router")])
    if peer.program is not None or (folder / _DONE).exists():
        return find(name)
    if peer.source is not None and not os.environ.get(peer.source):
        raise MissingError(_how(peer, name))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        if peer.npm:
            _run(name, ["npm", "install", "--no-audit", "--no-fund", "--prefix", str(folder), *peer.npm])
        else:
            _make_python(name, peer, folder)
    except MissingError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    (folder / _DONE).touch()
    return folder


def installed_mb(name: str) -> float | None:
    """What a peer's environment takes on disk, in MB of 10^6 bytes, without the interpreter; None where the system installed it.

    Of the router itself its own package, which its environment does not hold, is counted too.
    """
    if PEERS[name].program is not None:
        return None
    folders = [home(name), *([REPOSITORY / "app" / "slipway_router"] if name == "ours" else [])]
    files = {(s.st_dev, s.st_ino): s.st_blocks * 512 for f in folders for p in f.rglob("*") if (s := p.lstat())}
    return sum(files.values()) / 1e6


def load_kit() -> Path:
    """The folder with the fake upstream (`mock`) and the load generator (`lg`), built once.

    Raises:
        MissingError: there is no cargo, or it cannot build them.
    """
    source = REPOSITORY / "bench" / "loadkit"
    files = sorted(p for p in source.rglob("*") if p.suffix in {".rs", ".toml", ".lock"})
    digest = hashlib.sha256(b"\0".join(p.read_bytes() for p in files)).hexdigest()[:10]
    folder = cache() / f"loadkit-{digest}"
    built = folder / "release"
    if not (folder / _DONE).exists():
        if shutil.which("cargo") is None:
            raise MissingError("the load generator is written in Rust and there is no cargo; install Rust 1.78 or later")
        _run("loadkit", ["cargo", "build", "--release", "--locked", "--quiet", "--target-dir", str(folder)], cwd=source)
        (folder / _DONE).touch()
    return built


def interpreter() -> str:
    """The Python of the environments: `BENCH_PYTHON`, or the one that runs this. How it was built matters by a third."""
    return os.environ.get("BENCH_PYTHON") or sys.executable


def _make_python(name: str, peer: Peer, folder: Path) -> None:
    # uv is among the project's development dependencies, and beside the interpreter that runs this.
    uv = str(Path(sys.executable).with_name("uv"))
    _run(name, [uv, "venv", "--quiet", "--allow-existing", "--python", peer.python or interpreter(), str(folder)])
    python = str(folder / "bin" / "python")
    install = [uv, "pip", "install", "--quiet", "--compile-bytecode", "--link-mode", "copy", "--python", python]
    if name == "ours":
        install += ["--no-deps", "--require-hashes", "-r", str(REPOSITORY / "app" / "requirements.txt")]
    elif peer.source is not None:
        install += [os.environ[peer.source]]
    else:
        install += peer.pip
    # A checkout without its history knows no version of its own.
    _run(name, install, SETUPTOOLS_SCM_PRETEND_VERSION="0.1.0")


def _run(name: str, command: list[str], cwd: Path | None = None, **environ: str) -> None:
    try:
        done = subprocess.run(
            command, stdout=sys.stderr, stdin=subprocess.DEVNULL, cwd=cwd, timeout=_SECONDS, env={**os.environ, **environ}
        )
    except FileNotFoundError:
        raise MissingError(f"{command[0]} is not on this machine") from None
    except subprocess.TimeoutExpired:
        raise MissingError(f"installing {name} took longer than {_SECONDS} s") from None
    if done.returncode:
        raise MissingError(f"{Path(command[0]).name} could not install {name}; its words are above")


def _recipe(peer: Peer, name: str) -> str:
    packages = (REPOSITORY / "app" / "requirements.txt").read_text() if name == "ours" else " ".join((*peer.pip, *peer.npm))
    python = "" if peer.npm else peer.python or str(Path(interpreter()).resolve())
    return " ".join((packages, peer.source or "", python))


def _how(peer: Peer, name: str) -> str:
    if peer.source is None:
        return f"`python -m bench.peers install --peers {name}` does it"
    return f"no registry has it; set {peer.source} to a checkout of it and run `python -m bench.peers install --peers {name}`"
