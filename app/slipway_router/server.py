"""The process: a listening socket, uvicorn, and the way out on SIGTERM."""

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any, cast

import uvicorn
import uvloop

from slipway_router.asgi import App
from slipway_router.discovery import discover_all
from slipway_router.lean import LeanProtocol
from slipway_router.probe import probe_all
from slipway_router.proxy import Proxy
from slipway_router.reload import Reloader
from slipway_router.router import Router
from slipway_router.web import LazyWeb

KEEP_ALIVE_SECONDS = 75
"""How long an idle client connection is kept: longer than clients and load balancers keep theirs, so that they close first."""
BACKLOG = 2048
TICK_SECONDS = 0.05
YOUNG_OBJECTS = 10_000
"""How many more objects than before there must be for Python to look for cycles. Its 700 are fewer than busy connections hold."""

logger = logging.getLogger("slipway_router")


def listen(host: str, port: int) -> socket.socket:
    """Bind and listen, so that a taken port is known before anything else starts.

    Raises:
        OSError: the address cannot be had.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def run(
    router: Router, listener: socket.socket, path: Path, environ: Mapping[str, str], admin: socket.socket | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, then drain. Go by the file at `path` again on SIGHUP and when it changes.

    Args:
        router: What is served.
        listener: Where clients are.
        path: Its configuration.
        environ: Where the keys are.
        admin: Where operators are, if anywhere.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(router, listener, Reloader(router, path, environ, listener.getsockname()[:2]), admin))


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to `_Drain`: uvicorn would close the listener at once, and end by raising the signal again."""
        yield


def http_server(app: App) -> uvicorn.Server:
    """uvicorn as the router runs it. It ends when its `should_exit` is set."""
    return _Server(
        uvicorn.Config(
            cast("Any", app),
            http=LeanProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nothing here asks for the client's address
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=5,
        )
    )


async def _serve(router: Router, listener: socket.socket, reloader: Reloader, admin: socket.socket | None) -> None:
    web = LazyWeb(router)
    proxy = Proxy(router, web)
    server = http_server(proxy)
    drain = _Drain(router, proxy, server)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, drain.begin)
    works = (
        *router.works(),
        discover_all(router),
        probe_all(router),
        reloader.watch(),
        _keep_reloading(loop, reloader),
        _loaded(web),
    )
    background = [asyncio.create_task(work) for work in works]
    if admin is not None:
        logger.info("admin API on %s", _shown(admin))
    logger.info("listening on %s, backends: %s", _shown(listener), ", ".join(router.targets))
    operators = http_server(LazyWeb(router, "slipway_router.admin.api")) if admin is not None else None
    serving = asyncio.create_task(operators.serve(sockets=[admin])) if operators is not None and admin is not None else None
    try:
        await server.serve(sockets=[listener])
    finally:
        if operators is not None and serving is not None:
            operators.should_exit = True
            await serving
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        router.close()
    logger.info("stopped")


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _loaded(web: LazyWeb) -> None:
    await web.load()
    # Requests leave hardly any cycles; the collector looked at all that was ever imported again and again, a tenth of all work.
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


async def _keep_reloading(loop: asyncio.AbstractEventLoop, reloader: Reloader) -> None:
    """Reload on every SIGHUP. Those that come while one is under way are one more."""
    asked = asyncio.Event()
    loop.add_signal_handler(signal.SIGHUP, asked.set)
    while True:
        await asked.wait()
        asked.clear()
        await reloader.reload()


class _Drain:
    """The way out: not ready at once, what is under way finishes, then the server ends. A second signal ends it now."""

    def __init__(self, router: Router, proxy: Proxy, server: uvicorn.Server) -> None:
        self._router = router
        self._proxy = proxy
        self._server = server
        self._task: asyncio.Task[None] | None = None
        self._deadline = 0.0

    def begin(self) -> None:
        loop = asyncio.get_running_loop()
        if self._task is not None:
            self._deadline = loop.time()
            return
        self._router.draining_since = loop.time()
        self._deadline = loop.time() + self._router.config.drain_seconds
        logger.info("draining: %d requests under way, at most %g s", len(self._proxy.watches), self._router.config.drain_seconds)
        self._proxy.drop_copies()
        self._task = loop.create_task(self._drain(loop))

    async def _drain(self, loop: asyncio.AbstractEventLoop) -> None:
        # The deadline moves with a second signal, and requests come and go: an event would have to be set from both places.
        while self._proxy.watches and loop.time() < self._deadline:  # noqa: ASYNC110 -- see above
            await asyncio.sleep(TICK_SECONDS)
        if self._proxy.watches:
            logger.warning("cutting %d requests that are still under way", len(self._proxy.watches))
            self._proxy.stop()
            await asyncio.sleep(TICK_SECONDS)
        self._server.should_exit = True
