"""Bad input for every setting: one wrong value each, of which the error tells the path, the value and the choice.

What several settings make wrong together is tested beside the checks of each.
"""

import copy
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin

import pytest
from pydantic import BaseModel

from slipway_router.config import Config, ConfigError

HASH = "slipway1$ab"
OUTLIERS: dict[str, Any] = {"consecutive_failures": 5}
MATCH: dict[str, Any] = {"models": ["m"]}
WELL: dict[str, Any] = {
    "listen": {},
    "backends": [
        {"name": "a", "url": "http://h:8000/v1", "model": "m", "timeouts": {}, "breaker": {}, "min_replicas": 0},
        {
            "name": "b",
            "url": "http://h:8001/v1",
            "model": "m",
            "replicas": {"addresses": ["10.0.0.1:8000"], "kv_tokens": 1000, "outliers": OUTLIERS},
        },
        {
            "name": "s",
            "url": "https://runtime.sagemaker.eu-west-1.amazonaws.com/endpoints/e",
            "model": "m",
            "protocol": "sagemaker",
        },
        {"name": "v", "url": "https://api.anthropic.com/v1", "model": "c", "protocol": "anthropic"},
        {"name": "candidate", "url": "http://h:8002/v1", "model": "m"},
    ],
    "keys": [
        {
            "name": "k",
            "env": "A_KEY",
            "requests_per_minute": {"limit": 1},
            "tokens_per_minute": {"limit": 1},
            "monthly_budget": {"dollars": 1},
        }
    ],
    "cache": {},
    "jwt": {
        "issuer": "https://issuer.example",
        "audience": "router",
        "requests_per_minute": {"limit": 1},
        "tokens_per_minute": {"limit": 1},
        "monthly_budget": {"dollars": 1},
    },
    "redis": {"url": "redis://h:6379/0"},
    "policy": {},
    "policies": {
        "p": {"kind": "weighted", "weights": {"a": 1}},
        "q": {"kind": "cheapest"},
        "r": {"kind": "priority", "backends": ["a"]},
    },
    "routes": [
        {"name": "r", "match": MATCH, "policy": "p"},
        {"name": "q", "match": {"headers": {"x-team": "q"}}, "policy": "q"},
        {"name": "rest", "policy": "r"},
    ],
    "shadows": [{"name": "s", "backend": "candidate", "share": 0.5, "match": MATCH, "samples": {"file": "/tmp/samples"}}],
    "ensemble": {},
    "retries": {},
    "hedging": {},
    "outliers": OUTLIERS,
    "admission": {},
    "admin": {"key_env": "ADMIN_KEY"},
    "telemetry": {"logs": {}, "otel": {"endpoint": "http://collector:4318"}},
}
ABSENT: Any = object()
"""In place of a value: the setting is left out."""
NUMBER, INTEGER, TEXT, TRUTH, LIST, OBJECT = (
    "valid number",
    "valid integer",
    "valid string",
    "valid boolean",
    "valid tuple",
    "valid dictionary",
)


def grant(path: str) -> list[tuple[str, Any, str]]:
    """What a key, or a token, may do."""
    limit = [
        (f"{path}.{name}{of}", value, said)
        for name, most in (("requests_per_minute", "1000000000"), ("tokens_per_minute", "1000000000"))
        for of, value, said in (
            (".limit", 0, "is 0; input should be greater than or equal to 1"),
            (".limit", 10**10, f"less than or equal to {most}"),
            (".when_redis_is_gone", "panic", "is 'panic'; give 'open', 'closed' or 'share'"),
        )
    ]
    return [
        *limit,
        (f"{path}.tier", "gold", "is 'gold'; give 'free', 'paid' or 'enterprise'"),
        (f"{path}.models", ["nobodys"], "names 'nobodys', which cannot be asked for here; there are"),
        (f"{path}.requests_per_minute", [], OBJECT),
        (f"{path}.tokens_per_minute", True, OBJECT),
        (f"{path}.monthly_budget", [], OBJECT),
        (f"{path}.monthly_budget.dollars", -1, "is -1; input should be greater than 0"),
        (f"{path}.monthly_budget.when_redis_is_gone", "no", "is 'no'; give 'open', 'closed' or 'share'"),
        (f"{path}.cache_seconds", 0, "is 0; input should be greater than or equal to 1"),
    ]


