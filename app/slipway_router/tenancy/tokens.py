"""Tokens of an OpenID Connect issuer in place of keys: JSON Web Tokens, checked by PyJWT against the issuer's public keys.

PyJWT, because it does what RFC 7519 and RFC 8725 ask for and little beside: the algorithms that are taken are ours to say, so
that a token can choose neither `none` nor to have a public key taken for a secret. The keys are fetched before they are needed,
in another
thread: no request waits for the issuer.
"""

import asyncio
import importlib
import json
import logging
import urllib.request
from collections.abc import Callable
from hashlib import blake2b
from time import monotonic
from typing import Any, NamedTuple, cast, get_args

from slipway_router.asgi import ApiError
from slipway_router.caller import Caller
from slipway_router.config import ConfigError
from slipway_router.schema import Tier
from slipway_router.tenancy.jwt_settings import JwtSettings
from slipway_router.tenancy.tenant import tenant_of

FETCH_SECONDS = 10.0
"""How long the issuer may take."""
LEAST_SECONDS = 10.0
"""Between two fetches, whatever keys tokens name."""
MOST_BYTES = 1024 * 1024
"""Of what an issuer answers."""

logger = logging.getLogger("slipway_router")


class _PublicKey(NamedTuple):
    """One of an issuer's."""

    identity: str
    key: Any
    algorithms: tuple[str, ...]
    """Signatures that it can have made."""


