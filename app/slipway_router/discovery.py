"""Finds the replicas of backends that are told by a name, in the background: no request waits for DNS."""

import asyncio
import logging
import random
import socket

from slipway_router.fleet import Fleet
from slipway_router.replica_settings import Address
from slipway_router.router import Router

JITTER = 0.1
"""Share by which the time between lookups varies either way, so that replicas of the router do not ask in step."""
_NOBODY = frozenset({socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)})

logger = logging.getLogger("slipway_router")


async def discover_all(router: Router) -> None:
    """Look names up until cancelled, also those that a new configuration brings."""
    looking: dict[Fleet, asyncio.Task[None]] = {}
    try:
        while True:
            changed = router.changed
            there = {t.fleet for t in router.targets.values() if t.fleet is not None and t.fleet.look_up is not None}
            for fleet in looking.keys() - there:
                looking.pop(fleet).cancel()
            for fleet in there - looking.keys():
                looking[fleet] = asyncio.create_task(_keep_looking(router, fleet))
            await changed.wait()
    finally:
        for task in looking.values():
            task.cancel()
        await asyncio.gather(*looking.values(), return_exceptions=True)


async def _keep_looking(router: Router, fleet: Fleet) -> None:
    while True:
        if await look_up(fleet):
            router.tell_changed()
        period = fleet.settings.refresh_seconds * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 -- no secret depends on it
        await asyncio.sleep(period)


async def look_up(fleet: Fleet) -> bool:
    """Look a backend's name up once. Says whether its replicas are others than before.

    A name that has no address says that there is no replica; a resolver that fails says nothing, and the replicas stay.
    """
    name = fleet.look_up
    assert name is not None
    try:
        found = await asyncio.get_running_loop().getaddrinfo(name.host, name.port, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        if error.errno not in _NOBODY:
            logger.warning("backend %s: %s could not be looked up: %s", fleet.owner.name, name.host, error.strerror)
            return False
        found = []
    except (OSError, UnicodeError):
        logger.warning("backend %s: %s could not be looked up", fleet.owner.name, name.host)
        return False
    return fleet.use({Address(str(at[0]), int(at[1])) for *_, at in found})