def outliers(path: str) -> list[tuple[str, Any, str]]:
    """When one that does worse is left out."""
    return [
        (path, 7, OBJECT),
        (f"{path}.consecutive_failures", 0, "is 0; input should be greater than or equal to 1"),
        (f"{path}.interval_seconds", 0, "is 0; input should be greater than 0"),
        (f"{path}.least_outcomes", 0, "greater than or equal to 1"),
        (f"{path}.error_margin", 1.5, "is 1.5; input should be less than or equal to 1"),
        (f"{path}.latency_factor", 1, "is 1; input should be greater than 1"),
        (f"{path}.ejection_seconds", 4000, "less than or equal to 3600"),
        (f"{path}.most_ejection_seconds", 1e6, "less than or equal to 86400"),
        (f"{path}.most_ejected", -0.1, "greater than or equal to 0"),
    ]


def match(path: str) -> list[tuple[str, Any, str]]:
    """Which requests are meant."""
    return [
        (path, [], OBJECT),
        (f"{path}.headers", {"a b": "x"}, "header"),
        (f"{path}.tiers", ["gold"], "is 'gold'; give 'free', 'paid' or 'enterprise'"),
        (f"{path}.models", "m", LIST),
        (f"{path}.tasks", ["images"], "is 'images'; give 'chat', 'completions' or 'embeddings'"),
        (f"{path}.task_types", ["poem"], "is 'poem'; give 'chat', 'analysis', 'code' or 'summarization'"),
        (f"{path}.min_tokens", -1, "greater than or equal to 0"),
        (f"{path}.max_tokens", -1, "greater than or equal to 0"),
        (f"{path}.hours", "late", "is 'late'; give"),
        (f"{path}.timezone", "Mars/Olympus", "Mars/Olympus"),
    ]


