"""Backs a Qdrant up into a folder, or restores it from there: `backup` or `restore`. Runs with nothing but Python 3.11.

A backup is a folder named by its time, with a snapshot of each collection as Qdrant makes it, and MANIFEST.json, which is written
last: a folder without it is no backup.
"""

import hashlib
import http.client
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
KEY = os.environ.get("API_KEY", "")
ROOT = Path(os.environ.get("BACKUPS", "/backups"))
PIECE = 1 << 20


def call(method: str, path: str, body: object = None) -> Any:
    """One request; the answer's `result`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(STORE + path, data, {"api-key": KEY, "content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=3600) as answer:
        return json.load(answer)["result"]


def of(collection: str) -> str:
    return "/collections/" + urllib.parse.quote(collection, safe="")


def fetch(path: str, file: Path) -> str:
    """Download; returns the SHA-256 of what came."""
    found = hashlib.sha256()
    request = urllib.request.Request(STORE + path, headers={"api-key": KEY})
    with urllib.request.urlopen(request, timeout=3600) as answer, file.open("wb") as out:
        while piece := answer.read(PIECE):
            found.update(piece)
            out.write(piece)
    return found.hexdigest()


def upload(path: str, file: Path) -> None:
    """Send a file as a form does, piece by piece: it may be larger than the memory."""
    bound = "slipway-" + os.urandom(8).hex()
    head = f'--{bound}\r\ncontent-disposition: form-data; name="snapshot"; filename="{file.name}"\r\n\r\n'.encode()
    tail = f"\r\n--{bound}--\r\n".encode()
    parts = urllib.parse.urlsplit(STORE)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=3600)
    connection.putrequest("POST", parts.path + path)
    connection.putheader("api-key", KEY)
    connection.putheader("content-type", f"multipart/form-data; boundary={bound}")
    connection.putheader("content-length", str(len(head) + file.stat().st_size + len(tail)))
    connection.endheaders(head)
    with file.open("rb") as source:
        while piece := source.read(PIECE):
            connection.send(piece)
    connection.send(tail)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {said[:300].decode(errors='replace')}")


def backup() -> None:
    for left in ROOT.glob("*.part"):
        shutil.rmtree(left)
    name = time.strftime("%Y-%m-%dT%H-%M-%SZ", time.gmtime())
    part = ROOT / f"{name}.part"
    part.mkdir()
    kept: list[dict[str, str]] = []
    for i, collection in enumerate(sorted(c["name"] for c in call("GET", "/collections")["collections"])):
        made = call("POST", f"{of(collection)}/snapshots?wait=true")
        one = f"{of(collection)}/snapshots/{urllib.parse.quote(made['name'], safe='')}"
        try:
            found = fetch(one, part / f"{i}.snapshot")
        finally:
            call("DELETE", f"{one}?wait=true")
        if made.get("checksum") not in (None, found):
            sys.exit(f"the snapshot of {collection!r} came with SHA-256 {found}, and Qdrant tells {made['checksum']}")
        kept.append({"collection": collection, "file": f"{i}.snapshot", "sha256": found})
        print(f"{collection}: {(part / f'{i}.snapshot').stat().st_size} bytes", flush=True)
    aliases = call("GET", "/aliases")["aliases"]
    (part / "MANIFEST.json").write_text(json.dumps({"collections": kept, "aliases": aliases}))
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
    manifest = json.loads((folder / "MANIFEST.json").read_text())
    there = {c["name"] for c in call("GET", "/collections")["collections"]}
    if twice := sorted(there & {c["collection"] for c in manifest["collections"]}):
        sys.exit(f"nothing was restored: {', '.join(twice)} exist already; delete them first, or restore into an empty store")
    for one in manifest["collections"]:
        with (folder / one["file"]).open("rb") as source:
            found = hashlib.file_digest(source, "sha256").hexdigest()
        if found != one["sha256"]:
            sys.exit(f"{one['file']} has SHA-256 {found}, and was made with {one['sha256']}")
    for one in manifest["collections"]:
        upload(f"{of(one['collection'])}/snapshots/upload?wait=true&priority=snapshot", folder / one["file"])
        print(f"{one['collection']}: restored", flush=True)
    if manifest["aliases"]:
        call("POST", "/collections/aliases", {"actions": [{"create_alias": alias} for alias in manifest["aliases"]]})
    print(f"restored {wanted}")


try:
    {"backup": backup, "restore": restore}[sys.argv[1]]()
except urllib.error.HTTPError as error:
    sys.exit(f"{error.url}: {error.code} {error.read()[:300].decode(errors='replace')}")
except OSError as error:
    sys.exit(f"{STORE}: {error}")
