"""What a client meets: the router as a process, in front of llama.cpp itself and of the vendors' fakes."""

import asyncio
import json
import threading
from collections.abc import Generator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.app import fake_upstream as fake
from tests.app.fake_upstream import FakeUpstream
from tests.app.process import running
from tests.clients.vendors import Vendor, all_vendors
from tests.infra.local.place import serving as llama_cpp

KEY = "key-of-the-tests"
CONTEXT_TOKENS = 512


@dataclass(frozen=True)
class Stage:
    """The router, ready to be asked."""

    url: str
    vendors: Sequence[Vendor]


@contextmanager
def in_thread(*upstreams: FakeUpstream) -> Generator[None]:
    """Serve from a thread, for tests that must not wait in a loop of their own."""
    loop = asyncio.new_event_loop()
    up, over = threading.Event(), asyncio.Event()

    async def serve() -> None:
        async with AsyncExitStack() as stack:
            for upstream in upstreams:
                await stack.enter_async_context(upstream)
            up.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    assert up.wait(10)
    try:
        yield
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


@contextmanager
def staged(folder: Path) -> Generator[Stage]:
    """Bring it all up.

    Args:
        folder: For files; is there.
    """
    vendors, environ = all_vendors(folder)
    upstreams = {v.name: v.upstream() for v in vendors}
    down = FakeUpstream(fake.failing(), fake.models())
    tiny = ("--tiny", str(folder / "tiny.gguf"), "--context-tokens", str(CONTEXT_TOKENS), "--embeddings")
    with in_thread(*upstreams.values(), down), llama_cpp(folder / "llama.log", *tiny) as (_, llama):
        backends: list[dict[str, Any]] = [
            {"name": "llama", "url": f"{llama}/v1", "model": "tiny", "tasks": ["chat", "completions", "embeddings"]},
            {"name": "down", "url": down.url, "model": "down", "breaker": {"failures": 64, "window": 64}},
        ]
        backends += [
            {
                "name": v.name,
                "url": f"http://127.0.0.1:{upstreams[v.name].port}{v.base}",
                "model": f"{v.name}-model",
                "tasks": v.tasks,
                **v.settings,
            }
            for v in vendors
        ]
        config = folder / "router.json"
        keys = [{"name": "tests", "env": "KEY_OF_THE_TESTS"}]
        config.write_text(json.dumps({"backends": backends, "keys": keys, "retries": {"rounds": 0}}))
        secrets = {**environ({n: u.port for n, u in upstreams.items()}), "KEY_OF_THE_TESTS": KEY}
        with running(config, secrets) as (_, url, log):
            yield Stage(url, vendors)
            assert "unexpected" not in "".join(log), "".join(log)
