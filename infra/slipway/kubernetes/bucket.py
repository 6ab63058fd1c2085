"""Buckets of S3's protocol and of Google Cloud Storage, as rclone and network policies need to know them."""

from collections.abc import Mapping, Sequence
from urllib.parse import urlsplit

from slipway.backend import Egress
from slipway.kubernetes.identity import WorkloadIdentity, identity_egress
from slipway.kubernetes.network import anywhere

RCLONE_IMAGE = "rclone/rclone:1.76.0"
"""rclone's official image: one client for every kind of bucket, with credentials from the pod's identity."""
BUCKET_SCHEMES = ("s3", "gs")
BUCKET_SHAPES: Mapping[str, tuple[str, str]] = {
    "s3": (r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\s@#?]*[^\s@#?/]", "s3://BUCKET/FOLDER"),
    "gs": (r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]/[^\s@#?]*[^\s@#?/]", "gs://BUCKET/FOLDER"),
}
"""By scheme: what comes after it, and how an error says so."""
ENDPOINT_SHAPE = (r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?", "an address such as 'https://minio.example:9000', without a path")
REGION_SHAPE = ("[a-z0-9-]+", "a region such as 'eu-west-1'")
CREDENTIALS_SHAPE = (r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?", "a Secret's name")
# Others may have given the ServiceAccount its identity: then the ways to all kinds of it are open.
_ANY_IDENTITY: Mapping[str, Sequence[WorkloadIdentity]] = {
    "s3": ({"aws_role_arn": ""}, {"aws_role_arn": "", "eks_cluster": ""}),
    "gs": ({"gcp_service_account": ""},),
}


def bucket_egress(scheme: str, endpoint: str | None, identity: WorkloadIdentity | None, *, has_credentials: bool) -> list[Egress]:
    """Where a pod must be able to connect: the bucket, and where its identity comes from.

    Args:
        scheme: 's3' or 'gs'.
        endpoint: Address of the store, where it is not the cloud's own.
        identity: Who the pod is.
        has_credentials: Whether a Secret says so instead.
    """
    address = urlsplit(endpoint or "https:")
    port = address.port or (80 if address.scheme == "http" else 443)
    if identity or has_credentials:
        return [*anywhere(port), *identity_egress(identity)]
    return [*anywhere(port), *(way for ways in _ANY_IDENTITY[scheme] for way in identity_egress(ways))]


def rclone_env(remote: str, scheme: str, region: str | None, endpoint: str | None) -> dict[str, str]:
    """How rclone is told of a bucket.

    Args:
        remote: rclone's name for it, such as 'source'.
        scheme: 's3' or 'gs'.
        region: The bucket's region; `None`: the client's.
        endpoint: Address of a store that speaks S3's protocol; `None`: AWS.
    """
    prefix = f"RCLONE_CONFIG_{remote.upper()}"
    env = {f"{prefix}_ENV_AUTH": "true"}
    if scheme == "gs":
        return {**env, f"{prefix}_TYPE": "google cloud storage"}
    env |= {f"{prefix}_TYPE": "s3", f"{prefix}_PROVIDER": "Other" if endpoint else "AWS"}
    if region:
        env[f"{prefix}_REGION"] = region
    if endpoint:
        env[f"{prefix}_ENDPOINT"] = endpoint
    return env
