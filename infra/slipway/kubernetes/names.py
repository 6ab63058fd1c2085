"""What Kubernetes lets objects, namespaces and images be called."""

import re
from collections.abc import Mapping
from typing import cast

from slipway.args import Faults

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_SERVICE = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")
_DNS_NAME = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_SUBDOMAIN = re.compile(rf"(?=.{{1,253}}$){_DNS_NAME}")
_QUALIFIED = re.compile(rf"((?=[^/]{{1,253}}/){_DNS_NAME}/)?[A-Za-z0-9]([A-Za-z0-9_.-]{{0,61}}[A-Za-z0-9])?")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[a-z0-9]+([._-]+[a-z0-9]+)*)*")
_KEY_RULE = "give a name of letters, digits, '-', '_' and '.', at most 63, or DOMAIN/NAME"
_LABEL_VALUE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")


def check_name(name: str, faults: Faults) -> None:
    """Refuse a component's name that its Service cannot have: an RFC 1035 label, at most 63 characters."""
    check_service_name("name", name, faults)


def check_service_name(path: str, name: str, faults: Faults) -> None:
    """Refuse what is no RFC 1035 label, as the names of Services must be."""
    if not _SERVICE.fullmatch(name):
        length = f" ({len(name)} characters)" if len(name) > 63 else ""
        faults.add(path, f"is {name!r}{length}; give lower case letters, digits and '-', first a letter, at most 63")


def check_namespace(path: str, namespace: str, faults: Faults) -> None:
    """Refuse what is no RFC 1123 label, as namespaces must be."""
    if not _LABEL.fullmatch(namespace):
        faults.add(path, f"is {namespace!r}; give lower case letters, digits and '-', at most 63")


def check_object_name(path: str, name: str, faults: Faults) -> None:
    """Refuse what is no RFC 1123 subdomain, as the names of most objects must be."""
    if not _SUBDOMAIN.fullmatch(name):
        faults.add(path, f"is {name!r}; give lower case letters, digits, '-' and '.', at most 253")


def check_annotations(path: str, annotations: object, faults: Faults) -> None:
    """Refuse keys that are no qualified names; of what is no plain mapping, nothing is looked at."""
    for key, _ in _pairs(annotations):
        if not faults.at(f"{path}.{key}") and not _QUALIFIED.fullmatch(key):
            faults.add(f"{path}.{key}", f"is no key; {_KEY_RULE}")


def check_labels(path: str, labels: object, faults: Faults) -> None:
    """Refuse keys and plain values that Kubernetes would not take for labels."""
    check_annotations(path, labels, faults)
    for key, value in _pairs(labels):
        if isinstance(value, str) and not faults.at(f"{path}.{key}"):
            check_label_value(f"{path}.{key}", value, faults)


def check_label_key(path: str, key: str, faults: Faults) -> None:
    """Refuse what is no qualified name, as the keys of labels and taints must be."""
    if not _QUALIFIED.fullmatch(key):
        faults.add(path, f"is {key!r}; {_KEY_RULE}")


def check_label_value(path: str, value: str, faults: Faults) -> None:
    """Refuse what is no value of a label or a taint; it may be empty."""
    if value and not _LABEL_VALUE.fullmatch(value):
        faults.add(path, f"is {value!r}; give letters, digits, '-', '_' and '.', at most 63, none of the signs at the ends")


def _pairs(mapping: object) -> list[tuple[str, object]]:
    if not isinstance(mapping, Mapping):
        return []
    return [(key, value) for key, value in cast("Mapping[object, object]", mapping).items() if isinstance(key, str)]


def check_image(path: str, image: str, faults: Faults) -> None:
    """Refuse an image that another day's pull could change: one without tag and digest, or tagged 'latest'."""
    repository, tag, digest = split_image(image)
    if not _REPOSITORY.fullmatch(repository) or (tag and not _TAG.fullmatch(tag)) or (digest and not _DIGEST.fullmatch(digest)):
        faults.add(path, f"is {image!r}; give REPOSITORY:TAG or REPOSITORY@sha256:DIGEST (64 hexadecimal digits)")
    elif digest is None and tag is None:
        faults.add(path, f"is {image!r}, which means ':latest'; give a version as tag, or a digest")
    elif digest is None and tag == "latest":
        faults.add(
            path, f"is {image!r}: 'latest' moves, so replicas would differ and no rollback is one; give a version or a digest"
        )


def split_image(image: str) -> tuple[str, str | None, str | None]:
    """Repository, tag and digest of an image reference, where it has them."""
    rest, _, digest = image.partition("@")
    head, slash, last = rest.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{head}{slash}{last}", tag or None, digest or None


def version_label(image: object) -> dict[str, str]:
    """The label `app.kubernetes.io/version` from an image's tag, where that is known and can be a label's value."""
    tag = split_image(image)[1] if isinstance(image, str) else None
    return {"app.kubernetes.io/version": tag} if tag and _LABEL_VALUE.fullmatch(tag) else {}
