"""What can be said about a store's backups, and what it becomes once checked."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict, cast

import pulumi

from slipway.args import Faults, known
from slipway.backend import Egress
from slipway.kubernetes.bucket import BUCKET_SHAPES, CREDENTIALS_SHAPE, ENDPOINT_SHAPE, REGION_SHAPE, bucket_egress, rclone_env
from slipway.kubernetes.deletion import DeletionPolicy
from slipway.kubernetes.identity import WorkloadIdentity, check_identity
from slipway.kubernetes.names import check_object_name
from slipway.kubernetes.schedule import check_cron, check_timezone

MOST_KEPT = 1000


class BackupBucket(TypedDict):
    """A bucket for backups. Give `identity` or `credentials_secret`, unless the ServiceAccount has an identity already."""

    uri: str
    """`s3://BUCKET/FOLDER` or `gs://BUCKET/FOLDER`."""
    region: NotRequired[str]
    """The bucket's region. Default: the client's. `s3://` only."""
    endpoint: NotRequired[str]
    """Address of a store that speaks S3's protocol, such as MinIO's. Default: AWS. `s3://` only."""
    identity: NotRequired[WorkloadIdentity]
    """Who the backup's pods are to the cloud; their ServiceAccount is `NAME-backup-account`. They list, read, write and delete
    there. Excludes `credentials_secret`."""
    credentials_secret: NotRequired[str]
    """A Secret in the same namespace whose keys are rclone's environment, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY."""


class StoreBackup(TypedDict):
    """When backups are made, where they go and how many stay. `{}`: each night at three, seven, on a volume of their own."""

    schedule: NotRequired[str]
    """When, as a cron line of five fields. Default `0 3 * * *`."""
    timezone: NotRequired[str]
    """Time zone of the schedule, by its name in the IANA database. Default 'Etc/UTC'."""
    keep: NotRequired[int]
    """How many stay; when one more is whole, the oldest goes. Default 7; 1 to 1000."""
    gib: NotRequired[int]
    """Size of the volume for them, in GiB. Default: twice the store's own; of a VectorStore, whose backups are as large as it is,
    its own for each that stays and one more. With `bucket`: of the space on the node's disk where one is made; then the default
    is the store's own."""
    storage_class: NotRequired[pulumi.Input[str]]
    """Storage class of the volume. Default: the cluster's. Excludes `bucket`."""
    deletion_policy: NotRequired[DeletionPolicy]
    """What becomes of the volume when the store is deleted: 'delete', 'retain' or 'protect'. Default 'retain', whatever the
    store's own is. Excludes `bucket`, which is not ours."""
    bucket: NotRequired[BackupBucket]
    """Bucket that they are brought to, by rclone. Default: a volume in the cluster, which does not outlive the cluster."""
    restore_file: NotRequired[str]
    """Name of the backup that the restore Job takes, such as `chat-20260131T030000Z.dump`. Default: the newest."""


@dataclass(frozen=True)
class BackupSettings:
    """A store's backups, checked, with every default filled in."""

    schedule: str
    timezone: str
    keep: int
    gib: int
    storage_class: pulumi.Input[str] | None
    deletion_policy: DeletionPolicy
    bucket: BackupBucket | None
    restore_file: str | None

    @classmethod
    def of(
        cls, given: Mapping[str, Any], storage_gib: int, name: str, suffix: str, faults: Faults, *, whole: bool = False
    ) -> "BackupSettings | None":
        """Tells of its faults below the path `backup`; `None` where there are any.

        Args:
            given: The argument `backup`.
            storage_gib: Size of the store's own volume.
            name: Name of the store, which those of its backups begin with.
            suffix: What they end with.
            faults: Where to tell what is wrong.
            whole: Whether each backup may be as large as the store.
        """
        if faults.at("backup"):
            return None
        check_cron("backup.schedule", given.get("schedule", "0 3 * * *"), faults)
        check_timezone("backup.timezone", given.get("timezone", "Etc/UTC"), faults)
        keep = given.get("keep", 7)
        gib = given.get("gib", storage_gib * (1 if "bucket" in given else keep + 1 if whole else 2))
        if not 1 <= keep <= MOST_KEPT:
            faults.add("backup.keep", f"is {keep}; give 1 to {MOST_KEPT}")
        if gib < 1:
            faults.add("backup.gib", f"is {gib}; give 1 or more")
        file = given.get("restore_file")
        if file is not None and not re.fullmatch(rf"{re.escape(name)}-[0-9]{{8}}T[0-9]{{6}}Z\.{suffix}", file):
            faults.add(
                "backup.restore_file", f"is {file!r}; give the name of a backup, such as '{name}-20260131T030000Z.{suffix}'"
            )
        known(given.get("storage_class"), lambda plain: check_object_name("backup.storage_class", plain, faults))
        bucket = given.get("bucket")
        if bucket is not None:
            for key in ("storage_class", "deletion_policy"):
                if key in given:
                    faults.add(f"backup.{key}", "is about a volume, and backups go to a bucket; leave one of them out")
            _check_bucket(bucket, faults)
        if faults.at("backup"):
            return None
        return cls(
            schedule=given.get("schedule", "0 3 * * *"),
            timezone=given.get("timezone", "Etc/UTC"),
            keep=keep,
            gib=gib,
            storage_class=given.get("storage_class"),
            deletion_policy=given.get("deletion_policy", DeletionPolicy.RETAIN),
            bucket=bucket,
            restore_file=file,
        )

    @property
    def identity(self) -> WorkloadIdentity | None:
        """Who the pods are to the bucket's cloud."""
        return self.bucket.get("identity") if self.bucket else None

    @property
    def egress(self) -> Sequence[Egress]:
        """Where the pods must be able to connect beside the store."""
        if self.bucket is None:
            return []
        scheme = self.bucket["uri"].partition("://")[0]
        has_credentials = "credentials_secret" in self.bucket
        return bucket_egress(scheme, self.bucket.get("endpoint"), self.identity, has_credentials=has_credentials)

    @property
    def bucket_env(self) -> dict[str, str]:
        """How rclone is told where they go; empty without a bucket."""
        if self.bucket is None:
            return {}
        scheme, _, place = self.bucket["uri"].partition("://")
        return {"TARGET": place, **rclone_env("target", scheme, self.bucket.get("region"), self.bucket.get("endpoint"))}


def _check_bucket(bucket: Mapping[str, Any], faults: Faults) -> None:
    scheme, _, place = cast("str", bucket["uri"]).partition("://")
    shape, wanted = BUCKET_SHAPES.get(scheme, ("(?!)", " or ".join(text for _, text in BUCKET_SHAPES.values())))
    if not re.fullmatch(shape, place, re.ASCII) or any(part in ("", ".", "..") for part in place.split("/")):
        faults.add("backup.bucket.uri", f"is {bucket['uri']!r}; give {wanted}")
    for key, (shape, wanted) in {
        "region": REGION_SHAPE,
        "endpoint": ENDPOINT_SHAPE,
        "credentials_secret": CREDENTIALS_SHAPE,
    }.items():
        if key in bucket and not re.fullmatch(shape, bucket[key]):
            faults.add(f"backup.bucket.{key}", f"is {bucket[key]!r}; give {wanted}")
        elif key in bucket and key != "credentials_secret" and scheme == "gs":
            faults.add(f"backup.bucket.{key}", "goes with s3:// only; leave it out")
    if "identity" in bucket:
        check_identity("backup.bucket.identity", bucket["identity"], faults)
        if "credentials_secret" in bucket:
            faults.add("backup.bucket.credentials_secret", "excludes 'identity', which says who the pods are already; give one")
