"""Host names and path prefixes: what DNS and gateways take."""

import pulumi
import pytest

from slipway.args import Faults
from slipway.kubernetes.hosts import check_hosts, check_paths


def told(check: object, values: list[object]) -> dict[str, str]:
    faults = Faults("Thing")
    assert callable(check)
    check("here", values, faults)
    try:
        faults.refuse("x")
    except pulumi.InputPropertiesError as error:
        return {f["property_path"].removeprefix("args."): f["reason"] for f in error.errors or []}
    return {}


@pytest.mark.parametrize(
    "hosts", [["api.example.com"], ["*.example.com", "example.com"], ["localhost"], ["a" * 63 + ".io"], ["xn--bcher-kva.example"]]
)
def test_names_that_are_taken(hosts: list[object]) -> None:
    assert told(check_hosts, hosts) == {}


@pytest.mark.parametrize(
    ("hosts", "path", "reason"),
    [
        ([], "here", "is empty; give at least one name, such as 'api.example.com'"),
        ([f"h{i}.example.com" for i in range(17)], "here", "has 17 names; give at most 16"),
        (["https://api.example.com"], "here[0]", "give a name alone, in lower case"),
        (["api.example.com:443"], "here[0]", "give a name alone"),
        (["api.example.com/v1"], "here[0]", "give a name alone"),
        (["API.example.com"], "here[0]", "in lower case"),
        (["ok.example.com", "under_score.example.com"], "here[1]", "give a name alone"),
        (["*"], "here[0]", "'*.example.com' for all below"),
        (["a.*.example.com"], "here[0]", "'*.example.com' for all below"),
        (["example.com."], "here[0]", "give a name alone"),
        (["-a.example.com"], "here[0]", "give a name alone"),
        (["a" * 64 + ".io"], "here[0]", "give a name alone"),
        ([".".join(["a" * 60] * 5)], "here[0]", "give a name alone"),
        ([""], "here[0]", "give a name alone"),
        (["10.0.0.1"], "here[0]", "an address; give a name that DNS knows"),
        (["::1"], "here[0]", "an address; give a name that DNS knows"),
        (["a.example.com", "b.example.com", "a.example.com"], "here[2]", "again, first as here[0]"),
    ],
)
def test_names_that_are_refused(hosts: list[object], path: str, reason: str) -> None:
    faults = told(check_hosts, hosts)
    assert list(faults) == [path]
    assert reason in faults[path]


@pytest.mark.parametrize(
    ("paths", "path"),
    [([], "here"), (["v1"], "here[0]"), (["/v1/"], "here[0]"), (["/v1", "/a b"], "here[1]"), (["/", "/"], "here[1]")],
)
def test_prefixes_that_are_refused(paths: list[object], path: str) -> None:
    assert list(told(check_paths, paths)) == [path]


def test_prefixes_that_are_taken() -> None:
    assert told(check_paths, ["/", "/v1", "/v1/models", "/a.b~c_d-e"]) == {}
