"""Limits by the minute in this process's memory: what Redis keeps in `admit.lua`, for one router."""

from collections import deque


class Window:
    """What one tenant used in the last so many seconds. Requests by their times, tokens summed by the second."""

    __slots__ = ("_seconds", "_sum", "times", "tokens")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self.times: deque[float] = deque()
        """When requests were admitted, oldest first."""
        self.tokens: deque[list[int]] = deque()
        """Pairs of a second and the tokens admitted in it, oldest first."""
        self._sum = 0

    def requests(self, now: float) -> int:
        """How many requests count."""
        times, over = self.times, now - self._seconds
        while times and times[0] <= over:
            times.popleft()
        return len(times)

    def used(self, now: float) -> int:
        """How many tokens count. A second's leave together, once the last of them may."""
        tokens, over = self.tokens, now - self._seconds - 1
        while tokens and tokens[0][0] <= over:
            self._sum -= tokens.popleft()[1]
        return self._sum

    def wait_requests(self, now: float, limit: int) -> float:
        """Seconds until there is room for one more request."""
        count = self.requests(now)
        return self.times[count - limit] + self._seconds - now if count >= limit else 0.0

    def wait_tokens(self, now: float, limit: int, wanted: int) -> float:
        """Seconds until there is room for so many tokens, or until none count where there never is."""
        over = self.used(now) + wanted - limit
        until = now
        for second, tokens in self.tokens:
            if over <= 0:
                break
            over -= tokens
            until = second + 1 + self._seconds
        return max(0.0, until - now)

    def admit(self, now: float, tokens: int) -> None:
        """One request more, with so many tokens."""
        self.times.append(now)
        if tokens:
            second = int(now)
            if self.tokens and self.tokens[-1][0] == second:
                self.tokens[-1][1] += tokens
            else:
                self.tokens.append([second, tokens])
            self._sum += tokens

    def correct(self, second: int, more: int) -> None:
        """What was admitted in this second came to so many tokens more, or fewer. Nothing where it no longer counts."""
        for entry in reversed(self.tokens):
            if entry[0] == second:
                entry[1] += more
                self._sum += more
                return
            if entry[0] < second:
                return

    def reset_seconds(self, now: float) -> float:
        """How long until no request counts."""
        return max(0.0, self.times[-1] + self._seconds - now) if self.times else 0.0
