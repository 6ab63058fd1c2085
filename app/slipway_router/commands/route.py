"""`slipway-router route`: which backends a request would go to, in which order and why. It calls nobody.

It knows the configuration, not what a running router has seen: every backend is as at start, with no latency, error or request
under way. What a router decides now, its `POST /v1/route` tells.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

from slipway_router.asgi import ApiError, Header
from slipway_router.commands.table import table
from slipway_router.config import Config, ConfigError
from slipway_router.policies import RULES_POLICY
from slipway_router.schema import Tier
from slipway_router.variables import named

REFUSED = 1
WRONG = 2
KEY_HEADERS = ("authorization", "x-api-key")


def main(arguments: Sequence[str]) -> int:
    """Explain. 0 where the request would go somewhere, 1 where the router would refuse it, 2 on wrong arguments."""
    parser = _parser()
    asked = parser.parse_args(arguments)
    try:
        raw = sys.stdin.buffer.read() if asked.body == "-" else Path(asked.body).read_bytes()
    except OSError as error:
        parser.error(f"--body: {asked.body} cannot be read: {(error.strerror or str(error)).lower()}")
    try:
        told = explained(Config.load(Path(asked.config)), asked.config, asked.header, raw, asked.tier)
    except ConfigError as error:
        sys.stderr.write(f"slipway-router: {error}\n")
        return WRONG
    except ApiError as error:
        if asked.json:
            sys.stdout.write(json.dumps({"status": error.status, **json.loads(error.body())}, indent=2) + "\n")
        else:
            sys.stderr.write(f"slipway-router: the request would be refused with {error.status}: {error.message}\n")
        return REFUSED
    sys.stdout.write(json.dumps(told, indent=2) + "\n" if asked.json else shown(told))
    return 0


def explained(config: Config, source: str, headers: Sequence[Header], raw: bytes, tier: str | None) -> dict[str, Any]:
    """What `POST /v1/route` of a router with this configuration says at its start.

    Args:
        config: The router's.
        source: Where it is from, for the error.
        headers: The request's, names in lower case.
        raw: The request's body.
        tier: That of the client's key. None: 'free' where the configuration has keys, else what `x-user-tier` says.

    Raises:
        ConfigError: a package that a backend needs is not installed.
        ApiError: as the request itself would be refused.
    """
    from slipway_router.explain import explain_request
    from slipway_router.request import read_headers
    from slipway_router.router import Router

    # Nobody is called and nobody's key is compared: a decision must not need the secrets.
    stand_ins = {variable: f"stand-in-{i}" for i, (_, variable) in enumerate(named(config))}
    router = Router(config, stand_ins, source)
    if tier is None and config.keys:
        tier = "free"
    return explain_request(router, read_headers(headers, router.headers), raw, tier)


def shown(told: Mapping[str, Any]) -> str:
    """An explanation, to be read."""
    steering = f"tier {told['user_tier']}, task type {told['task_type']}, quality {told['quality']}"
    lines = [
        f"{told['task']}, model '{told['model']}', about {told['estimated_tokens']:,} tokens",
        f"{steering}, latency budget {told['latency_budget_ms']:,} ms",
    ]
    if told["needs"]:
        lines.append(f"needs a backend that can do {', '.join(told['needs'])}")
    if told["rule"] == "model":
        lines.append("the client named a model that one backend has:")
    else:
        kind = "the four rules" if told["policy"] == RULES_POLICY else f"a policy of kind {told['policy']}"
        lines.append(f"'{told['rule']}' decides, by {kind}:")
    rows = [
        [
            str(i),
            b["backend"],
            b["model"],
            b["quality"],
            _price(b),
            b["domain"] or "-",
            "yes" if b["usable"] else "no",
            "; ".join(b["against"]) or "-",
        ]
        for i, b in enumerate(told["order"], 1)
    ]
    head = ("", "backend", "model", "quality", "price", "domain", "usable", "against it")
    text = "\n".join(lines) + "\n\n" + table(head, rows, right=(0,), indent=2)
    passed = [[r["route"], r["because"]] for r in told["passed_over"]]
    if passed:
        text += "\nroutes that were passed over:\n\n" + table(("route", "because"), passed, indent=2)
    copies = [[s["shadow"], s["backend"], f"{s['share']:g}", _copied(s)] for s in told["shadows"]]
    if copies:
        text += "\nshadows:\n\n" + table(("shadow", "backend", "share", "copied"), copies, indent=2)
    return text


def _price(backend: Mapping[str, Any]) -> str:
    if backend["cost_per_hour"] is not None:
        return f"${backend['cost_per_hour']:g}/h"
    return f"${backend['cost_per_1k_tokens']:.4g}/1k tokens" if backend["cost_per_1k_tokens"] else "-"


def _copied(shadow: Mapping[str, Any]) -> str:
    if shadow["copied"] is None:
        return "by chance"
    return "yes" if shadow["copied"] else f"no: {shadow['because']}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipway-router route",
        description="Tell which backends a request would go to, in which order and why. Nobody is called, no key is needed; every"
        " backend counts as it does when a router has just started.",
        epilog="Exit codes: 0 it would go there, 1 the router would refuse it, 2 wrong arguments or configuration.",
    )
    parser.add_argument("config", metavar="CONFIG", help="the configuration, YAML or JSON")
    parser.add_argument("--body", required=True, metavar="FILE", help="the request's body; - reads standard input")
    parser.add_argument(
        "--header",
        action="append",
        default=[],
        type=_header,
        metavar="'NAME: VALUE'",
        help="one of the request's headers, such as 'x-quality: high'; may be given several times",
    )
    parser.add_argument(
        "--tier",
        choices=get_args(Tier),
        help="tier of the client's key (default: free where the configuration has keys, else what the header x-user-tier says)",
    )
    parser.add_argument("--json", action="store_true", help="print what POST /v1/route answers instead of a table")
    return parser


def _header(text: str) -> Header:
    name, colon, value = text.partition(":")
    name = name.strip().lower()
    if name in KEY_HEADERS:
        raise argparse.ArgumentTypeError(f"{name} holds a key, which does not belong on a command line; give its tier by --tier")
    if not colon or not name.isascii() or not name.replace("-", "").replace("_", "").isalnum():
        raise argparse.ArgumentTypeError(f"{text!r} is no header; give 'NAME: VALUE', such as 'x-quality: high'")
    return name.encode(), value.strip().encode("latin-1", "replace")
