"""The replay of `bench.prefixes` through routers that run as processes, ours and others, in virtual time.

    python -m bench.prefixes_http TRACE [--peers ours,sglang] [as bench.prefixes]

A simulated replica is an HTTP server here, which holds each answer back until the simulation says that its first token is there,
and its end until the answer is complete. So a router sees what it would see of real replicas: prompts of full length (equal ids
are equal text, 4 characters a token), first tokens and ends, and any number of answers under way; only the time between is left
out. No event is sent before the client has seen the last, so that speed and load of this machine change nothing. Ours estimates
by time: its choice's clock is moved by the simulation. sglang-router's `cache_aware` counts requests under way and knows no time,
but for how often it shortens its tree of prompts: the ways with a sized tree differ from run to run. All ways of one
peer run at the same time.

Environments are those of `python -m bench.peers install --peers sglang`; what is not installed is skipped, and said to be.
"""

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeVar

import httpx
from bench.peers.catalogue import PEERS, Peer
from bench.peers.environments import REPOSITORY, MissingError
from bench.peers.gateway import running
from bench.prefixes import Fleet, Prompt, Result, Simulation, add_options, baselines, read_options, show
from bench.virtual_router import SECONDS, Clock
from rich.console import Console

CHARACTERS_PER_TOKEN = 4
START_SECONDS = 30.0
STEP_SECONDS = 30.0
"""Longest that one event may take to pass through a router."""
MODEL = "mock"
_BALANCED = ("--balance-abs-threshold 2", "--balance-rel-threshold 1.1")
"""Load is balanced from a difference of 3 requests on: with the default of 64 it never is here."""
_EVENT = b'data: {"id":"c","object":"text_completion","created":1,"model":"mock","choices":[{"index":0,"text":"a",'
_FIRST = _EVENT + b'"finish_reason":null}]}\n\n'
_LAST = _EVENT + b'"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
_WHOLE = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
_STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_ABOUT = json.dumps(
    {
        "object": "list",
        "data": [{"id": MODEL, "object": "model", "created": 1, "owned_by": "bench"}],
        "model_path": MODEL,
        "served_model_name": MODEL,
        "is_generation": True,
    }
).encode()
_LAUNCH = (
    "$home/bin/sglang-router launch --policy cache_aware --host 127.0.0.1 --port $port --prometheus-port $spare --log-level warn"
    " --worker-startup-check-interval 1"
)


_Made = TypeVar("_Made")


class RouterError(Exception):
    """A router did not pass on what it was sent."""


class Replicas:
    """The simulated replicas, as servers on a loop of their own."""

    def __init__(self, count: int) -> None:
        """
        Args:
            count: How many.
        """
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._servers: list[asyncio.Server] = []
        self._connected: set[asyncio.Task[None]] = set()
        self.clients: set[asyncio.StreamWriter] = set()
        """Connections to the router, which end with the replicas."""
        self.ports: list[int] = []
        """Where they are."""
        self.arrived: asyncio.Queue[tuple[int, asyncio.StreamWriter, asyncio.Event]] = asyncio.Queue()
        """Each prompt's replica, where to answer, and what is set at its end."""
        self.run(self._serve(count))

    def run(self, what: Coroutine[Any, Any, _Made]) -> _Made:
        """Have something done on their loop, and wait for it.

        Raises:
            TimeoutError: it takes longer than `STEP_SECONDS`.
        """
        return asyncio.run_coroutine_threadsafe(asyncio.wait_for(what, STEP_SECONDS), self._loop).result()

    def close(self) -> None:
        """End all of them, with what is under way."""
        self.run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        for server in self._servers:
            server.close()
        for task in self._connected:
            task.cancel()
        for writer in self.clients:
            writer.close()
        await asyncio.gather(*self._connected, *(w.wait_closed() for w in self.clients), return_exceptions=True)

    async def _serve(self, count: int) -> None:
        self._servers = [await asyncio.start_server(self._server(n), "127.0.0.1", 0) for n in range(count)]
        self.ports = [s.sockets[0].getsockname()[1] for s in self._servers]

    def _server(self, number: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[Any, Any, None]]:
        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._connected.add(task)
            task.add_done_callback(self._connected.discard)
            try:
                while True:
                    head = (await reader.readuntil(b"\r\n\r\n")).lower()
                    at = head.find(b"content-length:")
                    body = await reader.readexactly(int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0)
                    if b'"prompt"' not in body:  # health checks, and what a worker is asked as it joins
                        writer.write(_WHOLE % len(_ABOUT) + _ABOUT)
                        continue
                    over = asyncio.Event()
                    self.arrived.put_nowait((number, writer, over))
                    await over.wait()
            except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
                writer.close()
                with contextlib.suppress(ConnectionError):
                    await writer.wait_closed()

        return connected


