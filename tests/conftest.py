"""Fixtures that several tiers share."""

from tests.cluster.session import cluster

__all__ = ["cluster"]
