"""Fixtures that several tiers share, and which tests share a worker."""

import sys

import pytest
from google.rpc import status_pb2
from tests.cluster.session import cluster
from xdist.remote import Producer
from xdist.scheduler import LoadGroupScheduling

__all__ = ["cluster"]

# Pulumi's component host has a copy of this message in a file of another name, and protobuf refuses to load both. Tests load the
# host and Google's clients in one process; no program does.
sys.modules["pulumi.runtime.proto.status_pb2"] = status_pb2

TIERS = {
    "tests/clients/": "clients",
    "tests/cluster/": "cluster",
    "tests/docker/": "docker",
    "tests/engine/": "cluster",
    "tests/policy/": "policy",
}
"""Folders whose tests share something that is slow to start, and what they share."""


class Scheduling(LoadGroupScheduling):
    """One worker for all tests of a tier. xdist's own marks do that no more: it writes the group into a test's id, which
    pytest 9.2 does not let it change."""

    def _split_scope(self, nodeid: str) -> str:
        return next((tier for folder, tier in TIERS.items() if nodeid.startswith(folder)), nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadGroupScheduling | None:
    """Asked for by `--dist loadgroup`."""
    return Scheduling(config, log) if config.getoption("dist") == "loadgroup" else None