class ThroughRouter:
    """A policy of the simulation that is a router's: a prompt goes where the router sends it."""

    def __init__(self, port: int, replicas: Replicas, block_tokens: int, move: Callable[[], None]) -> None:
        """
        Args:
            port: The router's.
            replicas: Behind it.
            block_tokens: Tokens of a prompt's block.
            move: Brings the router's clock to the simulation's time.
        """
        self._port = port
        self._replicas = replicas
        self._block_tokens = block_tokens
        self._move = move
        self._under_way: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter, asyncio.StreamWriter, asyncio.Event]] = {}

    def choose(self, number: int, prompt: Prompt) -> int:
        self._move()
        return self._replicas.run(self._choose(number, prompt))

    def first_token(self, number: int) -> None:
        self._move()
        self._replicas.run(self._first_token(number))

    def end(self, number: int) -> None:
        self._move()
        self._replicas.run(self._end(number))

    async def _choose(self, number: int, prompt: Prompt) -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=2**20)
        asked = {
            "model": MODEL,
            "prompt": text(prompt, self._block_tokens),
            "stream": True,
            "max_tokens": prompt.answer_tokens or 1,
        }
        self._replicas.clients.add(writer)
        body = json.dumps(asked).encode()
        head = "POST /v1/completions HTTP/1.1\r\nhost: bench\r\nconnection: close\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        refused = asyncio.ensure_future(reader.read(1))
        arriving = asyncio.ensure_future(self._replicas.arrived.get())
        await asyncio.wait((refused, arriving), return_when=asyncio.FIRST_COMPLETED)
        if not arriving.done():
            arriving.cancel()
            raise RouterError(f"prompt {number} was not passed on: {(refused.result() + await reader.read(300))!r}")
        refused.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await refused
        chosen, answer, over = arriving.result()
        self._under_way[number] = reader, writer, answer, over
        return chosen

    async def _first_token(self, number: int) -> None:
        reader, _, answer, _ = self._under_way[number]
        answer.write(_STREAM + b"%x\r\n%b\r\n" % (len(_FIRST), _FIRST))
        head = await reader.readline()
        if b" 200 " not in head:
            raise RouterError(f"prompt {number} was answered {head!r}")

    async def _end(self, number: int) -> None:
        reader, writer, answer, over = self._under_way.pop(number)
        answer.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(_LAST), _LAST))
        over.set()
        got = await reader.read()
        writer.close()
        await writer.wait_closed()
        self._replicas.clients.discard(writer)
        if b"[DONE]" not in got:
            raise RouterError(f"the answer to prompt {number} ended as {got[-100:]!r}")


