"""Containers for language models that AWS publishes, by engine, version and region, as the images that SageMaker pulls.

The data is in `data/sagemaker_containers.yaml`, with its sources.
"""

from collections.abc import Mapping
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Literal, cast

import pulumi
import yaml
from pydantic import BaseModel, ConfigDict, Field

from slipway.args import Faults
from slipway.aws.sagemaker_rules import under

CUDA_13_AMI = "al2023-ami-sagemaker-inference-gpu-4-1"
"""SageMaker's machine image whose driver knows CUDA 13 (SageMaker API Reference: ProductionVariant, InferenceAmiVersion). That
which it chooses by itself has none that does ("Amazon SageMaker AI Deployment" of aws/deep-learning-containers)."""


class Build(BaseModel):
    """One version of an engine."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    tag: str = Field(min_length=1)
    """Tag of the image."""
    cuda: str | None = Field(default=None, pattern=r"^[0-9]+\.[0-9]+$")
    """CUDA in it, `None` where it needs none."""


class Engine(BaseModel):
    """One engine that AWS publishes containers of."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    repository: str
    accelerator: Literal["gpu", "neuron", "cpu"]
    """What it runs on."""
    source: str = Field(min_length=1)
    """Who says so."""
    date: date
    """The day on which that was so."""
    regions: tuple[str, ...] = ()
    """Regions that alone have it."""
    regions_without: tuple[str, ...] = ()
    """Regions that do not."""
    versions: dict[str, Build] = Field(min_length=1)
    """The newest first."""

    def there(self) -> Mapping[str, str]:
        """Account of the registry, by region that has it."""
        return {r: a for r, a in accounts().items() if r not in self.regions_without and (not self.regions or r in self.regions)}


@cache
def _document() -> dict[str, Any]:
    return yaml.safe_load((files("slipway") / "data" / "sagemaker_containers.yaml").read_text(encoding="utf-8"))


@cache
def accounts() -> MappingProxyType[str, str]:
    """Account whose registry holds them, by region."""
    told: Mapping[str, list[str]] = _document()["accounts"]
    return MappingProxyType({region: account for account, regions in told.items() for region in sorted(regions)})


@cache
def engines() -> MappingProxyType[str, Engine]:
    """Every engine by its name."""
    return MappingProxyType({name: Engine.model_validate(entry) for name, entry in _document()["engines"].items()})


def image_of(engine: str, version: str, region: str) -> str:
    """The image, of which all three are known."""
    told = engines()[engine]
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    return f"{told.there()[region]}.dkr.ecr.{region}.{domain}/{told.repository}:{told.versions[version].tag}"


def with_images(given: Mapping[str, Any], faults: Faults | None = None) -> dict[str, Any]:
    """An endpoint's arguments with an `image` in place of each `container`, and the machine image that its CUDA needs.

    Args:
        given: The arguments.
        faults: Where to tell what is wrong; what is refused is left out. Without, they were checked.
    """
    told = Faults("SageMakerEndpoint") if faults is None else faults
    needed: list[str] = []
    made = _replaced(given, "", told, needed)
    for kind in ("variants", "components"):
        if isinstance(entries := made.get(kind), Mapping):
            named = cast("Mapping[str, Any]", entries)
            made[kind] = {k: _replaced(v, f"{kind}.{k}", told, needed) for k, v in named.items()}
    if "shadow" in made:
        made["shadow"] = _replaced(made["shadow"], "shadow", told, needed)
    if any(int(cuda.partition(".")[0]) >= 13 for cuda in needed) and "serverless" not in made:
        made.setdefault("inference_ami_version", CUDA_13_AMI)
    return made


def _replaced(given: Any, path: str, faults: Faults, needed: list[str]) -> Any:
    if not isinstance(given, Mapping) or (cast("Mapping[str, Any]", given)).get("container") is None:
        return dict(cast("Mapping[str, Any]", given)) if isinstance(given, Mapping) else given
    whole = cast("Mapping[str, Any]", given)
    made, here = {k: v for k, v in whole.items() if k != "container"}, under(path, "container")
    for key in ("image", "model_package_arn"):
        if whole.get(key) is not None:
            faults.add(here, f"does not go with '{key}', which says what runs; leave one of the two out")
    if faults.at(here):
        return made
    told: Mapping[str, Any] = whole["container"]
    name, version = str(told["engine"]), told["version"]
    engine, region = engines()[name], told.get("region") or pulumi.Config("aws").get("region")
    stands = f"{engine.source}, {engine.date}"
    if version not in engine.versions:
        choice = ", ".join(engine.versions)
        faults.add(f"{here}.version", f"is {version!r}; of {name} there are {choice} ({stands}); give another as 'image'")
    if region is None:
        faults.add(f"{here}.region", "is required, as the stack has no 'aws:region'; give the endpoint's region")
    elif region not in engine.there():
        choice = ", ".join(sorted(engine.there()))
        faults.add(f"{here}.region", f"is {region!r}, and AWS publishes {name} in {choice} ({stands}); give one of them")
    if faults.at(here):
        return made
    if cuda := engine.versions[version].cuda:
        needed.append(cuda)
    return {**made, "image": image_of(name, version, cast("str", region))}
