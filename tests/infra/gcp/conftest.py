"""Vertex AI's services, run beside the tests that ask them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.infra.gcp.fake_vertex import ACCESS_TOKEN, FakeVertex

from slipway.gcp.vertex_cancel import reset
from slipway.gcp.vertex_client import ENDPOINT_VARIABLE
from slipway.gcp.vertex_model import ADOPTED


@pytest.fixture
def vertex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeVertex]:
    """Served on this machine, to whoever has the token in the environment, or the account's key."""
    monkeypatch.setattr("slipway.gcp.vertex_operation.FIRST_POLL_SECONDS", 0.01)
    # Every test is a run of its own.
    ADOPTED.clear()
    reset()
    monkeypatch.delenv("GOOGLE_CREDENTIALS", raising=False)
    monkeypatch.setenv("GOOGLE_OAUTH_ACCESS_TOKEN", ACCESS_TOKEN)
    with FakeVertex().serving() as served:
        monkeypatch.setenv(ENDPOINT_VARIABLE, served.address)
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", served.key_file(tmp_path))
        yield served
