"""An OpenID Connect issuer on loopback: tells its public keys over HTTP, signs tokens."""

import base64
import hmac
import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import lru_cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm


@lru_cache
def rsa_key(number: int) -> rsa.RSAPrivateKey:
    """Made once: that takes a while."""
    assert number >= 0
    return rsa.generate_private_key(65537, 2048)


class Issuer:
    """Its keys are changed by changing `signing`, by their ids."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.claimed = self.url
        self.signing: dict[str, Any] = {"one": rsa_key(1), "ec": ec.generate_private_key(ec.SECP256R1())}
        self.fetches = 0
        self.broken = False

    def told(self, path: str) -> Any:
        if path.endswith("openid-configuration"):
            return {"issuer": self.claimed, "jwks_uri": f"{self.url}/keys"}
        self.fetches += 1
        return {"keys": [{**self._public(k), "kid": i, "use": "sig"} for i, k in self.signing.items()]}

    def _public(self, key: Any) -> dict[str, Any]:
        public = key.public_key()
        return dict(
            json.loads(RSAAlgorithm.to_jwk(public) if isinstance(public, rsa.RSAPublicKey) else ECAlgorithm.to_jwk(public))
        )

    def token(self, kid: str = "one", algorithm: str = "RS256", head: dict[str, Any] | None = None, **claims: Any) -> str:
        now = int(time.time())
        told = {"iss": self.url, "aud": "router", "sub": "ann", "iat": now, "exp": now + 600, **claims}
        told = {k: v for k, v in told.items() if v is not None}
        return jwt.encode(told, self.signing[kid], algorithm, headers={"kid": kid, **(head or {})})

    def forged(self, algorithm: str) -> str:
        """Signed with what everybody has: nothing, or the public key taken for a secret."""
        now = int(time.time())
        told = {"iss": self.url, "aud": "router", "sub": "ann", "exp": now + 600}
        parts = [_encoded(json.dumps(p).encode()) for p in ({"alg": algorithm, "typ": "JWT", "kid": "one"}, told)]
        secret = self.signing["one"].public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        signature = b"" if algorithm.lower() == "none" else hmac.digest(secret, ".".join(parts).encode(), "sha256")
        return ".".join([*parts, _encoded(signature)])


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def issuing() -> Generator[Issuer]:
    made: list[Issuer] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = json.dumps(made[0].told(self.path)).encode()
            self.send_response(500 if made[0].broken else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 -- http.server's
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.append(Issuer(server.server_address[1]))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield made[0]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
