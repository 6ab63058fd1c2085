"""Passwords of a stack's servers, and how these know them without having them."""

import secrets

try:
    import bcrypt
except ImportError as error:
    raise ImportError("ObservabilityStack needs bcrypt; install it with: pip install 'slipway[observability]'") from error

USERNAME = "slipway"
"""Who clients say they are."""
PASSWORD_KEY = "password"  # noqa: S105 -- a name
PUSH_USERNAME, PUSH_KEY = "agent", "push-password"
"""Who sends logs, which is all that this user may do."""
ROUNDS = 10
"""Of bcrypt, where the server remembers who was let in. The password has 256 random bits, which no number of rounds would make
safer."""


def new_password() -> str:
    """256 random bits."""
    return secrets.token_urlsafe(32)


def hashed(password: str, rounds: int = ROUNDS) -> str:
    """The password as bcrypt tells it."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds)).decode()
