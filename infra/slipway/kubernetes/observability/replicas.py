"""How many replicas of a service answer, and what they are asked for, as PromQL: for alerts and panels alike."""

from slipway.kubernetes.observability.watched import Load, Watched


def answering(service: Watched) -> str:
    """Replicas whose metrics could be read."""
    return f"(sum(up{service.which()}) or vector(0))"


def silent(service: Watched) -> str:
    """Replicas that are there and tell no metrics; nothing where all do."""
    return f"count(up{service.which()} == 0) > 0"


def beyond(service: Watched, load: Load) -> str:
    """A load that asks for more replicas than there may be."""
    return f"({load.query}) > {load.target * service.most_replicas:g}"


def each(service: Watched, load: Load) -> str:
    """The load of each replica."""
    return f"({load.query}) / clamp_min({answering(service)}, 1)"
