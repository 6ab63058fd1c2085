"""The router on a free port of this process, for tests that talk HTTP to it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from tests.app.documented import documented
from tests.app.fake_upstream import Behaviour, FakeUpstream, models, whole

from slipway_router.config import Config
from slipway_router.proxy import Proxy
from slipway_router.router import Router
from slipway_router.server import http_server, listen
from slipway_router.telemetry.start import recorder
from slipway_router.web import LazyWeb

CHAT = {"model": "auto", "messages": [{"role": "user", "content": "hello"}]}


@dataclass
class Served:
    router: Router
    proxy: Proxy
    port: int
    client: httpx.AsyncClient

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def chat(self, headers: Mapping[str, str] | None = None, **fields: Any) -> httpx.Response:
        return await self.client.post("/v1/chat/completions", json={**CHAT, **fields}, headers=headers)


def upstream(behaviour: Behaviour | None = None, **more: Any) -> FakeUpstream:
    return FakeUpstream(behaviour or whole(), models(), **more)


def backend(at: FakeUpstream | str, name: str = "one", **more: Any) -> dict[str, Any]:
    return {"name": name, "url": at if isinstance(at, str) else at.url, "model": "mock", "self_hosted": True, **more}


@asynccontextmanager
async def serving(
    *backends: dict[str, Any], environ: Mapping[str, str] | None = None, **settings: Any
) -> AsyncGenerator[Served, None]:
    """Serve these backends as the process does, without probes and signals."""
    config = Config.parse({"backends": list(backends), **settings})
    router = Router(config, environ or {})
    router.tell(recorder(config.telemetry, environ or {}, router.metrics.untold, router.metrics.unsent))
    proxy = Proxy(router, LazyWeb(router))
    listener = listen("127.0.0.1", 0)
    port = listener.getsockname()[1]
    server = http_server(proxy)
    running = asyncio.create_task(server.serve(sockets=[listener]))
    beside = [asyncio.create_task(work) for work in router.works()]
    try:
        hooks: Any = {"response": [documented]}
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20, event_hooks=hooks) as client:
            yield Served(router, proxy, port, client)
    finally:
        proxy.stop()
        server.should_exit = True
        await running
        if router.recorder is not None:
            await asyncio.to_thread(router.recorder.close)
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
        router.close()
