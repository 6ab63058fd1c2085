"""What an operator has said of backends: which get less of their traffic, and which get none."""

import random
from collections.abc import Callable, Iterable

from slipway_router.asgi import ApiError
from slipway_router.policy import Decision


class Weights:
    """The share of its traffic that each backend gets, 0 to 1. In this process only, and until it ends."""

    def __init__(self, draw: Callable[[], float] = random.random) -> None:
        """
        Args:
            draw: Where chance comes from, 0 to 1.
        """
        self._draw = draw
        self.shares: dict[str, float] = {}
        """Of those that do not get all. Empty: nothing was said, and it costs a request nothing."""

    def of(self, name: str) -> float:
        """The share of a backend."""
        return self.shares.get(name, 1.0)

    def set(self, name: str, share: float) -> None:
        """Give a backend this share from the next request on: 0 none, 1 all. What is under way at it ends as it began."""
        if share >= 1.0:
            self.shares.pop(name, None)
        else:
            self.shares[name] = share

    def keep(self, names: Iterable[str]) -> None:
        """Forget what was said of other backends."""
        kept = set(names)
        self.shares = {n: s for n, s in self.shares.items() if n in kept}

    def apply(self, decision: Decision) -> Decision:
        """A decision as the shares have it. A backend whose turn it is not comes last, for fail-over; one with none is left out.

        Raises:
            ApiError: 503, all are left out.
        """
        first: list[str] = []
        last: list[str] = []
        for name in decision.order:
            share = self.of(name)
            if share > 0:
                (first if share >= 1.0 or self._draw() < share else last).append(name)
        if not first and not last:
            names = ", ".join(f"'{n}'" for n in decision.order)
            raise ApiError(
                503,
                f"Every backend that could answer is drained by its operator: {names}.",
                kind="server_error",
                code="backends_drained",
                headers=((b"retry-after", b"10"),),
            )
        return decision._replace(order=[*first, *last])
