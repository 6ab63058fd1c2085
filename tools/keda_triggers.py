"""Records which metadata KEDA's triggers take, by the tags of its source, in tests/infra/kubernetes/keda_triggers.json.

    python tools/keda_triggers.py FOLDER...

Each FOLDER is one of the module `github.com/kedacore/keda/v2` as `go mod download -json` brings it: of the oldest version that
the docs name, and of the newest. Recorded is what all of them take.
"""

import json
import re
import sys
from pathlib import Path

RECORD = Path(__file__).parents[1] / "tests/infra/kubernetes/keda_triggers.json"
SOURCES = {
    "cpu": "cpu_memory_scaler.go",
    "cron": "cron_scaler.go",
    "prometheus": "prometheus_scaler.go",
    "redis": "redis_scaler.go",
}


def keys(folder: Path, source: str) -> dict[str, list[str]]:
    """Where each key may stand: `triggerMetadata`, `authParams`, `resolvedEnv`."""
    found: dict[str, list[str]] = {}
    for tag in re.findall(r'`keda:"([^"]*)"', (folder / "pkg/scalers" / source).read_text()):
        said = dict(part.split("=", 1) for part in re.split(r",\s*", tag) if "=" in part)
        if "deprecated" not in said:
            found |= {name: said["order"].split(";") for name in said.get("name", "").split(";") if name}
    return found


def main() -> None:
    """See the module."""
    folders = [Path(folder) for folder in sys.argv[1:]]
    made: dict[str, dict[str, list[str]]] = {}
    for trigger, source in SOURCES.items():
        first, *others = (keys(folder, source) for folder in folders)
        made[trigger] = {name: places for name, places in first.items() if all(o.get(name) == places for o in others)}
    versions = [folder.name.rpartition("@v")[2] for folder in folders]
    lists = re.compile(r"\[\s+([^\]]*?)\s+\]")
    text = json.dumps({"versions": versions, "triggers": made}, indent=1, sort_keys=True)
    RECORD.write_text(lists.sub(lambda found: "[" + re.sub(r"\s*\n\s*", " ", found.group(1)) + "]", text) + "\n")


if __name__ == "__main__":
    main()
