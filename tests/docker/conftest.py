"""What the Docker tier needs: an engine, a base image, and packages for a build that has no network but the loopback."""

import functools
import http.server
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docker.engine import DockerError, Engine, NoEngineError
from tests.docker.engine import engine as find_engine

APP = Path(__file__).parents[2] / "app"
DEBIAN = "bookworm"
"""A Debian whose Python is the image's, 3.11."""


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    try:
        with find_engine() as found:
            yield found
    except NoEngineError as reason:
        pytest.skip(str(reason))


@pytest.fixture(scope="session")
def base(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the Dockerfile itself builds in where it can be had, else a Debian with Python made on this machine."""
    default = re.search(r"^ARG BUILDER=(\S+)$", (APP / "Dockerfile").read_text(), re.MULTILINE)
    assert default is not None
    try:
        engine("image", "inspect", default[1])
    except DockerError:
        try:
            engine("pull", "--quiet", default[1], timeout=180)
        except (DockerError, subprocess.TimeoutExpired):
            return _debian(engine, tmp_path_factory.mktemp("debian"), default[1])
    return default[1]


def _debian(engine: Engine, folder: Path, instead_of: str) -> str:
    debootstrap = shutil.which("debootstrap") or shutil.which("debootstrap", path="/usr/sbin")
    if debootstrap is None or os.geteuid() != 0:
        pytest.skip(f"{instead_of} cannot be pulled, and debootstrap, which would make a base, is not installed or needs root")
    root, tar = folder / "root", folder / "root.tar"
    made = subprocess.run(
        [debootstrap, "--variant=minbase", "--include=python3,python3-venv,binutils", DEBIAN, str(root)],
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )
    if made.returncode:
        pytest.skip(f"{instead_of} cannot be pulled, and debootstrap failed: {made.stdout[-300:]}")
    kept = ["--exclude=./var/cache/apt/*", "--exclude=./var/lib/apt/lists/*", "--exclude=./dev/*"]
    subprocess.run(["tar", "-C", str(root), *kept, "-cf", str(tar), "."], check=True, timeout=60)
    shutil.rmtree(root)
    engine("import", str(tar), "slipway-tests/base:1")
    tar.unlink()
    return "slipway-tests/base:1"


@pytest.fixture(scope="session")
def pip_conf(engine: Engine, base: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A pip.conf that names an index on the loopback, which has what app/requirements.txt locks and nothing else."""
    house = tmp_path_factory.mktemp("wheelhouse")
    version = engine("run", "--rm", "--network=none", base, "python3", "-c", "import sys; print('%d.%d' % sys.version_info[:2])")
    # pip downloads for another version of Python, but goes by its own where a package is for some versions only.
    lock = house.with_name("requirements.txt")
    lock.write_text(re.sub(r" ; python_full_version [^\\\n]*", " ", (APP / "requirements.txt").read_text()))
    options = ["--require-hashes", "--no-deps", "--only-binary=:all:", "--quiet"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options]
    subprocess.run([*command, f"--python-version={version}", f"--dest={house}", "-r", str(lock)], check=True, timeout=300)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Not a line per package."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(house)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    conf = tmp_path_factory.mktemp("secret") / "pip.conf"
    conf.write_text(f"# hush-hush\n[global]\nno-index = true\nfind-links = http://127.0.0.1:{server.server_port}/\n")
    try:
        yield conf
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
