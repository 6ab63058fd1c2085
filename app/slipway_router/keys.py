"""Who asks: bearer tokens, known by their hashes alone."""

import hashlib
from collections.abc import Collection, Mapping, Sequence

from slipway_router.asgi import ApiError
from slipway_router.caller import ANONYMOUS, Caller
from slipway_router.tenancy import secret
from slipway_router.tenancy.secret import Hash
from slipway_router.tenancy.settings import Key
from slipway_router.tenancy.tenant import tenant_of
from slipway_router.tenancy.tokens import Tokens


class Keys:
    """The keys of a configuration, and those that are kept in Redis.

    A key that `slipway-router key create` made tells its id, and is compared with that one's salted hash in constant time. Of
    others the SHA-256 is compared, by a table look-up: the time that takes tells nothing of a key.
    """

    def __init__(
        self,
        keys: Sequence[Key],
        environ: Mapping[str, str],
        shared: Sequence[Key] = (),
        revoked: Collection[str] = (),
        *,
        required: bool = False,
        known: bool = True,
        tokens: Tokens | None = None,
    ) -> None:
        """
        Args:
            keys: As configured. None: everybody may ask, unless a key is required.
            environ: Where the variables they name are; each must be there.
            shared: Those of Redis. One whose name is configured too does not count.
            revoked: Names of configured keys that are no longer taken.
            required: Whether a request needs a key even where there is none.
            known: Whether those of Redis are known yet.
            tokens: Those of an issuer, which are taken too; then a key or a token is required.
        """
        self._known_all = known
        self._tokens = tokens
        self._required = required or bool(keys) or tokens is not None
        self._by_digest: dict[bytes, Caller] = {}
        self._by_id: dict[str, tuple[Hash, Caller]] = {}
        configured = {k.name for k in keys}
        for key in (*keys, *(k for k in shared if k.name not in configured)):
            if key.name in revoked and key.name in configured:
                continue
            caller = Caller(key.name, key.tier, tenant_of(key.name, key))
            if key.hash is not None:
                identity, hashed = secret.read(key.hash)
                self._by_id[identity] = hashed, caller
            else:
                digest = bytes.fromhex(key.sha256) if key.sha256 else _digest(environ[key.env or ""].encode())
                self._by_digest[digest] = caller
        self.names = tuple(c.name for c in (*self._by_digest.values(), *(c for _, c in self._by_id.values())))
        """Of everybody who may ask."""

    def caller(self, authorization: bytes | None) -> Caller:
        """Whoever sent this `Authorization` header.

        Raises:
            ApiError: 401 when keys are configured and this one is missing or unknown, or the token is not good; 503 while it
            may be one of Redis that was
                not heard of yet.
        """
        if not self._required:
            return ANONYMOUS
        if authorization is None:
            raise _refused("No API key was given; send it as 'Authorization: Bearer KEY'.")
        scheme, _, token = authorization.partition(b" ")
        caller = self._known(token.strip()) if scheme.lower() == b"bearer" else None
        if caller is None and not self._known_all:
            raise ApiError(503, "The keys are not known here yet; try again.", kind="server_error", code="keys_unavailable")
        if caller is None:
            raise _refused("The API key is not known here; send one of this router's as 'Authorization: Bearer KEY'.")
        return caller

    def _known(self, token: bytes) -> Caller | None:
        identity = secret.id_of(token)
        if identity is not None and self._by_id:
            hashed, caller = self._by_id.get(identity, (secret.NOBODYS, ANONYMOUS))
            if hashed.fits(token):
                return caller
        found = self._by_digest.get(_digest(token))
        if found is None and self._tokens is not None and token.count(b".") == 2:
            return self._tokens.caller(token)
        return found


def _refused(message: str) -> ApiError:
    return ApiError(401, message, kind="authentication_error", code="invalid_api_key")


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
