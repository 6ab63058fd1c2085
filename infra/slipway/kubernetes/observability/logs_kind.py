"""What a stack's logs are kept in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from slipway.args import Faults
from slipway.kubernetes.observability.collector_args import IMAGE as COLLECTOR_IMAGE
from slipway.kubernetes.observability.log_agent_args import FILEBEAT_RESOURCES
from slipway.kubernetes.observability.log_agent_args import RESOURCES as AGENT_RESOURCES
from slipway.kubernetes.observability.log_index import days_together
from slipway.kubernetes.quantity import ComputeResources

USED = 0.8
"""Of a volume is planned with; the rest is for what is not compressed or merged yet, and for days that are busier. Elasticsearch
itself puts no more shards on one of which 0.85 are used, and at 0.95 takes no more lines."""


class LogsKind(Enum):
    """What keeps logs."""

    LOKI = "loki"
    ELASTICSEARCH = "elasticsearch"


@dataclass(frozen=True)
class Keeping:
    """What is so with one kind."""

    title: str
    image: str
    resources: ComputeResources
    stored: float
    """What a byte of logs takes of the volume, with its metadata."""
    agent_image: str
    agent_resources: ComputeResources
    without: Sequence[str]
    """Arguments that are the other kind's."""

    def check_fit(self, path: str, days: int, daily: float, storage: int, faults: Faults) -> None:
        """Refuse what the volume cannot keep.

        Args:
            path: Where the arguments stand.
            days: How long lines are kept.
            daily: GiB a day.
            storage: GiB of the volume.
            faults: Where to tell what is wrong.
        """
        if days < 1:
            faults.add(f"{path}.retention_days", f"is {days}; give 1 day or more")
        if not daily > 0:
            faults.add(f"{path}.daily_gib", f"is {daily:g}; give more than 0")
        if storage < 1:
            faults.add(f"{path}.storage_gib", f"is {storage}; give 1 GiB or more")
        # So long goes by before what is too old is gone.
        more = days_together(days) if self is KEEPING[LogsKind.ELASTICSEARCH] else 1
        needed = (days + more) * daily * self.stored
        least = math.ceil(round(needed / USED, 6))
        if days >= 1 and daily > 0 and 1 <= storage < least:
            faults.add(
                f"{path}.storage_gib",
                f"is {storage}, of which {USED:.0%} = {storage * USED:g} GiB are planned with, but {days} + {more} days of"
                f" {daily:g} GiB, {'compressed' if self.stored < 1 else 'indexed'} to {self.stored:.0%}, are {needed:g} GiB;"
                f" give {least} or more, fewer 'retention_days' or less 'daily_gib'",
            )


KEEPING = {
    LogsKind.LOKI: Keeping(
        title="Loki",
        image="grafana/loki:3.7.8",
        resources={"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"cpu": "2", "memory": "2Gi"}},
        # By Loki's own compression, gzip: measured were 0.29 for the router's lines of requests, whose ids are random, and 0.43
        # for words in random order, which no server's log is.
        stored=0.4,
        agent_image=COLLECTOR_IMAGE,
        agent_resources=AGENT_RESOURCES,
        without=["kibana"],
    ),
    LogsKind.ELASTICSEARCH: Keeping(
        title="Elasticsearch",
        image="elastic/elasticsearch:9.5.3",
        resources={"requests": {"cpu": "500m", "memory": "4Gi"}, "limits": {"cpu": "2", "memory": "4Gi"}},
        # Not measured: that its index takes no more than the lines did is what is planned with.
        stored=1.0,
        agent_image="elastic/filebeat:9.5.3",
        agent_resources=FILEBEAT_RESOURCES,
        without=["proxy_image"],
    ),
}
