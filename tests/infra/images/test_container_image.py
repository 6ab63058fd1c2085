"""ContainerImage: its checks alone, then what it registers. That a build comes out right is proven in tests/docker, not here."""

import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pulumi
import pytest
from tests.infra.sdk_types import faults as unknown_properties

from slipway.images.container_image import Build, ContainerImage, ContainerImageArgs, ImageCache, ImagePlatform
from slipway.plan import UNKNOWN, Plan, Secret, plan_program

REPOSITORY = "ghcr.io/acme/router"


@pytest.fixture
def args(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ContainerImageArgs:
    """The least that builds: a folder with a Dockerfile, seen from beside it."""
    monkeypatch.chdir(tmp_path)
    Path("app").mkdir()
    Path("app/Dockerfile").write_text("FROM scratch\n")
    return {"context": "app", "repository": REPOSITORY, "tags": ["1.4.0"]}


def faults(args: Mapping[str, Any]) -> dict[str, str]:
    with pytest.raises(pulumi.InputPropertiesError) as refused:
        Build.of("router", args)  # pyright: ignore[reportArgumentType] -- what a caller without a type checker gives
    return {fault["property_path"]: fault["reason"] for fault in refused.value.errors or []}


def image(make: Callable[[], ContainerImageArgs]) -> tuple[Plan, Mapping[str, Any]]:
    plan = plan_program(lambda: ContainerImage("router", make()))
    assert unknown_properties(plan["router-image"]) == []
    return plan, plan["router-image"].inputs


@pytest.mark.parametrize(
    ("wrong", "path", "told"),
    [
        ({"context": "nowhere"}, "context", "'nowhere', which is not there"),
        ({"context": "app/Dockerfile"}, "context", "which is a file; give a folder"),
        ({"dockerfile": "Dockerfile.gpu"}, "dockerfile", "no file in 'app'"),
        ({"repository": "acme/router"}, "repository", "names no registry to push to"),
        ({"repository": "acme/router", "push": False, "cache": "registry"}, "repository", "names no registry"),
        ({"repository": "ghcr.io/acme/router:1"}, "repository", "without tag"),
        ({"repository": None}, "repository", "is required"),
        ({"tags": []}, "tags", "is empty"),
        ({"tags": ["1", "latest"]}, "tags[1]", "says nothing"),
        ({"tags": ["1", "1"]}, "tags[1]", "again"),
        ({"platforms": ["linux/amd65"]}, "platforms[0]", "'linux/amd64', 'linux/arm64'"),
        ({"platforms": ["linux/amd64", "linux/amd64"]}, "platforms", "twice"),
        ({"platforms": ["linux/amd64", "linux/arm64"], "push": False}, "platforms", "give one, or push"),
        ({"cache": "s3"}, "cache", "'registry', 'gha', 'local'"),
        ({"push": "yes"}, "push", "true or false"),
        ({"dockerfle": "Dockerfile"}, "dockerfle", "did you mean 'dockerfile'?"),
        ({"registry": {"username": "u"}}, "registry", "either 'password' or 'password_env'"),
        (
            {"registry": {"username": "u", "password": "p", "password_env": "P"}},
            "registry",
            "either 'password' or 'password_env'",
        ),
        ({"registry": {"password": "p"}}, "registry.username", "is required"),
        ({"registry": {"username": "u", "password_env": "NO_SUCH"}}, "registry.password_env", "'NO_SUCH', which is not set"),
    ],
)
def test_what_cannot_be_built_is_told_by_its_path(
    args: ContainerImageArgs, wrong: Mapping[str, Any], path: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH", raising=False)
    told_of = faults({**args, **wrong})
    assert list(told_of) == [f"args.{path}"]
    assert told in told_of[f"args.{path}"]


def test_all_faults_are_told_at_once_and_nothing_is_registered(args: ContainerImageArgs) -> None:
    wrong: Any = {"context": "nowhere", "repository": "Router", "tags": ["latest"], "platforms": ["vms/vax"], "pull": True}
    assert set(faults(wrong)) == {"args.context", "args.repository", "args.tags[0]", "args.platforms[0]", "args.pull"}
    with pytest.raises(pulumi.InputPropertiesError, match="ContainerImage 'router' cannot be built as asked, 5 faults"):
        plan_program(lambda: ContainerImage("router", wrong))
    with pytest.raises(pulumi.InputPropertiesError, match="1 fault"):
        Build.of("router", None)  # pyright: ignore[reportArgumentType] -- a program's mistake


def test_the_least_that_can_be_asked_for(args: ContainerImageArgs) -> None:
    plan, inputs = image(lambda: args)
    assert inputs == {
        "context": {"location": "app"},
        "dockerfile": {"location": "app/Dockerfile"},
        "tags": ["ghcr.io/acme/router:1.4.0"],
        "platforms": ["linux/amd64"],
        "push": True,
        "load": False,
        "buildOnPreview": False,
        "network": "default",
    }
    assert plan["router-image"].parent == plan["router"].urn
    assert plan["router"].type == "slipway:index:ContainerImage"


def test_everything_that_can_be_asked_for(args: ContainerImageArgs) -> None:
    Path("app/Dockerfile.gpu").write_text("FROM scratch\n")

    def full() -> ContainerImageArgs:
        return {
            **args,
            "repository": pulumi.Output.from_input("registry:5000/team/router"),
            "tags": ["1.4.0", pulumi.Output.from_input("0f3c")],
            "dockerfile": "Dockerfile.gpu",
            "target": "production",
            "platforms": [ImagePlatform.LINUX_AMD64, ImagePlatform.LINUX_ARM64],
            "build_args": {"BASE": "python:3.12"},
            "secrets": {"pip.conf": "hush"},
            "cache": ImageCache.REGISTRY,
            "registry": {"username": "bot", "password": "hush"},
            "builder": "remote",
            "build_on_preview": True,
        }

    plan, inputs = image(full)
    cache = "registry:5000/team/router:buildcache"
    assert inputs == {
        "context": {"location": "app"},
        "dockerfile": {"location": "app/Dockerfile.gpu"},
        "tags": ["registry:5000/team/router:1.4.0", "registry:5000/team/router:0f3c"],
        "platforms": ["linux/amd64", "linux/arm64"],
        "push": True,
        "load": False,
        "target": "production",
        "buildArgs": {"BASE": "python:3.12"},
        "secrets": Secret({"pip.conf": "hush"}),
        "cacheFrom": [{"registry": {"ref": cache}}],
        "cacheTo": [{"registry": {"ref": cache, "mode": "max", "imageManifest": True, "ociMediaTypes": True}}],
        "registries": [{"address": "registry:5000", "username": "bot", "password": Secret("hush")}],
        "builder": {"name": "remote"},
        "buildOnPreview": True,
        "network": "default",
    }
    assert "hush" not in str(plan.resources)


@pytest.mark.parametrize(
    ("cache", "source", "target"),
    [
        ("gha", {"gha": {"scope": "router"}}, {"gha": {"scope": "router", "mode": "max"}}),
        (
            "local",
            {"local": {"src": ".slipway/image-cache/router"}},
            {"local": {"dest": ".slipway/image-cache/router", "mode": "max"}},
        ),
    ],
)
def test_one_word_sets_both_ends_of_a_cache(args: ContainerImageArgs, cache: str, source: object, target: object) -> None:
    _, inputs = image(lambda: {**args, "cache": ImageCache(cache)})
    assert (inputs["cacheFrom"], inputs["cacheTo"]) == ([source], [target])


def test_the_password_comes_from_the_environment_as_a_secret(args: ContainerImageArgs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_TOKEN", "hush")
    asked: ContainerImageArgs = {**args, "registry": {"username": "bot", "password_env": "REGISTRY_TOKEN"}}
    plan, inputs = image(lambda: asked)
    assert inputs["registries"] == [{"address": "ghcr.io", "username": "bot", "password": Secret("hush")}]
    assert "hush" not in str(plan.resources)
    monkeypatch.delenv("REGISTRY_TOKEN")
    without, _ = image(lambda: asked)
    assert str(without.resources) == str(plan.resources), "a plan without the secret must be the same plan"


@pytest.mark.parametrize("push", [True, False])
def test_whoever_runs_the_image_waits_for_the_build(args: ContainerImageArgs, push: bool) -> None:
    def program() -> None:
        built = ContainerImage("router", {**args, "push": push})
        pulumi.export("ref", built.ref)
        pulumi.export("digest", built.digest)

    plan = plan_program(program)
    assert plan.outputs == {"ref": UNKNOWN, "digest": UNKNOWN}
    assert set(plan["router"].outputs) == {"ref", "digest"}
    assert plan["router-image"].inputs["load"] is not push


# The plan knows no digest. Pulumi's own mocks can play a provider that has built.
@pytest.mark.parametrize(("push", "ref"), [(True, f"{REPOSITORY}@sha256:0f"), (False, f"{REPOSITORY}:1.4.0")])
def test_what_was_pushed_is_run_by_digest(args: ContainerImageArgs, push: bool, ref: str) -> None:
    program = f"""
import pulumi

class Built(pulumi.runtime.Mocks):
    def new_resource(self, args): return args.name, {{**args.inputs, "digest": "sha256:0f", "ref": "not ours"}}
    def call(self, args): raise AssertionError(args.token)

pulumi.runtime.set_mocks(Built(), preview=False)
from slipway import ContainerImage

@pulumi.runtime.test
def program(): return ContainerImage("router", {{**{dict(args)!r}, "push": {push}}}).ref.apply(print)

program()
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert (ran.stdout.strip(), ran.stderr) == (ref, "")


def test_without_its_package_the_extra_is_named() -> None:
    program = "import sys; sys.modules['pulumi_docker_build'] = None; import slipway; slipway.ContainerImage"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    assert ran.stderr.strip().endswith("ContainerImage needs Pulumi's docker-build package: pip install 'slipway[docker]'")
