"""The loaders as init containers run them: real processes against a hub and a bucket on loopback.

The bucket's loader runs by this machine's shell and rclone; rclone's image has other builds of the same programs.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from slipway.kubernetes.loaders import script

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = bytes(range(256)) * 400
FILES: dict[str, bytes] = {
    "config.json": b"{}",
    "model.safetensors": WEIGHTS,
    "pytorch_model.bin": b"pickled",
    "original/consolidated.pth": b"pickled too",
}


class Store(ThreadingHTTPServer):
    """A hub and a bucket at once: it answers what huggingface_hub and rclone ask, and remembers it."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(FILES)
        self.told: dict[str, str] = {}
        """SHA-256 that the hub tells, where it is not the file's."""
        self.got: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def sums(self) -> str:
        """Write the bucket's SHA256SUMS; the SHA-256 of that."""
        listed = {n: hashlib.sha256(b).hexdigest() for n, b in sorted(self.files.items()) if n != "SHA256SUMS"}
        self.files["SHA256SUMS"] = "".join(f"{digest}  ./{name}\n" for name, digest in listed.items()).encode()
        return hashlib.sha256(self.files["SHA256SUMS"]).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Store  # pyright: ignore[reportIncompatibleVariableOverride] -- the base class knows no more of it

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == f"/api/models/org/repo/revision/{COMMIT}":
            self.answer(json.dumps(self.model()).encode(), "application/json")
        elif parts.path.rstrip("/") == "/bucket":
            asked = parse_qs(parts.query)
            self.answer(self.listing(asked["prefix"][0], whole="delimiter" not in asked), "application/xml")
        else:
            name = parts.path.removeprefix(f"/org/repo/resolve/{COMMIT}/").removeprefix("/bucket/llama/")
            if self.command == "GET":
                self.server.got.append(name)
            self.answer(self.server.files.get(name))

    def model(self) -> Mapping[str, object]:
        files = [self.sibling(name, body) for name, body in self.server.files.items()]
        # The hub tells more; what comes first here is what the oldest library in an engine's image, TGI's 0.23, asks for.
        return {"private": False, "downloads": 0, "likes": 0, "tags": [], "id": "org/repo", "sha": COMMIT, "siblings": files}

    def sibling(self, name: str, body: bytes) -> Mapping[str, object]:
        digest = self.server.told.get(name, hashlib.sha256(body).hexdigest())
        large = {"lfs": {"sha256": digest, "size": len(body), "pointerSize": 100}} if name.endswith(".safetensors") else {}
        return {"rfilename": name, "size": len(body), **large}

    def listing(self, prefix: str, *, whole: bool) -> bytes:
        """What is below a prefix; with a delimiter, folders in place of what is in them."""
        within = {f"llama/{n}".removeprefix(prefix): b for n, b in self.server.files.items() if f"llama/{n}".startswith(prefix)}
        folders = [] if whole else sorted({n.partition("/")[0] for n in within if "/" in n})
        entries = "".join(
            f"<Contents><Key>{prefix}{n}</Key><Size>{len(b)}</Size><ETag>&quot;{hashlib.md5(b).hexdigest()}&quot;</ETag>"
            "<LastModified>2026-01-01T00:00:00.000Z</LastModified><StorageClass>STANDARD</StorageClass></Contents>"
            for n, b in within.items()
            if whole or "/" not in n
        )
        entries += "".join(f"<CommonPrefixes><Prefix>{prefix}{f}/</Prefix></CommonPrefixes>" for f in folders)
        return (
            '<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<Name>bucket</Name><Prefix>{prefix}</Prefix><IsTruncated>false</IsTruncated>{entries}</ListBucketResult>"
        ).encode()

    def answer(self, body: bytes | None, kind: str = "application/octet-stream") -> None:
        self.send_response(404 if body is None else 200)
        found = body or b""
        for key, value in {
            "Content-Type": kind,
            "Content-Length": str(len(found)),
            "ETag": f'"{hashlib.md5(found).hexdigest()}"',
            "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT",
            "X-Repo-Commit": COMMIT,
            **({"X-Error-Code": "EntryNotFound"} if body is None else {}),
        }.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(found)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 -- as the base class has it
        """Nothing."""


