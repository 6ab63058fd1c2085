"""Throws bad input at the router, and looks whether it stays as it was: `python -m tests.app.fuzz.fuzzer --rounds 20000`.

Each round is drawn from the seed and its number, so that what was found can be had again: `--seed S --first N --rounds 1`. No
answer may be a 500 of the router's, none may keep a client waiting, and nothing may be left behind: no task, no request under
way, no connection to a backend, no memory.
"""

import argparse
import asyncio
import gc
import logging
import os
import random
import re
import sys
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import psutil
import uvloop
from tests.app import fake_upstream as fake
from tests.app.fake_upstream import Exit, FakeUpstream
from tests.app.fuzz import inputs
from tests.app.providers import fake_aws
from tests.app.serving import Served, backend, serving, upstream

WAIT_SECONDS = 20.0
"""A client that waits longer waits for ever: no deadline of the router's is half as long here."""
QUICK = {"connect": 1, "first_byte": 0.5, "between_chunks": 0.3, "total": 4}
PROTOCOLS = ("openai", "anthropic", "sagemaker", "bedrock")
ENVIRON = {
    "AWS_ACCESS_KEY_ID": fake_aws.ACCESS,
    "AWS_SECRET_ACCESS_KEY": fake_aws.SECRET,
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
_OURS = re.compile(r"/(slipway_router|uvicorn)/")


@dataclass(frozen=True)
class State:
    """What a request may not leave behind."""

    tasks: int
    watches: int
    in_flight: int
    connections: int
    """To backends, in use."""


class Fuzzer:
    """The router, a client without manners, and a backend without."""

    def __init__(self, served: Served, up: FakeUpstream, seed: int) -> None:
        self._served = served
        self._up = up
        self._seed = seed
        self._log: list[str] = []
        handler = logging.Handler(logging.ERROR)
        handler.emit = lambda record: self._log.append(record.getMessage())
        logging.getLogger("slipway_router").addHandler(handler)
        logging.getLogger("uvicorn.error").addHandler(handler)

    def state(self) -> State:
        """As of now."""
        targets = self._served.router.targets.values()
        connections = sum(len(t.pool._all) - len(t.pool.free) for t in targets)  # pyright: ignore[reportPrivateUsage]
        in_flight = sum(t.in_flight for t in targets)
        # The fake's own tasks, some for each connection that is kept open, are none of the router's.
        tasks = sum(_OURS.search(repr(t)) is not None for t in asyncio.all_tasks())
        return State(tasks, len(self._served.proxy.watches), in_flight, connections)

    def forget(self) -> None:
        """What the fake remembers would be taken for the router's memory."""
        self._up.got.clear()

    async def settled(self, before: State) -> State:
        """The state, once it is the one before, or a second later."""
        for _ in range(100):
            if self.state() == before:
                break
            await asyncio.sleep(0.02)
        return self.state()

    async def from_client(self, number: int) -> bytes:
        """One bad request, over a backend that behaves."""
        dice = random.Random(f"{self._seed}/client/{number}")
        self._up.behaviour = _well_behaved
        return await self._asked(inputs.request(dice), leaves=dice.random() < 0.05)

    async def from_backend(self, number: int) -> bytes:
        """One bad answer, to a client that behaves."""
        dice = random.Random(f"{self._seed}/backend/{number}")
        protocol, stream, messages = dice.choice(PROTOCOLS), dice.random() < 0.6, dice.random() < 0.3
        answer = inputs.answer(dice, protocol, stream=stream)

        async def behave(out: Exit) -> None:
            for segment in answer.segments:
                await out.write(segment)
                await asyncio.sleep(0)
            if answer.end == "hold":
                await asyncio.sleep(3600)
            elif answer.end == "reset":
                out.reset()
            out.close = True

        self._up.behaviour = behave
        path = "/v1/messages" if messages else "/v1/chat/completions"
        body = b'{"model":"%b","max_tokens":9,"stream":%b,"messages":[{"role":"user","content":"hello"}]}' % (
            protocol.encode(),
            b"true" if stream else b"false",
        )
        head = b"POST %b HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % (path.encode(), len(body))
        got = await self._asked(head + body)
        self._check_answer(got, stream=stream)
        return got

    async def _asked(self, request: bytes, *, leaves: bool = False) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._served.port)
        try:
            writer.write(request)
            if leaves:
                return b""
            # What is announced and never comes is the client's own end.
            if writer.can_write_eof() and b"100-continue" not in request:
                await asyncio.sleep(0)
            async with asyncio.timeout(WAIT_SECONDS):
                got = await self._all_of(reader, writer)
        except (ConnectionError, BrokenPipeError):
            got = b""
        finally:
            writer.transport.abort()
        assert not self._log, self._log
        assert not got.startswith(b"HTTP/1.1 500"), got[:2000]
        assert b"Traceback" not in got
        assert b"internal_error" not in got
        return got

    async def _all_of(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        """What comes until the end. A request that is not whole is given up by its client after a while."""
        got = b""
        while True:
            try:
                async with asyncio.timeout(WAIT_SECONDS if got else 2):
                    more = await reader.read(65536)
            except TimeoutError:
                if got:
                    raise
                # Nothing yet: the router waits for the rest of the body, which it may.
                return b""
            if not more:
                return got
            got += more

    def _check_answer(self, got: bytes, *, stream: bool) -> None:
        """A whole HTTP answer, with JSON or with events in it."""
        assert got.startswith(b"HTTP/1.1 "), got[:200]
        head, _, body = got.partition(b"\r\n\r\n")
        assert len(head) < 70_000
        if b"transfer-encoding: chunked" in head and stream and b"event-stream" in head:
            assert body.endswith(b"0\r\n\r\n"), "the stream has no end"


async def _well_behaved(out: Exit) -> None:
    if b'"stream":true' in out.got.body.replace(b" ", b""):
        await fake.stream("hello", " there")(out)
    else:
        await fake.whole()(out)


@asynccontextmanager
async def fuzzing(seed: int) -> AsyncGenerator[Fuzzer, None]:
    """The router in this process, with a backend of each protocol at one fake."""
    os.environ.update(ENVIRON)
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    breaker = {"failures": 64, "window": 64, "open_seconds": 0.001, "most_open_seconds": 0.001}
    async with AsyncExitStack() as stack:
        up = await stack.enter_async_context(upstream())
        backends = [
            {
                **backend(f"http://127.0.0.1:{up.port}/v1", p, timeouts=QUICK, breaker=breaker),
                "protocol": p,
                **({"region": fake_aws.REGION} if p in ("sagemaker", "bedrock") else {}),
                **({"tasks": ["chat", "completions", "embeddings"]} if p == "openai" else {}),
            }
            for p in PROTOCOLS
        ]
        served = await stack.enter_async_context(serving(*backends, retries={"rounds": 0}))
        await served.client.get("/v1/models")
        yield Fuzzer(served, up, seed)


async def run(seed: int, first: int, rounds: int, *, say: bool = False) -> None:
    """Rounds of both kinds.

    Raises:
        AssertionError: something is wrong, with the number of the round.
    """
    async with fuzzing(seed) as fuzzer:
        memory = psutil.Process()
        begun = 0
        for number in range(first, first + rounds):
            fuzzer.forget()
            for one in (fuzzer.from_client, fuzzer.from_backend):
                fuzzer_state = fuzzer.state()
                try:
                    await one(number)
                    after = await fuzzer.settled(fuzzer_state)
                    assert after == fuzzer_state, f"left behind: {fuzzer_state} became {after}"
                except (AssertionError, TimeoutError) as error:
                    raise AssertionError(f"{one.__name__}, --seed {seed} --first {number}: {error!r}") from error
            if say and (number - first) % 500 == 499:
                gc.collect()
                used = memory.memory_info().rss // 2**20
                begun = begun or used
                print(f"{number + 1 - first} rounds, {used} MiB ({used - begun:+d} since the first 500)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.app.fuzz.fuzzer", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--rounds", type=int, default=5000, help="how many of each kind (%(default)s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="number of the first round")
    asked = parser.parse_args()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(run(asked.seed, asked.first, asked.rounds, say=True))
        except AssertionError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()
