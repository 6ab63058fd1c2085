"""The cluster as a fixture, one for all tests of a session that need it."""

from collections.abc import Iterator

import pytest
from tests.cluster import tools
from tests.cluster.cluster import Cluster, running


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if reason := tools.missing():
        pytest.skip(reason)
    with running(tools.folder(), tmp_path_factory.mktemp("cluster") / "home") as started:
        yield started
