"""The replicas of one backend at work: which there are, which of them a request is sent to, what all of them come to together."""

import logging
from collections.abc import Collection, Iterable
from typing import NamedTuple
from urllib.parse import urlsplit

from slipway_router.answer import Answer, UpstreamError
from slipway_router.asgi import Header
from slipway_router.breaker import ORDINARY, REFUSED, Breaker
from slipway_router.outliers import Outliers
from slipway_router.prompt import Prompt
from slipway_router.replica import Assignment
from slipway_router.replica_settings import MOST_REPLICAS, Address, ReplicaSettings
from slipway_router.replicas import Replicas, Weighed
from slipway_router.request import CHARACTERS_PER_TOKEN
from slipway_router.retry import Cooldown
from slipway_router.target import NO_FAULT, Target

logger = logging.getLogger("slipway_router")


class Member(Target):
    """One replica: asked like a backend of its own, with connections, status and breaker of its own.

    It is known outside by its number, the lowest that was free when it joined: addresses are nobody's business, and for metrics
    there are only so many numbers.
    """

    def __init__(self, fleet: "Fleet", address: Address, number: int) -> None:
        """
        Args:
            fleet: What it is part of.
            address: Where it is.
            number: See above.
        """
        owner = fleet.owner
        # Whether the backend scales to zero is nothing that one replica could tell.
        backend = owner.backend.model_copy(update={"min_replicas": None})
        super().__init__(backend, owner.key, owner.status.quota if backend.quota else None, at=address)
        self.name = f"{owner.name} (replica {number})"
        self.number = number
        self.address = address
        self.key_of = str(address)
        self.provider = owner.provider
        self.metrics = owner.metrics
        self.headers: list[Header] = [*owner.headers, (b"x-slipway-replica", b"%d" % number)]
        self.answered = self.broke = 0
        self._fleet = fleet

    def succeeded(self, latency_ms: float | None, answer: Answer, admitted: int | None = None) -> None:
        """See `Target.succeeded`."""
        super().succeeded(latency_ms, answer, admitted)
        if admitted is not None:
            self.answered += 1
        self._fleet.succeeded(self, latency_ms, request=admitted is not None)

    def failed(self, error: UpstreamError, admitted: int | None = ORDINARY) -> None:
        """See `Target.failed`."""
        super().failed(error, admitted)
        self.broke += 1
        self._fleet.failed(self, error)

    def probed(self, error: UpstreamError | None, answer: Answer | None, admitted: int | None = None) -> None:
        """See `Target.probed`."""
        super().probed(error, answer, admitted)
        self._fleet.tell()
        if error is not None and error.absent and not self._fleet.owner.status.reachable:
            self._fleet.owner.excused()

    def sample_cost(self) -> None:
        """See `Target.sample_cost`; what replicas cost and answer is the backend's."""
        self._fleet.owner.sample_cost()


class Placed(NamedTuple):
    """A request, its replica and the leave of that one's breaker."""

    member: Member
    assignment: Assignment
    admitted: int


