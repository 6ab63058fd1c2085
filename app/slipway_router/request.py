"""What a client asks for: the body, checked as far as the router must understand it, and the headers that steer the policy."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast, get_args

import orjson

from slipway_router.asgi import ApiError, Header
from slipway_router.loops import HOPS
from slipway_router.policy import RoutingContext
from slipway_router.schema import AUTO, Quality, Task, Tier

CHARACTERS_PER_TOKEN = 4
"""Rule of thumb for English text (OpenAI, "What are tokens and how to count them?"). No tokenizer is loaded for an estimate."""
DEFAULT_LATENCY_BUDGET_MS = 60_000
MOST_TOKENS = 2**53 - 1
"""What every JSON library keeps exact (RFC 8259, section 6); larger numbers may arrive as fractions."""

_CONTENT: dict[Task, str] = {"chat": "messages", "completions": "prompt", "embeddings": "input"}
_TIERS: tuple[str, ...] = get_args(Tier)
_QUALITIES: tuple[str, ...] = get_args(Quality)
_TASK_TYPES = ("chat", "analysis", "code", "summarization")
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_STEERING = frozenset(
    {
        b"authorization",
        b"x-user-tier",
        b"x-task-type",
        b"x-latency-budget-ms",
        b"x-quality",
        b"x-request-id",
        b"content-length",
        b"cache-control",
        b"x-user-id",
    }
)
_TRACING = (b"traceparent", b"tracestate")
READ = _STEERING.union(_TRACING, (HOPS,))


@dataclass(slots=True)
class Asked:
    """A request's body, understood. Not to be changed: that it is not frozen halves what it costs to make."""

    task: Task
    model: str
    """As the client named it; 'auto' where it did not."""
    stream: bool
    estimated_tokens: int
    """A quarter of the prompt's characters (its exact length where it is given in tokens), and the most that may be answered."""
    raw: bytes
    """As it came."""
    fields: Mapping[str, Any]

    @property
    def completion(self) -> Mapping[str, Any]:
        """The body, for an API in which it is said differently."""
        return self.fields

    @property
    def answer_tokens(self) -> int:
        """Most tokens that may be answered; 0 where the client does not say."""
        most = self.fields.get("max_completion_tokens")
        return self.fields.get("max_tokens") or 0 if most is None else most

    def body_for(self, model: str) -> bytes:
        """The body with the model's name at a backend. The very bytes that came where the name is that already."""
        if self.fields.get("model") == model:
            return self.raw
        try:
            return orjson.dumps({**self.fields, "model": model})
        except orjson.JSONEncodeError:
            raise ApiError(
                400, "The body is nested too deeply; at most 254 levels can be passed on.", code="invalid_body"
            ) from None


def parse(task: Task, raw: bytes) -> Asked:
    """Understand a body.

    Raises:
        ApiError: 400 with every fault there is; `param` names the first.
    """
    try:
        given: Any = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, f"The body is not JSON: {error}.", code="invalid_json") from None
    if type(given) is not dict:
        raise ApiError(400, "The body must be a JSON object.", code="invalid_body")
    fields: dict[str, Any] = given  # pyright: ignore[reportUnknownVariableType] -- JSON
    faults: list[tuple[str, str]] = []
    model = fields.get("model", AUTO)
    if not isinstance(model, str):
        faults.append(("model", "must be the name of a model, as text"))
    stream = fields.get("stream")
    if stream is not None and not isinstance(stream, bool):
        faults.append(("stream", "must be true or false"))
    answer = 0
    for name in ("max_tokens", "max_completion_tokens"):
        most = fields.get(name)
        if most is None:
            continue
        if isinstance(most, int) and not isinstance(most, bool) and 0 <= most <= MOST_TOKENS:
            answer = most
        else:
            faults.append((name, f"must be a whole number, 0 to {MOST_TOKENS}"))
    content = _CONTENT[task]
    tokens = 0
    if fields.get(content) is None:
        faults.append((content, "is required"))
    elif task == "chat":
        tokens = _message_tokens(fields[content], faults)
    else:
        tokens = _prompt_tokens(fields[content], content, faults)
    if faults:
        told = "; ".join(f"'{path}' {reason}" for path, reason in faults)
        raise ApiError(400, f"{told[0].upper()}{told[1:]}.", param=faults[0][0], code="invalid_body")
    return Asked(task, model, bool(stream), tokens + answer, raw, fields)


def task_of(raw: bytes) -> Task:
    """Which task a body is for, by the field that only its bodies have; 'chat' where that cannot be told."""
    try:
        fields: object = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return "chat"
    if isinstance(fields, dict):
        for task, content in _CONTENT.items():
            if content in fields:
                return task
    return "chat"


def _message_tokens(messages: Any, faults: list[tuple[str, str]]) -> int:
    # Types are compared and not cast: JSON has no subclasses, and a call for each message and part is not free.
    if type(messages) is not list or not messages:
        faults.append(("messages", "must be a list of at least one message"))
        return 0
    characters = 0
    listed: list[Any] = messages  # pyright: ignore[reportUnknownVariableType] -- JSON
    for i, message in enumerate(listed):
        if type(message) is not dict:
            faults.append((f"messages[{i}]", "must be an object with 'role' and 'content'"))
            continue
        given: dict[str, Any] = message  # pyright: ignore[reportUnknownVariableType] -- JSON
        if type(given.get("role")) is not str:
            faults.append((f"messages[{i}].role", "is required, as text"))
        content = given.get("content")
        if type(content) is str:
            characters += len(content)
        elif type(content) is list:
            parts: list[Any] = content  # pyright: ignore[reportUnknownVariableType] -- JSON
            characters += sum(map(_characters, parts))
        elif content is not None:
            faults.append((f"messages[{i}].content", "must be text or a list of parts"))
    return characters // CHARACTERS_PER_TOKEN


