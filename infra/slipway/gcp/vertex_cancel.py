"""When an operation is to be given up: Ctrl-C, an engine that has gone, a process that ends."""

import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_DYNAMIC = str(Path("pulumi", "dynamic", "__main__.py"))
_ASKED = threading.Event()


def cancel() -> None:
    """Give up what goes on, in this process."""
    _ASKED.set()


def reset() -> None:
    """Forget that it was given up."""
    _ASKED.clear()


def cancelled() -> bool:
    """Whether the engine was told to stop (Ctrl-C), has gone, or this process ends."""
    return _ASKED.is_set() or not threading.main_thread().is_alive() or engine_gone(sys.argv)


def rest(seconds: float) -> None:
    """Wait so long, or until it is given up."""
    _ASKED.wait(seconds)


def hear_cancel() -> None:
    """Have Pulumi's dynamic provider pass on that the engine asks it to cancel, which it answers and tells nobody (3.272.0).

    Its method is bound by then, so that nothing but its code can be exchanged. In other processes there is no such server, and
    nothing is done.
    """
    servicer: Any = getattr(sys.modules.get("__main__"), "DynamicResourceProviderServicer", None)
    method: Any = getattr(servicer, "Cancel", None)
    if hasattr(method, "__code__"):
        method.__code__ = _heard.__code__


def _heard(_self: object, _request: object, _context: object) -> Any:
    # Runs with the globals of Pulumi's module, so that it takes along what it needs.
    from google.protobuf import empty_pb2

    from slipway.gcp.vertex_cancel import cancel as asked

    asked()
    return empty_pb2.Empty()


def engine_gone(command: Sequence[str]) -> bool:
    """Whether nobody listens any more at the engine's address, which is the dynamic provider's one argument."""
    if len(command) != 2 or not command[0].endswith(_DYNAMIC):
        return False
    host, _, port = command[1].rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except ConnectionRefusedError:
        return True
    except (OSError, ValueError):
        return False
    return False
