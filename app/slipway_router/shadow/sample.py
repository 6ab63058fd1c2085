"""One comparison as a line of JSON."""

import logging
import os
import stat
from typing import Any

import orjson

from slipway_router.request import Asked
from slipway_router.shadow.compare import Comparison
from slipway_router.shadow.reading import Reading
from slipway_router.shadow.settings import Samples

logger = logging.getLogger("slipway_router")


def sample(
    shadow: str,
    request_id: str,
    asked: Asked,
    answered: Reading,
    candidate: Reading | None,
    found: Comparison | None,
    *,
    text: bool,
) -> dict[str, Any]:
    """What is told of one request that was copied.

    Args:
        shadow: Whose copy it was.
        request_id: For whoever looks it up in a log.
        asked: The request.
        answered: What the client got.
        candidate: What the candidate answered. None: it failed.
        found: How they compare.
        text: Whether what was asked and said is told, too.
    """
    told: dict[str, Any] = {
        "shadow": shadow,
        "request_id": request_id,
        "task": asked.task,
        "model": asked.model,
        "stream": asked.stream,
        "answered": _side(answered, text=text),
        "candidate": _side(candidate, text=text) if candidate is not None else None,
        "verdicts": dict(found.verdicts) if found is not None else {"status": "worse"},
        "similarity": round(found.similarity, 4) if found is not None and found.similarity is not None else None,
    }
    if text:
        told["request"] = asked.fields
    return told


def append(samples: Samples, told: dict[str, Any]) -> str | None:
    """Write a line. Blocks; says why it could not be written."""
    line = orjson.dumps(told) + b"\n"
    try:
        file = os.open(samples.file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            found = os.fstat(file)
            if stat.S_ISREG(found.st_mode) and found.st_size + len(line) > samples.most_mib * 1024 * 1024:
                return f"it has {samples.most_mib} MiB, all that it may have"
            os.write(file, line)
        finally:
            os.close(file)
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


def _side(reading: Reading, *, text: bool) -> dict[str, Any]:
    told: dict[str, Any] = {
        "status": reading.status,
        "first_seconds": round(reading.first_seconds, 4),
        "seconds": round(reading.seconds, 4),
        "characters": len(reading.text),
        "prompt_tokens": reading.prompt_tokens or None,
        "answer_tokens": reading.answer_tokens or None,
        "finish_reason": reading.finish_reason,
        "tools": [reading.tools[i] for i in sorted(reading.tools)],
    }
    if text:
        told["text"] = reading.text
    return told
