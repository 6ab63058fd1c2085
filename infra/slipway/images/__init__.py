"""Container images: built in the same `up` that runs them."""

from slipway.images.router import router_context

__all__ = ["router_context"]
