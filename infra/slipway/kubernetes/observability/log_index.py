"""The lines in Elasticsearch: what their index is called, what its fields are, and how long it is kept."""

import math
from typing import Any

INDEX = "logs-slipway-default"
"""A data stream, of the name by which Elasticsearch's own templates take logs too."""
POLICY = "slipway-logs"
TEMPLATE = "slipway-logs"
FIELDS = (
    "service.name",
    "k8s.namespace.name",
    "k8s.container.name",
    "k8s.pod.name",
    "request_id",
    "trace_id",
    "span_id",
    "stream",
)
"""By which lines are found as they are, beside the level."""
LEVEL = "log.level"
_MOST = 90
"""Backing indices of one stream. A node has a thousand shards at most, as `cluster.max_shards_per_node` is by default."""


def days_together(retention_days: int) -> int:
    """Days of lines that are deleted together: until the youngest is old enough the oldest stays."""
    return max(1, math.ceil(retention_days / _MOST))


def policy(retention_days: int) -> dict[str, Any]:
    """As `_ilm/policy` takes it. What is too old counts from when its index was the last that was written to."""
    together = {"max_age": f"{days_together(retention_days)}d", "max_primary_shard_size": "50gb"}
    gone: dict[str, Any] = {"min_age": f"{retention_days}d", "actions": {"delete": {}}}
    return {"policy": {"phases": {"hot": {"actions": {"rollover": together}}, "delete": gone}}}


def template() -> dict[str, Any]:
    """As `_index_template` takes it."""
    fields: dict[str, Any] = {name: {"type": "keyword", "ignore_above": 1024} for name in FIELDS}
    fields |= {
        "@timestamp": {"type": "date"},
        "message": {"type": "match_only_text"},
        "log.offset": {"type": "long"},
        # Some write theirs in capitals.
        LEVEL: {"type": "keyword", "ignore_above": 64, "normalizer": "lowercase"},
    }
    settings = {
        "index.lifecycle.name": POLICY,
        "index.number_of_shards": 1,
        # There is no other node.
        "index.number_of_replicas": 0,
        "index.codec": "best_compression",
        "index.refresh_interval": "5s",
    }
    return {
        "index_patterns": [INDEX],
        "data_stream": {},
        # Above Elasticsearch's own for `logs-*-*`.
        "priority": 500,
        # Fields that nobody thought of stay in the line, and cannot clash.
        "template": {"settings": settings, "mappings": {"dynamic": False, "properties": fields}},
    }
