"""What does a stream cost while it waits? So many streams at once in one router, and its memory with and without them.

    python -m bench.streams [--streams 2000] [--json]

Each stream is one connection of a client and one to the backend. Memory is what the router's process shares with nobody.
"""

import argparse
import asyncio
import contextlib
import json
import resource
from dataclasses import asdict, dataclass

from bench.served import body, is_whole, private_mib, router, upstream
from rich.console import Console

WAVE = 100
"""Streams that begin together."""


@dataclass
class Outcome:
    """What was seen."""

    streams: int
    whole: int
    """Streams that came to their end."""
    before_mib: float
    with_streams_mib: float
    after_mib: float

    @property
    def kib_per_stream(self) -> float:
        """Memory for each stream under way."""
        return (self.with_streams_mib - self.before_mib) * 1024 / self.streams


async def one(port: int, begun: asyncio.Semaphore) -> bool:
    """A stream; tells when its first bytes are there, and at its end whether it is whole."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 14)
    told = body(stream=True)
    head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {len(told)}\r\n\r\n"
    try:
        writer.write(head.encode() + told)
        last = await reader.read(1 << 14)
        begun.release()
        while more := await reader.read(1 << 14):
            last = (last + more)[-100:]
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return is_whole(last.removesuffix(b"\r\n0\r\n\r\n"), stream=True)


async def hold(streams: int, seconds: float) -> Outcome:
    """Hold so many streams at once, each for about so long."""
    chunks = 8
    with upstream(chunks, seconds / chunks, 3600) as behind, router(behind) as served:
        await one(served.port, asyncio.Semaphore(0))
        await asyncio.sleep(1)
        before = private_mib(served.pid)
        begun = asyncio.Semaphore(0)
        under_way: list[asyncio.Task[bool]] = []
        while len(under_way) < streams:
            wave = min(WAVE, streams - len(under_way))
            under_way += [asyncio.create_task(one(served.port, begun)) for _ in range(wave)]
            async with asyncio.timeout(30):
                for _ in range(wave):
                    await begun.acquire()
        most = private_mib(served.pid)
        over = sum(t.done() for t in under_way)
        if over:
            for task in under_way:
                task.cancel()
            await asyncio.gather(*under_way, return_exceptions=True)
            raise SystemExit(f"bench.streams: {over} streams were over before the last began; give more --seconds")
        whole = sum(await asyncio.gather(*under_way))
        await asyncio.sleep(1)
        return Outcome(streams, whole, before, most, private_mib(served.pid))


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.streams", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--streams", type=int, default=2000, help="streams at once (default 2000)")
    parser.add_argument("--seconds", type=float, default=60, help="how long each lasts (default 60)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    asked = parser.parse_args()
    files = 2 * asked.streams + 200
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if not 1 <= asked.streams <= 9000 or not 1 <= asked.seconds <= 600:
        parser.error("give 1 to 9000 streams of 1 to 600 seconds")
    if most not in (resource.RLIM_INFINITY,) and files > most:
        parser.error(f"{asked.streams} streams need {files} open files in one process, and {most} are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, most))
    outcome = asyncio.run(hold(asked.streams, asked.seconds))
    if asked.json:
        print(json.dumps({**asdict(outcome), "kib_per_stream": outcome.kib_per_stream}))
    else:
        Console().print(
            f"{outcome.streams} streams at once in one process: {outcome.kib_per_stream:.1f} KiB each"
            f" ({outcome.before_mib:.1f} MiB before, {outcome.with_streams_mib:.1f} with them, {outcome.after_mib:.1f} after);"
            f" {outcome.whole} came to their end",
            highlight=False,
            soft_wrap=True,
        )
    raise SystemExit(0 if outcome.whole == outcome.streams else 1)


if __name__ == "__main__":
    main()
