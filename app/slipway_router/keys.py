"""Who asks: bearer tokens, known by their digests alone."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from slipway_router.asgi import ApiError
from slipway_router.config import Key


class Caller(NamedTuple):
    """Who sent a request."""

    name: str
    """The key's name; 'anonymous' where no keys are configured."""
    tier: str | None
    """The key's tier. None where no keys are configured: then the client says it."""


ANONYMOUS = Caller("anonymous", None)


class Keys:
    """The keys of a configuration.

    What is compared is the SHA-256 of the token, by a table look-up: the time that takes tells nothing of a key.
    """

    def __init__(self, keys: Sequence[Key], environ: Mapping[str, str]) -> None:
        """
        Args:
            keys: As configured. None: everybody may ask.
            environ: Where the variables they name are; each must be there.
        """
        self._callers = {
            bytes.fromhex(k.sha256) if k.sha256 else _digest(environ[k.env or ""].encode()): Caller(k.name, k.tier) for k in keys
        }

    def caller(self, authorization: bytes | None) -> Caller:
        """Whoever sent this `Authorization` header.

        Raises:
            ApiError: 401 when keys are configured and this one is missing or unknown.
        """
        if not self._callers:
            return ANONYMOUS
        if authorization is None:
            raise _refused("No API key was given; send it as 'Authorization: Bearer KEY'.")
        scheme, _, token = authorization.partition(b" ")
        caller = self._callers.get(_digest(token.strip())) if scheme.lower() == b"bearer" else None
        if caller is None:
            raise _refused("The API key is not known here; send one of this router's as 'Authorization: Bearer KEY'.")
        return caller


def _refused(message: str) -> ApiError:
    return ApiError(401, message, kind="authentication_error", code="invalid_api_key")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
