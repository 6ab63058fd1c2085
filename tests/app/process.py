"""The router as a process of its own."""

import os
import re
import subprocess
import sys
import threading
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

COMMAND = [sys.executable, "-m", "slipway_router"]


@contextmanager
def running(
    config: Path, environ: Mapping[str, str] | None = None, more: Sequence[str] = ()
) -> Generator[tuple[subprocess.Popen[str], str, list[str]]]:
    """The process, its address and its log.

    Args:
        config: Its configuration.
        environ: Beside this process's own.
        more: More of its command line.
    """
    command = [*COMMAND, "--config", str(config), "--port", "0", *more]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, **(environ or {})})
    log: list[str] = []
    assert process.stderr is not None
    reader = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
    try:
        for line in process.stderr:
            log.append(line)
            if found := re.search(r"listening on (http://\S+),", line):
                break
        else:
            raise AssertionError("".join(log))
        reader.start()
        yield process, found[1], log
    finally:
        process.kill()
        process.wait()
        if reader.ident is not None:
            reader.join()
        process.stderr.close()
