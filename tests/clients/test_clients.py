"""Clients as they are, against the router: what works, and how its errors look to them. `make clients` installs them."""

from collections.abc import Iterator

import pytest
from tests.clients import tested
from tests.clients.matrix import CLIENTS, FEATURES, Client, Results, backends, tried, why_not
from tests.clients.stage import Stage, staged
from tests.clients.tested import PAGE, All
from tests.clients.tools import missing

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with staged(tmp_path_factory.mktemp("clients")) as ready:
        yield ready


@pytest.fixture(scope="module")
def found(stage: Stage) -> dict[str, Results]:
    """Filled client by client, as tests need them."""
    return {}


def results(client: Client, stage: Stage, found: dict[str, Results]) -> Results:
    if reason := missing(client.script[0]):
        pytest.skip(reason)
    if client.name not in found:
        found[client.name] = tried(client, stage)
    return found[client.name]


@pytest.mark.parametrize("feature", FEATURES)
@pytest.mark.parametrize("client", CLIENTS, ids=lambda c: c.name)
def test_every_backend_does_for_this_client(client: Client, feature: str, stage: Stage, found: dict[str, Results]) -> None:
    ours = results(client, stage, found)
    tried_on = [b for b, features in backends(stage).items() if feature in features]
    assert tried_on
    assert [f"{b}: {why}" for b in tried_on if (why := why_not(client, stage, ours, b, feature))] == []


def test_the_page_in_the_guide_is_what_was_found(stage: Stage, found: dict[str, Results]) -> None:
    everything: All = {c.name: results(c, stage, found) for c in CLIENTS}
    made = tested.page(stage, everything)
    print(made)
    assert PAGE.read_text() == made, "run `python -m tests.clients.tested`"
