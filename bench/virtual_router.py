"""The router, choosing replicas by a clock that a benchmark moves.

    python -m bench.virtual_router CLOCK --config FILE --port PORT

CLOCK is a file that holds the seconds, as one double. Everything else, such as deadlines and health checks, goes by real time.
"""

import mmap
import struct
import sys
from functools import partial
from pathlib import Path

from slipway_router import fleet
from slipway_router.__main__ import main
from slipway_router.replicas import Replicas

SECONDS = struct.Struct("d")


class Clock:
    """Seconds that two processes share."""

    def __init__(self, path: Path) -> None:
        """
        Args:
            path: A file that holds them.
        """
        with path.open("r+b") as file:
            self._seconds = mmap.mmap(file.fileno(), SECONDS.size)

    def __call__(self) -> float:
        return SECONDS.unpack_from(self._seconds)[0]

    def move(self, now: float) -> None:
        """It is so late now."""
        SECONDS.pack_into(self._seconds, 0, now)


if __name__ == "__main__":
    fleet.__dict__["Replicas"] = partial(Replicas, clock=Clock(Path(sys.argv[1])))
    main(sys.argv[2:])
