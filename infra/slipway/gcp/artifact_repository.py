"""ArtifactRepository: a place for images in Google Cloud, scanned when pushed, and emptied of what nobody uses."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, check_shape, known

try:
    import pulumi_gcp as gcp
except ImportError as error:
    raise ImportError("ArtifactRepository needs pulumi-gcp; install it with: pip install 'slipway[gcp]'") from error

_ID = re.compile(r"[a-z]([a-z0-9-]{0,61}[a-z0-9])?")
_PLACE = re.compile(r"[a-z]+(-[a-z]+[0-9]+)?")
_KMS_KEY = re.compile(r"projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+")


class ArtifactRepositoryArgs(TypedDict):
    """What an `ArtifactRepository` is told."""

    location: pulumi.Input[str]
    """Region, or several: `europe`, `us` or `asia`. That of the endpoints which pull from it is the fastest."""
    repository_id: NotRequired[str]
    """Its name in addresses: at most 63 lower case letters, digits and '-', a letter first. Default: the component's name."""
    project: NotRequired[pulumi.Input[str]]
    """Project id. Default: the provider's."""
    keep_versions: NotRequired[int]
    """Newest versions of each image that stay whatever their age, at least 1. Default 10."""
    delete_untagged_days: NotRequired[int]
    """Age in days, at least 1, from which versions without a tag go, if they are not among those. Default 30."""
    mutable_tags: NotRequired[bool]
    """Whether a tag may be moved to another image. Default false: what a tag names stays what it is."""
    kms_key: NotRequired[pulumi.Input[str]]
    """Key of Cloud KMS: `projects/P/locations/L/keyRings/R/cryptoKeys/K`. A change makes another one. Default: Google's."""


@dataclass(frozen=True)
class Resolved:
    """The arguments that can be known, with every default."""

    repository_id: str
    keep_versions: int
    delete_untagged_days: int
    mutable_tags: bool


def resolve(name: str, args: ArtifactRepositoryArgs) -> Resolved:
    """Check and fill in.

    Raises:
        pulumi.InputPropertiesError: with every fault of the arguments.
    """
    faults = Faults("ArtifactRepository")
    given = check_shape(args, ArtifactRepositoryArgs, faults)
    chosen = given.get("repository_id", name)
    if not faults.at("repository_id") and not _ID.fullmatch(chosen):
        path, told = ("repository_id", "") if "repository_id" in given else ("name", "(the component's own) ")
        rule = (
            "at most 63 lower case letters, digits and '-', a letter first (Artifact Registry API reference: repositories.create)"
        )
        faults.add(path, f"{told}is {chosen!r}; give {rule}")
    _shaped(given, "location", _PLACE, "a region such as 'europe-west4', or 'europe', 'us' or 'asia'", faults)
    _shaped(given, "kms_key", _KMS_KEY, "projects/P/locations/L/keyRings/R/cryptoKeys/K", faults)
    for key in ("keep_versions", "delete_untagged_days"):
        if key in given and not faults.at(key) and given[key] < 1:
            faults.add(key, f"is {given[key]}; give at least 1")
    faults.refuse(name)
    return Resolved(
        chosen, given.get("keep_versions", 10), given.get("delete_untagged_days", 30), given.get("mutable_tags", False)
    )


class ArtifactRepository(pulumi.ComponentResource):
    """A repository of images in Artifact Registry.

    Raises:
        pulumi.InputPropertiesError: The arguments have faults; the error lists every one.
    """

    url: pulumi.Output[str]
    """What an image's name begins with: `LOCATION-docker.pkg.dev/PROJECT/REPOSITORY`."""

    def __init__(self, name: str, args: ArtifactRepositoryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        resolved = resolve(name, args)
        super().__init__("slipway:index:ArtifactRepository", name, cast("Any", {**args}), opts)
        self._name = name
        self._repository = gcp.artifactregistry.Repository(
            f"{name}-repository",
            repository_id=resolved.repository_id,
            format="DOCKER",
            location=args["location"],
            project=args.get("project"),
            kms_key_name=args.get("kms_key"),
            docker_config={"immutable_tags": not resolved.mutable_tags},
            vulnerability_scanning_config={"enablement_config": "INHERITED"},
            cleanup_policies=[
                {"id": "keep-newest", "action": "KEEP", "most_recent_versions": {"keep_count": resolved.keep_versions}},
                {
                    "id": "delete-untagged",
                    "action": "DELETE",
                    "condition": {"tag_state": "UNTAGGED", "older_than": f"{resolved.delete_untagged_days * 86400}s"},
                },
            ],
            opts=pulumi.ResourceOptions(parent=self),
        )
        made = self._repository
        self.url = pulumi.Output.concat(made.location, "-docker.pkg.dev/", made.project, "/", made.repository_id)
        self.register_outputs({"url": self.url})

    def grant_read(self, member: pulumi.Input[str], *, grantee: str = "reader") -> gcp.artifactregistry.RepositoryIamMember:
        """Let a principal pull from this repository, and nothing else.

        Args:
            member: Principal by IAM's name, such as `serviceAccount:nodes@PROJECT.iam.gserviceaccount.com`. Vertex AI's own
                account may pull from repositories of its project already.
            grantee: What this grant is called among those of this repository. Part of the binding's logical name, so keep it.
        """
        return gcp.artifactregistry.RepositoryIamMember(
            f"{self._name}-read-{grantee}",
            repository=self._repository.name,
            location=self._repository.location,
            project=self._repository.project,
            role="roles/artifactregistry.reader",
            member=member,
            opts=pulumi.ResourceOptions(parent=self),
        )


def _shaped(given: Mapping[str, Any], key: str, shape: re.Pattern[str], wanted: str, faults: Faults) -> None:
    def check(value: object) -> None:
        if isinstance(value, str) and not shape.fullmatch(value):
            faults.add(key, f"is {value!r}; give {wanted}")

    known(given.get(key), check)
