"""The grammar of image names, from the Distribution project's reference documentation (`REGISTRY/PATH:TAG@DIGEST`)."""

import re

_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]{{1,5}})?"
_REPOSITORY = re.compile(rf"(?:{_HOST}/)?{_PART}(?:/{_PART})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def registry_host(repository: str) -> str | None:
    """The registry that a repository names, or None where a client would take its default registry.

    The first part is a host if it has a dot or a port, or is `localhost`.
    """
    first, slash, _ = repository.partition("/")
    return first if slash and (first == "localhost" or "." in first or ":" in first) else None


def repository_fault(repository: str, *, needs_host: bool) -> str | None:
    """What is wrong with a repository's name, or None.

    Args:
        repository: Such as `ghcr.io/acme/router`.
        needs_host: Whether it must say which registry it is in.
    """
    last = repository.rpartition("/")[2]
    if "@" in repository or ":" in last:
        return f"is {repository!r}; give it without tag and digest: tags have an argument of their own"
    if not _REPOSITORY.fullmatch(repository):
        return f"is {repository!r}; give lower case names with '/' between them, such as 'ghcr.io/acme/router'"
    if needs_host and registry_host(repository) is None:
        return f"is {repository!r}, which names no registry to push to; put its host first, such as 'ghcr.io/{repository}'"
    return None


def tag_fault(tag: str) -> str | None:
    """What is wrong with a tag, or None."""
    if not _TAG.fullmatch(tag):
        return f"is {tag!r}; give letters, digits, '_', '.' and '-', at most 128, such as '1.4.0'"
    if tag == "latest":
        return "is 'latest', which says nothing of what is in it; give the release or the commit's id"
    return None
