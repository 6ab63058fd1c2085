"""Every metric that the router tells Prometheus: its name, type, unit, labels and meaning, once, for whoever writes rules or
dashboards of them too.

Names and units are by Prometheus' conventions ("Metric and label naming"). Labels have a bounded set of values: none is a
client's own text. What `backend` can be is in the configuration, and `model` is that backend's; a request that no backend
answered has 'none' for both. `key` is the name of a key, for the first `telemetry.most_keys` of them; all others are 'other'.
"""

from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]
Unit = Literal["seconds", "dollars", "tokens", "characters", "ratio", ""]


class Metric(NamedTuple):
    """One metric."""

    name: str
    """As Prometheus has it: a counter's ends in `_total`. A histogram has `_bucket`, `_sum` and `_count` behind it."""
    kind: Kind
    unit: Unit
    """What it is measured in; empty for what is counted, and for flags that are 0 or 1."""
    labels: tuple[str, ...]
    """Names of its labels, in the order in which the router gives their values."""
    help: str
    """What it means."""


METRICS: dict[str, Metric] = {}
"""All of them, by name."""

_OF_ANSWERS = ("backend", "model")


def _metric(kind: Kind, name: str, text: str, *labels: str, unit: Unit = "") -> Metric:
    made = Metric(f"slipway_router_{name}", kind, unit, labels, text)
    METRICS[made.name] = made
    return made


def _counter(name: str, text: str, *labels: str, unit: Unit = "") -> Metric:
    return _metric("counter", f"{name}_total", text, *labels, unit=unit)


def _gauge(name: str, text: str, *labels: str, unit: Unit = "") -> Metric:
    return _metric("gauge", name, text, *labels, unit=unit)


def _histogram(name: str, text: str, *labels: str, unit: Unit = "seconds") -> Metric:
    return _metric("histogram", name, text, *labels, unit=unit)


# Requests and answers.
REQUESTS = _counter(
    "requests",
    "Requests answered, by the backend that answered ('none': no backend did). Code 499: the client went away.",
    *_OF_ANSWERS,
    "task",
    "code",
)
TOKENS = _counter(
    "tokens",
    "Tokens that answers told of, 'prompt' or 'completion'; of a stream, what its end tells.",
    *_OF_ANSWERS,
    "kind",
    unit="tokens",
)
COST = _counter(
    "cost_dollars",
    "What these tokens cost by the backend's list prices; 0 where it is paid by the hour.",
    *_OF_ANSWERS,
    unit="dollars",
)
FIRST_BYTE = _histogram(
    "time_to_first_byte_seconds", "From the client's request to the first byte of the answer's body.", *_OF_ANSWERS, "task"
)
DURATION = _histogram(
    "request_duration_seconds", "From the client's request to the last byte of its answer.", *_OF_ANSWERS, "task"
)
FIRST_TOKEN = _histogram("time_to_first_token_seconds", "Of streams: from the client's request to the first token.", *_OF_ANSWERS)
OUTPUT_TOKEN = _histogram(
    "time_per_output_token_seconds",
    "Of streams whose end tells their tokens: the time from the first token to the last, for each token after the first.",
    *_OF_ANSWERS,
)
QUEUE = _histogram(
    "queue_duration_seconds",
    "From the client's request to when the backend that answered was asked: failed attempts before, and waiting for a start.",
    *_OF_ANSWERS,
)
UNDER_WAY = _gauge("requests_under_way", "Requests that the router has not finished answering.")
READY = _gauge("ready", "1 while /ready says that requests should be sent here.")

# By key.
KEY_REQUESTS = _counter("key_requests", "Requests by the name of the key.", "key")
KEY_TOKENS = _counter("key_tokens", "Tokens that answers to it told of, 'prompt' or 'completion'.", "key", "kind", unit="tokens")
KEY_COST = _counter("key_cost_dollars", "What these tokens cost by the backends' list prices.", "key", unit="dollars")

# What it took.
ATTEMPTS = _counter("attempts", "Requests sent to a backend.", "backend")
FAILURES = _counter("attempt_failures", "Those that failed, by cause.", "backend", "cause")
RETRIES = _counter(
    "retries", "Retries at a backend ('made'), and those that the retry budget refused ('refused').", "backend", "outcome"
)
HEDGES = _counter(
    "hedges", "Second requests beside a slow one, by outcome: 'won' if they answered first, 'lost' if not.", "outcome"
)
SHED = _counter("shed", "Requests refused for load, by tier.", "tier")

