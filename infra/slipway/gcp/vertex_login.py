"""Who asks Vertex AI: what Pulumi's own provider for Google Cloud is told, so that it is told once.

It is read in the process that asks, and kept in its memory alone.
"""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Login:
    """What was configured; with nothing, Google's own libraries find the identity (Application Default Credentials)."""

    access_token: str | None = field(default=None, repr=False)
    key: Mapping[str, Any] | None = field(default=None, repr=False)
    """A service account's key."""
    key_file: str | None = None

    @classmethod
    def of(cls, config: Callable[[str], str | None]) -> "Login":
        """From `gcp:accessToken` and `gcp:credentials`, or the variables that Google's provider reads in their place.

        Args:
            config: Gives a setting of the stack by its name.
        """
        token = config("gcp:accessToken") or os.environ.get("GOOGLE_OAUTH_ACCESS_TOKEN")
        if token:
            return cls(access_token=token)
        given = config("gcp:credentials") or os.environ.get("GOOGLE_CREDENTIALS")
        if not given:
            return cls()
        return cls(key=json.loads(given)) if given.lstrip().startswith("{") else cls(key_file=given)
