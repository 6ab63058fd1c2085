"""Every component that runs in Kubernetes: two of each in one namespace, applied, applied again, and changed."""

import pytest
from tests.cluster import tested
from tests.cluster.cluster import Cluster
from tests.cluster.components import BY_HELM, PROGRAMS, in_kubernetes
from tests.cluster.tested import COLUMNS, PAGE, Results
from tests.policy import scanners

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def results(cluster: Cluster) -> Results:
    if reason := scanners.missing():
        pytest.skip(reason)
    return tested.results(cluster)


def test_every_component_has_a_program_here() -> None:
    left_out = in_kubernetes() - {name.split(",")[0] for name in PROGRAMS}
    assert left_out == BY_HELM, "give them a program in tests/cluster/components.py, then `python -m tests.cluster.tested`"


@pytest.mark.parametrize("column", COLUMNS)
@pytest.mark.parametrize("component", PROGRAMS)
def test_it_is(results: Results, component: str, column: str) -> None:
    assert results[component][column] in (None, tested.NEW)


def test_the_page_in_the_guide_is_what_was_found(cluster: Cluster, results: Results) -> None:
    assert PAGE.read_text() == tested.page(results, tested.minor(cluster)), "run `python -m tests.cluster.tested`"
