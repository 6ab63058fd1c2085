"""Google on loopback: tokens for a service account's signed assertion (RFC 7523), and Vertex AI's endpoints."""

import json
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import google.auth.jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Behaviour, Exit

EMAIL = "router@project.iam.gserviceaccount.com"
PATH = "/v1/projects/p/locations/europe-west4/endpoints/openapi"


class Google:
    """Hands out a new token each time it is asked rightly, and knows which it gave."""

    def __init__(self, seconds: int = 3600) -> None:
        """
        Args:
            seconds: How long a token is good for.
        """
        self.seconds = seconds
        self.tokens: list[str] = []
        self.revoked: set[str] = set()
        self.down = False
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        self._public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)

    def key_file(self, folder: Path, port: int) -> str:
        """A service account's key file whose tokens come from here."""
        path = folder / "account.json"
        account = {
            "type": "service_account",
            "project_id": "p",
            "private_key_id": "k1",
            "private_key": self._private,
            "client_email": EMAIL,
            "client_id": "1",
            "token_uri": f"http://127.0.0.1:{port}/token",
        }
        path.write_text(json.dumps(account))
        return str(path)

    def api(self, answer: Behaviour, error: bytes | None = None, path: str | None = f"{PATH}/chat/completions") -> Behaviour:
        """Tokens, and the endpoint for whoever has one.

        Args:
            answer: What the endpoint does.
            error: What it says instead, with 400.
            path: Where it is. None: `answer` itself looks at the path.
        """

        async def behave(out: Exit) -> None:
            got = out.got
            if got.path == "/token":
                await self._token(out)
                return
            scheme, _, token = got.headers.get("authorization", "").partition(" ")
            if scheme != "Bearer" or token not in self.tokens or token in self.revoked:
                refused = {"code": 401, "message": "Request had invalid authentication credentials.", "status": "UNAUTHENTICATED"}
                await fake.whole(json.dumps([{"error": refused}]).encode(), "401 Unauthorized")(out)
            elif path is not None and got.path != path:
                await fake.whole(b"<html>Not Found</html>", "404 Not Found", kind="text/html")(out)
            elif error is not None:
                await fake.whole(error, "400 Bad Request")(out)
            else:
                await answer(out)

        return behave

    async def _token(self, out: Exit) -> None:
        if self.down:
            await fake.whole(b'{"error":"temporarily_unavailable"}', "503 Service Unavailable")(out)
            return
        given = {k: v[0] for k, v in parse_qs(out.got.body.decode()).items()}
        assert given["grant_type"] == "urn:ietf:params:oauth:grant-type:jwt-bearer"
        jwt: Any = google.auth.jwt
        claims = jwt.decode(given["assertion"], certs=self._public, audience="https://oauth2.googleapis.com/token")
        assert claims["iss"] == EMAIL
        assert "https://www.googleapis.com/auth/cloud-platform" in claims["scope"]
        assert claims["exp"] > time.time()
        self.tokens.append(f"ya29.token-{len(self.tokens) + 1}")
        answer = {"access_token": self.tokens[-1], "expires_in": self.seconds, "token_type": "Bearer"}
        await fake.whole(json.dumps(answer).encode())(out)
