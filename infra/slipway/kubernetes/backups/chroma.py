"""Backs a Chroma up into a folder, or restores it from there: `backup` or `restore`. Runs with nothing but Python 3.11.

Chroma has no snapshots, so each collection is read page by page and kept as lines of JSON, vectors included. A backup is a folder
named by its time; MANIFEST.json is written last, and a folder without it is no backup. What is written meanwhile may be in it, or
not.
"""

import gzip
import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

STORE = os.environ["STORE_URL"].rstrip("/")
ROOT = Path(os.environ.get("BACKUPS", "/backups"))
TENANT = "/api/v2/tenants/default_tenant/databases"
PAGE = 200
WITH = ["embeddings", "documents", "metadatas", "uris"]


def call(method: str, path: str, body: object = None) -> Any:
    """One request, and its answer."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(STORE + path, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)


def collections_of(database: str) -> str:
    return f"{TENANT}/{urllib.parse.quote(database, safe='')}/collections"


def listed(path: str) -> list[dict[str, Any]]:
    """Everything of a list that comes in pages."""
    found: list[dict[str, Any]] = []
    while page := call("GET", f"{path}?limit={PAGE}&offset={len(found)}"):
        found += page
    return found


def backup() -> None:
    for left in ROOT.glob("*.part"):
        shutil.rmtree(left)
    name = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    part = ROOT / f"{name}.part"
    part.mkdir()
    kept: list[dict[str, Any]] = []
    for database in sorted(d["name"] for d in listed(TENANT)):
        for one in sorted(listed(collections_of(database)), key=lambda c: c["name"]):
            file, records = f"{len(kept)}.jsonl.gz", 0
            with gzip.open(part / file, "wt", compresslevel=1) as out:
                path = f"{collections_of(database)}/{one['id']}/get"
                while (page := call("POST", path, {"limit": PAGE, "offset": records, "include": WITH}))["ids"]:
                    told = {key: page[key] for key in ("ids", *WITH) if page.get(key) is not None}
                    out.write(json.dumps(told) + "\n")
                    records += len(page["ids"])
            about = {"name": one["name"], "metadata": one["metadata"], "configuration": one["configuration_json"]}
            kept.append({"database": database, "about": about, "file": file, "records": records})
            print(f"{database}/{one['name']}: {records} records", flush=True)
    (part / "MANIFEST.json").write_text(json.dumps({"collections": kept}))
    os.sync()
    part.rename(ROOT / name)
    for old in backups()[: -int(os.environ.get("KEEP", "7"))]:
        shutil.rmtree(old)
    print(f"backed up as {name}")


def backups() -> list[Path]:
    return sorted(manifest.parent for manifest in ROOT.glob("*/MANIFEST.json") if manifest.parent.suffix != ".part")


def restore() -> None:
    wanted = os.environ.get("BACKUP") or (backups()[-1].name if backups() else sys.exit("there is no backup"))
    folder = ROOT / wanted
    if folder not in backups():
        sys.exit(f"there is no backup {wanted!r}; there are {', '.join(b.name for b in backups()) or 'none'}")
    kept = json.loads((folder / "MANIFEST.json").read_text())["collections"]
    databases = {d["name"] for d in listed(TENANT)}
    there = {(d, c["name"]) for d in databases for c in listed(collections_of(d))}
    if twice := sorted(f"{d}/{n}" for d, n in there & {(c["database"], c["about"]["name"]) for c in kept}):
        sys.exit(f"nothing was restored: {', '.join(twice)} exist already; delete them first, or restore into an empty store")
    for one in kept:
        if one["database"] not in databases:
            call("POST", TENANT, {"name": one["database"]})
            databases.add(one["database"])
        made = call("POST", collections_of(one["database"]), one["about"])
        records = 0
        with gzip.open(folder / one["file"], "rt") as lines:
            for line in lines:
                page = json.loads(line)
                call("POST", f"{collections_of(one['database'])}/{made['id']}/upsert", page)
                records += len(page["ids"])
        if records != one["records"]:
            sys.exit(f"{one['file']} has {records} records, and was made with {one['records']}")
        print(f"{one['database']}/{one['about']['name']}: {records} records restored", flush=True)
    print(f"restored {wanted}")


try:
    {"backup": backup, "restore": restore}[sys.argv[1]]()
except urllib.error.HTTPError as error:
    sys.exit(f"{error.url}: {error.code} {error.read()[:300].decode(errors='replace')}")
except OSError as error:
    sys.exit(f"{STORE}: {error}")
