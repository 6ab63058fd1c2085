"""What dashboards ask a Loki or an Elasticsearch, by the labels and fields that the agents give."""

import json

from slipway.kubernetes.observability.loki import LABELS
from slipway.kubernetes.observability.watched import Watched


def lines_query(service: Watched) -> str:
    """LogQL for a service's lines."""
    told = {"namespace": service.namespace, "service": service.name}
    return "{" + ", ".join(f"{LABELS[key].replace('.', '_')}={json.dumps(value)}" for key, value in told.items()) + "}"


def levels_query(service: Watched) -> str:
    """LogQL for how many there are a second, by level. Loki itself tells the level of a line."""
    return f"sum by (detected_level) (rate({lines_query(service)}[$__auto]))"


def lucene_query(service: Watched) -> str:
    """Lucene for a service's lines."""
    told = {"namespace": service.namespace, "service": service.name}
    return " AND ".join(f"{LABELS[key]}:{json.dumps(value)}" for key, value in told.items())
