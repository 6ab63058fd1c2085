"""Whether a TCP port can be had, and who has it."""

import errno
import os
import socket

import psutil

from slipway.local.spec import MARK


def taken(host: str, port: int) -> str | None:
    """Why nobody new can listen there, with the holder where this user may see it; None when the port is free."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, socket.SOCK_STREAM) as trial:
            # Connections of a predecessor that wait to be forgotten are no listener.
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(address)
    except socket.gaierror as error:
        return error.strerror
    except OSError as error:
        return f"{os.strerror(error.errno or errno.EIO)}{holder(port) if error.errno == errno.EADDRINUSE else ''}"
    return None


def listeners(port: int) -> list[int]:
    """Pids that listen on a TCP port, as far as the system tells."""
    try:
        connections = psutil.net_connections("tcp")
    except (psutil.AccessDenied, OSError):
        return []
    return [c.pid for c in connections if c.status == psutil.CONN_LISTEN and c.laddr and c.laddr[1] == port and c.pid]


def holder(port: int) -> str:
    """Who listens there, put behind a colon; empty where the system does not tell."""
    pid = next(iter(listeners(port)), None)
    if pid is None:
        return ""
    try:
        process = psutil.Process(pid)
        told = f": {process.name()} (pid {pid}) listens there"
        home = process.environ().get(MARK, "").rpartition("#")[0]
        return f"{told}, the local process of {home}" if home else told
    except psutil.Error:
        return f": pid {pid} listens there"