@pytest.fixture
def store() -> Iterator[Store]:
    with Store() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def start_hub(store: Store, target: Path, **env: str) -> subprocess.Popen[str]:
    told = {
        "PATH": os.environ["PATH"],
        "HOME": str(target.parent.parent),
        "HF_ENDPOINT": store.url,
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "SOURCE": "org/repo",
        "COMMIT": COMMIT,
        "TARGET": str(target),
        **env,
    }
    command = [sys.executable, "-c", script("hub.py")]
    return subprocess.Popen(command, env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def start_bucket(store: Store, target: Path, sha256: str, **env: str) -> subprocess.Popen[str]:
    if shutil.which("rclone") is None:
        pytest.skip("there is no rclone on this machine")
    told = {
        "PATH": os.environ["PATH"],
        "HOME": str(target.parent.parent),
        "RCLONE_CONFIG_SOURCE_TYPE": "s3",
        "RCLONE_CONFIG_SOURCE_PROVIDER": "Other",
        "RCLONE_CONFIG_SOURCE_ENV_AUTH": "true",
        "RCLONE_CONFIG_SOURCE_ENDPOINT": store.url,
        "AWS_ACCESS_KEY_ID": "id",
        "AWS_SECRET_ACCESS_KEY": "key",
        "SOURCE": "bucket/llama",
        "SHA256": sha256,
        "TARGET": str(target),
        **env,
    }
    text = (
        script("bucket.sh")
        .replace("--retries 5", "--retries 1 --low-level-retries 1")
        .replace("/tmp/", f"{target.parent.parent}/")
    )
    return subprocess.Popen(["/bin/sh", "-c", text], env=told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def done(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "weights" / "v1"


def test_from_the_hub_comes_what_engines_read_and_only_once(store: Store, target: Path) -> None:
    # Where older versions of the library keep their notes.
    (target.with_name(f"{target.name}.part") / ".huggingface").mkdir(parents=True)
    code, out, err = done(start_hub(store, target))
    assert (code, out) == (0, f"{target} is loaded\n"), err
    assert sorted(p.name for p in target.iterdir()) == ["config.json", "model.safetensors"]
    assert (target / "model.safetensors").read_bytes() == WEIGHTS
    store.got.clear()
    assert done(start_hub(store, target))[:2] == (0, f"{target} is there\n")
    assert store.got == []


def test_from_the_hub_another_content_than_it_tells_is_refused_in_a_line(store: Store, target: Path) -> None:
    store.told["model.safetensors"] = "ab" * 32
    code, _, err = done(start_hub(store, target))
    assert code == 1
    assert err.splitlines()[-1] == f"cannot load org/repo@{COMMIT}: model.safetensors has another SHA-256 than {'ab' * 32}"
    assert not target.exists()
    # What is wrong is brought again, not taken for right.
    store.told.clear()
    assert done(start_hub(store, target))[0] == 0


def test_from_the_hub_what_is_not_there_is_a_line(store: Store, target: Path) -> None:
    code, _, err = done(start_hub(store, target, SOURCE="org/missing"))
    assert code == 1
    assert f"cannot load org/missing@{COMMIT}: " in err
    assert "Traceback" not in err


def test_several_servers_that_share_a_volume_load_once(store: Store, target: Path) -> None:
    said = [done(p) for p in [start_hub(store, target) for _ in range(3)]]
    assert sorted(out for _, out, _ in said) == [f"{target} is loaded\n", *[f"{target} is there\n"] * 2]
    assert store.got.count("model.safetensors") == 1


def test_from_a_bucket_comes_what_its_list_lists_and_only_once(store: Store, target: Path) -> None:
    code, out, err = done(start_bucket(store, target, store.sums()))
    assert (code, out) == (0, f"{target} is loaded\n"), err
    assert {p.relative_to(target).as_posix() for p in target.rglob("*") if p.is_file()} == {*FILES, "SHA256SUMS"}
    assert (target / "model.safetensors").read_bytes() == WEIGHTS
    store.got.clear()
    assert done(start_bucket(store, target, "never looked at"))[:2] == (0, f"{target} is there\n")
    assert store.got == []


def test_from_a_bucket_several_servers_load_once(store: Store, target: Path) -> None:
    digest = store.sums()
    said = [done(p) for p in [start_bucket(store, target, digest) for _ in range(3)]]
    assert sorted(out for _, out, _ in said) == [f"{target} is loaded\n", *[f"{target} is there\n"] * 2]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"model.safetensors": WEIGHTS[:-1] + b"x"}, "bucket/llama differs from its SHA256SUMS: ./model.safetensors: FAILED"),
        ({"modeling.py": b"import os"}, "bucket/llama has other files than its SHA256SUMS lists: < modeling.py"),
        ({"config.json": None}, "bucket/llama has other files than its SHA256SUMS lists: > config.json"),
        ({"SHA256SUMS": b"other"}, "bucket/llama/SHA256SUMS has SHA-256 "),
        ({"SHA256SUMS": None}, "bucket/llama has no SHA256SUMS"),
    ],
)
def test_from_a_bucket_what_was_changed_is_refused_and_not_kept(
    store: Store, target: Path, change: Mapping[str, bytes | None], says: str
) -> None:
    digest = store.sums()
    for name, body in change.items():
        if body is None:
            del store.files[name]
        else:
            store.files[name] = body
    code, _, err = done(start_bucket(store, target, digest))
    assert code == 1
    assert says in err
    assert [p for p in target.parent.iterdir() if p.is_dir()] == []


@pytest.mark.parametrize("loader", ["hub", "bucket"])
def test_a_volume_of_ones_own_keeps_the_version_before_and_no_others(store: Store, target: Path, loader: str) -> None:
    for age, name in enumerate(("new", "old", "older", "cut.part")):
        folder = target.parent / name
        folder.mkdir(parents=True)
        (folder / "model.safetensors").touch()
        os.utime(folder, (2_000_000_000 - age, 2_000_000_000 - age))
    env = {"MAKE_ROOM": "1"}
    process = start_hub(store, target, **env) if loader == "hub" else start_bucket(store, target, store.sums(), **env)
    code, _, err = done(process)
    assert code == 0, err
    assert sorted(p.name for p in target.parent.iterdir() if p.is_dir()) == ["new", "v1"]
