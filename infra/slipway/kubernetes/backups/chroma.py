"""Backs a Chroma up into one file, or restores it from there: `backup FILE` or `restore FILE`, with nothing but Python 3.11.

Chroma has no snapshots, so each collection is read page by page and kept as lines of JSON, vectors included. The file is a zip
archive, MANIFEST.json in it tells what there is. What is written meanwhile may be in it, or not.
"""

import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from typing import Any

STORE = os.environ["STORE_URL"].rstrip("/")
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


def whole(archive: zipfile.ZipFile) -> None:
    if broken := archive.testzip():
        sys.exit(f"{broken} in {archive.filename} is not what it was made as: nothing is done with it")


def backup(file: str) -> None:
    kept: list[dict[str, Any]] = []
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for database in sorted(d["name"] for d in listed(TENANT)):
            for one in sorted(listed(collections_of(database)), key=lambda c: c["name"]):
                entry, records = f"{len(kept)}.jsonl", 0
                with archive.open(entry, "w", force_zip64=True) as out:
                    path = f"{collections_of(database)}/{one['id']}/get"
                    while (page := call("POST", path, {"limit": PAGE, "offset": records, "include": WITH}))["ids"]:
                        told = {key: page[key] for key in ("ids", *WITH) if page.get(key) is not None}
                        out.write(json.dumps(told).encode() + b"\n")
                        records += len(page["ids"])
                about = {"name": one["name"], "metadata": one["metadata"], "configuration": one["configuration_json"]}
                kept.append({"database": database, "about": about, "entry": entry, "records": records})
                print(f"{database}/{one['name']}: {records} records", flush=True)
        archive.writestr("MANIFEST.json", json.dumps({"collections": kept}))
    # It must be one that can be read back.
    with zipfile.ZipFile(file) as archive:
        whole(archive)


def restore(file: str) -> None:
    with zipfile.ZipFile(file) as archive:
        whole(archive)
        kept = json.loads(archive.read("MANIFEST.json"))["collections"]
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
            with archive.open(one["entry"]) as lines:
                for line in lines:
                    page = json.loads(line)
                    call("POST", f"{collections_of(one['database'])}/{made['id']}/upsert", page)
                    records += len(page["ids"])
            if records != one["records"]:
                sys.exit(f"{one['entry']} has {records} records, and was made with {one['records']}")
            print(f"{one['database']}/{one['about']['name']}: {records} records restored", flush=True)


try:
    {"backup": backup, "restore": restore}[sys.argv[1]](sys.argv[2])
except zipfile.BadZipFile as error:
    sys.exit(f"{sys.argv[2]} is no backup, or not a whole one: {error}")
except urllib.error.HTTPError as error:
    sys.exit(f"{error.url}: {error.code} {error.read()[:300].decode(errors='replace')}")
except OSError as error:
    sys.exit(f"{STORE}: {error}")
