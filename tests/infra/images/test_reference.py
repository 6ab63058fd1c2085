"""Names of images. What a registry makes of them is its own; the grammar is the Distribution project's."""

import pytest

from slipway.images.reference import registry_host, repository_fault, tag_fault


@pytest.mark.parametrize(
    ("repository", "host"),
    [
        ("ghcr.io/acme/router", "ghcr.io"),
        ("localhost/router", "localhost"),
        ("registry:5000/router", "registry:5000"),
        ("[::1]:5000/router", "[::1]:5000"),
        ("acme/router", None),
        ("router", None),
        ("ghcr.io", None),
    ],
)
def test_the_first_part_is_a_host_only_with_a_dot_or_a_port(repository: str, host: str | None) -> None:
    assert registry_host(repository) == host


@pytest.mark.parametrize(
    "repository",
    ["ghcr.io/acme/router", "localhost:5000/router", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a/b__c-d.e", "[::1]:5000/r"],
)
def test_repositories_that_can_be_pushed_to(repository: str) -> None:
    assert repository_fault(repository, needs_host=True) is None


@pytest.mark.parametrize(
    ("repository", "told"),
    [
        ("ghcr.io/acme/router:1.0", "without tag"),
        ("ghcr.io/acme/router@sha256:0", "without tag"),
        ("ghcr.io/Acme/router", "lower case"),
        ("https://ghcr.io/acme/router", "lower case"),
        ("ghcr.io/acme//router", "lower case"),
        ("", "lower case"),
        ("acme/router", "put its host first, such as 'ghcr.io/acme/router'"),
    ],
)
def test_other_repositories_are_told_what_to_give(repository: str, told: str) -> None:
    assert told in (repository_fault(repository, needs_host=True) or "")


def test_an_image_that_stays_here_needs_no_host() -> None:
    assert repository_fault("acme/router", needs_host=False) is None


@pytest.mark.parametrize(
    ("tag", "told"), [("latest", "says nothing"), ("", "give letters"), ("-1", "give letters"), ("a" * 129, "at most 128")]
)
def test_tags_that_are_refused(tag: str, told: str) -> None:
    assert told in (tag_fault(tag) or "")


def test_tags_that_pass() -> None:
    assert [tag_fault(tag) for tag in ("1.4.0", "a" * 128, "_x", "sha-0f3c")] == [None] * 4
