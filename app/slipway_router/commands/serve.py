"""`slipway-router serve`: serve a configuration until told to stop."""

import argparse
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from slipway_router.config import Config, ConfigError

CANNOT_LISTEN = 1
BAD_CONFIGURATION = 2


def main(arguments: Sequence[str]) -> int:
    """Serve. 0 once drained, 1 if the address cannot be had, 2 on a configuration that cannot serve."""
    asked = _parser().parse_args(arguments)
    try:
        return _serve(
            Config.load(Path(asked.config), (asked.host, asked.port)), asked.config, asked.host, asked.port, asked.admin_port
        )
    except ConfigError as error:
        sys.stderr.write(f"slipway-router: {error}\n")
        return BAD_CONFIGURATION


def _serve(config: Config, source: str, host: str | None, port: int | None, admin_port: int | None) -> int:
    from slipway_router.router import Router
    from slipway_router.server import run
    from slipway_router.telemetry.log import set_up
    from slipway_router.telemetry.start import recorder

    set_up(config.telemetry.logs)
    router = Router(config, os.environ, source)
    router.tell(recorder(config.telemetry, os.environ, router.metrics.untold, router.metrics.unsent))
    host = config.listen.host if host is None else host
    port = config.listen.port if port is None else port
    try:
        listener = _bound(host, port, "--host and --port or 'listen'")
        admin = None
        if config.admin is not None:
            admin = _bound(config.admin.host, config.admin.port if admin_port is None else admin_port, "--admin-port or 'admin'")
    except OSError as error:
        sys.stderr.write(f"slipway-router: {error}\n")
        return CANNOT_LISTEN
    try:
        run(router, listener, Path(source), os.environ, admin)
    finally:
        if router.recorder is not None:
            router.recorder.close()
    return 0


def _bound(host: str, port: int, choice: str) -> socket.socket:
    """A socket that listens there.

    Raises:
        OSError: with what is told of it.
    """
    from slipway_router.server import listen

    try:
        return listen(host, port)
    except OSError as error:
        # asyncio and socket add the address to their text; it is there already.
        why = os.strerror(error.errno).lower() if error.errno and error.errno > 0 else str(error)
        raise OSError(f"cannot listen on {host}:{port}: {why}; choose another with {choice}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipway-router serve",
        description="Serve a configuration until told to stop by SIGTERM; SIGHUP, and a change to its file, has it read again.",
        epilog="Exit codes: 0 drained, 1 the address cannot be had, 2 the configuration cannot serve.",
    )
    parser.add_argument("--config", required=True, metavar="FILE", help="the configuration, YAML or JSON")
    parser.add_argument("--host", help="address to bind, instead of the configuration's (127.0.0.1 where that is silent)")
    parser.add_argument(
        "--port", type=_port, help="port, instead of the configuration's (8000 where that is silent); 0 takes a free one"
    )
    parser.add_argument(
        "--admin-port", type=_port, help="the admin API's port, instead of the configuration's; 0 takes a free one"
    )
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdigit() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; give 0 to 65535")
    return int(text)
