"""Vertex AI's long-running operations: awaited with progress, found again after a crash, cancelled when nobody waits any more."""

import sys
import time
from collections.abc import Iterator
from typing import Any, Protocol

from google.api_core import exceptions
from google.longrunning import operations_pb2
from requests.exceptions import RequestException

from slipway.gcp.vertex_cancel import cancelled, rest
from slipway.gcp.vertex_client import Vertex, VertexError, told

FIRST_POLL_SECONDS = 0.2
LONGEST_POLL_SECONDS = 15.0
PROGRESS_SECONDS = 60.0
_TRANSIENT = (
    exceptions.InternalServerError,
    exceptions.ServiceUnavailable,
    exceptions.GatewayTimeout,
    exceptions.TooManyRequests,
    RequestException,
)


class OperationError(VertexError):
    """The operation ended with an error, or its time was up."""


class CancelledError(VertexError):
    """Nobody waits for the operation any more."""


class Operations(Protocol):
    """What both clients of Vertex AI have for their operations."""

    def get_operation(self, request: Any) -> Any: ...
    def list_operations(self, request: Any, *, retry: Any, timeout: Any) -> Any: ...
    def cancel_operation(self, request: Any) -> None: ...


def say(text: str) -> None:
    """A line for the user: the engine shows a provider's standard error."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def wait(client: Operations, operation: str, what: str, deadline: float) -> None:
    """Wait for an operation to end.

    While the service is not to be had it is asked again: the operation goes on by itself.

    Args:
        client: Of the service that runs it.
        operation: Its name.
        what: What it does, for the user: "deploying chat".
        deadline: By `time.monotonic`, when to give it up.

    Raises:
        OperationError: It failed, or was given up and cancelled.
        CancelledError: This process is to end; the operation was cancelled.
    """
    pause, began, spoke = FIRST_POLL_SECONDS, time.monotonic(), time.monotonic()
    while True:
        try:
            found: Any = client.get_operation({"name": operation})
            if found.done:
                if found.HasField("error"):
                    raise OperationError(f"{what} failed: {found.error.message} (code {found.error.code})")
                return
        except _TRANSIENT:
            pass
        except exceptions.NotFound:
            # Operations that ended are not kept for ever; what it made shows whether it went well.
            return
        except exceptions.GoogleAPICallError as error:
            raise OperationError(f"{what} failed: {told(error)}") from None
        now = time.monotonic()
        if cancelled():
            _cancel(client, operation)
            raise CancelledError(f"{what} was cancelled")
        if now >= deadline:
            _cancel(client, operation)
            raise OperationError(f"{what} took longer than {(now - began) / 60:.0f} minutes and was cancelled")
        if now - spoke >= PROGRESS_SECONDS:
            spoke = now
            say(f"{what}: {(now - began) / 60:.0f} min")
        rest(min(pause, max(deadline - now, 0.01)))
        pause = min(pause * 1.5, LONGEST_POLL_SECONDS)


def pending(vertex: Vertex, client: Operations, resource: str) -> Iterator[str]:
    """Names of the operations on a model or an endpoint that have not ended."""
    token = ""
    while True:
        request = operations_pb2.ListOperationsRequest(name=resource, filter="done=false", page_token=token)
        try:
            page: Any = vertex.ask(client.list_operations, request)
        except exceptions.NotFound:
            return
        for operation in page.operations:
            if not operation.done:
                yield operation.name
        token = page.next_page_token
        if not token:
            return


def settle(vertex: Vertex, client: Operations, resource: str, what: str, deadline: float) -> None:
    """Wait for what an earlier run began and did not see the end of. How it ended is seen by what is there then.

    Raises:
        CancelledError: This process is to end.
        OperationError: The time is up.
    """
    for operation in list(pending(vertex, client, resource)):
        say(f"{what}: an earlier run began an operation that still goes on; waiting for it")
        try:
            wait(client, operation, what, deadline)
        except OperationError as error:
            if time.monotonic() >= deadline:
                raise
            say(f"{what}: what the earlier run began did not succeed: {error}")


def _cancel(client: Operations, operation: str) -> None:
    try:
        client.cancel_operation({"name": operation})
    except (exceptions.GoogleAPICallError, RequestException) as error:
        say(f"could not cancel {operation}, which goes on: {error}")
