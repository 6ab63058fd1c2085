"""The connection that requests wait for, over a real Redis: who may use it, what it is told, and what becomes of its calls."""

import asyncio
import socket
import subprocess
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import asyncio as client
from redis.exceptions import ConnectionError as LostError
from redis.exceptions import RedisError, ResponseError
from tests.app.serving import upstream
from tests.app.tenancy.real_redis import RealRedis, needs_redis, redis_at, until
from tests.app.tenancy.test_limits import ask, booked, router

from slipway_router.tenancy.money import UNITS_PER_DOLLAR
from slipway_router.tenancy.redis_wire import Wire, wired
from slipway_router.tenancy.settings import RedisSettings

pytestmark = needs_redis
PASSWORD = "p4ss word"


@pytest.fixture
def redis(tmp_path: Path) -> Generator[RealRedis]:
    with redis_at(tmp_path) as running:
        yield running


def ignore() -> None:
    """Nobody is told that a connection is lost which there never was."""


async def said(redis: RealRedis, *command: str) -> Any:
    made: Any = client.Redis.from_url(redis.url)  # pyright: ignore[reportUnknownMemberType] -- of redis-py
    async with made as asked:
        return await asked.execute_command(*command)


@asynccontextmanager
async def wire(lost: list[bool] | None = None, environ: dict[str, str] | None = None, **settings: Any) -> AsyncGenerator[Wire]:
    gone = lost if lost is not None else []
    made = await wired(RedisSettings(**settings), environ or {}, lambda: gone.append(True))
    yield made
    made.close()


async def test_answers_come_in_the_order_of_the_calls_and_an_error_is_one_of_them(redis: RealRedis) -> None:
    told: list[object] = []
    async with wire(url=redis.url) as made:
        for command in (("SET", "a", 7), ("GET", "a"), ("HGET", "a", "b"), ("GET", "none")):
            made.call(told.append, *command)
        await until(lambda: len(told) == 4)
        assert (told[0], told[1], told[3]) == (b"OK", b"7", None)
        assert "WRONGTYPE" in str(told[2])
        with pytest.raises(ResponseError, match="unknown command"):
            await made.ask("NONSENSE")


async def test_another_database_is_chosen(redis: RealRedis) -> None:
    async with wire(url=redis.url.removesuffix("0") + "3") as made:
        await made.ask("SET", "here", "yes")
    assert (await said(redis, "GET", "here")) is None
    assert await said(redis, "DBSIZE") == 0
    with pytest.raises(ResponseError, match="out of range"):
        await wired(RedisSettings(url=redis.url.removesuffix("0") + "99"), {}, ignore)


async def test_a_password_and_a_user_are_sent_and_a_wrong_one_is_refused_without_being_told(redis: RealRedis) -> None:
    await said(redis, "ACL", "SETUSER", "router", "on", f">{PASSWORD}", "+@all", "~*")
    await said(redis, "CONFIG", "SET", "requirepass", PASSWORD)
    for user in (None, "router"):
        told: dict[str, Any] = {"url": redis.url, "password_env": "SECRET", "username": user}
        async with wire(environ={"SECRET": PASSWORD}, **told) as made:
            assert await made.ask("PING") == b"PONG"
        with pytest.raises(ResponseError, match="WRONGPASS") as refused:
            await wired(RedisSettings(**told), {"SECRET": PASSWORD + "x"}, ignore)
        assert PASSWORD not in str(refused.value)
    with pytest.raises(ResponseError, match="NOAUTH"):
        await wired(RedisSettings(url=redis.url), {}, ignore)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Its own authority, for 127.0.0.1; the key is beside it."""
    folder = tmp_path_factory.mktemp("tls")
    about = ["-subj", "/CN=redis", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", *about]
    subprocess.run([*made, "-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")], check=True, capture_output=True)
    return folder / "cert.pem"


async def test_tls_takes_a_certificate_that_is_trusted_and_no_other(redis: RealRedis, certificate: Path) -> None:
    await said(redis, "CONFIG", "SET", "tls-cert-file", str(certificate), "tls-key-file", str(certificate.with_name("key.pem")))
    await said(redis, "CONFIG", "SET", "tls-ca-cert-file", str(certificate), "tls-auth-clients", "no")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    await said(redis, "CONFIG", "SET", "tls-port", str(port))
    url = f"rediss://127.0.0.1:{port}/0"
    async with wire(url=url, ca_file=str(certificate)) as made:
        assert await made.ask("PING") == b"PONG"
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        await wired(RedisSettings(url=url), {}, ignore)


async def test_calls_of_a_connection_that_is_lost_get_that_as_their_answer(redis: RealRedis) -> None:
    lost: list[bool] = []
    told: list[object] = []
    async with wire(lost, url=redis.url) as made:
        redis.freeze()
        made.call(told.append, "PING")
        redis.kill()
        await until(lambda: len(lost) == 1)
        made.call(told.append, "PING")
        assert [type(t) for t in told] == [LostError, LostError]
        with pytest.raises(RedisError):
            await made.ask("PING")
    assert len(lost) == 1


async def test_what_is_no_answer_ends_the_connection() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await reader.read()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server:
        lost: list[bool] = []
        async with wire(lost, url=f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}") as made:
            with pytest.raises(LostError):
                await made.ask("PING")
            await until(lambda: lost == [True])
        await asyncio.sleep(0.05)  # until the server has heard it


async def test_scripts_that_redis_forgets_are_sent_anew_and_nothing_is_lost(redis: RealRedis) -> None:
    async with upstream() as one, router(one, redis, monthly_budget=1, requests_per_minute=10) as served:
        link = served.router.limits.link
        assert link is not None
        for left in range(9, 5, -1):
            answer = await ask(served)
            assert answer.headers["x-ratelimit-remaining-requests"] == str(left)
            await until(lambda: not link.owes)
            await said(redis, "SCRIPT", "FLUSH")
        assert link.up
        assert await booked(served, redis) == 4 * 96 * UNITS_PER_DOLLAR // 2000
