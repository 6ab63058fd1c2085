"""How an endpoint's capacity follows its load, as a `SageMakerEndpoint` is told it."""

from collections.abc import Mapping, Sequence
from typing import NotRequired, TypedDict


class SageMakerStep(TypedDict):
    """One step of scaling for bursts."""

    above: float
    """Concurrent requests for one instance (or copy) from which on the step is taken; above the target, rising from step to
    step."""
    add: int
    """Instances (or copies) that it adds, at least 1."""


class SageMakerSchedule(TypedDict):
    """Other bounds from a point of time on."""

    when: str
    """`cron(0 7 ? * MON-FRI *)`, `at(2026-12-24T18:00:00)` or `rate(1 day)`, as Application Auto Scaling has them."""
    timezone: NotRequired[str]
    """IANA name, such as `Europe/Berlin`. Default UTC."""
    min: NotRequired[int]
    """Fewest from then on. Default: as before. Give it, `max` or both."""
    max: NotRequired[int]
    """Most from then on. Default: as before."""


class SageMakerScaling(TypedDict):
    """How the number of instances, or of a component's copies, follows the load. It keeps to one of three targets."""

    min: int
    """Fewest. At least 1, but 0 for asynchronous endpoints and inference components: no other form scales to zero."""
    max: int
    """Most."""
    invocations_per_instance: NotRequired[float]
    """Target: invocations for one instance (or copy) in one minute. Measure what one can serve, and take some 70 %."""
    concurrent_requests_per_instance: NotRequired[float]
    """Target: requests at once for one instance (or copy), measured every 10 seconds. Right for language models, whose answers
    take long. Not with `async_inference`."""
    backlog_per_instance: NotRequired[float]
    """Target: requests that wait for one instance. With `async_inference` only, and the only target there."""
    steps: NotRequired[Sequence[SageMakerStep]]
    """Steps up for bursts, beside the target, which alone scales in. Not with `async_inference`. Default: none."""
    schedules: NotRequired[Mapping[str, SageMakerSchedule]]
    """Other bounds at certain times, by a name of your choice. Default: none."""
    scale_out_cooldown_seconds: NotRequired[int]
    """Least time between two steps up, in seconds. Default 300."""
    scale_in_cooldown_seconds: NotRequired[int]
    """Least time between two steps down, in seconds. Default 300."""


class SageMakerConcurrencyScaling(TypedDict):
    """How the number of requests at once for which a serverless endpoint is kept warm follows the load."""

    min: int
    """Fewest, at least 1."""
    max: int
    """Most, at most `max_concurrency`."""
    utilization: NotRequired[float]
    """Target: the share of what is warm that is in use, above 0, at most 1. Default 0.7."""
    schedules: NotRequired[Mapping[str, SageMakerSchedule]]
    """Other bounds at certain times, by a name of your choice. Default: none."""
    scale_out_cooldown_seconds: NotRequired[int]
    """Least time between two steps up, in seconds. Default 300."""
    scale_in_cooldown_seconds: NotRequired[int]
    """Least time between two steps down, in seconds. Default 300."""