CASES: list[tuple[str, Any, str]] = [
    ("listen", 8000, OBJECT),
    ("listen.host", 7, TEXT),
    ("listen.host", "", "give an address, such as '127.0.0.1' or '0.0.0.0'"),
    ("listen.port", 70000, "is 70000; input should be less than or equal to 65535"),
    ("backends", ABSENT, "is required"),
    ("backends", [], "at least 1 item"),
    ("backends[0].name", "A b", "is 'A b'; give lower case letters, digits"),
    ("backends[0].name", ABSENT, "is required"),
    ("backends[0].url", "h:8000", "is 'h:8000'; give http://HOST:PORT/v1"),
    ("backends[0].model", "", "at least 1 character"),
    ("backends[0].serves", ["auto"], "by which clients leave the choice to the policy"),
    ("backends[0].protocol", "grpc", "is 'grpc'; give 'openai', 'azure'"),
    ("backends[3].api_version", "a b", "give a version, such as"),
    ("backends[3].default_max_tokens", 0, "greater than or equal to 1"),
    ("backends[2].region", "EU West", "give an AWS region, such as 'eu-central-1'"),
    ("backends[2].target_variant", "a b", "letters, digits and '-'"),
    ("backends[2].inference_component", "-", "letters, digits and '-'"),
    ("backends[0].tasks", ["images"], "is 'images'; give 'chat', 'completions' or 'embeddings'"),
    ("backends[0].abilities", ["sing"], "is 'sing'; give 'tools', 'vision', 'json_schema' or 'logprobs'"),
    ("backends[0].self_hosted", "perhaps", TRUTH),
    ("backends[0].quality", "best", "is 'best'; give 'low', 'medium' or 'high'"),
    ("backends[0].cost_per_1k_tokens", -1, "greater than or equal to 0"),
    ("backends[0].cost_per_1k_tokens", float("inf"), "finite number"),
    ("backends[0].input_cost_per_1m_tokens", 1, "goes with 'output_cost_per_1m_tokens'"),
    ("backends[0].output_cost_per_1m_tokens", 1, "goes with 'input_cost_per_1m_tokens'"),
    ("backends[0].replica_cost_per_hour", 0, "greater than 0"),
    ("backends[0].slots_per_replica", 0, "greater than or equal to 1"),
    ("backends[0].context_tokens", 0, "greater than or equal to 1"),
    ("backends[0].api_key_env", "sk-123", "give the name of an environment variable, never the key itself"),
    ("backends[0].resource", "a\r\nset-cookie: b", "give printable characters"),
    ("backends[0].timeouts", 30, OBJECT),
    ("backends[0].timeouts.connect", 0, "greater than 0"),
    ("backends[0].timeouts.first_byte", float("nan"), "finite number"),
    ("backends[0].timeouts.between_chunks", -1, "greater than 0"),
    ("backends[0].timeouts.total", "long", NUMBER),
    ("backends[0].max_connections", 0, "greater than or equal to 1"),
    ("backends[0].max_in_flight", 0, "greater than or equal to 1"),
    ("backends[0].quota", "a b", "give letters, digits and '._:/-'"),
    ("backends[0].min_replicas", -1, "greater than or equal to 0"),
    ("backends[0].max_replicas", 0, "greater than or equal to 1"),
    ("backends[0].cold_start_seconds", 0, "greater than 0"),
    ("backends[0].ramp_seconds", 4000, "less than or equal to 3600"),
    ("backends[0].max_waiting", -1, "greater than or equal to 0"),
    ("backends[0].domain", "a b", "give letters, digits and '._:/-'"),
    ("backends[1].replicas", 3, OBJECT),
    ("backends[1].replicas.addresses", ["10.0.0.1:0"], "give"),
    ("backends[1].replicas.service", "a b", "give"),
    ("backends[1].replicas.refresh_seconds", 0.1, "greater than or equal to 0.5"),
    ("backends[1].replicas.kv_tokens", 0, "greater than or equal to 1"),
    ("backends[1].replicas.block_tokens", 0, "greater than or equal to 1"),
    ("backends[1].replicas.tokens_per_second", 0, "greater than 0"),
    *outliers("backends[1].replicas.outliers"),
    ("backends[0].breaker", 5, OBJECT),
    ("backends[0].breaker.failures", 0, "greater than or equal to 1"),
    ("backends[0].breaker.window", 65, "less than or equal to 64"),
    ("backends[0].breaker.open_seconds", 0, "greater than 0"),
    ("backends[0].breaker.most_open_seconds", 4000, "less than or equal to 3600"),
    ("backends[0].health_check", "ping", "is 'ping'; give 'models' or 'completion'"),
    ("keys", {}, LIST),
    *grant("keys[0]"),
    ("keys[0].name", "A b", "give lower case letters"),
    ("keys[0].hash", "md5", "slipway-router key create"),
    ("keys[0].env", "sk-123", "give the name of an environment variable, never the key itself"),
    ("keys[0].sha256", "00", "64 hexadecimal digits"),
    ("cache", 7, OBJECT),
    ("cache.max_mib", 0, "greater than or equal to 1"),
    ("cache.max_entry_kib", 0, "greater than or equal to 1"),
    ("jwt", "https://issuer.example", OBJECT),
    *grant("jwt"),
    ("jwt.issuer", "issuer", "give"),
    ("jwt.audience", ABSENT, "is required"),
    ("jwt.audience", "", "at least 1 character"),
    ("jwt.jwks_url", "ftp://h", "give"),
    ("jwt.algorithms", ["none"], "is 'none'; give 'RS256'"),
    ("jwt.subject_claim", "", "at least 1 character"),
    ("jwt.tier_claim", 7, TEXT),
    ("jwt.leeway_seconds", 301, "less than or equal to 300"),
    ("jwt.refresh_seconds", 0.5, "greater than or equal to 1"),
    ("redis", "redis://h", OBJECT),
    ("redis.url", "h:6379", "give redis://HOST:PORT/DATABASE"),
    ("redis.username", 7, TEXT),
    ("redis.password_env", "a b", "never the password itself"),
    ("redis.ca_file", "/ca.pem", "goes with 'rediss://'"),
    ("redis.prefix", "a b", "give"),
    ("redis.timeout_ms", 0, "greater than or equal to 1"),
    ("redis.replicas", 0, "greater than or equal to 1"),
    ("redis.keys", "perhaps", TRUTH),
    ("redis.health", 7, TRUTH),
    ("policy", [], OBJECT),
    ("policy.best", "z", "names 'z', which is no backend; there are 'a', 'b'"),
    ("policy.self_hosted", "z", "names 'z', which is no backend"),
    ("policy.cheap", "z", "names 'z', which is no backend"),
    ("policy.preferences", ["z"], "names 'z', which is no backend"),
    ("policy.last_resort", "z", "names 'z', which is no backend"),
    ("policy.latency_budget_ms", -1, "greater than or equal to 0"),
    ("policy.self_hosted_latency_ms", -1, "greater than or equal to 0"),
    ("policy.small_tokens", 1.5, INTEGER),
    ("policy.max_error_rate", 2, "less than or equal to 1"),
    ("policies", [], OBJECT),
    ("policies.p.kind", "random", "is 'random'; give 'priority', 'weighted', 'least_latency' or 'cheapest'"),
    ("policies.r.backends", ["z"], "which is no backend"),
    ("policies.p.weights", {"a": -1}, "has 'a' -1; give each backend 0 or more"),
    ("policies.q.quality", "best", "is 'best'; give 'low', 'medium' or 'high'"),
    ("policies.q.max_latency_ms", 0, "greater than 0"),
    ("policies.q.waiting_cost_per_hour", -1, "greater than or equal to 0"),
    ("routes", {}, LIST),
    ("routes[0].name", "A b", "give lower case letters"),
    *match("routes[0].match"),
    ("routes[0].policy", "z", "names 'z'"),
    ("shadows", {}, LIST),
    ("shadows[0].name", "A b", "give lower case letters"),
    ("shadows[0].backend", "z", "names 'z'"),
    ("shadows[0].share", 0, "greater than 0"),
    *match("shadows[0].match"),
    ("shadows[0].sticky", "perhaps", TRUTH),
    ("shadows[0].max_in_flight", 0, "greater than or equal to 1"),
    ("shadows[0].deadline_seconds", 0, "greater than 0"),
    ("shadows[0].samples", "/tmp/x", OBJECT),
    ("shadows[0].samples.file", "samples", "give"),
    ("shadows[0].samples.text", "perhaps", TRUTH),
    ("shadows[0].samples.most_mib", 0, "greater than or equal to 1"),
    ("ensemble", True, OBJECT),
    ("ensemble.enabled", "perhaps", TRUTH),
    ("ensemble.max_branches", 1, "greater than or equal to 2"),
    ("ensemble.deadline_seconds", 0, "greater than 0"),
    ("retries", 3, OBJECT),
    ("retries.rounds", 6, "less than or equal to 5"),
    ("retries.backoff", 11, "less than or equal to 10"),
    ("retries.most_backoff", 61, "less than or equal to 60"),
    ("retries.ratio", -1, "greater than or equal to 0"),
    ("retries.per_second", float("inf"), "finite number"),
    ("hedging", 0.95, OBJECT),
    ("hedging.percentile", 1, "less than 1"),
    ("hedging.least_seconds", -1, "greater than or equal to 0"),
    *outliers("outliers"),
    ("admission", 100, OBJECT),
    ("admission.max_in_flight", 0, "greater than or equal to 1"),
    ("admission.shares", {"gold": 1}, "gold"),
    ("admin", "key", OBJECT),
    ("admin.key_env", "a b", "never the key itself"),
    ("admin.host", "", "give an address, such as '127.0.0.1' or '0.0.0.0'"),
    ("admin.port", 0, "greater than or equal to 1"),
    ("telemetry", True, OBJECT),
    ("telemetry.most_keys", -1, "greater than or equal to 0"),
    ("telemetry.logs", "json", OBJECT),
    ("telemetry.logs.format", "xml", "is 'xml'; give 'text' or 'json'"),
    ("telemetry.logs.level", "loud", "give 'debug', 'info', 'warning' or 'error'"),
    ("telemetry.logs.requests", "some", TRUTH),
    ("telemetry.otel", True, OBJECT),
    ("telemetry.otel.endpoint", "collector:4317", "give http://HOST:4318 or https://HOST"),
    ("telemetry.otel.token_env", "a b", "never the token itself"),
    ("telemetry.otel.service_name", "", "at least 1 character"),
    ("telemetry.otel.traces", "perhaps", TRUTH),
    ("telemetry.otel.sample", 2, "less than or equal to 1"),
    ("telemetry.otel.follow_parent", 7, TRUTH),
    ("telemetry.otel.content", "perhaps", TRUTH),
    ("telemetry.otel.metrics", "perhaps", TRUTH),
    ("telemetry.otel.interval_seconds", 0.5, "greater than or equal to 1"),
    ("listen.port", True, "is true; give a number"),
    ("backends[0].max_in_flight", True, "is true; give a number"),
    ("drain_seconds", False, "is false; give a number"),
    ("max_body_mib", 0, "greater than or equal to 1"),
    ("drain_seconds", float("inf"), "finite number"),
]  # fmt: skip


