"""Recorded prompts with their shared prefixes, against simulated replicas under four ways to choose one.

    python -m bench.prefixes TRACE [--replicas 8] [--cache-blocks 1500] [--tokens-per-second 15000] [--speedup 1]

TRACE is in Mooncake's format (Qin et al., "Mooncake", FAST 2025): JSON lines with `timestamp` (ms), `input_length`,
`output_length` (tokens) and `hash_ids` (one for each block of the prompt, equal ones being equal prefixes). Each replica
computes one prompt at a time, in the order in which they came, but for the leading blocks that are in its cache, from which the
least recently used goes first, of one prompt its end before its beginning. An answer's tokens take time, but none from other
prompts. The policies see what a router sees: a prompt's blocks and length, first tokens and ends, and the size of the caches;
no replica's cache, queue or speed. No time is measured: the same trace and options give the same result everywhere.
"""

import argparse
import heapq
import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from hashlib import blake2b
from pathlib import Path
from typing import Any, Protocol, cast

from rich.console import Console
from rich.table import Table

from slipway_router.bench.percentile import percentile
from slipway_router.bench.traffic import TraceError
from slipway_router.replicas import Assignment, Replicas

NUMBERS = ("timestamp", "input_length", "output_length")
OURS = "earliest finish (ours)"


@dataclass(frozen=True, slots=True)
class Prompt:
    """One recorded request."""

    at: float
    """Seconds."""
    tokens: int
    answer_tokens: int
    blocks: tuple[int, ...]
    """Names of its blocks, the last of which need not be full."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The simulated replicas, all alike."""

    replicas: int = 8
    cache_blocks: int = 1500
    """Blocks that fit into the prefix cache of each."""
    block_tokens: int = 512
    tokens_per_second: float = 15_000.0
    """Prompt tokens that each computes in a second."""
    answer_tokens_per_second: float = 50.0
    """Of each answer."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a policy came to."""

    policy: str
    cached_share: float
    """Share of all prompts' tokens that were in the cache of the replica chosen."""
    first_token: tuple[float, ...]
    """Seconds from a request's arrival to its first token, of each request."""


class Policy(Protocol):
    """Chooses a replica for each prompt, and hears of the first token and the end of each answer."""

    def choose(self, number: int, prompt: Prompt) -> int: ...
    def first_token(self, number: int) -> None: ...
    def end(self, number: int) -> None: ...


class RoundRobin:
    """Each in turn."""

    def __init__(self, fleet: Fleet) -> None:
        self._replicas = fleet.replicas

    def choose(self, number: int, prompt: Prompt) -> int:  # noqa: ARG002 -- every policy is called alike
        return number % self._replicas

    def first_token(self, number: int) -> None: ...
    def end(self, number: int) -> None: ...


class LeastLoaded:
    """Fewest requests that wait for their first token, then fewest under way, then the one not asked for longest."""

    def __init__(self, fleet: Fleet) -> None:
        self._loads = [[0, 0, 0] for _ in range(fleet.replicas)]
        self._chosen: dict[int, int] = {}

    def choose(self, number: int, prompt: Prompt) -> int:  # noqa: ARG002
        chosen = min(range(len(self._loads)), key=self._loads.__getitem__)
        load = self._loads[chosen]
        load[:] = load[0] + 1, load[1] + 1, number
        self._chosen[number] = chosen
        return chosen

    def first_token(self, number: int) -> None:
        self._loads[self._chosen[number]][0] -= 1

    def end(self, number: int) -> None:
        self._loads[self._chosen.pop(number)][1] -= 1


class FirstBlocks(RoundRobin):
    """By a hash of the prompt's first blocks: equal beginnings always go to the same replica."""

    def __init__(self, fleet: Fleet, blocks: int) -> None:
        super().__init__(fleet)
        self._blocks = blocks

    def choose(self, number: int, prompt: Prompt) -> int:  # noqa: ARG002
        text = repr(prompt.blocks[: self._blocks]).encode()
        return int.from_bytes(blake2b(text, digest_size=8).digest()) % self._replicas


