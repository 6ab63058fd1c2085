"""An image built where the program runs, and pushed to where the cluster pulls it."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, check_shape, known
from slipway.images.reference import registry_host, repository_fault, tag_fault

try:
    import pulumi_docker_build as docker_build
except ImportError as missing:
    raise ImportError("ContainerImage needs Pulumi's docker-build package: pip install 'slipway[docker]'") from missing


class ImagePlatform(StrEnum):
    """What an image runs on."""

    LINUX_AMD64 = "linux/amd64"
    LINUX_ARM64 = "linux/arm64"


class ImageCache(StrEnum):
    """Where the layers of earlier builds are kept, so that a fresh machine need not build them again."""

    REGISTRY = "registry"
    """Beside the image, under the tag `buildcache`."""
    GITHUB_ACTIONS = "gha"
    """In the cache of GitHub Actions, in a scope named like the component. The workflow must expose the cache's variables."""
    LOCAL = "local"
    """In the folder `.slipway/image-cache/NAME`, beside the program."""


class RegistryLogin(TypedDict):
    """Who pushes. The registry's address is that of the repository."""

    username: pulumi.Input[str]
    """User name, or what the registry takes in its place, such as `AWS` or `oauth2accesstoken`."""
    password: NotRequired[pulumi.Input[str]]
    """Password or token. Kept as a secret. Excludes `password_env`; one of the two is required."""
    password_env: NotRequired[str]
    """Environment variable that holds the password on the machine that runs the program. A preview does without it."""


class ContainerImageArgs(TypedDict):
    context: str
    """Folder with what the image is made of, relative to the program. Keep it relative: it is part of the state.
    `slipway.images.router_context()` makes that of the router."""
    repository: pulumi.Input[str]
    """Where the image belongs, without a tag: `ghcr.io/acme/router`. The registry's host is required to push."""
    tags: Sequence[pulumi.Input[str]]
    """One tag or more, such as the release or the commit's id. They are for people and for the registry's clean-up:
    what runs is pinned by digest. `latest` is refused."""
    dockerfile: NotRequired[str]
    """Dockerfile, relative to the context. Default `Dockerfile`."""
    target: NotRequired[str]
    """Stage to build. Default: the last one."""
    platforms: NotRequired[Sequence[ImagePlatform]]
    """What it must run on. Default `linux/amd64`. More than one needs `push`."""
    push: NotRequired[bool]
    """True, the default, pushes to the registry. False loads the image into this machine's Docker engine, by its first tag."""
    build_args: NotRequired[Mapping[str, pulumi.Input[str]]]
    """The Dockerfile's ARGs. They stay readable in the image: for a secret take `secrets`."""
    secrets: NotRequired[Mapping[str, pulumi.Input[str]]]
    """What `RUN --mount=type=secret,id=KEY` finds, by id. In no layer; secret in the state."""
    cache: NotRequired[ImageCache]
    """Where the build's layers are kept between builds. Default: in the builder alone. A cache cannot be written by the engine's
    built-in builder; `builder` names one that can."""
    registry: NotRequired[RegistryLogin]
    """How to log in to the registry. Default: as this machine's Docker client is logged in."""
    builder: NotRequired[str]
    """Name of a buildx builder, as `docker buildx ls` tells. Default: the one in use."""
    build_on_preview: NotRequired[bool]
    """Whether a preview builds the image too, without pushing it; it then needs the builder. Default false."""


