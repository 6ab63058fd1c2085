"""Errors of servers that have OpenAI's API, and say what went wrong in a shape of their own."""

import orjson

from slipway_router.asgi import JSON, Header
from slipway_router.providers.shapes import Object, an_object, objects, text

MOST_TEXT = 1000
"""How much of an error that is no JSON is passed on."""


def as_openais(status: int, headers: list[Header], body: bytes) -> tuple[list[Header], bytes]:
    """An error in OpenAI's shape; the very same where it has that.

    Known are `{"object": "error", "message": ...}` of vLLM and SGLang, `{"error": TEXT, "error_type": ...}` of TGI and Ollama,
    and `{"detail": ...}` of whatever is made with FastAPI.
    """
    given: Object = {}
    try:
        given = an_object(orjson.loads(body))
    except orjson.JSONDecodeError:
        said = body[:MOST_TEXT].decode("utf-8", "replace").strip()
        # A page for people tells a program nothing.
        said = "" if said.startswith("<") else said
    else:
        if isinstance(given.get("error"), dict):
            return headers, body
        said = text(given.get("message")) or text(given.get("error")) or _detail(given)
    code = given.get("code")
    told = {
        "message": said or f"The backend answered {status} without a reason.",
        "type": text(given.get("type")) or text(given.get("error_type")) or "invalid_request_error",
        "param": text(given.get("param")) or None,
        "code": code if isinstance(code, str | int) else None,
    }
    return [JSON, *(h for h in headers if h[0] not in (b"content-type", b"content-length"))], orjson.dumps({"error": told})


def _detail(given: Object) -> str:
    """What FastAPI says: text, or a list with where each fault is."""
    listed = [f"{_place(fault.get('loc'))}: {text(fault.get('msg'))}" for fault in objects(given.get("detail"))]
    return text(given.get("detail")) or "; ".join(listed)


def _place(loc: object) -> str:
    return ".".join(str(part) for part in loc) if isinstance(loc, list) else "body"  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
