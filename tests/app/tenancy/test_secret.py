"""Keys and their hashes."""

import hmac
import re

import pytest

from slipway_router.asgi import ApiError
from slipway_router.keys import Caller, Keys
from slipway_router.tenancy import secret
from slipway_router.tenancy.settings import Key


def test_a_hash_is_hmac_sha256_of_the_key_under_a_salt_of_its_own() -> None:
    key = secret.new_key()
    first, second = secret.hashed(key), secret.hashed(key)
    assert first != second
    scheme, identity, salt, digest = first.split(":")
    assert (scheme, identity) == ("hmac-sha256", key[4:16])
    assert hmac.new(bytes.fromhex(salt), key.encode(), "sha256").hexdigest() == digest
    assert re.fullmatch(r"slw_[0-9a-f]{12}_[A-Za-z0-9_-]{43}", key)
    with pytest.raises(ValueError, match="no key of this router"):
        secret.hashed("slw_short")


def test_a_key_is_known_by_its_hash_and_by_nothing_like_it(monkeypatch: pytest.MonkeyPatch) -> None:
    key, other = secret.new_key(), secret.new_key()
    keys = Keys([Key(name="shop", tier="paid", hash=secret.hashed(key))], {})
    assert keys.caller(f"Bearer {key}".encode()) == Caller("shop", "paid")
    forged = key[:17] + other[17:]
    for wrong in (other, forged, key[:-1], key + "a", key.upper(), secret.hashed(key)):
        with pytest.raises(ApiError) as refused:
            keys.caller(f"Bearer {wrong}".encode())
        assert refused.value.status == 401
        assert wrong not in refused.value.message
    # Whether the id is known or not, the comparison is made, and in constant time.
    compared: list[tuple[bytes, bytes]] = []
    real = hmac.compare_digest

    def counting(a: bytes, b: bytes) -> bool:
        compared.append((a, b))
        return real(a, b)

    monkeypatch.setattr(secret.hmac, "compare_digest", counting)
    for wrong in (other, forged):
        with pytest.raises(ApiError):
            keys.caller(f"Bearer {wrong}".encode())
    assert len(compared) == 2
