"""What can be told of Pulumi's engine without one. The operations are proven on the real engine, in tests/engine."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from slipway.engine.pulumi_engine import logged_in


@pytest.mark.parametrize(
    ("environment", "credentials", "expected"),
    [
        ({}, None, False),
        ({"PULUMI_BACKEND_URL": "file:///state"}, None, True),
        ({"PULUMI_ACCESS_TOKEN": "t"}, None, True),
        ({"PULUMI_BACKEND_URL": ""}, None, False),
        ({}, json.dumps({"current": "file://~"}), True),
        ({}, json.dumps({"current": ""}), False),
        ({}, json.dumps({}), False),
        ({}, "not JSON", False),
    ],
)
def test_who_chose_a_backend_keeps_it(
    environment: Mapping[str, str], credentials: str | None, expected: bool, tmp_path: Path
) -> None:
    if credentials is not None:
        (tmp_path / "credentials.json").write_text(credentials)
    assert logged_in({"PULUMI_HOME": str(tmp_path), **environment}) is expected
