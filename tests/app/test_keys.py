"""Bearer tokens."""

import hashlib

import pytest

from slipway_router.asgi import ApiError
from slipway_router.keys import ANONYMOUS, Caller, Keys
from slipway_router.tenancy.settings import Key

DIGEST = hashlib.sha256(b"paid-secret").hexdigest()
KEYS = Keys([Key(name="app", env="APP_KEY"), Key(name="shop", tier="paid", sha256=DIGEST)], {"APP_KEY": "app-secret"})


def test_a_key_tells_whose_it_is_and_its_tier() -> None:
    assert KEYS.caller(b"Bearer app-secret") == Caller("app", "free")
    assert KEYS.caller(b"bearer  paid-secret ") == Caller("shop", "paid")


@pytest.mark.parametrize(
    "header",
    [None, b"", b"Bearer", b"Bearer ", b"Bearer app-secre", b"Basic app-secret", b"app-secret", b"Bearer " + DIGEST.encode()],
)
def test_what_is_no_key_is_refused(header: bytes | None) -> None:
    with pytest.raises(ApiError) as refused:
        KEYS.caller(header)
    assert (refused.value.status, refused.value.code) == (401, "invalid_api_key")
    assert "secre" not in refused.value.message


def test_without_keys_everybody_may_ask() -> None:
    assert Keys([], {}).caller(b"Bearer anything") == ANONYMOUS
