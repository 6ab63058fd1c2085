"""The command `slipway-router`: serve a configuration, or check one."""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from slipway_router.config import Config, ConfigError

BAD_CONFIGURATION = 2
CANNOT_LISTEN = 1


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point. Exits with 2 on a configuration that cannot serve, 1 if the address cannot be had, 0 once drained."""
    asked = _parser().parse_args(arguments)
    path = Path(asked.config)
    try:
        config = Config.load(path)
        if asked.command == "check":
            _say(sys.stdout, f"{path} is right; backends: {', '.join(b.name for b in config.backends)}")
            return
        sys.exit(_serve(config, str(path), asked.host, asked.port))
    except ConfigError as error:
        _say(sys.stderr, f"slipway-router: {error}")
        sys.exit(BAD_CONFIGURATION)


def _serve(config: Config, source: str, host: str | None, port: int | None) -> int:
    from prometheus_client import disable_created_metrics

    from slipway_router.router import Router
    from slipway_router.server import listen, run

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    # uvicorn's own: a malformed request, an answer cut short. Starting and stopping are told by the router.
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    # Half of all lines otherwise, and nothing that a rate() needs.
    disable_created_metrics()
    router = Router(config, os.environ, source)
    host = config.listen.host if host is None else host
    port = config.listen.port if port is None else port
    try:
        listener = listen(host, port)
    except OSError as error:
        # asyncio and socket add the address to their text; it is there already.
        why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        _say(
            sys.stderr,
            f"slipway-router: cannot listen on {host}:{port}: {why}; choose another with --host and --port or 'listen'",
        )
        return CANNOT_LISTEN
    run(router, listener, Path(source), os.environ)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipway-router", description="One OpenAI-compatible address in front of self-hosted models and vendors' APIs."
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("serve", "check"),
        default="serve",
        help="serve (the default), or check: say whether the configuration is right, without looking at the environment",
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration, YAML or JSON")
    parser.add_argument("--host", help="address to bind, instead of the configuration's (127.0.0.1 where that is silent)")
    parser.add_argument(
        "--port", type=_port, help="port, instead of the configuration's (8000 where that is silent); 0 takes a free one"
    )
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give 0 to 65535")
    return int(text)


def _say(where: TextIO, text: str) -> None:
    where.write(text + "\n")


if __name__ == "__main__":
    main()
