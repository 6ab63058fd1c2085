"""Another configuration while the router serves: on SIGHUP, and when its file changes."""

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from slipway_router.config import Config, ConfigError
from slipway_router.loops import NOWHERE, At
from slipway_router.router import Router

POLL_SECONDS = 1.0
"""How often the file is looked at. Notifications of the file system do not reach every mount."""

logger = logging.getLogger("slipway_router")


class Reloader:
    """Keeps a router to its file. A configuration with faults is told in the log, and the one before stays."""

    def __init__(self, router: Router, path: Path, environ: Mapping[str, str], at: At = NOWHERE) -> None:
        """
        Args:
            router: What to keep.
            path: Its configuration.
            environ: Where the keys are. A process does not see changes to its environment: a new key needs a restart.
            at: Where the router listens, as far as that is not for the file to say.
        """
        self._router = router
        self._path = path
        self._environ = environ
        self._at = at
        self._busy = asyncio.Lock()

    async def reload(self) -> bool:
        """Read the file and go by it. Says whether that was done."""
        async with self._busy:
            router, source = self._router, str(self._path)
            try:
                config = await asyncio.to_thread(Config.load, self._path, self._at)
                if router.draining_since is not None:
                    return False
                if config == router.config:
                    router.metrics.reloaded("unchanged")
                    logger.info("%s is unchanged", source)
                    return True
                before = router.config
                router.reload(config, self._environ, source)
            except ConfigError as error:
                router.metrics.reloaded("refused")
                logger.error("the configuration stays as it was: %s", error)
                return False
            router.metrics.reloaded("done")
            logger.info("reloaded %s, backends: %s", source, ", ".join(router.targets))
            for setting, was, now in _fixed(before, config):
                if was != now:
                    logger.warning("'%s' has changed, which needs a restart", setting)
            return True

    async def watch(self) -> None:
        """Reload when the file has changed, until cancelled.

        A change counts once the file has stayed the same for a poll: one that is just being written may be cut in half and still
        be YAML. A Kubernetes ConfigMap changes by its symbolic link, which `stat` follows.
        """
        known = seen = _mark(self._path)
        while True:
            await asyncio.sleep(POLL_SECONDS)
            now = _mark(self._path)
            if now == seen and now != known and now is not None:
                known = now
                await self.reload()
            seen = now


def _fixed(before: Config, after: Config) -> list[tuple[str, object, object]]:
    """What only a restart changes."""
    return [
        ("listen", before.listen, after.listen),
        ("admin", before.admin, after.admin),
        ("cache", before.cache, after.cache),
        ("jwt", before.jwt, after.jwt),
        ("redis", before.redis, after.redis),
        ("telemetry.logs", before.telemetry.logs, after.telemetry.logs),
        ("telemetry.otel", before.telemetry.otel, after.telemetry.otel),
    ]


def _mark(path: Path) -> tuple[int, int, int] | None:
    """What changes when the file does; None while there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
