"""Backs a Qdrant up into one file, or restores it from there: `backup FILE` or `restore FILE`, with nothing but Python 3.11.

The file is a zip archive with a snapshot of each collection as Qdrant makes it; MANIFEST.json in it tells what there is.
"""

import hashlib
import http.client
import json
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from typing import IO, Any

STORE = os.environ["STORE_URL"].rstrip("/")
KEY = os.environ.get("API_KEY", "")
PIECE = 1 << 20


def call(method: str, path: str, body: object = None) -> Any:
    """One request; the answer's `result`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(STORE + path, data, {"api-key": KEY, "content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=3600) as answer:
        return json.load(answer)["result"]


def of(collection: str) -> str:
    return "/collections/" + urllib.parse.quote(collection, safe="")


def download(path: str, out: IO[bytes]) -> str:
    """Returns the SHA-256 of what came."""
    found = hashlib.sha256()
    request = urllib.request.Request(STORE + path, headers={"api-key": KEY})
    with urllib.request.urlopen(request, timeout=3600) as answer:
        while piece := answer.read(PIECE):
            found.update(piece)
            out.write(piece)
    return found.hexdigest()


def upload(path: str, source: IO[bytes], size: int) -> None:
    """Send a snapshot as a form does, piece by piece: it may be larger than the memory."""
    bound = "slipway-" + os.urandom(8).hex()
    head = f'--{bound}\r\ncontent-disposition: form-data; name="snapshot"; filename="snapshot"\r\n\r\n'.encode()
    tail = f"\r\n--{bound}--\r\n".encode()
    parts = urllib.parse.urlsplit(STORE)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.netloc, timeout=3600)
    connection.putrequest("POST", parts.path + path)
    connection.putheader("api-key", KEY)
    connection.putheader("content-type", f"multipart/form-data; boundary={bound}")
    connection.putheader("content-length", str(len(head) + size + len(tail)))
    connection.endheaders(head)
    while piece := source.read(PIECE):
        connection.send(piece)
    connection.send(tail)
    answer = connection.getresponse()
    said = answer.read()
    if answer.status != 200:
        sys.exit(f"{path}: {answer.status} {said[:300].decode(errors='replace')}")


def whole(archive: zipfile.ZipFile) -> None:
    if broken := archive.testzip():
        sys.exit(f"{broken} in {archive.filename} is not what it was made as: nothing is done with it")


def backup(file: str) -> None:
    kept: list[dict[str, str]] = []
    # Snapshots of vectors do not get smaller.
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for i, collection in enumerate(sorted(c["name"] for c in call("GET", "/collections")["collections"])):
            made = call("POST", f"{of(collection)}/snapshots?wait=true")
            one = f"{of(collection)}/snapshots/{urllib.parse.quote(made['name'], safe='')}"
            try:
                with archive.open(f"{i}.snapshot", "w", force_zip64=True) as out:
                    found = download(one, out)
            finally:
                call("DELETE", f"{one}?wait=true")
            if made.get("checksum") not in (None, found):
                sys.exit(f"the snapshot of {collection!r} came with SHA-256 {found}, and Qdrant tells {made['checksum']}")
            kept.append({"collection": collection, "entry": f"{i}.snapshot"})
            print(f"{collection}: {archive.getinfo(f'{i}.snapshot').file_size} bytes", flush=True)
        aliases = call("GET", "/aliases")["aliases"]
        archive.writestr("MANIFEST.json", json.dumps({"collections": kept, "aliases": aliases}))
    # It must be one that can be read back.
    with zipfile.ZipFile(file) as archive:
        whole(archive)


def restore(file: str) -> None:
    with zipfile.ZipFile(file) as archive:
        whole(archive)
        manifest = json.loads(archive.read("MANIFEST.json"))
        there = {c["name"] for c in call("GET", "/collections")["collections"]}
        if twice := sorted(there & {c["collection"] for c in manifest["collections"]}):
            sys.exit(f"nothing was restored: {', '.join(twice)} exist already; delete them first, or restore into an empty store")
        for one in manifest["collections"]:
            with archive.open(one["entry"]) as source:
                size = archive.getinfo(one["entry"]).file_size
                upload(f"{of(one['collection'])}/snapshots/upload?wait=true&priority=snapshot", source, size)
            print(f"{one['collection']}: restored", flush=True)
    if manifest["aliases"]:
        call("POST", "/collections/aliases", {"actions": [{"create_alias": alias} for alias in manifest["aliases"]]})


try:
    {"backup": backup, "restore": restore}[sys.argv[1]](sys.argv[2])
except zipfile.BadZipFile as error:
    sys.exit(f"{sys.argv[2]} is no backup, or not a whole one: {error}")
except urllib.error.HTTPError as error:
    sys.exit(f"{error.url}: {error.code} {error.read()[:300].decode(errors='replace')}")
except OSError as error:
    sys.exit(f"{STORE}: {error}")
