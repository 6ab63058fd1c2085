"""What Pulumi's engine tells while it works, as lines for a user, and its errors without anybody's stack trace."""

import re
from collections.abc import Callable

from pulumi.automation import EngineEvent, OpType

_SIGNS = {
    OpType.CREATE: ("+", "create"),
    OpType.UPDATE: ("~", "update"),
    OpType.DELETE: ("-", "delete"),
    OpType.REPLACE: ("-+", "replace"),
    OpType.READ: ("<", "read"),
    OpType.IMPORT: ("=", "import"),
}
# The engine's own closing words, when what failed was told before.
_CLOSING = re.compile(
    r"(update|preview|destroy|refresh|resource registration) failed|an unhandled error occurred: program exited.*"
)
_RAISED = re.compile(r"^((?:\w+\.)*(\w+)): ?", re.MULTILINE)
# Errors whose text is meant for the user as it stands.
_TOLD = ("ProcessError", "RunError", "InputPropertiesError")


class Narrator:
    """Takes the engine's events in their order; reports progress, and keeps the errors."""

    def __init__(self, report: Callable[[str], None]) -> None:
        self._report = report
        self._said: set[str] = set()
        self.errors: list[str] = []
        """What went wrong, each text once, with the resource's name in front where there is one."""

    def __call__(self, event: EngineEvent) -> None:
        """Take one event."""
        if event.resource_pre_event is not None:
            step = event.resource_pre_event.metadata
            if step.op in _SIGNS and step.type != "pulumi:pulumi:Stack" and not step.type.startswith("pulumi:providers:"):
                sign, what = _SIGNS[step.op]
                self._report(f"  {sign} {_name(step.urn)}: {what}")
        elif event.diagnostic_event is not None:
            told = event.diagnostic_event
            self._diagnose(str(told.severity), str(told.message), str(told.urn or ""))

    def _diagnose(self, severity: str, message: str, urn: str) -> None:
        text = without_trace(message)
        if severity == "error":
            if text and not _CLOSING.fullmatch(text):
                text = f"{_name(urn)}: {text}" if urn and "pulumi:pulumi:Stack" not in urn.split("::")[2] else text
                if text not in self.errors:
                    self.errors.append(text)
        elif severity in ("info", "warning", "info#err") and text and text not in self._said:
            # Once something failed, what comes on standard error is how the program was ended.
            if severity == "info#err" and self.errors:
                return
            self._said.add(text)
            self._report(f"    warning: {text}" if severity == "warning" else f"    {text}")


def without_trace(message: str) -> str:
    """A message without the stack trace in front of it. Errors that speak to the user lose their class's name too."""
    text = message.strip()
    head, mark, trace = text.partition("Traceback (most recent call last):\n")
    if not mark:
        return text
    raised = _RAISED.search(trace)
    if raised is None:
        return text
    return head + (trace[raised.end() :] if raised[2] in _TOLD else trace[raised.start() :])


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]
