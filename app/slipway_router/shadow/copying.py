"""A request that is copied: its answer is kept on its way to the client, and the candidate is asked once the client has it all.

The copy is a task of its own, not begun while the client waits: nothing that the candidate does can reach the client's answer.
"""

import asyncio
import logging
from collections.abc import Sequence
from time import perf_counter

from slipway_router.alive import check_whole
from slipway_router.answer import UpstreamError
from slipway_router.asgi import Header, Message, Send
from slipway_router.attempts import Attempts
from slipway_router.providers.sse import Events
from slipway_router.refusal import unexpected_at
from slipway_router.request import Asked
from slipway_router.router import Router
from slipway_router.shadow.compare import compare, wants_json
from slipway_router.shadow.drawing import ShadowAtWork
from slipway_router.shadow.reading import Reading, read
from slipway_router.shadow.sample import append, sample

MOST_BYTES = 4 * 1024 * 1024
"""Largest answer that is kept: a stream of some 15,000 tokens."""
PAUSE_SECONDS = 0.02
"""Before a copy begins. Who comes late out of it knows that the router is busy."""
LATE_SECONDS = 0.05
"""How late that is. A loop that is so far behind has no time for copies."""

logger = logging.getLogger("slipway_router")


class Copying:
    """One request, its answer, its copies."""

    __slots__ = (
        "_arrived",
        "_asked",
        "_first",
        "_headers",
        "_hops",
        "_kept",
        "_parts",
        "_request_id",
        "_router",
        "_send",
        "_shadows",
        "_size",
        "_status",
    )

    def __init__(
        self, router: Router, shadows: Sequence[ShadowAtWork], asked: Asked, request_id: bytes, hops: bytes, send: Send
    ) -> None:
        """
        Args:
            router: Whose request it is.
            shadows: What copies it; each holds a place, which is taken back in the end.
            asked: The request.
            request_id: The candidate gets the same.
            hops: Header line that counts the routers it came through. A copy is no part of the client's trace, but can go round.
            send: Where the client's answer goes.
        """
        self._router = router
        self._shadows = shadows
        self._asked = asked
        self._request_id = request_id
        self._hops = hops
        self._send = send
        self._arrived = perf_counter()
        self._status = 0
        self._headers: list[Header] = []
        self._parts: list[bytes] = []
        self._size = 0
        self._first = 0.0
        self._kept: Reading | None = None
        """Status and times of what the client got, once that is whole."""

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer, and keep it."""
        if message["type"] == "http.response.start":
            self._status, self._headers = message["status"], message["headers"]
        else:
            body: bytes = message.get("body", b"")
            if body:
                self._first = self._first or perf_counter()
                self._size += len(body)
                if self._size <= MOST_BYTES:
                    self._parts.append(body)
            # What ends with an error event of ours broke off.
            if not message.get("more_body", False) and not body.startswith(b'data: {"error"'):
                now = perf_counter()
                first = (self._first or now) - self._arrived
                self._kept = Reading(self._status, first_seconds=first, seconds=now - self._arrived)
        await self._send(message)

    def over(self, copies: set[asyncio.Task[None]]) -> None:
        """The client's request is over: begin the copies, where there is something to compare them with.

        Args:
            copies: Where their tasks are kept until they are done.
        """
        kept = self._kept if self._size <= MOST_BYTES else None
        for shadow in self._shadows:
            if kept is None:
                shadow.in_flight -= 1
                shadow.came_to("unanswered")
                continue
            answered = Reading(kept.status, first_seconds=kept.first_seconds, seconds=kept.seconds)
            task = asyncio.create_task(self._copy(shadow, answered))
            copies.add(task)
            task.add_done_callback(copies.discard)

    async def _copy(self, shadow: ShadowAtWork, answered: Reading) -> None:
        try:
            loop = asyncio.get_running_loop()
            due = loop.time() + PAUSE_SECONDS
            await asyncio.sleep(PAUSE_SECONDS)
            if self._router.draining_since is not None:
                shadow.came_to("draining")
            elif loop.time() - due > LATE_SECONDS:
                shadow.came_to("busy")
            else:
                await self._ask_and_compare(shadow, answered)
        except asyncio.CancelledError:
            shadow.came_to("draining")
            raise
        except Exception as error:  # noqa: BLE001 -- the last line: a fault of a copy must stay its own
            shadow.came_to("failed")
            logger.error("shadow %s: %s", shadow.name, unexpected_at(error))
        finally:
            shadow.in_flight -= 1

    async def _ask_and_compare(self, shadow: ShadowAtWork, answered: Reading) -> None:
        asked = self._asked
        target = shadow.target
        if self._router.targets.get(target.name) is not target:
            shadow.came_to("draining")
            return
        attempts = Attempts(
            self._router,
            asked,
            [target.name],
            tier="free",
            request_id=self._request_id,
            tracing=self._hops,
            started=asyncio.get_running_loop().time(),
            loop=asyncio.get_running_loop(),
        )
        try:
            candidate = await _ask(attempts, shadow.settings.deadline_seconds)
        except UpstreamError as error:
            if attempts.made:
                shadow.metrics.failed(shadow.name, error.cause)
                await self._tell(shadow, answered, None)
            else:
                shadow.came_to("resting")
            return
        finally:
            attempts.over()
        await self._tell(shadow, answered, candidate)

    async def _tell(self, shadow: ShadowAtWork, answered: Reading, candidate: Reading | None) -> None:
        """Count what came of it, and write it down."""
        asked, samples = self._asked, shadow.settings.samples
        await read(self._parts, self._headers, answered)
        found = None
        if candidate is not None:
            found = compare(answered, candidate, json_asked=wants_json(asked.fields))
            shadow.metrics.compared(shadow.name, answered, candidate, found, stream=asked.stream)
        if samples is None:
            return
        told = sample(shadow.name, self._request_id.decode(), asked, answered, candidate, found, text=samples.text)
        why = await asyncio.to_thread(append, samples, told)
        if why is not None and not shadow.told_of_file:
            shadow.told_of_file = True
            logger.warning("shadow %s: %s takes no more samples: %s", shadow.name, samples.file, why)


async def _ask(attempts: Attempts, deadline_seconds: float) -> Reading:
    """The candidate's answer.

    Raises:
        UpstreamError: it gave none, or was not asked.
    """
    [target] = attempts.order
    attempt = attempts.enter(target)
    if attempt is None:
        raise attempts.failures[target]
    reading = Reading()
    try:
        async with asyncio.timeout(deadline_seconds):
            await attempts.open(attempt)
            answer = attempt.got
            reading.status = answer.status
            reading.first_seconds = perf_counter() - attempt.began
            if answer.status < 400:
                attempt.at.succeeded(reading.first_seconds * 1000, answer, attempt.admitted)
                attempt.good = True
            if attempt.chunk:
                events, chunk, size = Events(), attempt.chunk, 0
                while chunk:
                    size += len(chunk)
                    if size > MOST_BYTES:
                        raise _too_large()
                    for event in events.feed(chunk):
                        reading.take(event)
                    chunk = await answer.read()
            else:
                body = await answer.read_up_to(MOST_BYTES)
                if len(body) > MOST_BYTES:
                    raise _too_large()
                if answer.status < 300:
                    check_whole(body, cut=False)
                reading.take(body)
                reading.first_seconds = perf_counter() - attempt.began
            reading.seconds = perf_counter() - attempt.began
    except TimeoutError:
        error = UpstreamError("timeout", f"was not done within {deadline_seconds:g} s")
        attempts.failed(attempt, error)
        raise error from None
    except UpstreamError as error:
        attempts.failed(attempt, error)
        raise
    finally:
        attempt.leave()
    return reading


def _too_large() -> UpstreamError:
    return UpstreamError("protocol", f"answered with more than {MOST_BYTES // (1024 * 1024)} MiB")
