"""Does the router's memory grow? A steady, low load for as long as asked, and the slope of its memory.

    python -m bench.soak [--seconds 3600] [--rate 20] [--json]

Whole answers, streams, new connections, clients that leave in the middle of a stream, requests that are refused, and looks at
/metrics, in turn. The first fifth of the time warms up. The slope is the least-squares line through the rest (memory that the
process shares with nobody); with it comes its standard error, for short runs show mostly chance. Exit code 1: a request failed,
or memory grew by more than `--most` MiB an hour and by more than three standard errors.
"""

import argparse
import asyncio
import contextlib
import json
import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
from bench.served import Router, body, is_whole, private_mib, router, upstream
from rich.console import Console

WARM_SHARE = 0.2
SAMPLES = 200


@dataclass
class Outcome:
    """What was seen."""

    seconds: float
    requests: int = 0
    failed: int = 0
    first_failure: str = ""
    samples: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """Seconds since the start, and MiB."""


@dataclass(frozen=True)
class Slope:
    """A line through samples."""

    mib_per_hour: float
    error: float
    """Standard error."""

    def grows(self, most: float) -> bool:
        """Whether memory grows by more than so many MiB an hour, beyond chance."""
        return self.mib_per_hour > most and self.mib_per_hour > 3 * self.error


def slope(samples: Sequence[tuple[float, float]]) -> Slope:
    """The least-squares slope after the warm-up.

    Raises:
        ValueError: fewer than three samples are left.
    """
    end = samples[-1][0]
    kept = [s for s in samples if s[0] >= end * WARM_SHARE]
    if len(kept) < 3:
        raise ValueError(f"{len(kept)} samples after the warm-up tell no slope")
    times, sizes = [t / 3600 for t, _ in kept], [m for _, m in kept]
    line = statistics.linear_regression(times, sizes)
    off = sum((m - line.slope * t - line.intercept) ** 2 for t, m in zip(times, sizes, strict=True))
    mean = statistics.fmean(times)
    spread = sum((t - mean) ** 2 for t in times)
    return Slope(line.slope, math.sqrt(off / (len(kept) - 2) / spread))


async def ask(session: httpx.AsyncClient, served: Router, kind: int) -> str:
    """One request of one kind; says what is wrong with its answer."""
    url = served.url
    if kind == 0:
        answer = await session.get(url.replace("/v1/chat/completions", "/metrics"))
        return "" if answer.status_code == 200 else f"metrics: {answer.status_code}"
    if kind == 1:
        answer = await session.post(url, json={"model": f"none-{time.time()}", "messages": [{"role": "user", "content": "x"}]})
        return "" if answer.status_code == 404 else f"an unknown model: {answer.status_code}"
    if kind == 2:
        async with session.stream("POST", url, content=body(stream=True)) as leaving:
            await anext(leaving.aiter_raw())
        return ""
    if kind == 3:
        async with httpx.AsyncClient(timeout=20) as fresh:
            answer = await fresh.post(url, content=body(stream=False))
    else:
        answer = await session.post(url, content=body(stream=bool(kind % 2)), headers={"x-user-id": str(time.time())})
    whole = is_whole(answer.content, stream=kind != 3 and bool(kind % 2))
    return "" if answer.status_code == 200 and whole else f"{answer.status_code} {answer.content[-200:]!r}"


async def soak(seconds: float, rate: float) -> Outcome:
    """Load a router for so long."""
    outcome = Outcome(seconds)
    with upstream(16, 0.01, seconds + 120) as behind, router(behind) as served:
        begun = time.monotonic()
        under_way: set[asyncio.Task[None]] = set()
        async with httpx.AsyncClient(timeout=20) as session:

            async def one(kind: int) -> None:
                try:
                    said = await ask(session, served, kind)
                except httpx.HTTPError as error:
                    said = f"{type(error).__name__} {error}"
                outcome.requests += 1
                if said:
                    outcome.failed += 1
                    outcome.first_failure = outcome.first_failure or said

            number = 0
            while (now := time.monotonic() - begun) < seconds:
                if now >= len(outcome.samples) * seconds / SAMPLES:
                    outcome.samples.append((now, private_mib(served.pid)))
                task = asyncio.create_task(one(number % 12))
                under_way.add(task)
                task.add_done_callback(under_way.discard)
                number += 1
                await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(30):
                    await asyncio.gather(*under_way)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=3600, help="how long (default an hour)")
    parser.add_argument("--rate", type=float, default=20, help="requests a second (default 20)")
    parser.add_argument("--most", type=float, default=2, help="MiB an hour that it may grow (default 2)")
    parser.add_argument("--json", action="store_true", help="print JSON, with every sample")
    asked = parser.parse_args()
    if not 2 <= asked.seconds <= 86_400 or not 1 <= asked.rate <= 200:
        parser.error("give 2 to 86400 seconds and 1 to 200 requests a second")
    outcome = asyncio.run(soak(asked.seconds, asked.rate))
    line = slope(outcome.samples)
    if asked.json:
        told = {"requests": outcome.requests, "failed": outcome.failed, "first_failure": outcome.first_failure}
        print(json.dumps({**told, "mib_per_hour": line.mib_per_hour, "error": line.error, "samples": outcome.samples}))
    else:
        sizes = [m for t, m in outcome.samples if t >= asked.seconds * WARM_SHARE]
        Console().print(
            f"{outcome.requests:,} requests in {asked.seconds:,.0f} s, {outcome.failed} failed; memory {sizes[0]:.1f} to"
            f" {sizes[-1]:.1f} MiB (most {max(sizes):.1f}): {line.mib_per_hour:+.2f} +- {line.error:.2f} MiB an hour",
            highlight=False,
            soft_wrap=True,
        )
        if outcome.failed:
            Console().print(f"the first failure: {outcome.first_failure}", highlight=False, soft_wrap=True)
    raise SystemExit(1 if outcome.failed or line.grows(asked.most) else 0)


if __name__ == "__main__":
    main()
