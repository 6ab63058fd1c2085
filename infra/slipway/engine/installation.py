"""Pulumi's engine on this machine: found, judged by its version, or installed by Pulumi's own installer."""

import os
import shutil
import subprocess
import urllib.error
from dataclasses import dataclass
from pathlib import Path

from pulumi.automation import InvalidVersionError, PulumiCommand
from semver import VersionInfo

OLDEST = VersionInfo(3, 250, 0)
"""The oldest engine that is accepted."""
PINNED = VersionInfo(3, 272, 0)
"""The engine that is installed where there is none: that of the SDK in constraints.txt."""


@dataclass(frozen=True)
class Found:
    """An engine, or why there is none to use."""

    command: PulumiCommand | None
    reason: str
    """Why there is none, and what to do; empty where there is one."""


def find() -> Found:
    """Look for `pulumi` on PATH, then where `install` puts it."""
    reason = "Pulumi's engine is not installed"
    for root, place in ((None, shutil.which("pulumi")), (_home(), str(_home() / "bin" / "pulumi"))):
        if place is None or not Path(place).exists():
            continue
        try:
            return Found(PulumiCommand(root=str(root) if root else None, version=OLDEST), "")
        except InvalidVersionError:
            reason = f"the engine {place} is older than {OLDEST}, or tells no version; update it"
        except (OSError, subprocess.CalledProcessError) as error:
            reason = f"the engine {place} does not run: {error}"
    return Found(None, reason)


def install() -> PulumiCommand:
    """Download and install the pinned engine into the user's own folder, by Pulumi's installer.

    Raises:
        RuntimeError: It could not be downloaded or installed.
    """
    try:
        return PulumiCommand.install(root=str(_home()), version=PINNED)
    except urllib.error.URLError as error:
        raise RuntimeError(f"Pulumi's installer could not be downloaded: {error.reason}") from None
    except subprocess.CalledProcessError as error:
        said = (error.stdout or b"").decode(errors="replace").strip().splitlines()[-3:]
        raise RuntimeError("Pulumi's installer failed: " + " / ".join(said)) from None


def _home() -> Path:
    return Path(os.environ.get("PULUMI_HOME") or Path.home() / ".pulumi") / "versions" / str(PINNED)
