"""Two routers as processes before one real Redis."""

import asyncio
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from redis import Redis
from tests.app.fake_upstream import SSE, Exit, chunk, completion, event, head
from tests.app.process import running
from tests.app.serving import backend, upstream
from tests.app.tenancy.real_redis import RealRedis, needs_redis, redis_at

from slipway_router.commands.key import main as key_command
from slipway_router.tenancy.money import UNITS_PER_DOLLAR

SECRETS = {name: f"{name}-{'s' * 40}" for name in ("many", "tight", "after", "steady", "payer")}
GRANTS: dict[str, dict[str, Any]] = {
    "many": {"requests_per_minute": 100},
    "tight": {"requests_per_minute": 20},
    "after": {"requests_per_minute": 20},
    "steady": {"requests_per_minute": 1_000_000, "tokens_per_minute": 1_000_000_000},
    "payer": {"monthly_budget": 1000},
}
BODY = {"model": "auto", "max_tokens": 95, "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Pair:
    """Both, and what they are made of."""

    urls: list[str]
    processes: list[Any]
    logs: list[list[str]]
    redis: RealRedis
    config: Path

    async def ask(self, client: httpx.AsyncClient, key: str, at: int, **more: Any) -> httpx.Response:
        return await client.post(f"{self.urls[at]}/v1/chat/completions", json={**BODY, **more}, headers=bearer(key))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {SECRETS.get(key, key)}"}


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Any]:
    with ExitStack() as stack:
        redis = stack.enter_context(redis_at(tmp_path))

        def start(at: str) -> Pair:
            config = tmp_path / "router.json"
            digests = {n: hashlib.sha256(s.encode()).hexdigest() for n, s in SECRETS.items()}
            keys = [{"name": n, "sha256": d, **GRANTS[n]} for n, d in digests.items()]
            told = {"backends": [backend(at, cost_per_1k_tokens=0.5)], "keys": keys, "redis": {**redis.settings, "keys": True}}
            config.write_text(json.dumps(told))
            both = [stack.enter_context(running(config)) for _ in range(2)]
            return Pair([u for _, u, _ in both], [p for p, _, _ in both], [log for _, _, log in both], redis, config)

        yield start


async def wait_shared(pair: Pair, client: httpx.AsyncClient) -> None:
    """Until both have told of themselves, and know each other."""
    asked: Redis = Redis(port=pair.redis.port)
    with asked:
        end = time.monotonic() + 15
        while int(asked.zcard("{slipway}:alive")) < 2:  # pyright: ignore[reportArgumentType] -- of redis-py
            assert time.monotonic() < end
            await asyncio.sleep(0.05)
    await asyncio.sleep(0.6)


@needs_redis
async def test_two_processes_share_limits_lose_redis_without_a_failure_and_share_again(started: Any, tmp_path: Path) -> None:
    async with upstream() as up, httpx.AsyncClient(timeout=20) as client:
        pair: Pair = started(up.url)
        await wait_shared(pair, client)

        # Four clients over both: exactly the limit passes.
        async def clients(key: str, each: int) -> list[int]:
            async def one(at: int) -> list[int]:
                return [(await pair.ask(client, key, at)).status_code for _ in range(each)]

            return [code for codes in await asyncio.gather(*(one(i % 2) for i in range(4))) for code in codes]

        codes = await clients("many", 50)
        assert (codes.count(200), codes.count(429)) == (100, 100)

        # Redis goes and comes back under load.
        over = asyncio.Event()
        steady: list[int] = []

        async def load(at: int) -> None:
            while not over.is_set():
                steady.append((await pair.ask(client, "steady", at)).status_code)

        loads = [asyncio.create_task(load(i % 2)) for i in range(4)]
        await asyncio.sleep(0.3)
        pair.redis.kill()
        await asyncio.sleep(0.5)
        # Each lets its half through.
        for at in (0, 1):
            alone = [(await pair.ask(client, "tight", at)).status_code for _ in range(15)]
            assert (alone.count(200), alone.count(429)) == (10, 5)
        pair.redis.start()
        await asyncio.sleep(2.0)
        over.set()
        await asyncio.gather(*loads)
        assert set(steady) == {200}
        assert len(steady) > 100
        # Shared again: what was let through meanwhile counts, and another key has the limit once over both.
        assert set(await clients("tight", 2)) == {429}
        assert (await clients("after", 10)).count(200) == 20
        assert any("Redis is gone" in line for line in pair.logs[0])
        assert any("Redis is there" in line for line in pair.logs[1][1:])


