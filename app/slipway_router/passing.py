"""What of a backend's answer is passed on to its client, and in which pieces."""

HOLD_BYTES = 16 * 1024 * 1024
"""A whole answer is held back until it is complete, so that another backend can give it if this one breaks off. A larger one
is passed on from here, and can no longer be replaced."""
EVENT_BYTES = 1024 * 1024
"""Largest unfinished event that is held back."""
END_BYTES = 8 * 1024
"""How much of a stream's end is looked at for its usage."""

NOT_PASSED_ON = frozenset(
    {
        # of the connection, not of the message (RFC 9110, section 7.6.1), or set anew
        b"connection", b"content-length", b"keep-alive", b"proxy-authenticate", b"proxy-connection", b"te", b"trailer",
        b"transfer-encoding", b"upgrade", b"date", b"server", b"x-request-id",
        # a backend's own business with the router, not with its clients
        b"alt-svc", b"set-cookie", b"strict-transport-security", b"access-control-allow-origin",
        b"access-control-allow-credentials", b"access-control-allow-headers", b"access-control-allow-methods",
        # ours: a router behind this one must not be taken for it
        b"x-slipway-backend", b"x-slipway-resource", b"x-slipway-rule", b"x-slipway-attempts",
        b"x-slipway-replica",
    }
)  # fmt: skip
# The backend's limits are the router's; the client has its own.
NOT_PASSED_ON_TO_TENANTS = NOT_PASSED_ON.union(
    b"x-ratelimit-%b-%b" % (what, of) for what in (b"limit", b"remaining", b"reset") for of in (b"requests", b"tokens")
)


def whole_events(data: bytes) -> tuple[bytes, bytes]:
    """Cut behind the last whole event. An event that grows past 1 MiB is passed on as it comes."""
    lf, crlf, cr = data.rfind(b"\n\n"), data.rfind(b"\r\n\r\n"), data.rfind(b"\r\r")
    end = max(lf + 2 if lf >= 0 else 0, crlf + 4 if crlf >= 0 else 0, cr + 2 if cr >= 0 else 0)
    if len(data) - end > EVENT_BYTES:
        end = len(data)
    return data[:end], data[end:]