def _characters(part: Any) -> int:
    text: object = part.get("text") if isinstance(part, dict) else None  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType] -- JSON
    return len(text) if isinstance(text, str) else 0


def _prompt_tokens(prompt: object, name: str, faults: list[tuple[str, str]]) -> int:
    """Text, a list of texts, a list of token numbers, or a list of such lists."""
    if isinstance(prompt, str):
        return len(prompt) // CHARACTERS_PER_TOKEN
    if isinstance(prompt, list) and prompt:
        prompt = cast("list[object]", prompt)
        if all(isinstance(p, str) for p in prompt):
            return sum(len(p) for p in cast("list[str]", prompt)) // CHARACTERS_PER_TOKEN
        if _are_tokens(prompt):
            return len(prompt)
        if all(isinstance(p, list) for p in prompt):
            lists = cast("list[list[object]]", prompt)
            if all(map(_are_tokens, lists)):
                return sum(len(p) for p in lists)
    faults.append((name, "must be text, a list of texts, a list of tokens or a list of lists of tokens"))
    return 0


def _are_tokens(prompt: list[object]) -> bool:
    # `type`, for a boolean is an `int` too.
    return all(type(p) is int for p in prompt)


def read_headers(headers: Sequence[Header], wanted: frozenset[bytes] = READ) -> dict[bytes, bytes]:
    """Those that the router reads."""
    return {name: value for name, value in headers if name in wanted}


def user_of(asked: Asked, headers: Mapping[bytes, bytes]) -> str | None:
    """What tells one user from another: the header `x-user-id`, or OpenAI's fields `safety_identifier` and `user`."""
    told = headers.get(b"x-user-id")
    if told is not None:
        return told.decode("latin-1")
    for field in ("safety_identifier", "user"):
        value = asked.fields.get(field)
        if isinstance(value, str) and value:
            return value
    return None


def request_id(headers: Mapping[bytes, bytes]) -> bytes:
    """The client's `x-request-id` where it is at most 128 letters, digits and `._:-`, else a new one."""
    given = headers.get(b"x-request-id")
    return given if given is not None and _REQUEST_ID.fullmatch(given) else _new_id()


_ids: list[bytes] = []


def _new_id() -> bytes:
    """128 random bits. Many at once: most of what one costs is the call of the system."""
    if not _ids:
        _ids.extend(os.urandom(16 * 256).hex("-", 16).encode().split(b"-"))
    return _ids.pop()


def tracing(headers: Mapping[bytes, bytes]) -> bytes:
    """W3C trace context as header lines for the backend, nothing where the client sent none."""
    return b"".join(b"%b: %b\r\n" % (name, headers[name]) for name in _TRACING if name in headers)


class Steering(NamedTuple):
    """What headers say that the policy decides on."""

    tier: str
    task_type: str
    latency_budget_ms: int
    quality: str


def routing_context(
    headers: Mapping[bytes, bytes], key_tier: str | None, estimated_tokens: int, answer_tokens: int = 0
) -> RoutingContext:
    """What the policy decides on. See `steering` and `Asked`."""
    told = steering(headers, key_tier)
    return RoutingContext(told.tier, told.task_type, estimated_tokens, told.latency_budget_ms, told.quality, answer_tokens)


def steering(headers: Mapping[bytes, bytes], key_tier: str | None) -> Steering:
    """How a request's headers steer it.

    Args:
        headers: `x-task-type` (default 'chat'), `x-latency-budget-ms` (default 60,000), `x-quality` (default 'medium'), and
            `x-user-tier` (default 'free'), which counts only where there are no keys.
        key_tier: Tier of the client's key. None where there are no keys.

    Raises:
        ApiError: 400 with every wrong value and its choice.
    """
    faults: list[tuple[str, str]] = []

    def choice(name: bytes, choices: tuple[str, ...], default: str) -> str:
        value = headers.get(name)
        if value is None:
            return default
        told = value.decode("latin-1").strip().lower()
        if told not in choices:
            faults.append((name.decode(), f"is {told[:64]!r}; give {', '.join(repr(c) for c in choices)}"))
        return told

    tier = key_tier if key_tier is not None else choice(b"x-user-tier", _TIERS, "free")
    task_type = choice(b"x-task-type", _TASK_TYPES, "chat")
    quality = choice(b"x-quality", _QUALITIES, "medium")
    budget = DEFAULT_LATENCY_BUDGET_MS
    given = headers.get(b"x-latency-budget-ms")
    if given is not None:
        if given.isdigit() and len(given) <= 9:
            budget = int(given)
        else:
            told = given.decode("latin-1")[:64]
            faults.append(("x-latency-budget-ms", f"is {told!r}; give whole milliseconds, such as 400"))
    if faults:
        told = "; ".join(f"the header {path} {reason}" for path, reason in faults)
        raise ApiError(400, f"{told[0].upper()}{told[1:]}.", param=faults[0][0], code="invalid_header")
    return Steering(tier, task_type, budget, quality)
