"""`slipway-router key`: create, list and revoke the keys that clients send."""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml

from slipway_router.commands.table import table
from slipway_router.config import Config, ConfigError
from slipway_router.schema import Tier
from slipway_router.tenancy.redis_link import connected, redis_errors
from slipway_router.tenancy.settings import Key, model_faults
from slipway_router.tenancy.store import KeyStore, KeyTakenError, made

REFUSED = 1
WRONG = 2
UNREACHABLE = 3
PATIENCE_SECONDS = 5

T = TypeVar("T")


def main(arguments: Sequence[str]) -> int:
    """Do it. See the exit codes of the parser."""
    asked = _parser().parse_args(arguments)
    commands: dict[str, Callable[[argparse.Namespace, Config], int]] = {"create": _create, "list": _list, "revoke": _revoke}
    try:
        return commands[asked.command](asked, Config.load(Path(asked.config)))
    except ConfigError as error:
        return _told(str(error), WRONG)


def _create(asked: argparse.Namespace, config: Config) -> int:
    name: str = asked.name
    grant = {
        "tier": asked.tier,
        "models": asked.model or None,
        "requests_per_minute": asked.requests_per_minute,
        "tokens_per_minute": asked.tokens_per_minute,
        "monthly_budget": asked.monthly_budget,
        "cache_seconds": asked.cache_seconds,
    }
    faults = model_faults("", grant, config.models)
    if faults:
        return _told("; ".join(f"--model {reason}" for _, reason in faults), WRONG)
    if name in {k.name for k in config.keys}:
        return _told(f"{asked.config} has a key named '{name}'; take another name, or revoke it first", REFUSED)
    try:
        if config.redis is not None and config.redis.keys:
            key, entry = _in_redis(config, lambda store: store.create(name, **grant))
            entry, kept = entry.key, True
        else:
            (key, entry), kept = made(name, **grant), False
    except ValueError as error:
        return _told(str(error), WRONG)
    except KeyTakenError:
        return _told(f"there is a key named '{name}' in Redis; take another name, or revoke it first", REFUSED)
    except _UnreachableError as error:
        return _told(f"Redis cannot be asked: {error}", UNREACHABLE)
    told = _shown(entry)
    if asked.json:
        # The one time that it is shown: nothing keeps it.
        sys.stdout.write(json.dumps({"key": key, "entry": told, "kept": "redis" if kept else None}, indent=2) + "\n")
        return 0
    sys.stdout.write(f"{key}\n")
    if kept:
        sys.stderr.write(f"'{name}' may ask now, on every router. The key is not kept anywhere and will not be shown again.\n")
    else:
        sys.stderr.write("The key is not kept anywhere and will not be shown again. Add its entry to 'keys':\n\n")
        sys.stderr.write(yaml.safe_dump([told], sort_keys=False))
    return 0


def _list(asked: argparse.Namespace, config: Config) -> int:
    rows: list[dict[str, Any]] = [{**_shown(k), "kept": "configuration", "revoked": False} for k in config.keys]
    if config.redis is not None and config.redis.keys:
        try:
            stored, revoked = _in_redis(config, _all)
        except _UnreachableError as error:
            return _told(f"Redis cannot be asked: {error}", UNREACHABLE)
        rows = [{**row, "revoked": row["name"] in revoked} for row in rows]
        rows += [{**_shown(s.key), "kept": "redis", "created": s.created, "revoked": False} for s in stored]
    for row in rows:
        for secret in ("hash", "sha256"):
            row.pop(secret, None)
    if asked.json:
        sys.stdout.write(json.dumps({"keys": rows}, indent=2) + "\n")
        return 0
    head = ("name", "tier", "models", "requests/min", "tokens/min", "budget/month", "kept in", "")
    cells: list[list[str]] = [
        [
            row["name"],
            row["tier"],
            ", ".join(row.get("models") or ["any"]),
            *(str(row[f]["limit"]) if f in row else "-" for f in ("requests_per_minute", "tokens_per_minute")),
            f"${row['monthly_budget']['dollars']}" if "monthly_budget" in row else "-",
            row["kept"],
            "revoked" if row["revoked"] else "",
        ]
        for row in rows
    ]
    sys.stdout.write(table(head, cells, right=(3, 4, 5)))
    return 0