@dataclass(frozen=True)
class Build:
    """A build as asked for, checked, with every default filled in."""

    context: str
    dockerfile: str
    repository: pulumi.Input[str]
    tags: Sequence[pulumi.Input[str]]
    platforms: tuple[ImagePlatform, ...]
    push: bool
    cache: ImageCache | None
    target: str | None
    build_args: Mapping[str, pulumi.Input[str]] | None
    secrets: Mapping[str, pulumi.Input[str]] | None
    login: RegistryLogin | None
    builder: str | None
    build_on_preview: bool

    @classmethod
    def of(cls, name: str, args: ContainerImageArgs) -> "Build":
        """Check the arguments of the image `name`.

        Raises:
            pulumi.InputPropertiesError: It lists every fault.
        """
        faults = Faults("ContainerImage")
        given = check_shape(args, ContainerImageArgs, faults)
        push = cast("bool", given.get("push", True))
        cache = cast("ImageCache | None", given.get("cache"))
        platforms = cast("tuple[ImagePlatform, ...]", tuple(given.get("platforms") or (ImagePlatform.LINUX_AMD64,)))
        dockerfile = cast("str", given.get("dockerfile", "Dockerfile"))
        if "context" in given and not faults.at("context") and not faults.at("dockerfile"):
            _check_files(given["context"], dockerfile, faults)
        if "repository" in given and not faults.at("repository"):
            needs_host = push is True or cache is ImageCache.REGISTRY or "registry" in given
            known(given["repository"], lambda plain: _tell(faults, "repository", repository_fault(plain, needs_host=needs_host)))
        if "tags" in given and not faults.at("tags"):
            _check_tags(given["tags"], faults)
        if not faults.at("platforms"):
            _check_platforms(platforms, push, faults)
        if "registry" in given and not faults.at("registry"):
            _check_login(given["registry"], faults)
        faults.refuse(name)
        return cls(
            context=given["context"],
            dockerfile=dockerfile,
            repository=given["repository"],
            tags=given["tags"],
            platforms=platforms,
            push=push,
            cache=cache,
            target=given.get("target"),
            build_args=given.get("build_args"),
            secrets=given.get("secrets"),
            login=given.get("registry"),
            builder=given.get("builder"),
            build_on_preview=given.get("build_on_preview", False),
        )


