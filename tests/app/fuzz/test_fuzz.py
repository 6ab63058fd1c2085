"""A few rounds of the fuzzer, always the same; `python -m tests.app.fuzz.fuzzer` goes on from here."""

from typing import Any

import pytest
from tests.app.fuzz import fuzzer

from slipway_router import attempts
from slipway_router.providers import sse

ROUNDS = 60


async def test_bad_input_from_clients_and_backends_does_no_harm() -> None:
    await fuzzer.run(1, 0, ROUNDS)


async def test_the_fuzzer_finds_a_fault_of_the_router(monkeypatch: pytest.MonkeyPatch) -> None:
    def feed(self: Any, data: bytes) -> list[bytes]:
        raise ValueError("planted")

    monkeypatch.setattr(sse.Events, "feed", feed)
    with pytest.raises(AssertionError, match=r"from_backend, --seed 1 --first .*unexpected ValueError at feed"):
        await fuzzer.run(1, 0, ROUNDS)


async def test_the_fuzzer_finds_what_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts.Attempt, "leave", lambda self: None)  # pyright: ignore[reportUnknownArgumentType, reportUnknownLambdaType]
    with pytest.raises(AssertionError, match="left behind: "):
        await fuzzer.run(1, 0, ROUNDS)
