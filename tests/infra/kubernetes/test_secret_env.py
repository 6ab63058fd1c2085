"""Variables from Secrets: each that the router reads is filled, by one Secret, and no value passes through here."""

from collections.abc import Mapping
from typing import Any, cast

import pulumi
import pytest

from slipway.args import Faults
from slipway.backend import Backend, SecretKeyRef
from slipway.kubernetes.secret_env import collect, variables
from slipway.vendors import vendor

REF: SecretKeyRef = {"name": "api-keys", "key": "openai"}
OTHER: SecretKeyRef = {"name": "api-keys", "key": "other"}


def collected(
    backends: list[Backend], more: Mapping[str, Any] | None = None, settings: Mapping[str, Any] | None = None
) -> tuple[dict[str, SecretKeyRef], dict[str, str]]:
    faults = Faults("Thing")
    found = collect(backends, cast("Mapping[str, SecretKeyRef]", more or {}), settings or {}, faults)
    try:
        faults.refuse("x")
    except pulumi.InputPropertiesError as error:
        return found, {f["property_path"]: f["reason"] for f in error.errors or []}
    return found, {}


def openai(name: str = "openai", **more: Any) -> Backend:
    return vendor("openai", name=name, model="gpt-4o-mini", **more)


def test_one_key_serves_all_backends_that_read_the_same_variable() -> None:
    found, faults = collected([openai("a", api_key=REF), openai("b", api_key=dict(REF)), openai("c")])
    assert (found, faults) == ({"OPENAI_API_KEY": REF}, {})


def test_it_does_not_matter_which_of_them_has_it() -> None:
    assert collected([openai("a"), openai("b", api_key=REF)]) == ({"OPENAI_API_KEY": REF}, {})


def test_variables_are_sorted_so_that_the_order_of_backends_rolls_nothing() -> None:
    assert list(collected([openai(api_key=REF)], {"Z": REF, "A": REF})[0]) == ["A", "OPENAI_API_KEY", "Z"]


@pytest.mark.parametrize(
    ("backends", "more", "settings", "told"),
    [
        ([openai()], {}, {}, {"args.backends[0].api_key": "is required, since the backend's key is expected in OPENAI_API_KEY"}),
        ([openai("a", api_key=REF), openai("b", api_key=OTHER)], {}, {}, {"args.backends[1].api_key": "from another Secret"}),
        ([openai(api_key=REF)], {"OPENAI_API_KEY": OTHER}, {}, {"args.backends[0].api_key": "from another Secret"}),
        ([], {"1X": REF}, {}, {"args.env_from_secrets.1X": "is no name of an environment variable"}),
        ([], {"X": {"name": "Api_Keys", "key": "k"}}, {}, {"args.env_from_secrets.X.name": "is 'Api_Keys'"}),
        ([], {"X": {"name": "a.b-c", "key": "a b"}}, {}, {"args.env_from_secrets.X.key": "is 'a b'"}),
        (
            [],
            {"TEAM_A": REF},
            {"keys": [{"name": "a", "env": "TEAM_A"}, {"name": "b", "env": "TEAM_B"}, {"name": "c", "sha256": "0"}]},
            {"args.settings.keys[1].env": "is TEAM_B, which nothing fills; give env_from_secrets.TEAM_B"},
        ),
    ],
)
def test_what_is_missing_or_there_twice_is_told(
    backends: list[Backend], more: Mapping[str, Any], settings: Mapping[str, Any], told: dict[str, str]
) -> None:
    _, faults = collected(backends, more, settings)
    assert faults.keys() == told.keys()
    assert all(reason in faults[path] for path, reason in told.items())


def test_a_container_gets_references() -> None:
    assert variables({"A": REF}) == [{"name": "A", "value_from": {"secret_key_ref": {"name": "api-keys", "key": "openai"}}}]
