"""Where a model's weights come from, and where a server finds them: one address, pinned to its content."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

from slipway.args import Faults
from slipway.backend import Egress
from slipway.kubernetes.bucket import (
    BUCKET_SCHEMES,
    BUCKET_SHAPES,
    CREDENTIALS_SHAPE,
    ENDPOINT_SHAPE,
    REGION_SHAPE,
    bucket_egress,
    rclone_env,
)
from slipway.kubernetes.identity import WorkloadIdentity
from slipway.kubernetes.model_engine import CACHE
from slipway.kubernetes.names import split_image
from slipway.kubernetes.network import anywhere

MOUNT = "/weights"
"""Where weights that are on no volume of the server's own are mounted."""
HUB_LOADER_ENV: Mapping[str, str] = {
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    # Its cache of chunks would fill /tmp.
    "HF_XET_CHUNK_CACHE_SIZE_BYTES": "0",
}

_SHAPES = {
    "hf": (r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*@[0-9a-f]{40}", "hf://OWNER/NAME@COMMIT, with the whole commit of 40 digits"),
    **BUCKET_SHAPES,
    "oci": (r"[A-Za-z0-9.-]+(:[0-9]{1,5})?/[a-z0-9./_-]+@sha256:[0-9a-f]{64}", "oci://REGISTRY/REPOSITORY@sha256:DIGEST"),
    "pvc": (r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?(/[^\s@#?]*[^\s@#?/])?", "pvc://CLAIM/FOLDER"),
}
_SUMS = (
    "Make it in the folder with: find . -type f ! -path ./SHA256SUMS -exec sha256sum {} + > SHA256SUMS; sha256sum SHA256SUMS; "
    "and upload it beside the files"
)


class SharedVolume(TypedDict):
    """One volume for the weights of all replicas, which several nodes can mount."""

    storage_class: str
    """A storage class whose volumes several nodes can write to (ReadWriteMany), such as one of NFS, EFS, Filestore or CephFS.
    Its volumes must take locks."""
    gib: NotRequired[int]
    """Its size, in GiB. Default: twice the weights, for a new version beside the old."""


class WeightsArgs(TypedDict):
    """Where a model's weights come from, where that is not left to the engine."""

    uri: str
    """Their address. All are pinned, so that two replicas never serve different weights.

    - `hf://OWNER/NAME@COMMIT`: the model hub. The large files are compared with the SHA-256 that the hub tells.
    - `s3://BUCKET/FOLDER`, `gs://BUCKET/FOLDER`: a bucket. Goes with `sha256`.
    - `oci://REGISTRY/REPOSITORY@sha256:DIGEST`: an image that holds the files, mounted by Kubernetes itself and kept by each node
      (an image volume: Kubernetes 1.35 or newer, or the feature gate ImageVolume from 1.33 on).
    - `pvc://CLAIM/FOLDER`: a volume that is there already, mounted to read only. Its content is not checked.
    """
    sha256: NotRequired[str]
    """SHA-256 of the file `SHA256SUMS` in the folder, which lists that of every other file. Required for buckets, for which alone
    it is."""
    path: NotRequired[str]
    """Folder within the image that has the model. Default: the image's root. `oci://` only."""
    region: NotRequired[str]
    """The bucket's region. Default: the client's. `s3://` only."""
    endpoint: NotRequired[str]
    """Address of a store that speaks S3's protocol, such as MinIO's. Default: AWS. `s3://` only."""
    credentials_secret: NotRequired[str]
    """A Secret in the same namespace whose keys are the loader's environment, such as AWS_ACCESS_KEY_ID and
    AWS_SECRET_ACCESS_KEY. Default: the pods' `identity`. Buckets only."""
    shared_volume: NotRequired[SharedVolume]
    """One volume for all replicas: what one has loaded, the others find. Default: each replica loads onto its own volume.
    For `hf://` and buckets."""


@dataclass(frozen=True)
class WeightsSource:
    """A source, checked."""

    scheme: str
    place: str
    """Repository, bucket and folder, image, or claim."""
    version: str
    """What tells this content from any other: a commit, or a checksum."""
    folder: str
    """Folder within an image or a claim; empty: its root."""
    region: str | None
    endpoint: str | None
    credentials_secret: str | None
    shared_volume: SharedVolume | None

    @classmethod
    def of(cls, given: Mapping[str, Any], faults: Faults, at: str = "weights") -> "WeightsSource | None":
        """Tells of its faults below the path `at`; `None` where there are any."""
        if faults.at(at):
            return None
        uri = cast("str", given["uri"])
        scheme, _, rest = uri.partition("://")
        if scheme not in _SHAPES:
            faults.add(f"{at}.uri", f"is {uri!r}; give {', '.join(wanted for _, wanted in _SHAPES.values())}")
            return None
        shape, wanted = _SHAPES[scheme]
        if not re.fullmatch(shape, rest, re.ASCII) or _leaves(rest):
            faults.add(f"{at}.uri", f"is {uri!r}; give {wanted}")
        _check_fields(scheme, given, faults, at)
        if faults.at(at):
            return None
        place, version, folder = rest, "", ""
        if scheme == "hf":
            place, _, version = rest.partition("@")
        elif scheme in BUCKET_SCHEMES:
            version = given["sha256"]
        elif scheme == "oci":
            version, folder = cast("str", split_image(rest)[2]), given.get("path", "")
        else:
            place, _, folder = rest.partition("/")
        return cls(
            scheme=scheme,
            place=place,
            version=version,
            folder=folder,
            region=given.get("region"),
            endpoint=given.get("endpoint"),
            credentials_secret=given.get("credentials_secret"),
            shared_volume=given.get("shared_volume"),
        )

    @property
    def loads(self) -> bool:
        """Whether an init container brings them."""
        return self.scheme in ("hf", *BUCKET_SCHEMES)

    @property
    def target(self) -> str:
        """The folder in which the server finds them. A path of its own for each version, so that none is taken for another."""
        if self.loads:
            return f"{MOUNT if self.shared_volume else f'{CACHE}/weights'}/{self.version[:16]}"
        return f"{MOUNT}/{self.folder}".rstrip("/")

    def egress(self, hub_port: int, identity: WorkloadIdentity | None) -> list[Egress]:
        """Where the pod must be able to connect: the source, and where its identity comes from. Empty: nowhere."""
        if self.scheme == "hf":
            return anywhere(hub_port)
        if self.scheme not in BUCKET_SCHEMES:
            return []
        return bucket_egress(self.scheme, self.endpoint, identity, has_credentials=bool(self.credentials_secret))

    def loader_env(self, hub_endpoint: str, target: str, *, make_room: bool) -> dict[str, str]:
        """What the loader is told, beside its credentials."""
        env = {"TARGET": target, "HOME": "/tmp"}  # noqa: S108 -- a mount
        if make_room:
            env["MAKE_ROOM"] = "1"
        if self.scheme == "hf":
            told = {"SOURCE": self.place, "COMMIT": self.version, "HF_ENDPOINT": hub_endpoint}
            return {**env, **told, **HUB_LOADER_ENV}
        bucket = rclone_env("source", self.scheme, self.region, self.endpoint)
        return {**env, "SOURCE": self.place, "SHA256": self.version, **bucket}


def _check_fields(scheme: str, given: Mapping[str, Any], faults: Faults, at: str) -> None:
    """Refuse what does not go with this kind of address, and what is no such thing."""
    goes_with = {
        "sha256": BUCKET_SCHEMES,
        "path": ("oci",),
        "region": ("s3",),
        "endpoint": ("s3",),
        "credentials_secret": BUCKET_SCHEMES,
        "shared_volume": ("hf", *BUCKET_SCHEMES),
    }
    for key, schemes in goes_with.items():
        if key in given and scheme not in schemes:
            faults.add(f"{at}.{key}", f"goes with {' and '.join(f'{s}://' for s in schemes)} only; leave it out")
    if scheme in BUCKET_SCHEMES and "sha256" not in given:
        faults.add(f"{at}.sha256", f"is required for a bucket: it is the SHA-256 of the folder's SHA256SUMS. {_SUMS}")
    shapes = {
        "sha256": ("[0-9a-f]{64}", "64 hexadecimal digits in lower case"),
        "path": (r"[^\s/][^\s]*[^\s/]|[^\s/]", "a folder within the image, not beginning with '/'"),
        "region": REGION_SHAPE,
        "endpoint": ENDPOINT_SHAPE,
        "credentials_secret": CREDENTIALS_SHAPE,
    }
    for key, (shape, wanted) in shapes.items():
        value = given.get(key)
        if value is not None and (not re.fullmatch(shape, value) or (key == "path" and _leaves(value))):
            faults.add(f"{at}.{key}", f"is {value!r}; give {wanted}")
    shared = given.get("shared_volume")
    if shared is not None:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", shared["storage_class"]):
            faults.add(f"{at}.shared_volume.storage_class", f"is {shared['storage_class']!r}; give a StorageClass's name")
        if shared.get("gib", 1) < 1:
            faults.add(f"{at}.shared_volume.gib", f"is {shared['gib']}; give 1 or more")


def _leaves(path: str) -> bool:
    return any(part in ("", ".", "..") for part in path.split("/"))