# The state of each backend.
BACKEND_INFO = _gauge(
    "backend_info", "1 for each backend, with what the configuration says of it.", "backend", "model", "protocol"
)
IN_FLIGHT = _gauge("requests_in_flight", "Requests under way at a backend.", "backend")
WAITING = _gauge("requests_waiting", "Requests that wait for a backend's start from no replica.", "backend")
AVAILABLE = _gauge("backend_available", "1 while the error rate is below 0.5.", "backend")
REACHABLE = _gauge(
    "backend_reachable",
    "1 if the last contact succeeded. 0 is no alarm while traffic_share is 0 and cold_start_late is 0.",
    "backend",
)
ERROR_RATE = _gauge("backend_error_rate", "The policy's error rate, 0 to 1.", "backend", unit="ratio")
LATENCY = _gauge("backend_latency_seconds", "Moving average of the time to first byte.", "backend", unit="seconds")
BREAKER_OPEN = _gauge("backend_breaker_open", "1 while the breaker is not closed.", "backend")
BREAKER_STATE = _gauge(
    "backend_breaker_state", "1 for the state that the breaker is in: 'closed', 'open' or 'half_open'.", "backend", "state"
)
EJECTED = _gauge("backend_ejected", "1 while a backend is left out for doing worse than others of its model.", "backend")
RESTS = _gauge(
    "backend_rests_seconds", "How long the backend, or its quota, still asked to be left alone.", "backend", unit="seconds"
)
WANTED = _gauge(
    "backend_wanted",
    "Requests a backend is wanted for: at it, waiting for it, or answered by others because it has no replica.",
    "backend",
)
TRAFFIC_SHARE = _gauge(
    "backend_traffic_share",
    "How much of its traffic a backend that scales to zero gets: 0 while it has no replica, then rising to 1.",
    "backend",
    unit="ratio",
)
LATE = _gauge(
    "backend_cold_start_late", "1 while a backend that scales to zero is not there though its cold start is over.", "backend"
)
WEIGHT = _gauge(
    "backend_weight", "The share of its traffic that its operator gives it: 0 while it is drained.", "backend", unit="ratio"
)
PRICE = _gauge(
    "backend_price_per_1k_tokens",
    "List price of a backend that is paid by the token, in US dollars, for 'prompt' and 'completion'.",
    "backend",
    "kind",
    unit="dollars",
)
HOURLY = _gauge(
    "backend_cost_per_hour",
    "What the replicas of a backend that is paid by the hour cost now, in US dollars an hour.",
    "backend",
    unit="dollars",
)
UNIT_COST = _gauge(
    "backend_unit_cost_per_1k_tokens",
    "What 1,000 tokens of such a backend have cost in the last hour, in US dollars, by what this router saw of them.",
    "backend",
    unit="dollars",
)

# The state of each replica, by its number.
_REPLICA = ("backend", "replica")
REPLICA_IN_FLIGHT = _gauge("replica_requests_in_flight", "Requests under way at a replica.", *_REPLICA)
REPLICA_HELD = _gauge(
    "replica_prompt_tokens_held", "Estimated prompt tokens of the requests under way at it.", *_REPLICA, unit="tokens"
)
REPLICA_REACHABLE = _gauge("replica_reachable", "1 if the last contact with it succeeded.", *_REPLICA)
REPLICA_ERROR_RATE = _gauge("replica_error_rate", "The policy's error rate of it, 0 to 1.", *_REPLICA, unit="ratio")
REPLICA_BREAKER_OPEN = _gauge("replica_breaker_open", "1 while its breaker is not closed.", *_REPLICA)
REPLICA_EJECTED = _gauge("replica_ejected", "1 while it is left out for doing worse than the others.", *_REPLICA)
PREFIX_TOKENS = _counter(
    "prefix_tokens",
    "Estimated prompt tokens sent to replicas: 'cached' there, as far as is known, or 'computed'.",
    "backend",
    "kind",
    unit="tokens",
)

# Shadow traffic.
SHADOW_REQUESTS = _counter(
    "shadow_requests",
    "Requests drawn to be copied: 'compared', 'failed' (the candidate), or not copied: 'unanswered', 'full', 'busy', 'draining',"
    " 'resting'.",
    "shadow",
    "outcome",
)
SHADOW_FAILURES = _counter("shadow_failures", "Copies that the candidate failed on, by cause.", "shadow", "cause")
SHADOW_COMPARISONS = _counter(
    "shadow_comparisons",
    "Comparisons by aspect and verdict; 'better' and 'worse' are about the candidate.",
    "shadow",
    "aspect",
    "verdict",
)
SHADOW_SIMILARITY = _histogram("shadow_similarity", "Share of words in common, 0 to 1.", "shadow", unit="ratio")
SHADOW_FIRST_TOKEN = _histogram(
    "shadow_time_to_first_token_seconds",
    "Of streams that both answered: what the client saw ('answered'), and the candidate's ('candidate').",
    "shadow",
    "side",
)
SHADOW_DURATION = _histogram("shadow_duration_seconds", "To the end of what both answered, by side.", "shadow", "side")
SHADOW_CHARACTERS = _counter(
    "shadow_characters", "Characters of what both answered, by side.", "shadow", "side", unit="characters"
)
SHADOW_TOKENS = _counter(
    "shadow_tokens", "Tokens of answers, where both sides tell them, by side.", "shadow", "side", unit="tokens"
)

# Ensembles.
ENSEMBLES = _counter(
    "ensembles",
    "Requests of /v1/ensemble, by aggregate and code of the answer; each of their branches is a request of its own too.",
    "aggregate",
    "code",
)
BRANCHES = _counter("ensemble_branches", "Branches of ensembles, by what became of them.", "status")
JUDGES = _counter(
    "ensemble_judges",
    "Judges asked, by outcome: 'chose', 'failed', or 'unclear' where the answer named no candidate.",
    "outcome",
)

# The router itself.
BUILD_INFO = _gauge("build_info", "1, with the router's version.", "version")
CONFIG_INFO = _gauge("config_info", "1, with the first 12 digits of the SHA-256 of the configuration that is in force.", "sha256")
RELOADS = _counter("config_reloads", "Times that the configuration was read anew: 'done', 'unchanged' or 'refused'.", "outcome")
RELOADED = _gauge("config_last_reload_successful", "1 unless the configuration that was read last was refused.")
RELOADED_AT = _gauge(
    "config_last_reload_success_timestamp_seconds", "When the configuration in force was read, in Unix time.", unit="seconds"
)
UNTOLD = _counter("telemetry_dropped_requests", "Requests that log and collector are not told of: too many waited to be told.")
UNSENT = _counter(
    "telemetry_failed_exports",
    "Messages that the OpenTelemetry collector did not take, 'traces' or 'metrics'; they are lost.",
    "signal",
)
