"""Limits by the minute in this process's memory: what Redis keeps in `admit.lua`, for one router."""

from collections import deque


class Window:
    """What one tenant used in the last so many seconds. Requests by their times, tokens summed by the second.

    What no longer counts is in it until `pass_to` is called.
    """

    __slots__ = ("_seconds", "sum", "times", "tokens")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.times: deque[float] = deque()
        """When requests were admitted, oldest first."""
        self.tokens: deque[list[int]] = deque()
        """Pairs of a second and the tokens admitted in it, oldest first."""
        self.sum = 0
        """Of the tokens."""

    def pass_to(self, now: float) -> None:
        """Let go of what does not count any more. A second's tokens leave together, once the last of them may."""
        times, tokens, over = self.times, self.tokens, now - self._seconds
        while times and times[0] <= over:
            times.popleft()
        while tokens and tokens[0][0] <= over - 1:
            self.sum -= tokens.popleft()[1]

    def wait_requests(self, now: float, limit: int) -> float:
        """Seconds until there is room for one more request."""
        count = len(self.times)
        return self.times[count - limit] + self._seconds - now if count >= limit else 0.0

    def wait_tokens(self, now: float, limit: int, wanted: int) -> float:
        """Seconds until there is room for so many tokens, or until none count where there never is."""
        over = self.sum + wanted - limit
        until = now
        for second, tokens in self.tokens:
            if over <= 0:
                break
            over -= tokens
            until = second + 1 + self._seconds
        return max(0.0, until - now)

    def admit(self, now: float, tokens: int) -> int:
        """One request more, with so many tokens. Returns the second in which they are counted."""
        self.times.append(now)
        if not tokens:
            return 0
        counted, second = self.tokens, int(now)
        if counted and counted[-1][0] == second:
            counted[-1][1] += tokens
        else:
            counted.append([second, tokens])
        self.sum += tokens
        return second

    def correct(self, second: int, more: int) -> None:
        """What was admitted in this second came to so many tokens more, or fewer. Nothing where it no longer counts."""
        tokens = self.tokens
        if tokens and tokens[-1][0] == second:
            tokens[-1][1] += more
            self.sum += more
            return
        for entry in reversed(tokens):
            if entry[0] == second:
                entry[1] += more
                self.sum += more
                return
            if entry[0] < second:
                return

    def reset_seconds(self, now: float) -> float:
        """How long until no request counts."""
        return max(0.0, self.times[-1] + self._seconds - now) if self.times else 0.0
