"""A real Chroma, started as a VectorStore starts it: it keeps what it holds over a restart, and the backup that the CronJob's own
command makes comes back in an empty one.
"""

import json
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from tests.stores.job import FOREIGN, MISSING, OLDER, OLDEST, PYTHON, carry, planned, run

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

DATABASES = "/api/v2/tenants/default_tenant/databases"
# The image's `chroma` calls the same function as this; what comes before it, dumb-init, only passes signals on.
CHROMA = "import sys, chromadb_rust_bindings; chromadb_rust_bindings.cli(sys.argv[1:])"
Start = Callable[[Path], str]


def call(url: str, method: str, path: str, body: object = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"content-type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


@contextmanager
def chroma(data: Path) -> Generator[str]:
    """A Chroma on a free port, by the command that the pod has; its address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    container = planned("chroma")["docs-store"].inputs["spec"]["template"]["spec"]["containers"][0]
    rendered = cast("list[str]", container["command"])
    assert rendered[:3] == ["dumb-init", "--", "chroma"]
    here = {"/data": str(data), "0.0.0.0": "127.0.0.1", "8000": port}
    words = [here.get(word, word) for word in rendered[2:]]
    process = subprocess.Popen([str(PYTHON), "-c", CHROMA, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        ready = container["readinessProbe"]["httpGet"]["path"]
        for _ in range(200):
            try:
                call(url, "GET", ready)
                break
            except OSError:
                time.sleep(0.1)
        call(url, "GET", container["livenessProbe"]["httpGet"]["path"])
        yield url
    finally:
        process.terminate()
        process.wait(timeout=20)


@pytest.fixture
def filled(tmp_path: Path) -> Generator[str]:
    """A Chroma with 450 records in one database, and an empty collection in another."""
    (tmp_path / "data").mkdir()
    with chroma(tmp_path / "data") as url:
        about = {"name": "docs", "metadata": {"of": "us"}, "configuration": {"hnsw": {"space": "cosine"}}}
        made = call(url, "POST", f"{DATABASES}/default_database/collections", about)
        records = {
            "ids": [f"id{i}" for i in range(450)],
            "embeddings": [[float(i), 1.0, i / 7] for i in range(450)],
            "documents": [f"text {i}" if i % 3 else None for i in range(450)],
            "metadatas": [{"n": i} if i % 2 else None for i in range(450)],
        }
        call(url, "POST", f"{DATABASES}/default_database/collections/{made['id']}/add", records)
        call(url, "POST", DATABASES, {"name": "second"})
        call(url, "POST", f"{DATABASES}/second/collections", {"name": "empty"})
        yield url


def held(url: str) -> dict[str, Any]:
    """Everything that a Chroma holds, by database and collection."""
    found: dict[str, Any] = {}
    for database in call(url, "GET", DATABASES):
        path = f"{DATABASES}/{database['name']}/collections"
        for one in call(url, "GET", path):
            wanted = {"limit": 300, "offset": 0, "include": ["embeddings", "documents", "metadatas"]}
            pages = [call(url, "POST", f"{path}/{one['id']}/get", {**wanted, "offset": at}) for at in (0, 300)]
            records = {
                record[0]: record[1:]
                for page in pages
                for record in zip(page["ids"], page["embeddings"], page["documents"], page["metadatas"], strict=True)
            }
            space = one["configuration_json"]["hnsw"]["space"]
            found[f"{database['name']}/{one['name']}"] = (one["metadata"], space, records)
    return found


def test_what_was_backed_up_comes_back_in_an_empty_one(filled: str, tmp_path: Path) -> None:
    plan, backups = planned("chroma"), tmp_path / "backups"
    backups.mkdir()
    made = run(plan, "backup", filled, backups)
    assert made.returncode == 0, made.stderr
    assert "default_database/docs: 450 records" in made.stdout
    whole = held(filled)
    assert len(whole["default_database/docs"][2]) == 450
    assert whole["second/empty"] == (None, "l2", {})
    (tmp_path / "other").mkdir()
    with chroma(tmp_path / "other") as empty:
        assert held(empty) == {}
        back = run(plan, "restore", empty, backups)
        assert back.returncode == 0, back.stderr
        found = held(empty)
        assert found.keys() == whole.keys()
        for name, (metadata, space, records) in whole.items():
            assert found[name][:2] == (metadata, space)
            assert found[name][2].keys() == records.keys()
            for record, (vector, document, about) in records.items():
                # With cosine distance Chroma keeps direction and length, and 32-bit numbers in their last digit only.
                assert found[name][2][record][0] == pytest.approx(vector, rel=1e-6)
                assert found[name][2][record][1:] == (document, about)


@pytest.mark.skipif(shutil.which("rclone") is None, reason="no rclone on PATH: apt-get install rclone")
def test_backups_go_to_a_bucket_and_come_back_from_there(filled: str, tmp_path: Path) -> None:
    plan, backups, bucket = planned("chroma", keep=2, bucket="s3://acme-backups/docs"), tmp_path / "backups", tmp_path / "bucket"
    backups.mkdir()
    bucket.mkdir()
    for file in (OLDEST, OLDER, FOREIGN):
        (bucket / file).write_bytes(b"old")
    made = run(plan, "backup", filled, backups, "initContainers")
    assert made.returncode == 0, made.stderr
    brought = carry(plan, "backup", backups, bucket)
    assert brought.returncode == 0, brought.stderr
    kept = sorted(file.name for file in bucket.iterdir())
    assert (kept[0], kept[2], len(kept)) == (OLDER, FOREIGN, 3)
    next(backups.iterdir()).unlink()
    whole = held(filled)
    (tmp_path / "other").mkdir()
    with chroma(tmp_path / "other") as empty:
        assert carry(plan, "restore", backups, bucket).returncode == 0
        back = run(plan, "restore", empty, backups)
        assert back.returncode == 0, back.stderr
        assert held(empty).keys() == whole.keys()


def test_nothing_is_restored_over_what_is_there(filled: str, tmp_path: Path) -> None:
    plan, backups = planned("chroma"), tmp_path / "backups"
    backups.mkdir()
    assert "there is no backup" in run(plan, "restore", filled, backups).stderr
    run(plan, "backup", filled, backups)
    whole = held(filled)
    refused = run(plan, "restore", filled, backups)
    assert refused.returncode == 1
    assert "nothing was restored: default_database/docs, second/empty exist already; delete them first" in refused.stderr
    assert held(filled) == whole
    unknown = run(planned("chroma", restore_file=OLDEST), "restore", filled, backups)
    assert f"there is no backup {OLDEST}; there are: docs-20" in unknown.stderr


def test_as_many_are_kept_as_were_asked_for_and_what_was_cut_is_none(filled: str, tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    for file in (OLDEST, OLDER, FOREIGN, f"{OLDEST}.part"):
        (backups / file).write_bytes(b"cut")
    assert run(planned("chroma", keep=2), "backup", filled, backups).returncode == 0
    kept = sorted(path.name for path in backups.iterdir())
    assert (kept[0], kept[2]) == (OLDER, FOREIGN)
    assert len(kept) == 3
    cut = run(planned("chroma", restore_file=OLDER), "restore", filled, backups)
    assert (cut.returncode, f"{OLDER} is no backup, or not a whole one" in cut.stderr) == (1, True)


def test_it_keeps_what_it_holds_over_a_restart(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    with chroma(data) as url:
        made = call(url, "POST", f"{DATABASES}/default_database/collections", {"name": "docs"})
        path = f"{DATABASES}/default_database/collections/{made['id']}/add"
        call(url, "POST", path, {"ids": ["a"], "embeddings": [[1.0, 2.0]]})
        before = held(url)
    with chroma(data) as url:
        assert held(url) == before
        assert list(before["default_database/docs"][2]) == ["a"]


def test_a_store_that_is_away_is_one_clear_line(tmp_path: Path) -> None:
    backups = tmp_path / "backups"
    backups.mkdir()
    failed = run(planned("chroma"), "backup", "http://127.0.0.1:9", backups)
    assert failed.returncode == 1
    assert failed.stderr.startswith("http://127.0.0.1:9: ")
    assert "Traceback" not in failed.stderr
    # What was begun is no backup.
    assert "there is no backup of docs" in run(planned("chroma"), "restore", "http://127.0.0.1:9", backups).stderr
    assert list(backups.iterdir()) == []
