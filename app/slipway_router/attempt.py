"""One attempt at a backend."""

from time import perf_counter

from slipway_router.answer import Answer
from slipway_router.breaker import ORDINARY
from slipway_router.replica import Assignment
from slipway_router.target import Target


class Attempt:
    """A request at one backend, until that is over."""

    __slots__ = ("_left", "admitted", "answer", "assignment", "at", "began", "chunk", "good", "span_id", "target")

    def __init__(self, target: Target, at: Target, admitted: int, assignment: Assignment | None = None) -> None:
        """
        Args:
            target: The backend, which counts this as under way.
            at: Where it is sent: to one of the backend's replicas, or else the backend itself.
            admitted: What the breaker of that said.
            assignment: To the replica.
        """
        self.target = target
        self.at = at
        self.assignment = assignment
        self.good = False
        """Whether the answer began as it should."""
        self.admitted = admitted
        self.began = perf_counter()
        self.answer: Answer | None = None
        self.chunk = b""
        """The first of a stream. Empty: the answer is no stream."""
        self.span_id = b""
        """Its span, where the request's trace goes on from here."""
        self._left = False

    @property
    def got(self) -> Answer:
        """The answer, once it is there."""
        assert self.answer is not None
        return self.answer

    def leave(self) -> None:
        """Give up what is still to come; once."""
        if self._left:
            return
        self._left = True
        if self.answer is not None:
            self.answer.abort()
        self.target.status.in_flight -= 1
        if self.assignment is not None:
            self.at.status.in_flight -= 1
            self.assignment.end(failed=not self.good)
        if self.admitted != ORDINARY:
            self.at.breaker.leave(self.admitted)
