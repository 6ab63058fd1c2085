"""The schema of what ensembles may cost."""

from pydantic import Field

from slipway_router.schema import Strict


class EnsembleSettings(Strict):
    """Bounds of `POST /v1/ensemble`, by which a client spends several answers on one request."""

    enabled: bool = True
    """Whether there is such a path."""
    max_branches: int = Field(default=5, ge=2, le=64)
    """Most models that one request may ask. Each counts as a request for `admission`, the backends' limits and the metrics."""
    deadline_seconds: float = Field(default=120.0, gt=0, le=3600)
    """How long the models have to answer where the client does not say, and the most that it may say."""
