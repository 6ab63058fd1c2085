"""The lock files: whole, with hashes, without addresses, and in step with what is declared.

That pip refuses a package whose hash is another is proven in tests/docker, by a build.
"""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCKS = ("constraints.txt", "requirements.txt", "app/requirements.txt", "app/requirements-clouds.txt")
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]


def entries(lock: str) -> list[tuple[Requirement, list[str]]]:
    """What a lock pins, each with its hashes."""
    found: list[tuple[Requirement, list[str]]] = []
    for line in (ROOT / lock).read_text().replace("\\\n", " ").splitlines():
        requirement, *hashes = line.split(" --hash=")
        found.append((Requirement(requirement), [h.strip() for h in hashes]))
    return found


def pins(lock: str) -> set[tuple[str, str]]:
    return {(canonicalize_name(r.name), next(iter(r.specifier)).version) for r, _ in entries(lock)}


def declared(requirements: list[str]) -> list[Requirement]:
    return [r for line in requirements if (r := Requirement(line)).name != PROJECT["name"]]


def unmet(requirements: list[Requirement], lock: str) -> list[str]:
    locked = pins(lock)
    return [str(r) for r in requirements if not any(n == canonicalize_name(r.name) and v in r.specifier for n, v in locked)]


@pytest.mark.parametrize("lock", LOCKS)
def test_everything_is_pinned_with_hashes_and_nothing_has_an_address(lock: str) -> None:
    assert len(entries(lock)) > 15
    for requirement, hashes in entries(lock):
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), requirement
        assert hashes, requirement
        assert all(re.fullmatch("sha256:[0-9a-f]{64}", h) for h in hashes), requirement
        assert requirement.url is None
    assert not re.search(r"://|^-|index", (ROOT / lock).read_text().replace("    --hash", ""), re.MULTILINE)


def test_the_smaller_locks_pin_what_the_whole_one_does() -> None:
    for lock in LOCKS[1:]:
        assert pins(lock) - pins("constraints.txt") == set()


def test_every_dependency_is_locked_in_a_version_that_it_allows() -> None:
    base = declared(PROJECT["dependencies"])
    everything = [r for requirements in EXTRAS.values() for r in declared(requirements)]
    assert unmet([*base, *everything], "constraints.txt") == []
    assert unmet([*base, *declared(EXTRAS["local"]), Requirement("hatchling>=1.27")], "requirements.txt") == []
    for variant in ("requirements", "requirements-clouds"):
        lines = (ROOT / f"app/{variant}.in").read_text().splitlines()
        assert unmet(declared([line for line in lines if line[0] not in "#-"]), f"app/{variant}.txt") == []
    assert pins("app/requirements.txt") - pins("app/requirements-clouds.txt") == set()


def test_the_local_stack_gets_no_cloud_and_the_router_no_pulumi() -> None:
    clouds = {canonicalize_name(r.name) for extra in ("aws", "gcp", "docker") for r in declared(EXTRAS[extra])}
    assert len(clouds) == 4
    assert clouds & {name for name, _ in pins("requirements.txt")} == set()
    assert [name for name, _ in pins("app/requirements.txt") if name.startswith(("pulumi", "slipway"))] == []


def test_the_routers_own_list_repeats_the_projects() -> None:
    # Its image has every optional part but the clouds'; a user of the library may do without.
    optional = [line for extra in ("jwt", "otel", "redis") for line in EXTRAS[extra]]
    said = {r.name: r.specifier for r in declared([*PROJECT["dependencies"], *optional])}
    own = declared((ROOT / "app/requirements.in").read_text().splitlines()[1:])
    assert {r.name: r.specifier for r in own} == {r.name: said[r.name] for r in own}
