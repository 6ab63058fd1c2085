"""The wheel, as a team gets it: installed in a fresh environment in another folder, and used there.

The dependencies are those of this project's environment; that they install from the lock is what `make test` begins with.
"""

import json
import os
import subprocess
import sys
import sysconfig
import textwrap
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import pulumi

from slipway import AiApiService, ContainerImage, GpuModelServer
from slipway.images import router_context

image = ContainerImage("router", {
    "context": router_context(),
    "repository": "registry.example.com/team/router",
    "tags": ["1.4.0"],
})
llama = GpuModelServer("llama", {
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "accelerator": "l4:1",
    "context_tokens": 8192,
    "namespace": "ai",
})
api = AiApiService("api", {"image": image.ref, "namespace": "ai", "backends": [llama.backend(quality="medium")]})
pulumi.export("url", api.url)
"""


@dataclass(frozen=True)
class Team:
    """A folder of somebody else's, with an environment that has the wheel."""

    folder: Path
    bin: Path
    wheel: Path

    def run(self, *command: str, cwd: Path | None = None) -> str:
        # Nothing that leads back to this checkout.
        env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "COV_", "COVERAGE", "VIRTUAL_ENV", "PULUMI"))}
        done = subprocess.run(command, cwd=cwd or self.folder, env=env, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def team(tmp_path_factory: pytest.TempPathFactory) -> Team:
    folder = tmp_path_factory.mktemp("team")
    dist = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(dist), str(ROOT)]
    subprocess.run(build, check=True, capture_output=True, timeout=120)
    (wheel,) = dist.glob("*.whl")
    venv.create(folder / "env", with_pip=False, symlinks=True)
    binaries = folder / "env" / "bin"
    install = ["--python", str(binaries / "python"), "install", "--quiet", "--no-index", "--no-deps", str(wheel)]
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *install], check=True, timeout=120)
    (site,) = (folder / "env" / "lib").glob("python*/site-packages")
    # A path file within this folder is not followed, so the checkout's editable install stays out.
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return Team(folder, binaries, wheel)


def test_it_carries_code_types_and_data_and_no_more(team: Team) -> None:
    names = set(zipfile.ZipFile(team.wheel).namelist())
    source = {
        str(f.relative_to(ROOT / top))
        for top in ("infra", "app")
        for f in (ROOT / top).glob("slipway*/**/*")
        if f.is_file() and "__pycache__" not in f.parts
    }
    router_image = {
        f"slipway/data/router-image/{name}"
        for name in (".dockerignore", "Dockerfile", "requirements.txt", "requirements-clouds.txt")
    }
    assert {name for name in names if ".dist-info/" not in name} == source | router_image
    assert {"slipway/py.typed", "slipway_router/py.typed", "slipway/data/accelerators.yaml"} <= names


def test_both_packages_come_from_there(team: Team) -> None:
    program = "import slipway, slipway_router; print(slipway.__file__, slipway_router.__file__); "
    program += "print([getattr(slipway, name).__name__ for name in slipway.__all__])"
    files, parts = team.run(str(team.bin / "python"), "-c", program).splitlines()
    assert [Path(f).is_relative_to(team.folder) for f in files.split()] == [True, True]
    assert "'GpuModelServer'" in parts


def test_a_program_there_plans(team: Team) -> None:
    project = team.folder / "product"
    project.mkdir()
    (project / "Pulumi.yaml").write_text("name: product\nruntime: python\n")
    (project / "Pulumi.prod.yaml").write_text("config: {}\n")
    (project / "__main__.py").write_text(PROGRAM)
    said = team.run(str(team.bin / "slipway"), "plan", "-s", "prod", "--json", cwd=project)
    plan = {(r["type"], r["name"]): r for r in json.loads(said)["resources"]}
    assert {"GpuModelServer", "AiApiService", "ContainerImage"} <= {t.removeprefix("slipway:index:") for t, _ in plan}
    (build,) = [r for (type_, _), r in plan.items() if type_ == "docker-build:index:Image"]
    context = project / build["inputs"]["context"]["location"]
    assert (context / "slipway_router/config.py").read_bytes() == (ROOT / "app/slipway_router/config.py").read_bytes()
    assert (context / "Dockerfile").read_bytes() == (ROOT / "app/Dockerfile").read_bytes()
    assert any(type_ == "kubernetes:apps/v1:StatefulSet" for type_, _ in plan)


def test_a_type_checker_there_knows_every_argument(team: Team) -> None:
    right, wrong = team.folder / "right.py", team.folder / "wrong.py"
    right.write_text(textwrap.dedent(PROGRAM))
    wrong.write_text(textwrap.dedent(PROGRAM).replace('"accelerator"', '"acelerator"'))
    checker = (sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", str(team.bin / "python"))
    done = subprocess.run(
        [*checker, str(right), str(wrong)], cwd=team.folder, capture_output=True, text=True, check=False, timeout=250
    )
    found = [(Path(d["file"]).name, d["message"]) for d in json.loads(done.stdout)["generalDiagnostics"]]
    assert {name for name, _ in found} == {"wrong.py"}, found
    assert any('"acelerator"' in message for _, message in found)
