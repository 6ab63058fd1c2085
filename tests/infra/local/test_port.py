import os
import socket

import pytest
from tests.infra.local.place import free_port

from slipway.local.port import holder, listeners, taken


def test_a_free_port_is_free_also_after_a_connection_was_closed_on_it() -> None:
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port: int = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            # The side that closes first is the one whose port is remembered for a while.
            server.accept()[0].close()
    assert taken("127.0.0.1", port) is None
    assert (listeners(port), holder(port)) == ([], "")


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
def test_a_taken_port_names_its_holder(address: str) -> None:
    with socket.socket() as server:
        server.bind((address, 0))
        server.listen()
        port: int = server.getsockname()[1]
        told = taken("127.0.0.1", port)
        assert told is not None
        assert told.startswith("Address already in use: ")
        assert f"(pid {os.getpid()}) listens there" in told
        assert listeners(port) == [os.getpid()]


def test_an_address_that_is_not_this_machines_is_told() -> None:
    assert taken("192.0.2.1", free_port()) == "Cannot assign requested address"
    assert taken("no-such-host.invalid", free_port())
