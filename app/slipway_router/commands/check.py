"""`slipway-router check`: every fault of a configuration, with its path."""

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from slipway_router.config import Config, ConfigError, read
from slipway_router.variables import named_in, variable_faults

HAS_FAULTS = 2


def main(arguments: Sequence[str]) -> int:
    """Check. 0 on a configuration that is right, 2 on one with faults."""
    asked = _parser().parse_args(arguments)
    path: str = asked.config
    faults: list[tuple[str, str]] = []
    backends: list[str] = []
    data: object = None
    try:
        data = read(Path(path))
        backends = [b.name for b in Config.parse(data, path).backends]
    except ConfigError as error:
        faults += error.faults
    if asked.env:
        faults += variable_faults(named_in(data), os.environ)
    if asked.json:
        told = {"config": path, "faults": [{"path": p, "reason": r} for p, r in faults], "backends": backends}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    elif faults:
        sys.stderr.write(f"slipway-router: {ConfigError(faults, path)}\n")
    else:
        sys.stdout.write(f"{path} is right; backends: {', '.join(backends)}\n")
    return HAS_FAULTS if faults else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slipway-router check",
        description="Tell every fault of a configuration, with its path and the choice there is.",
        epilog="Exit codes: 0 it is right, 2 it has faults.",
    )
    parser.add_argument("config", metavar="CONFIG", help="the configuration, YAML or JSON")
    parser.add_argument("--env", action="store_true", help="check too whether the variables that it names are set, and to a key")
    parser.add_argument("--json", action="store_true", help='print {"config", "faults": [{"path", "reason"}], "backends"}')
    return parser