class EarliestFinish:
    """The router's own, which has to measure the replicas' speed."""

    def __init__(self, fleet: Fleet, clock: Callable[[], float]) -> None:
        self._replicas = Replicas(fleet.block_tokens, clock=clock)
        for replica in range(fleet.replicas):
            self._replicas.join(str(replica), fleet.cache_blocks)
        self._under_way: dict[int, Assignment] = {}

    def choose(self, number: int, prompt: Prompt) -> int:
        assignment = self._replicas.choose(prompt.blocks, prompt.tokens)
        assert assignment is not None
        self._under_way[number] = assignment
        return int(assignment.replica)

    def first_token(self, number: int) -> None:
        self._under_way[number].first_token()

    def end(self, number: int) -> None:
        self._under_way.pop(number).end()


class Cache:
    """A replica's own prefix cache."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._used: OrderedDict[int, None] = OrderedDict()

    def use(self, blocks: Sequence[int]) -> int:
        """Compute a prompt: how many of its first blocks were there already. Now all are."""
        found = next((n for n, block in enumerate(blocks) if block not in self._used), len(blocks))
        for block in reversed(blocks):
            self._used[block] = None
            self._used.move_to_end(block)
        while len(self._used) > self._capacity:
            self._used.popitem(last=False)
        return found


class Simulation:
    """A fleet under a trace."""

    def __init__(self, fleet: Fleet) -> None:
        self.now = 0.0
        """Seconds."""
        self._fleet = fleet

    def run(self, name: str, policy: Policy, trace: Sequence[Prompt]) -> Result:
        """Send every prompt when it is due."""
        fleet = self._fleet
        caches = [Cache(fleet.cache_blocks) for _ in range(fleet.replicas)]
        free_at = [0.0] * fleet.replicas
        first_token: list[float] = []
        cached = 0
        coming: list[tuple[float, int, bool]] = []
        for number, prompt in enumerate(trace):
            self._hear(policy, coming, prompt.at)
            self.now = prompt.at
            chosen = policy.choose(number, prompt)
            # They are computed in the order of arrival: what is in the cache when this one begins is known already.
            found = min(prompt.tokens, caches[chosen].use(prompt.blocks) * fleet.block_tokens)
            cached += found
            done = max(prompt.at, free_at[chosen]) + (prompt.tokens - found) / fleet.tokens_per_second
            free_at[chosen] = done
            first_token.append(done - prompt.at)
            heapq.heappush(coming, (done, number, False))
            heapq.heappush(coming, (done + prompt.answer_tokens / fleet.answer_tokens_per_second, number, True))
        return Result(name, cached / sum(p.tokens for p in trace), tuple(first_token))

    def _hear(self, policy: Policy, coming: list[tuple[float, int, bool]], until: float) -> None:
        while coming and coming[0][0] <= until:
            self.now, number, over = heapq.heappop(coming)
            (policy.end if over else policy.first_token)(number)


def baselines(fleet: Fleet, hashed_blocks: int) -> dict[str, Policy]:
    """What any router can do, by what it is called."""
    return {
        "round robin": RoundRobin(fleet),
        "least loaded": LeastLoaded(fleet),
        f"hash of the first {hashed_blocks} blocks": FirstBlocks(fleet, hashed_blocks),
    }


def compare(fleet: Fleet, trace: Sequence[Prompt], hashed_blocks: int) -> list[Result]:
    """The same trace under each policy, ours last."""
    simulation = Simulation(fleet)
    policies = {**baselines(fleet, hashed_blocks), OURS: EarliestFinish(fleet, lambda: simulation.now)}
    return [simulation.run(name, policy, trace) for name, policy in policies.items()]


def read_prompts(path: Path) -> list[Prompt]:
    """Read a trace in Mooncake's format.

    Raises:
        TraceError: it cannot be read, has no requests, or has a line that is no request.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise TraceError(f"{path} cannot be read: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError as error:
        raise TraceError(f"{path} is no text: {error}") from None
    read = [_prompt(line, f"{path}, line {n}") for n, line in enumerate(lines, 1) if line.strip()]
    if not read:
        raise TraceError(f"{path} has no requests")
    return sorted(read, key=lambda p: p.at)


def _prompt(line: str, where: str) -> Prompt:
    try:
        given: Any = json.loads(line)
    except ValueError:
        given = None
    if not isinstance(given, dict):
        raise TraceError(f"{where}: is no JSON object")
    fields = cast("dict[str, Any]", given)
    for name in NUMBERS:
        least = 1 if name == "input_length" else 0
        if not _whole(fields.get(name), least):
            raise TraceError(f"{where}: {name} is {fields.get(name)!r}; give a whole number of {least} or more")
    blocks: Any = fields.get("hash_ids")
    if not isinstance(blocks, list) or not all(_whole(b, 0) for b in cast("list[Any]", blocks)):
        raise TraceError(f"{where}: hash_ids is no list of whole numbers")
    names = cast("list[int]", blocks)
    return Prompt(fields["timestamp"] / 1000, fields["input_length"], fields["output_length"], tuple(names))


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def summary(results: Sequence[Result], **options: Any) -> dict[str, Any]:
    """Shares, and percentiles in seconds."""
    rows = [
        {
            "policy": r.policy,
            "cached_share": round(r.cached_share, 4),
            "first_token_p50_s": round(percentile(r.first_token, 0.5), 4),
            "first_token_p95_s": round(percentile(r.first_token, 0.95), 4),
        }
        for r in results
    ]
    return {**options, "requests": len(results[0].first_token), "policies": rows}


def table(told: dict[str, Any]) -> Table:
    shown = Table(
        "policy",
        "cached share",
        "p50, s",
        "p95, s",
        title=f"{told['requests']} requests, time to first token",
        caption=f"{told['replicas']} replicas, {told['cache_blocks']} blocks of {told['block_tokens']} tokens cached at each, "
        f"{told['tokens_per_second']:g} tokens/s, arrivals {told['speedup']:g} times as fast; in brackets: beside the last",
    )
    last = told["policies"][-1]
    for row in told["policies"]:
        cells = (_beside(row[n], last[n]) for n in ("cached_share", "first_token_p50_s", "first_token_p95_s"))
        shown.add_row(row["policy"], *cells)
    return shown


def _beside(value: float, last: float) -> str:
    return f"{value:,.3f} ({value / last:.2f})" if last else f"{value:,.3f}"


def add_options(parser: argparse.ArgumentParser) -> None:
    """What a replay is told."""
    usual = Fleet()
    parser.add_argument("trace", type=Path, help="JSON lines in Mooncake's format")
    for option, default, kind, told in (
        ("replicas", usual.replicas, int, "replicas"),
        ("cache-blocks", usual.cache_blocks, int, "blocks in the prefix cache of each"),
        ("block-tokens", usual.block_tokens, int, "tokens of a block"),
        ("tokens-per-second", usual.tokens_per_second, float, "prompt tokens that each computes in a second"),
        ("answer-tokens-per-second", usual.answer_tokens_per_second, float, "tokens of an answer that come in a second"),
        ("hashed-blocks", 2, int, "blocks that the policy by hash looks at"),
        ("speedup", 1.0, float, "how much faster than recorded requests arrive"),
    ):
        parser.add_argument(f"--{option}", type=kind, default=default, help=f"{told} (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")


def read_options(parser: argparse.ArgumentParser, asked: dict[str, Any]) -> tuple[Fleet, list[Prompt]]:
    """The fleet and the prompts that are asked for. What is wrong ends the program."""
    numbers = [n for n, value in asked.items() if isinstance(value, int | float) and n != "json"]
    faults = [f"--{n.replace('_', '-')} is {asked[n]}; give more than 0" for n in numbers if not asked[n] > 0]
    if faults:
        parser.error("; ".join(faults))
    try:
        trace = read_prompts(asked["trace"])
    except TraceError as error:
        parser.exit(2, f"{(parser.prog or '').removeprefix('python -m ')}: {error}\n")
    fleet = Fleet(**{f.name: asked[f.name] for f in fields(Fleet)})
    return fleet, [Prompt(p.at / asked["speedup"], p.tokens, p.answer_tokens, p.blocks) for p in trace]


def show(results: Sequence[Result], asked: dict[str, Any]) -> None:
    """Print what came out, as asked."""
    told = summary(results, **{n: str(v) if n == "trace" else v for n, v in asked.items() if n != "json"})
    if asked["json"]:
        print(json.dumps(told, indent=2))
    else:
        Console().print(table(told))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m bench.prefixes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    asked = vars(parser.parse_args(arguments))
    fleet, trace = read_options(parser, asked)
    show(compare(fleet, trace, asked["hashed_blocks"]), asked)


if __name__ == "__main__":
    main()
