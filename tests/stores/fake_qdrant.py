# ruff: noqa: A002, N815 -- names that http.server calls
"""As much of Qdrant's HTTP API as a backup asks, by its published description. No Qdrant can be had here: what this answers is
read by Qdrant's own client in test_qdrant.py, which checks it against the description, and asks it the same.
"""

import hashlib
import json
import re
import threading
from collections.abc import Generator
from contextlib import contextmanager
from email.message import Message
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, cast
from urllib.parse import parse_qs, unquote, urlsplit


class Qdrant:
    """What one holds: the content of each collection stands for all that Qdrant keeps of it."""

    def __init__(self, key: str, collections: dict[str, bytes], aliases: dict[str, str] | None = None) -> None:
        self.key = key
        self.collections = dict(collections)
        self.aliases = dict(aliases or {})
        self.snapshots: dict[tuple[str, str], bytes] = {}
        self.asked: list[tuple[str, str]] = []
        """Method and path of each request, snapshots' names left out."""
        self.spoil = False
        """Whether a download differs from what was told of it."""

    def answer(self, method: str, path: str, body: bytes, kind: str) -> tuple[int, Any]:
        """Status, and what the answer's `result` is, or bytes."""
        parts = urlsplit(path)
        self.asked.append((method, re.sub(r"snapshot-\d+", "NAME", parts.path)))
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        if (method, parts.path) == ("GET", "/collections"):
            return 200, {"collections": [{"name": name} for name in self.collections]}
        if (method, parts.path) == ("GET", "/aliases"):
            return 200, {"aliases": [{"alias_name": a, "collection_name": c} for a, c in self.aliases.items()]}
        if (method, parts.path) == ("POST", "/collections/aliases"):
            for action in json.loads(body)["actions"]:
                self.aliases[action["create_alias"]["alias_name"]] = action["create_alias"]["collection_name"]
            return 200, True
        shape = re.fullmatch(r"/collections/([^/]+)/snapshots(?:/([^/]+))?", parts.path)
        if shape is None:
            return 404, None
        collection, name = unquote(shape[1]), unquote(shape[2] or "")
        if method == "POST" and name == "upload":
            assert query == {"wait": "true", "priority": "snapshot"}
            whole = BytesParser().parsebytes(f"content-type: {kind}\r\n\r\n".encode() + body)
            (part,) = cast("list[Message]", whole.get_payload())
            assert part.get_param("name", header="content-disposition") == "snapshot"
            self.collections[collection] = cast("bytes", part.get_payload(decode=True))
            return 200, True
        if collection not in self.collections:
            return 404, None
        if method == "POST":
            name = f"snapshot-{len(self.asked)}"
            self.snapshots[collection, name] = content = self.collections[collection]
            told = {"name": name, "creation_time": "2026-11-26T03:00:00", "size": len(content)}
            return 200, {**told, "checksum": hashlib.sha256(content).hexdigest()}
        if method == "DELETE":
            del self.snapshots[collection, name]
            return 200, True
        return 200, self.snapshots[collection, name] + (b"!" if self.spoil else b"")


@contextmanager
def serving(store: Qdrant) -> Generator[str]:
    """Its address."""

    class Handler(BaseHTTPRequestHandler):
        def _do(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            if self.headers.get("api-key") != store.key:
                status, result = 401, None
            else:
                status, result = store.answer(self.command, self.path, body, self.headers.get("content-type", ""))
            said = result if isinstance(result, bytes) else json.dumps({"result": result, "status": "ok", "time": 0.1}).encode()
            self.send_response(status)
            self.send_header("content-type", "application/octet-stream" if isinstance(result, bytes) else "application/json")
            self.send_header("content-length", str(len(said)))
            self.end_headers()
            self.wfile.write(said)

        do_GET = do_POST = do_PUT = do_DELETE = _do

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
