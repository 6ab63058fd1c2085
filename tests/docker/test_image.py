"""The router's image, built and run. That Kubernetes takes the same is proven in tests/cluster, not here."""

import contextlib
import json
import shutil
import time
import uuid
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.docker.conftest import APP
from tests.docker.engine import DockerError, Engine

from slipway.images import router_context

# One engine and one base for all: a worker of its own. The base alone may take minutes to make.
pytestmark = pytest.mark.timeout(900)

CONFIG = {"backends": [{"name": "nobody", "url": "http://127.0.0.1:9/v1", "model": "m"}]}
HELD = ("--read-only", "--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--memory=512m")
ASK = """
import http.client, sys
c = http.client.HTTPConnection("127.0.0.1", 8000, timeout=5)
c.request("GET", sys.argv[1])
print(c.getresponse().status)
"""

Build = Callable[..., str]


@pytest.fixture(scope="module")
def build(engine: Engine, base: str, pip_conf: Path) -> Iterator[Build]:
    """Builds a context; returns the image's name."""
    made: list[str] = []

    def one(context: Path, *more: str) -> str:
        tag = f"slipway-tests/router:{uuid.uuid4().hex[:8]}"
        bases = (f"--build-arg=BASE={base}", f"--build-arg=BUILDER={base}")
        args = ("--network=host", *bases, f"--secret=id=pip.conf,src={pip_conf}", f"--tag={tag}")
        engine("build", *args, *more, str(context), timeout=300)
        made.append(tag)
        return tag

    yield one
    if made:
        engine("image", "rm", "--force", *made)


@pytest.fixture(scope="module")
def image(build: Build) -> str:
    return build(APP)


@contextlib.contextmanager
def running(engine: Engine, image: str, folder: Path, config: object = CONFIG) -> Generator[str]:
    """A container as tightly held as Kubernetes' restricted level holds it; removed at the end."""
    file = folder / "router.json"
    file.write_text(json.dumps(config))
    file.chmod(0o644)
    name = f"slipway-tests-{uuid.uuid4().hex[:8]}"
    mount = f"--mount=type=bind,src={file},dst=/etc/slipway/router.json,readonly"
    engine("run", "--detach", f"--name={name}", mount, *HELD, "--health-interval=1s", image)
    try:
        yield name
    finally:
        engine("rm", "--force", name)


def inspected(engine: Engine, name: str) -> dict[str, Any]:
    return json.loads(engine("inspect", name))[0]


def health(engine: Engine, name: str, wanted: str) -> str:
    """The container's state of health, as soon as it is the one wanted or after 30 s."""
    deadline = time.monotonic() + 30
    while (state := inspected(engine, name)["State"])["Running"] and time.monotonic() < deadline:
        if state["Health"]["Status"] == wanted:
            break
        time.sleep(0.2)
    return state["Health"]["Status"] if state["Running"] else engine("logs", name)


def test_it_serves_read_only_without_root_and_without_a_capability(engine: Engine, image: str, tmp_path: Path) -> None:
    with running(engine, image, tmp_path) as router:
        assert health(engine, router, "healthy") == "healthy"
        assert engine("exec", router, "python", "-c", ASK, "/health") == "200"
        assert engine("exec", router, "python", "-c", ASK, "/no-such-page") == "404"
        assert engine("exec", router, "python", "-c", "import os; print(os.getuid(), os.getgid())") == "10001 10001"
        with pytest.raises(DockerError, match="Read-only file system"):
            engine("exec", router, "python", "-c", "open('/app/x', 'w')")
        began = time.monotonic()
        engine("stop", "--time=20", router)
        assert time.monotonic() - began < 10, "SIGTERM must end it, not the kill that follows"
        assert inspected(engine, router)["State"]["ExitCode"] == 0
        assert "Traceback" not in engine("logs", router)


def test_the_health_check_notices_what_does_not_answer(engine: Engine, image: str) -> None:
    name = f"slipway-tests-{uuid.uuid4().hex[:8]}"
    soon = ("--health-interval=1s", "--health-retries=1", "--health-start-period=0s")
    engine("run", "--detach", f"--name={name}", *HELD, *soon, "--entrypoint=sleep", image, "120")
    try:
        assert health(engine, name, "unhealthy") == "unhealthy"
    finally:
        engine("rm", "--force", name)


def test_a_wrong_configuration_ends_it_with_every_fault_and_no_traceback(engine: Engine, image: str, tmp_path: Path) -> None:
    wrong = {"backends": [{"name": "a", "url": "ftp://x", "model": "m"}], "listen": {"port": 0}}
    with running(engine, image, tmp_path, config=wrong) as router:
        engine("wait", router)
        said = engine("logs", router)
        assert inspected(engine, router)["State"]["ExitCode"] != 0
    assert "backends[0].url" in said
    assert "listen.port" in said
    assert "Traceback" not in said


def test_it_carries_what_it_needs_and_no_more(engine: Engine, image: str) -> None:
    config = inspected(engine, image)["Config"]
    assert config["User"] == "10001:10001"
    assert list(config["ExposedPorts"]) == ["8000/tcp"]
    assert {"PYTHONUNBUFFERED=1", "PYTHONDONTWRITEBYTECODE=1"} <= set(config["Env"])
    listed = "import os, sys; print(sorted(os.listdir('/app')), os.path.exists('/etc/pip.conf'), os.path.exists('/build'))"
    listed += "\nimport importlib.util as u; print([m for m in ('pip', 'pulumi', 'slipway') if u.find_spec(m)])"
    listed += "\nimport slipway_router.config as c; print(os.path.exists(c.__cached__))"
    said = engine("run", "--rm", *HELD, "--entrypoint=python", image, "-c", listed)
    assert said.splitlines() == ["['slipway_router'] False False", "[]", "True"]


def test_all_that_it_installs_takes_less_than_70_mb(engine: Engine, image: str) -> None:
    """With everything optional but the clouds' SDKs; docs/benchmarks.md has the figures."""
    measured = "du --summarize --block-size=1 /venv /app"
    said = engine("run", "--rm", *HELD, "--entrypoint=sh", image, "-c", measured)
    sizes = {path: int(size) / 1e6 for size, path in (line.split() for line in said.splitlines())}
    print(sizes)
    assert 20 < sizes["/venv"] + sizes["/app"] < 70


def test_the_index_is_in_no_layer(engine: Engine, image: str, tmp_path: Path) -> None:
    saved = tmp_path / "image.tar"
    engine("save", f"--output={saved}", image, timeout=120)
    content = saved.read_bytes()
    assert b"slipway_router/config.py" in content, "the layers are not compressed"
    assert b"hush-hush" not in content
    assert b"find-links = http" not in content


def test_a_package_that_is_not_the_locked_one_stops_the_build(build: Build, tmp_path: Path) -> None:
    context = tmp_path / "app"
    shutil.copytree(APP, context, ignore=shutil.ignore_patterns("__pycache__"))
    lock = context / "requirements.txt"
    text = lock.read_text()
    at = text.index("--hash=sha256:", text.index("\nh11==")) + len("--hash=sha256:")
    digests = text[at : text.index("\nhttptools==")]
    lock.write_text(text.replace(digests, "0" * 64))
    with pytest.raises(DockerError, match="DO NOT MATCH THE HASHES"):
        build(context)


def test_the_context_from_the_installed_package_builds_too(engine: Engine, build: Build, tmp_path: Path) -> None:
    image = build(Path(router_context(tmp_path)))
    with running(engine, image, tmp_path) as router:
        assert health(engine, router, "healthy") == "healthy"