def text(prompt: Prompt, block_tokens: int) -> str:
    """A prompt of the recorded length, equal where the recorded one is equal."""
    size = block_tokens * CHARACTERS_PER_TOKEN
    words = (blake2b(b"%d" % b, digest_size=8).hexdigest() for b in prompt.blocks)
    return "".join((w * (size // len(w) + 1))[:size] for w in words)[: prompt.tokens * CHARACTERS_PER_TOKEN]


@contextlib.contextmanager
def ours(fleet: Fleet, replicas: Replicas, clock: Callable[[], float]) -> Generator[ThroughRouter]:
    """This router, in a process of its own."""
    settings = {
        "addresses": [f"127.0.0.1:{p}" for p in replicas.ports],
        "kv_tokens": fleet.cache_blocks * fleet.block_tokens,
        "block_tokens": fleet.block_tokens,
        # The time that answers really take is the simulation's own here.
        "outliers": {"most_ejected": 0},
    }
    backend = {"name": MODEL, "url": f"http://127.0.0.1:{replicas.ports[0]}/v1", "model": MODEL, "replicas": settings}
    with tempfile.TemporaryDirectory(prefix="bench-prefixes-") as folder:
        file, config = Path(folder) / "clock", Path(folder) / "router.json"
        file.write_bytes(SECONDS.pack(0.0))
        config.write_text(json.dumps({"backends": [backend]}))
        command = f"{sys.executable} -m bench.virtual_router {file} --config {config} --port $port"
        shared, python_path = Clock(file), f"{REPOSITORY}:{REPOSITORY / 'app'}"
        peer = Peer("", command, program=sys.executable, environ={"PYTHONPATH": python_path})
        with running("ours", 0, 0, None, peer) as gateway:
            yield ThroughRouter(gateway.port, replicas, fleet.block_tokens, lambda: shared.move(clock()))


@contextlib.contextmanager
def sglang(fleet: Fleet, replicas: Replicas, *more: str) -> Generator[ThroughRouter]:
    """sglang-router with its policy `cache_aware`.

    Raises:
        MissingError: it is not installed, or does not come up.
    """
    urls = " ".join(f"http://127.0.0.1:{p}" for p in replicas.ports)
    command = " ".join((_LAUNCH, *more, "--worker-urls", urls))
    with running("sglang", 0, 0, None, replace(PEERS["sglang"], command=command)) as gateway:
        _wait_for_workers(gateway.port, len(replicas.ports))
        yield ThroughRouter(gateway.port, replicas, fleet.block_tokens, lambda: None)


def _wait_for_workers(port: int, count: int) -> None:
    until = time.monotonic() + START_SECONDS
    told: dict[str, Any] = {}
    while time.monotonic() < until:
        with contextlib.suppress(httpx.TransportError, ValueError):
            told = httpx.get(f"http://127.0.0.1:{port}/workers").json()
            if sum(bool(w.get("is_healthy")) for w in told.get("workers", ())) == count:
                return
        time.sleep(0.1)
    raise MissingError(f"it knows of {len(told.get('workers', ()))} workers of {count} after {START_SECONDS:g} s")


def _sized(fleet: Fleet) -> tuple[str, ...]:
    """The tree of prompts as large as the caches, shortened as often as can be."""
    return (f"--max-tree-size {fleet.cache_blocks * fleet.block_tokens * CHARACTERS_PER_TOKEN}", "--eviction-interval-secs 1")


_Started = contextlib.AbstractContextManager[ThroughRouter]
WAYS: dict[str, dict[str, Callable[[Fleet, Replicas, Callable[[], float]], _Started]]] = {
    "sglang": {
        "sglang-router, round_robin": lambda f, r, _: sglang(f, r, "--policy round_robin"),
        "sglang-router, cache_aware": lambda f, r, _: sglang(f, r),
        "sglang-router, cache_aware, balanced": lambda f, r, _: sglang(f, r, *_BALANCED),
        "sglang-router, cache_aware, sized": lambda f, r, _: sglang(f, r, *_sized(f)),
        "sglang-router, cache_aware, sized and balanced": lambda f, r, _: sglang(f, r, *_sized(f), *_BALANCED),
    },
    "ours": {"earliest finish (ours)": ours},
}
"""The ways in which each peer is run, by what the table calls them."""


def replay(name: str, fleet: Fleet, trace: Sequence[Prompt]) -> list[Result]:
    """What a peer makes of a trace, in each way that it is run; all at the same time.

    Raises:
        MissingError: it is not installed, or does not come up.
        RouterError: it did not pass on what it was sent.
    """

    starting = threading.Lock()

    def one(title: str) -> Result:
        replicas, simulation = Replicas(fleet.replicas), Simulation(fleet)
        try:
            with contextlib.ExitStack() as stack:
                with starting:  # a port that is free is only taken once it is listened on
                    router = stack.enter_context(WAYS[name][title](fleet, replicas, lambda: simulation.now))
                return simulation.run(title, router, trace)
        finally:
            replicas.close()

    with ThreadPoolExecutor() as pool:
        return list(pool.map(one, WAYS[name]))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.prefixes_http", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--peers", default=",".join(WAYS), help=f"some of {', '.join(WAYS)} (default all)")
    parser.add_argument("--requests", type=int, help="only so many, from the beginning (default all)")
    asked = vars(parser.parse_args(arguments))
    names = list(dict.fromkeys(n.strip() for n in asked.pop("peers").split(",") if n.strip()))
    unknown = [n for n in names if n not in WAYS]
    if unknown or not names:
        parser.error(f"--peers: {', '.join(map(repr, unknown)) or 'nothing'} is no peer; there are {', '.join(WAYS)}")
    fleet, trace = read_options(parser, asked)
    trace = trace[: asked.pop("requests")]
    simulation = Simulation(fleet)
    results = [simulation.run(name, policy, trace) for name, policy in baselines(fleet, asked["hashed_blocks"]).items()]
    told = Console(stderr=True)
    for name in [n for n in names if n != "ours"] + [n for n in names if n == "ours"]:
        try:
            results += replay(name, fleet, trace)
        except MissingError as why:
            told.print(f"skipped {PEERS[name].title}: {why}", highlight=False, soft_wrap=True)
        except RouterError as why:
            parser.exit(1, f"bench.prefixes_http: {PEERS[name].title}: {why}\n")
    show(results, asked)


if __name__ == "__main__":
    main()