class Tokens:
    """The tokens of one issuer."""

    def __init__(self, settings: JwtSettings, changed: Callable[[], None]) -> None:
        """
        Args:
            settings: Whose.
            changed: Called when the issuer's keys have.

        Raises:
            ConfigError: PyJWT is not installed.
        """
        try:
            self._jwt: Any = importlib.import_module("jwt")
            importlib.import_module("cryptography")
        except ImportError:
            raise ConfigError([("jwt", "needs PyJWT; install slipway[jwt], or leave 'jwt' out")]) from None
        self._settings = settings
        self._changed = changed
        self._keys: dict[str, _PublicKey] = {}
        self._told: object = None
        self._known = False
        self._wanted = asyncio.Event()

    def caller(self, token: bytes) -> Caller:
        """Whoever has this token.

        Raises:
            ApiError: 401, with what is wrong about it; 503 while the issuer's keys are not known.
        """
        jwt, settings = self._jwt, self._settings
        if not self._known:
            raise ApiError(
                503, "The issuer's keys are not known here yet; try again.", kind="server_error", code="keys_unavailable"
            )
        try:
            text = token.decode("ascii")
            head: dict[str, Any] = jwt.get_unverified_header(text)
            # Before anything else: the token does not choose how it is checked.
            if head.get("alg") not in settings.algorithms:
                raise refused(f"is not signed by one of {', '.join(settings.algorithms)}")
            key = self._key(head.get("kid"))
            # A key takes the signatures that it is told to be for, or else those of its kind.
            claims: dict[str, Any] = jwt.decode(
                text,
                key.key,
                algorithms=[a for a in settings.algorithms if a in key.algorithms],
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=settings.leeway_seconds,
                options={"require": ["exp", "iss", "aud", settings.subject_claim]},
            )
        except UnicodeDecodeError:
            raise refused("is no JSON Web Token") from None
        except jwt.PyJWTError as error:
            raise refused(_why(error)) from None
        subject: object = claims[settings.subject_claim]
        if not isinstance(subject, str) or not 0 < len(subject) <= 256:
            raise refused(f"has no name of at most 256 characters in '{settings.subject_claim}'")
        told = claims.get(settings.tier_claim) if settings.tier_claim is not None else None
        tier = cast("Tier", told) if told in get_args(Tier) else settings.tier
        # A name in metrics, logs and Redis that says nothing of whose it is.
        name = f"jwt-{blake2b(f'{settings.issuer} {subject}'.encode(), digest_size=8).hexdigest()}"
        return Caller(name, tier, tenant_of(name, settings), float(claims["exp"]) + settings.leeway_seconds)

    def _key(self, identity: object) -> _PublicKey:
        keys = self._keys
        if identity is None and len(keys) == 1:
            return next(iter(keys.values()))
        key = keys.get(identity) if isinstance(identity, str) else None
        if key is None:
            # It may be new. The request is not kept waiting: issuers tell of a key before they sign with it.
            self._wanted.set()
            raise refused("is signed by a key that the issuer does not tell of")
        return key

    async def run(self) -> None:
        """Keep the keys as the issuer has them, until cancelled."""
        while True:
            began = monotonic()
            await self.fetch()
            wait = self._settings.refresh_seconds if self._known else 1.0
            try:
                async with asyncio.timeout(wait):
                    await self._wanted.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(max(0.0, min(LEAST_SECONDS, self._settings.refresh_seconds) - (monotonic() - began)))
            self._wanted.clear()

    async def fetch(self) -> None:
        """Fetch the keys. What cannot be had is told in the log, and the keys before stay."""
        try:
            told = await asyncio.to_thread(self._fetched)
            usable = {k.identity: k for k in map(self._read, told["keys"]) if k is not None}
        except (OSError, ValueError, TypeError, KeyError, self._jwt.PyJWTError) as error:
            logger.warning("the keys of %s cannot be had: %s", self._settings.issuer, " ".join(str(error).split())[:200])
            return
        self._known = True
        if told != self._told:
            self._keys, self._told = usable, told
            self._changed()

    def _read(self, told: dict[str, Any]) -> _PublicKey | None:
        """A key for signatures; None for any other, and for one of a kind that is not known here."""
        if told.get("use", "sig") != "sig" or told.get("kty") == "oct":
            return None
        try:
            key = self._jwt.PyJWK.from_dict(told)
        except self._jwt.PyJWTError:
            return None
        usual = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512") if told["kty"] == "RSA" else (str(key.algorithm_name),)
        named = told.get("alg")
        return _PublicKey(str(told.get("kid", "")), key.key, (str(named),) if named is not None else usual)

    def _fetched(self) -> dict[str, Any]:
        settings = self._settings
        url = settings.jwks_url
        if url is None:
            told = _json(f"{settings.issuer.rstrip('/')}/.well-known/openid-configuration")
            if told.get("issuer") != settings.issuer:
                raise ValueError(f"the issuer calls itself {str(told.get('issuer'))[:200]!r}")
            url = JwtSettings.model_validate(
                {"issuer": settings.issuer, "audience": settings.audience, "jwks_url": told.get("jwks_uri")}
            ).jwks_url
            if url is None:
                raise ValueError("the issuer tells of no jwks_uri")
        return _json(url)


def refused(why: str) -> ApiError:
    """401, which tells what is wrong and nothing of the token."""
    return ApiError(401, f"The token {why}.", kind="authentication_error", code="invalid_token")


def _why(error: Exception) -> str:
    name = type(error).__name__
    return {
        "ExpiredSignatureError": "has expired",
        "ImmatureSignatureError": "is not valid yet",
        "InvalidIssuedAtError": "is not valid yet",
        "InvalidIssuerError": "is of another issuer",
        "InvalidAudienceError": "is for another audience",
        "InvalidSignatureError": "has a signature that is not its issuer's",
        "MissingRequiredClaimError": f"lacks the claim {getattr(error, 'claim', '')!r}",
        "InvalidAlgorithmError": "is signed in a way that its key is not for",
        "DecodeError": "is no JSON Web Token",
    }.get(name, "is not valid")


def _json(url: str) -> dict[str, Any]:
    # The scheme is checked where the settings are.
    with urllib.request.urlopen(url, timeout=FETCH_SECONDS) as answer:  # noqa: S310 -- see above
        raw = answer.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise ValueError("the issuer's answer is too large")
    found: object = json.loads(raw)
    if not isinstance(found, dict):
        raise TypeError("the issuer's answer is no JSON object")
    return cast("dict[str, Any]", found)