async def _all(store: KeyStore) -> tuple[Any, frozenset[str]]:
    return await store.list(), await store.revoked()


def _revoke(asked: argparse.Namespace, config: Config) -> int:
    name: str = asked.name
    configured = [k.name for k in config.keys]
    if config.redis is None or not config.redis.keys:
        where = f"take it out of 'keys' of {asked.config}" if name in configured else "there is none of this name"
        return _told(f"no keys are kept in Redis here ('redis.keys'), so '{name}' cannot be revoked from here: {where}", REFUSED)
    try:
        there = _in_redis(config, lambda store: store.revoke(name, configured))
    except _UnreachableError as error:
        return _told(f"Redis cannot be asked: {error}", UNREACHABLE)
    if asked.json:
        sys.stdout.write(json.dumps({"name": name, "revoked": there}) + "\n")
    elif there:
        sys.stdout.write(f"'{name}' is refused by every router within a second\n")
    if not there and not asked.json:
        _told(f"there is no key named '{name}'; 'slipway-router key list' names them", REFUSED)
    return 0 if there else REFUSED


class _UnreachableError(Exception):
    """Redis does not answer."""


def _in_redis(config: Config, work: Callable[[KeyStore], Awaitable[T]]) -> T:
    settings = config.redis
    assert settings is not None
    if settings.password_env and not os.environ.get(settings.password_env):
        fault = f"names the environment variable {settings.password_env}, which is not set; set it to the password"
        raise ConfigError([("redis.password_env", fault)])

    async def run() -> T:
        client = connected(settings, os.environ)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                return await work(KeyStore(client, settings))
        except (OSError, TimeoutError, *redis_errors()) as error:
            raise _UnreachableError(" ".join(str(error).split()) or "no answer in time") from None
        finally:
            await client.aclose()

    return asyncio.run(run())


def _shown(key: Key) -> dict[str, Any]:
    """An entry as it stands in a configuration, without what is as by default."""
    return {"name": key.name, "tier": key.tier, **key.model_dump(mode="json", exclude_none=True, exclude={"name", "tier"})}


def _told(what: str, code: int) -> int:
    sys.stderr.write(f"slipway-router: {what}\n")
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipway-router key",
        description="Create, list and revoke the keys that clients send. With 'redis.keys' in the configuration they are kept in"
        " Redis and every router goes by a change within a second; without, 'create' prints the entry for 'keys'.",
        epilog="Exit codes: 0 done, 1 there is such a key already, or none to revoke, 2 wrong arguments or configuration,"
        " 3 Redis cannot be asked.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="create|list|revoke")
    create = commands.add_parser("create", help="make a key and print it, once", description="Make a key and print it, once.")
    create.add_argument("--tier", choices=get_args(Tier), default="free", help="user tier of its requests (default free)")
    create.add_argument("--model", action="append", metavar="NAME", help="a model it may ask for; several times; default any")
    for name, unit in (("requests", "requests"), ("tokens", "tokens of prompts and answers")):
        create.add_argument(f"--{name}-per-minute", type=_count, metavar="N", help=f"most {unit} in any 60 seconds")
    create.add_argument("--monthly-budget", type=_dollars, metavar="DOLLARS", help="most money in a calendar month, in UTC")
    create.add_argument("--cache-seconds", type=_count, metavar="N", help="for how long the same request gets the same answer")
    listing = commands.add_parser(
        "list", help="tell every key's name and limits", description="Tell every key's name and limits."
    )
    revoke = commands.add_parser("revoke", help="take a key no longer", description="Take a key no longer, on every router.")
    for command in (create, listing, revoke):
        command.add_argument("--config", required=True, metavar="FILE", help="the router's configuration, YAML or JSON")
        command.add_argument("--json", action="store_true", help="print JSON")
    for command in (create, revoke):
        command.add_argument("name", metavar="NAME", help="whose it is")
    return parser


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no limit; give a whole number of at least 1")
    return int(text)


def _dollars(text: str) -> str:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(0)
    if not amount.is_finite() or amount <= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no budget; give US dollars above 0, such as 25 or 12.50")
    return text