class ContainerImage(pulumi.ComponentResource):
    """One image, built by BuildKit from a folder and known by its digest.

    Give `image.ref` to what runs it. In a plan, and in a preview in which the image changes, nobody knows the digest yet: `ref`
    and `digest` are unknown there, and what takes them shows as to be known after `up`.

    Raises:
        ImportError: On import, without the extra `slipway[docker]`.
        pulumi.InputPropertiesError: The arguments cannot be built from; every fault is listed.
    """

    ref: pulumi.Output[str]
    """What to run: `REPOSITORY@DIGEST`, or `REPOSITORY:TAG` with the first tag where the image is not pushed."""
    digest: pulumi.Output[str]
    """The image's digest, `sha256:...`; with several platforms, that of their index."""

    def __init__(self, name: str, args: ContainerImageArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        build = Build.of(name, args)
        login = None if build.login is None else _login(build.login)
        secrets = None if build.secrets is None else pulumi.Output.secret(build.secrets)
        # A component's own inputs are kept in state too.
        shown: dict[str, Any] = {**args, "secrets": secrets, "registry": login}
        super().__init__("slipway:index:ContainerImage", name, {k: v for k, v in shown.items() if v is not None}, opts)

        repository = pulumi.Output.from_input(build.repository)
        image = docker_build.Image(
            f"{name}-image",
            context={"location": build.context},
            dockerfile={"location": str(Path(build.context, build.dockerfile))},
            tags=[pulumi.Output.concat(repository, ":", tag) for tag in build.tags],
            platforms=[docker_build.Platform(platform.value) for platform in build.platforms],
            push=build.push,
            load=not build.push,
            target=build.target,
            build_args=build.build_args,
            secrets=secrets,
            registries=[{"address": repository.apply(_address), **login}] if login else None,
            cache_from=[cache_from(build.cache, name, repository)] if build.cache else None,
            cache_to=[cache_to(build.cache, name, repository)] if build.cache else None,
            builder={"name": build.builder} if build.builder else None,
            build_on_preview=build.build_on_preview,
            opts=pulumi.ResourceOptions(parent=self),
        )

        self.digest = image.digest
        self.ref = (
            pulumi.Output.concat(repository, "@", image.digest)
            if build.push
            # The id keeps what runs the image waiting for the build.
            else pulumi.Output.all(image.id, repository, build.tags[0]).apply(lambda built: f"{built[1]}:{built[2]}")
        )
        self.register_outputs({"ref": self.ref, "digest": self.digest})


def cache_from(cache: ImageCache, name: str, repository: pulumi.Output[str]) -> docker_build.CacheFromArgsDict:
    """Where the build of `name` reads layers from."""
    match cache:
        case ImageCache.REGISTRY:
            return {"registry": {"ref": pulumi.Output.concat(repository, ":buildcache")}}
        case ImageCache.GITHUB_ACTIONS:
            return {"gha": {"scope": name}}
        case ImageCache.LOCAL:
            return {"local": {"src": f".slipway/image-cache/{name}"}}


def cache_to(cache: ImageCache, name: str, repository: pulumi.Output[str]) -> docker_build.CacheToArgsDict:
    """Where the build of `name` writes its layers to, those of the stages that are not in the image included."""
    mode = docker_build.CacheMode.MAX
    match cache:
        case ImageCache.REGISTRY:
            ref = pulumi.Output.concat(repository, ":buildcache")
            # Amazon ECR takes a cache only in this form, and the others take it too.
            return {"registry": {"ref": ref, "mode": mode, "image_manifest": True, "oci_media_types": True}}
        case ImageCache.GITHUB_ACTIONS:
            return {"gha": {"scope": name, "mode": mode}}
        case ImageCache.LOCAL:
            return {"local": {"dest": f".slipway/image-cache/{name}", "mode": mode}}


class _Login(TypedDict):
    username: pulumi.Input[str]
    password: pulumi.Output[str]


def _login(login: RegistryLogin) -> _Login:
    # Only a preview comes here without the variable: the checks refuse it elsewhere.
    password = login["password"] if "password" in login else os.environ.get(login.get("password_env", ""), "")
    return {"username": login["username"], "password": pulumi.Output.secret(password)}


def _address(repository: str) -> str:
    host = registry_host(repository)
    if host is None:
        raise pulumi.RunError(f"the repository {repository!r} names no registry to log in to; put its host first")
    return host


def _tell(faults: Faults, path: str, fault: str | None) -> None:
    if fault:
        faults.add(path, fault)


def _check_files(context: str, dockerfile: str, faults: Faults) -> None:
    folder = Path(context)
    if not folder.is_dir():
        is_what = "a file" if folder.exists() else "not there"
        faults.add("context", f"is {context!r}, which is {is_what}; give a folder, relative to {Path.cwd()}")
    elif not (folder / dockerfile).is_file():
        faults.add("dockerfile", f"is {dockerfile!r}, which is no file in {context!r}; give its path relative to the context")


def _check_tags(tags: Sequence[pulumi.Input[str]], faults: Faults) -> None:
    if not tags:
        faults.add("tags", "is empty; give one or more, such as the release or the commit's id")
    plain: list[str] = []

    def check(i: int, tag: str) -> None:
        _tell(faults, f"tags[{i}]", f"is {tag!r} again; give each once" if tag in plain else tag_fault(tag))
        plain.append(tag)

    for i, tag in enumerate(tags):
        known(tag, lambda plain, i=i: check(i, plain))


def _check_platforms(platforms: Sequence[ImagePlatform], push: bool, faults: Faults) -> None:
    if len(set(platforms)) != len(platforms):
        faults.add("platforms", "has one of them twice; give each once")
    elif len(platforms) > 1 and push is False:
        faults.add("platforms", f"are {len(platforms)}; an engine loads an image for one, so give one, or push")


def _check_login(login: Mapping[str, Any], faults: Faults) -> None:
    variable = login.get("password_env")
    if ("password" in login) == (variable is not None):
        faults.add("registry", "give either 'password' or 'password_env'")
    elif variable is not None and not os.environ.get(variable) and not pulumi.runtime.is_dry_run():
        faults.add("registry.password_env", f"is {variable!r}, which is not set in the environment; set it to push")
