"""What the configuration says of tokens that an OpenID Connect issuer signs."""

from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from slipway_router.tenancy.settings import Grant

Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
"""Signatures by a key of which only the issuer has the private half. HS256 and its kin are none: who can check one can make
one."""


class JwtSettings(Grant):
    """Who may ask with a token of this issuer instead of a key. Its fields beside the grant's say whose tokens are taken.

    The grant holds for everybody with a token: limits and budget are each one's own, told apart by `subject_claim`.
    """

    issuer: str
    """The issuer, exactly as tokens have it in `iss`, such as `https://login.example.com/realms/ai`."""
    audience: str = Field(min_length=1)
    """What tokens must have in `aud`: this router's name at the issuer."""
    jwks_url: str | None = None
    """Where its public keys are. Default: as `ISSUER/.well-known/openid-configuration` tells."""
    algorithms: tuple[Algorithm, ...] = ("RS256", "ES256")
    """Signatures that are taken. At least one."""
    subject_claim: str = Field(default="sub", min_length=1)
    """The claim that tells one from another."""
    tier_claim: str | None = None
    """A claim that holds the tier, where it is one. Absent, or where the claim holds none: `tier`."""
    leeway_seconds: float = Field(default=30.0, ge=0, le=300)
    """By how much clocks may differ."""
    refresh_seconds: float = Field(default=300.0, ge=1, le=86400)
    """How often the public keys are fetched. An unknown key has them fetched sooner, at most once in ten seconds."""

    @field_validator("algorithms")
    @classmethod
    def _some(cls, value: tuple[Algorithm, ...]) -> tuple[Algorithm, ...]:
        if not value:
            raise ValueError("lists none, so no token could be taken; list some, such as RS256")
        return value

    @field_validator("issuer", "jwks_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        if value is None:
            return value
        try:
            read = urlsplit(value)
            named = bool(read.hostname) and read.username is None and read.port != 0
        except ValueError:
            read, named = urlsplit(""), False
        if not named or read.query or read.fragment:
            raise ValueError("is no address of an issuer; give https://HOST/PATH, without user, query or fragment")
        if read.scheme != "https" and not (read.scheme == "http" and read.hostname in ("127.0.0.1", "::1", "localhost")):
            raise ValueError("is not fetched safely: who is between could hand out keys of their own; give https://")
        return value
