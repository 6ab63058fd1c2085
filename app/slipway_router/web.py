"""FastAPI's part of the router, imported after the router answers already."""

import asyncio
import importlib
from collections.abc import Callable

from slipway_router.asgi import App, Receive, Scope, Send
from slipway_router.router import Router


class LazyWeb:
    """FastAPI's app, made when it is first needed or when `load` has time for it.

    Importing FastAPI takes longer than everything else at start; data path and probes do not wait for it.
    """

    def __init__(self, router: Router, module: str = "slipway_router.api") -> None:
        """
        Args:
            router: What it is made over.
            module: Whose `create` makes it.
        """
        self._router = router
        self._module = module
        self._app: App | None = None
        self._loading: asyncio.Task[App] | None = None

    async def load(self) -> App:
        """Import and build it beside the loop, once."""
        if self._loading is None:
            self._loading = asyncio.create_task(asyncio.to_thread(self._build))
        self._app = app = await asyncio.shield(self._loading)
        return app

    def _build(self) -> App:
        create: Callable[[Router], App] = importlib.import_module(self._module).create
        return create(self._router)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._app or await self.load())(scope, receive, send)
