"""Pulumi's SDK for AWS, or the extra that brings it."""

try:
    import pulumi_aws as aws
except ImportError as error:
    raise ImportError("slipway.aws needs pulumi-aws; install it with: pip install 'slipway[aws]'") from error

__all__ = ["aws"]