@needs_redis
async def test_a_key_acts_and_is_revoked_everywhere_within_a_second_and_is_found_nowhere(
    started: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with upstream() as up, httpx.AsyncClient(timeout=20) as client:
        pair: Pair = started(up.url)
        await wait_shared(pair, client)
        assert await asyncio.to_thread(key_command, ["create", "new", "--config", str(pair.config), "--json"]) == 0
        key = json.loads(capsys.readouterr().out)["key"]
        await asyncio.sleep(1.0)
        assert [(await pair.ask(client, key, at)).status_code for at in (0, 1)] == [200, 200]
        said = [(await pair.ask(client, key + "x", 0)).text, (await pair.ask(client, key, 0, model=7)).text]
        assert await asyncio.to_thread(key_command, ["revoke", "new", "--config", str(pair.config)]) == 0
        assert await asyncio.to_thread(key_command, ["revoke", "many", "--config", str(pair.config)]) == 0
        await asyncio.sleep(1.0)
        for name in (key, "many"):
            answers = [await pair.ask(client, name, at) for at in (0, 1)]
            assert [a.status_code for a in answers] == [401, 401]
            said += [a.text for a in answers]
        told = {
            "errors": "".join(said),
            "metrics": "".join([(await client.get(f"{url}/metrics")).text for url in pair.urls]),
            "logs": "".join(line for log in pair.logs for line in log),
            **on_disk(pair, tmp_path),
            "backend": "".join(str(got.headers) for got in up.got),
        }
        assert 'key="new"' in told["metrics"]
        for where, text in told.items():
            for secret in (key, key.rsplit("_", 1)[1], SECRETS["many"]):
                assert secret not in text, where


def on_disk(pair: Pair, folder: Path) -> dict[str, str]:
    """What a neighbour, or a thief, could read."""
    of_processes = [Path(f"/proc/{p.pid}") for p in pair.processes]
    return {
        "processes": "".join((p / "cmdline").read_text() for p in of_processes),
        "environment": "".join((p / "environ").read_bytes().decode("latin-1") for p in of_processes),
        "configuration": pair.config.read_text(),
        "redis": "".join(f.read_bytes().decode("latin-1") for f in folder.rglob("*.aof")),
    }


@needs_redis
async def test_what_was_booked_adds_up_across_a_kill(started: Any) -> None:
    # The usage is what is reserved (1 of prompt, 95 of answer): so a request that dies is booked as one that is answered.
    usage = {"prompt_tokens": 1, "completion_tokens": 95, "total_tokens": 96}
    final = b"data: " + json.dumps({"choices": [], "usage": usage}).encode() + b"\n\ndata: [DONE]\n\n"
    reached = 0

    async def answer(out: Exit) -> None:
        nonlocal reached
        reached += 1
        if out.got.json.get("stream"):
            await out.write(head("200 OK", SSE, "Transfer-Encoding: chunked") + chunk(event("a")))
            await asyncio.sleep(0.02)
            await out.write(chunk(final) + b"0\r\n\r\n")
        else:
            whole = json.dumps({**json.loads(completion()), "usage": usage}).encode()
            await out.write(head("200 OK", "application/json", f"Content-Length: {len(whole)}") + whole)

    async with upstream(answer) as up, httpx.AsyncClient(timeout=20) as client:
        pair: Pair = started(up.url)
        await wait_shared(pair, client)

        async def one(at: int) -> None:
            for i in range(40):
                try:
                    assert (await pair.ask(client, "payer", at, stream=i % 2 == 0)).status_code == 200
                except httpx.TransportError:
                    return

        work = [asyncio.create_task(one(i % 2)) for i in range(8)]
        await asyncio.sleep(0.4)
        pair.processes[0].kill()
        await asyncio.gather(*work)
        await asyncio.sleep(0.5)
        asked: Any = Redis(port=pair.redis.port)
        with asked:
            name = next(k for k in asked.keys("{slipway}:b:payer:*"))
            booked = {k: int(v) for k, v in asked.hgetall(name).items()}
            each = 96 * UNITS_PER_DOLLAR // 2000
            assert reached > 160
            assert booked[b"spent"] + booked[b"held"] == reached * each
            # It is held until the router counts as dead; any other's next word then books it.
            beat = Path(__file__).parents[3] / "app/slipway_router/tenancy/beat.lua"
            dead = min(asked.zrange("{slipway}:alive", 0, -1), key=lambda who: asked.zscore("{slipway}:alive", who))
            asked.zadd("{slipway}:alive", {dead: int(time.time()) - 31})
            asked.eval(beat.read_text(), 1, "{slipway}:", json.dumps({"me": "test", "lively": 10, "dead": 30, "health": ""}))
            assert {k: int(v) for k, v in asked.hgetall(name).items()} == {b"spent": reached * each, b"held": 0}