def settings(model: type[BaseModel], before: str = "") -> Iterator[str]:
    """Every setting there is: `[]` stands for an entry of a list, `*` for one of a mapping."""
    for name, field in model.model_fields.items():
        yield f"{before}{name}"
        for inner, suffix in _models(field.annotation):
            yield from settings(inner, f"{before}{name}{suffix}.")


def _models(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation, ""
    origin = get_origin(annotation)
    suffix = "[]" if origin is tuple else ".*" if origin in (dict, Mapping) else ""
    for part in get_args(annotation):
        yield from ((model, suffix + rest) for model, rest in _models(part))


def with_value(path: str, value: Any) -> dict[str, Any]:
    """The right configuration with one wrong value."""
    data = copy.deepcopy(WELL)
    *way, last = [int(p) if p.isdigit() else p for p in re.findall(r"\w+", path)]
    at: Any = data
    for part in way:
        at = at[part]
    if value is ABSENT:
        del at[last]
    else:
        at[last] = value
    return data


def test_the_configuration_that_is_made_wrong_is_right() -> None:
    Config.parse(WELL)


def test_every_setting_has_a_case() -> None:
    named = {re.sub(r"^policies\.\w+", "policies.*", re.sub(r"\[\d+\]", "[]", path)) for path, _, _ in CASES}
    assert set(settings(Config)) - named == set(), "give each a wrong value in CASES"
    assert named - set(settings(Config)) == set(), "there is no such setting"


@pytest.mark.parametrize(("path", "value", "said"), CASES, ids=[f"{path}={str(value)[:20]}" for path, value, _ in CASES])
def test_a_wrong_value_is_told_with_its_path_and_the_choice(path: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Config.parse(with_value(path, value))
    faults = refused.value.faults
    mine = [reason for where, reason in faults if where == path or where.startswith((f"{path}[", f"{path}."))]
    assert mine, faults
    assert said in "; ".join(mine)


def test_all_wrong_values_are_told_at_once() -> None:
    data = with_value("max_body_mib", 0)
    data["listen"]["port"] = data["backends"][0]["timeouts"]["connect"] = data["redis"]["timeout_ms"] = 0
    with pytest.raises(ConfigError) as refused:
        Config.parse(data)
    found = {path for path, _ in refused.value.faults}
    assert found == {"max_body_mib", "listen.port", "backends[0].timeouts.connect", "redis.timeout_ms"}
