"""What the tokens of a backend have cost, reckoned when it is asked for: it costs a request nothing."""

from slipway_router.cost import Prices
from slipway_router.counting import Count


class Spend:
    """The money of one backend and model, over all the prices that it has had."""

    __slots__ = ("_answer", "_at", "_before", "_prices", "_prompt")

    def __init__(self, prompt: Count, answer: Count) -> None:
        """
        Args:
            prompt: Its counter of prompt tokens.
            answer: Its counter of answer tokens.
        """
        self._prompt, self._answer = prompt, answer
        self._prices = Prices(0.0, 0.0)
        self._before = 0.0
        self._at = (prompt.value, answer.value)

    def use(self, prices: Prices) -> None:
        """From here on, tokens cost this."""
        self._before = self.dollars()
        self._at = (self._prompt.value, self._answer.value)
        self._prices = prices

    def dollars(self) -> float:
        """US dollars, so far."""
        prompt, answer = self._prompt.value - self._at[0], self._answer.value - self._at[1]
        return self._before + (prompt * self._prices.prompt + answer * self._prices.answer) / 1000
