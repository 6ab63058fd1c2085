"""What is told of the engine's events. That the engine sends such events is proven in tests/engine."""

import pytest
from pulumi.automation import DiagnosticEvent, EngineEvent, OpType, ResourcePreEvent, StepEventMetadata

from slipway.engine.events import Narrator, without_trace

STACK = "urn:pulumi:s::p::pulumi:pulumi:Stack::p-s"
SERVER = "urn:pulumi:s::p::slipway:index:LocalModelServer$pulumi-python:dynamic/slipway:LocalProcess::llama-server"
TRACE = """Traceback (most recent call last):
  File "/somewhere/process.py", line 119, in create
    return started()
slipway.local.family.ProcessError: 'llama-server' ended with exit code 1 before it was healthy.
The last 2 lines of its log:
  Traceback (most recent call last):
  ValueError: no such model"""


def diagnostic(severity: str, message: str, urn: str = "") -> EngineEvent:
    told = DiagnosticEvent(message=message, color="never", severity=severity, urn=urn)  # pyright: ignore[reportArgumentType] -- as the engine sends it
    return EngineEvent(sequence=1, timestamp=1, diagnostic_event=told)


def step(op: OpType, urn: str, type_: str) -> EngineEvent:
    metadata = StepEventMetadata(op=op, urn=urn, type=type_, provider="")
    return EngineEvent(sequence=1, timestamp=1, resource_pre_event=ResourcePreEvent(metadata=metadata))


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("  plain\n", "plain"),
        (TRACE, TRACE.split("ProcessError: ", 1)[1]),
        ("Traceback (most recent call last):\n  File x\nKeyError: 'a'\n", "KeyError: 'a'"),
        (
            "Program failed:\nTraceback (most recent call last):\n  File x\npulumi.errors.RunError: two\n  faults",
            "Program failed:\ntwo\n  faults",
        ),
        ("Traceback (most recent call last):\n  File x", "Traceback (most recent call last):\n  File x"),
    ],
)
def test_a_message_is_told_without_the_stack_trace(message: str, expected: str) -> None:
    assert without_trace(message) == expected


def test_steps_are_told_without_stack_providers_and_what_stays() -> None:
    lines: list[str] = []
    narrator = Narrator(lines.append)
    narrator(step(OpType.CREATE, STACK, "pulumi:pulumi:Stack"))
    narrator(step(OpType.CREATE, "urn:pulumi:s::p::pulumi:providers:aws::default", "pulumi:providers:aws"))
    narrator(step(OpType.SAME, SERVER, "pulumi-python:dynamic/slipway:LocalProcess"))
    narrator(step(OpType.UPDATE, SERVER, "pulumi-python:dynamic/slipway:LocalProcess"))
    narrator(EngineEvent(sequence=2, timestamp=1))
    assert lines == ["  ~ llama-server: update"]


def test_diagnostics_are_told_once_and_errors_are_kept_with_their_resource() -> None:
    lines: list[str] = []
    narrator = Narrator(lines.append)
    for _ in range(2):
        narrator(diagnostic("debug", "registering"))
        narrator(diagnostic("info", "gpt is left out\n"))
        narrator(diagnostic("info#err", "llama-server: the process is dead\n", SERVER))
        narrator(diagnostic("warning", "old engine\n"))
    for _ in range(2):
        narrator(diagnostic("error", TRACE, SERVER))
        narrator(diagnostic("error", "settings have 1 fault", STACK))
        narrator(diagnostic("error", "update failed\n"))
        narrator(diagnostic("error", "an unhandled error occurred: program exited with non-zero exit code: 1", STACK))
        narrator(diagnostic("info#err", "KeyboardInterrupt\n", STACK))
    assert lines == ["    gpt is left out", "    llama-server: the process is dead", "    warning: old engine"]
    assert [e.splitlines()[0] for e in narrator.errors] == [
        "llama-server: 'llama-server' ended with exit code 1 before it was healthy.",
        "settings have 1 fault",
    ]