class Fleet:
    """The replicas of a backend. While none is known requests go to the backend's own address."""

    def __init__(self, owner: Target, settings: ReplicaSettings) -> None:
        """
        Args:
            owner: The backend, whose status shows what its replicas come to.
            settings: What the configuration says.
        """
        self.owner = owner
        self.settings = settings
        self.members: dict[str, Member] = {}
        """By address."""
        url = urlsplit(owner.backend.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        self.look_up = settings.name_to_look_up(url.hostname or "", port)
        """What is to be looked up for them; None where their addresses are given."""
        self.most_bytes = settings.kv_tokens * CHARACTERS_PER_TOKEN
        """How much of a prompt one replica can have cached at most."""
        self._block_bytes = settings.block_tokens * CHARACTERS_PER_TOKEN
        per_token = 1 / settings.tokens_per_second if settings.tokens_per_second else None
        self._known = Replicas(settings.block_tokens, seconds_per_token=per_token)
        self._outliers = Outliers(settings.outliers)
        self.computed_tokens = self.cached_tokens = 0.0
        """Prompt tokens sent, by whether they were believed to be cached."""
        owner.status.breaker = owner.breaker = _AnyBreaker(self)
        owner.status.cooldown = _AnyCooldown(self)
        self.use(settings.fixed(port))

    def use(self, addresses: Iterable[Address]) -> bool:
        """These are the replicas now. Says whether they are others than before.

        One that is gone keeps what it has under way, and takes with it what was known of its cache.
        """
        named = {str(a): a for a in sorted(addresses)[:MOST_REPLICAS]}
        gone = [m for n, m in self.members.items() if n not in named]
        new = [a for n, a in named.items() if n not in self.members]
        for member in gone:
            del self.members[member.key_of]
            self._known.leave(member.key_of)
            self._outliers.leave(member.key_of)
            member.pool.retire()
            logger.info("backend %s has left (%s)", member.name, member.address)
        for address in new:
            taken = {m.number for m in self.members.values()}
            member = Member(self, address, next(n for n in range(MOST_REPLICAS) if n not in taken))
            self.members[member.key_of] = member
            self._join(member)
            logger.info("backend %s has joined (%s)", member.name, member.address)
        self.owner.status.replicas = max(1, len(self.members))
        if gone or new:
            self.owner.status.replicas = max(1, len(self.members))
            self.tell()
        return bool(gone or new)

    def place(self, prompt: Prompt, tried: Collection[Member], *, observed: bool, early: bool) -> Placed | None:
        """Send a request to a replica that may be asked: the one that is expected to be done first.

        Args:
            prompt: The request's.
            tried: Replicas that it was sent to already.
            observed: Whether its first token will be told.
            early: Whether one whose breaker is open may be asked too, since nothing else is left.

        Returns:
            None where none may be asked.
        """
        willing = self.willing(tried)
        admitted = REFUSED
        if not willing and early:
            for member in self.members.values():
                if member not in tried and member.status.cooldown.over:
                    admitted = member.breaker.admit(early=True)
                    if admitted:
                        willing = [member]
                        break
        if not willing:
            return None
        among = None if len(willing) == len(self.members) else {m.key_of for m in willing}
        blocks = prompt.blocks(self._block_bytes) if len(self.members) > 1 else ()
        assignment = self._known.choose(blocks, prompt.tokens, among, observed=observed)
        assert assignment is not None
        member = self.members[assignment.replica]
        self.computed_tokens += assignment.computed_tokens
        self.cached_tokens += assignment.tokens - assignment.computed_tokens
        return Placed(member, assignment, admitted or member.breaker.admit())

    def willing(self, tried: Collection[Member] = ()) -> list[Member]:
        """Who may be asked: neither left out nor at its limit, if there is such a one."""
        free = [m for m in self.members.values() if m.breaker.willing and m.status.cooldown.over and not (tried and m in tried)]
        ejecting = self._outliers.ejecting
        return [m for m in free if not (m.status.set_aside_now or (ejecting and self.ejected_seconds(m)))] or free

    def ejected_seconds(self, member: Member) -> float:
        """For how long a replica is left out because it does worse than the others."""
        return self._outliers.ejected_seconds(member.key_of)

    def weigh(self, prompt: Prompt) -> list[tuple[Member, Weighed]]:
        """What the choice of a replica would go by, the one that would be chosen first. Nothing is sent."""
        willing = {m.key_of: m for m in self.willing()}
        weighed = self._known.weigh(prompt.blocks(self._block_bytes), prompt.tokens, willing)
        return [(willing[w.name], w) for w in weighed]

    def held_tokens(self, member: Member) -> float:
        """Prompt tokens that a replica has under way."""
        return self._known.held(member.key_of)

    def succeeded(self, member: Member, latency_ms: float | None, *, request: bool) -> None:
        """Take in a good answer of a replica."""
        owner = self.owner
        if request:
            owner.proven = True
            seconds = None if latency_ms is None else latency_ms / 1000
            self._log(self._outliers.succeeded(member.key_of, seconds))
            if owner.peers is not None and seconds is not None:
                owner.peers.succeeded(owner.name, seconds)
        if owner.cold_start is not None:
            owner.found(owner.cold_start, request=request)
        owner.status.update(latency_ms, success=True)
        owner.reached = True
        self.tell()

    def failed(self, member: Member, error: UpstreamError) -> None:
        """Take in a failure of a replica."""
        if error.cause == "connect" and self.members.get(member.key_of) is member:
            # Nobody listens: whatever comes back there has an empty cache.
            self._join(member, again=True)
        if error.cause not in NO_FAULT:
            self._log(self._outliers.failed(member.key_of))
        self.tell()
        owner = self.owner
        excused = error.absent and not owner.status.reachable and owner.excused()
        if owner.peers is not None and not excused and error.cause not in NO_FAULT:
            owner.peers.failed(owner.name)

    def tell(self) -> None:
        """Show in the backend's status what its replicas come to."""
        members, status = self.members.values(), self.owner.status
        if not members:
            status.reachable = None
            return
        status.error_rate = sum(m.status.error_rate for m in members) / len(members)
        status.available = any(m.status.available for m in members)
        states = {m.breaker.state for m in members}
        status.breaker.state = "closed" if "closed" in states else "half_open" if "half_open" in states else "open"
        seen = [m.status.reachable for m in members if m.status.reachable is not None]
        status.reachable = any(seen) if seen else None

    def retire(self) -> None:
        """Keep no connection any more; answers under way go on to their end."""
        for member in self.members.values():
            member.pool.retire()

    def close(self) -> None:
        """Close every connection."""
        for member in self.members.values():
            member.pool.close()

    def _join(self, member: Member, *, again: bool = False) -> None:
        self._known.join(member.key_of, self.settings.capacity_blocks)
        if not again:
            self._outliers.join(member.key_of)

    def _log(self, said: str | None) -> None:
        if said is not None:
            logger.warning("backend %s: replica %s", self.owner.name, said)


class _AnyBreaker(Breaker):
    """Lets through what any replica's does; while there is none, a breaker like any other."""

    __slots__ = ("_fleet",)

    def __init__(self, fleet: Fleet) -> None:
        super().__init__(fleet.owner.backend.breaker)
        self._fleet = fleet

    @property
    def closed(self) -> bool:
        members = self._fleet.members.values()
        return any(m.breaker.closed for m in members) if members else super().closed

    @property
    def willing(self) -> bool:
        members = self._fleet.members.values()
        return any(m.breaker.willing for m in members) if members else super().willing

    @property
    def wait_seconds(self) -> float:
        members = self._fleet.members.values()
        return min(m.breaker.wait_seconds for m in members) if members else super().wait_seconds


class _AnyCooldown(Cooldown):
    """Over when that of any replica is."""

    __slots__ = ("_fleet",)

    def __init__(self, fleet: Fleet) -> None:
        super().__init__()
        self._fleet = fleet

    @property
    def over(self) -> bool:
        members = self._fleet.members.values()
        return any(m.status.cooldown.over for m in members) if members else super().over

    @property
    def wait_seconds(self) -> float:
        members = self._fleet.members.values()
        return min(m.status.cooldown.wait_seconds for m in members) if members else super().wait_seconds
