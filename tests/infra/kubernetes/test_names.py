"""Names: what the API server and a registry would refuse, refused before; and what would change under one's feet."""

import pytest

from slipway.args import Faults
from slipway.kubernetes.names import (
    check_annotations,
    check_image,
    check_labels,
    check_name,
    check_namespace,
    check_object_name,
    split_image,
    version_label,
)

DIGEST = "sha256:" + "a" * 64


@pytest.mark.parametrize("name", ["a", "ai-api", "a" * 63, "a1"])
def test_names_that_a_service_can_have(name: str) -> None:
    faults = Faults("Thing")
    check_name(name, faults)
    assert not faults


@pytest.mark.parametrize("name", ["", "1a", "AI", "ai_api", "ai.api", "-a", "a-", "a" * 64, "a\n"])
def test_names_that_no_service_can_have(name: str) -> None:
    faults = Faults("Thing")
    check_name(name, faults)
    assert faults.at("name")


def test_a_namespace_may_begin_with_a_digit_but_holds_no_dot() -> None:
    faults = Faults("Thing")
    check_namespace("one", "1a", faults)
    check_namespace("two", "a.b", faults)
    assert (faults.at("one"), faults.at("two")) == (False, True)


@pytest.mark.parametrize(
    "image",
    [
        "router:1.2.3",
        f"router@{DIGEST}",
        f"router:latest@{DIGEST}",
        "registry.example/team/ai-api:v1.2.3",
        "registry.example:5000/ai_api/x:2024-01-01",
        "localhost:5000/a:b",
    ],
)
def test_images_that_stay_the_same(image: str) -> None:
    faults = Faults("Thing")
    check_image("image", image, faults)
    assert not faults


@pytest.mark.parametrize(
    ("image", "said"),
    [
        ("router", "which means ':latest'"),
        ("registry.example:5000/router", "which means ':latest'"),
        ("router:latest", "'latest' moves"),
        ("router:", "which means ':latest'"),
        ("Router/Upper:1", "give REPOSITORY:TAG"),
        ("router@sha256:abc", "64 hexadecimal digits"),
        ("router:a b", "give REPOSITORY:TAG"),
        ("", "give REPOSITORY:TAG"),
    ],
)
def test_images_that_would_move_or_are_none(image: str, said: str) -> None:
    faults = Faults("Thing")
    check_image("image", image, faults)
    with pytest.raises(Exception, match=said):
        faults.refuse("x")


def test_a_registrys_port_is_no_tag() -> None:
    assert split_image("host:5000/a/b") == ("host:5000/a/b", None, None)
    assert split_image(f"host:5000/a:v1@{DIGEST}") == ("host:5000/a", "v1", DIGEST)


def test_the_version_label_is_left_out_where_a_label_cannot_hold_it() -> None:
    assert version_label("a:v1.2.3") == {"app.kubernetes.io/version": "v1.2.3"}
    assert version_label("a:" + "x" * 64) == version_label("a:v1_") == version_label(f"a@{DIGEST}") == version_label(None) == {}


@pytest.mark.parametrize(
    "key", ["a", "app.kubernetes.io/name", "A_b.C-d", "nginx.ingress.kubernetes.io/proxy-read-timeout", "1" * 63]
)
def test_keys_and_values_that_labels_may_have(key: str) -> None:
    faults = Faults("Thing")
    check_labels("labels", {key: "", f"{key[:62]}x": "V1.2_3-x"}, faults)
    assert not faults


@pytest.mark.parametrize("key", ["", "a b", "-a", "a-", "a/b/c", "/a", "a/", "Example.com/a", "a" * 64, "a" * 254 + "/b"])
def test_keys_that_no_label_may_have(key: str) -> None:
    faults = Faults("Thing")
    check_annotations("labels", {key: "v"}, faults)
    assert faults.at("labels")


@pytest.mark.parametrize("value", ["a b", "-a", "a.", "a/b", "ä", "a" * 64])
def test_values_that_no_label_may_have(value: str) -> None:
    faults = Faults("Thing")
    check_labels("labels", {"a": value}, faults)
    assert faults.at("labels.a")


@pytest.mark.parametrize(
    ("name", "right"), [("a.b-c", True), ("a" * 253, True), ("a" * 254, False), ("A", False), ("a..b", False)]
)
def test_names_of_most_objects(name: str, right: bool) -> None:
    faults = Faults("Thing")
    check_object_name("here", name, faults)
    assert faults.at("here") != right
