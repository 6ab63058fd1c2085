"""What tells a good answer from one that only begins like one. Looked at before the client sees any of it."""

import re

from slipway_router.answer import UpstreamError

MOST_BYTES = 1024 * 1024
"""A stream that has said so much is alive, whatever it says."""
MOST_EVENTS = 2
"""And so is one with more events than this: engines send one with the role, and some a comment, before they do any work."""

# A token, a tool, an end: what a model says, in all the shapes that pass through here.
_SAID = re.compile(
    rb'"(?:content|reasoning_content|reasoning|text|arguments|refusal)"\s*:\s*"[^"]'
    rb'|"(?:tool_calls|function_call)"\s*:\s*[\[{]\s*["{]|"finish_reason"\s*:\s*"|\[DONE\]'
)
_ERROR = re.compile(rb'(?:event: ?error\r?\n)?data: ?\{\s*"error"')
_FIELDS = (b"", b"d", b"e", b"i", b"r", b":")
"""First letters of what can begin an event: data, event, id, retry, a comment."""


def stream_is_alive(data: bytes) -> bool:
    """Whether the beginning of a stream shows that a model answers. If not yet, more of it is needed.

    Raises:
        UpstreamError: it is no stream of events, or begins with an error.
    """
    start = data.lstrip()
    if start[:1] not in _FIELDS:
        raise UpstreamError("protocol", "answered with a stream that is none of events")
    if _ERROR.match(start):
        raise UpstreamError("status", "began its stream with an error")
    events = data.count(b"\n\n") or data.count(b"\r\n\r\n") or data.count(b"\r\r")
    return len(data) > MOST_BYTES or events > MOST_EVENTS or (events > 0 and _SAID.search(data) is not None)


def check_whole(body: bytes, *, cut: bool) -> None:
    """Refuse a good answer's body that is no JSON object: empty, or a login page.

    Args:
        body: Or its beginning.
        cut: Whether it is only that.

    Raises:
        UpstreamError: 'protocol'.
    """
    if not body:
        raise UpstreamError("protocol", "answered with nothing")
    if body[:1] == b"{" and (cut or body[-1:] == b"}"):
        return
    stripped = body.strip()
    if stripped[:1] != b"{" or not (cut or stripped[-1:] == b"}"):
        raise UpstreamError("protocol", "answered with what is no JSON object")
