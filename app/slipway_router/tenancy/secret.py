"""Keys that the router makes, and the salted hashes by which it knows them again.

A key has 256 random bits. Nobody can try them all, so the hash need not be slow, as a password's must be: scrypt or Argon2
would buy nothing and cost every new connection tens of milliseconds and megabytes. What a hash must do here is to be one-way,
and to be worth nothing elsewhere: HMAC-SHA-256 (RFC 2104, FIPS 198-1) of the key under a salt of its own, so that two hashes
tell neither that they are of the same key nor anything that a table could hold. It takes about a microsecond.

A key names the entry it belongs to (its id, which is no secret), so that one hash is made and one comparison, in constant time.
"""

import hmac
import re
import secrets
from hashlib import sha256
from typing import NamedTuple

MARK = "slw_"
"""What keys begin with, so that scanners for leaked secrets can be told to look for them."""
SHAPE = re.compile(r"hmac-sha256:([0-9a-f]{12}):([0-9a-f]{32}):([0-9a-f]{64})")
"""Of a hash: its scheme, the key's id, the salt and the digest."""
_KEY = re.compile(rb"slw_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


class Hash(NamedTuple):
    """A hash, read."""

    salt: bytes
    digest: bytes

    def fits(self, key: bytes) -> bool:
        """Whether it is this key's. Takes the same time whatever the key is."""
        return hmac.compare_digest(hmac.digest(self.salt, key, sha256), self.digest)


NOBODYS = Hash(b"\0" * 16, b"\0" * 32)
"""Fits no key: what an unknown id is compared with."""


def new_key() -> str:
    """A key nobody has."""
    return f"{MARK}{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def hashed(key: str) -> str:
    """What to keep of a key in its stead.

    Raises:
        ValueError: it is none of `new_key`.
    """
    identity = id_of(key.encode())
    if identity is None:
        raise ValueError("is no key of this router")
    salt = secrets.token_bytes(16)
    return f"hmac-sha256:{identity}:{salt.hex()}:{hmac.digest(salt, key.encode(), sha256).hex()}"


def id_of(key: bytes) -> str | None:
    """A key's id; None where it is no key of ours."""
    found = _KEY.fullmatch(key)
    return found[1].decode() if found is not None else None


def read(text: str) -> tuple[str, Hash]:
    """A hash's key's id, and the hash.

    Raises:
        ValueError: it does not have the shape.
    """
    found = SHAPE.fullmatch(text)
    if found is None:
        raise ValueError("is no hash of a key")
    return found[1], Hash(bytes.fromhex(found[2]), bytes.fromhex(found[3]))
