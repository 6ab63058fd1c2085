"""A Qdrant's backup by the CronJob's own command, on a stand-in that Qdrant's own client takes for the real one."""

import subprocess
from pathlib import Path

import pytest
from tests.stores.fake_qdrant import Qdrant, serving
from tests.stores.job import MISSING, PYTHON, planned, run

pytestmark = pytest.mark.skipif(MISSING is not None, reason=MISSING or "")

KEY = "one.of-many~letters_4"
HELD = {"docs": b"\x00vectors" * 300_000, "name with/a slash": b"few"}
# What a user of Qdrant's client would do, and the paths and fields that it takes from Qdrant's description.
BY_THE_CLIENT = """
import sys, urllib.request
from qdrant_client.http import SyncApis, models
url, key, file = sys.argv[1:]
api = SyncApis(host=url, headers={"api-key": key})
for name in sorted(c.name for c in api.collections_api.get_collections().result.collections):
    made = api.snapshots_api.create_snapshot(collection_name=name, wait=True).result
    assert len(made.checksum) == 64, made
    api.snapshots_api.delete_snapshot(collection_name=name, snapshot_name=made.name, wait=True)
aliases = api.aliases_api.get_collections_aliases().result.aliases
with open(file, "rb") as snapshot:
    api.snapshots_api.recover_from_uploaded_snapshot(
        collection_name="third", wait=True, priority=models.SnapshotPriority.SNAPSHOT, snapshot=snapshot.read()
    )
create = [models.CreateAliasOperation(create_alias=models.CreateAlias(alias_name="a", collection_name="docs"))]
api.aliases_api.update_aliases(change_aliases_operation=models.ChangeAliasesOperation(actions=create))
"""


@pytest.fixture
def backups(tmp_path: Path) -> Path:
    """A folder for them."""
    made = tmp_path / "backups"
    made.mkdir()
    return made


def test_what_was_backed_up_comes_back_in_an_empty_one(backups: Path) -> None:
    plan = planned("qdrant")
    store = Qdrant(KEY, HELD, {"current": "docs"})
    with serving(store) as url:
        made = run(plan, "backup", url, backups, API_KEY=KEY)
    assert made.returncode == 0, made.stderr
    # Nothing stays behind in the store.
    assert (store.snapshots, store.collections) == ({}, HELD)
    empty = Qdrant(KEY, {})
    with serving(empty) as url:
        back = run(plan, "restore", url, backups, API_KEY=KEY)
        assert back.returncode == 0, back.stderr
        assert (empty.collections, empty.aliases) == (HELD, {"current": "docs"})
        refused = run(plan, "restore", url, backups, API_KEY=KEY)
    assert "nothing was restored: docs, name with/a slash exist already" in refused.stderr
    # The key is on no command line, and in no output.
    assert KEY not in made.stdout + made.stderr + back.stdout + refused.stderr
    assert KEY not in str(plan["docs-backup"].inputs)


def test_the_requests_are_those_of_qdrants_own_client(backups: Path) -> None:
    plan, mine, theirs = planned("qdrant"), Qdrant(KEY, HELD), Qdrant(KEY, HELD)
    with serving(mine) as url:
        assert run(plan, "backup", url, backups, API_KEY=KEY).returncode == 0
    restored = Qdrant(KEY, {}, {})
    with serving(restored) as url:
        assert run(plan, "restore", url, backups, API_KEY=KEY).returncode == 0
    file = backups.parent / "snapshot"
    file.write_bytes(b"content")
    with serving(theirs) as url:
        done = subprocess.run(
            [str(PYTHON), "-c", BY_THE_CLIENT, url, KEY, str(file)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    assert theirs.collections["third"] == b"content"
    # The client has no download of its own; where one is, is in the description. And it restores another collection.
    downloads = {(method, path) for method, path in mine.asked if method == "GET" and path.endswith("NAME")}
    uploads = {(method, path) for method, path in restored.asked if path.endswith("/upload")}
    assert len(downloads) == len(uploads) == 2
    assert ("POST", "/collections/third/snapshots/upload") in theirs.asked
    assert {*mine.asked, *restored.asked} - downloads - uploads <= set(theirs.asked)


def test_a_snapshot_that_came_broken_is_no_backup(backups: Path) -> None:
    store = Qdrant(KEY, HELD)
    store.spoil = True
    with serving(store) as url:
        failed = run(planned("qdrant"), "backup", url, backups, API_KEY=KEY)
        assert failed.returncode == 1
        assert "and Qdrant tells" in failed.stderr
        assert store.snapshots == {}
        assert "there is no backup" in run(planned("qdrant"), "restore", url, backups, API_KEY=KEY).stderr


def test_a_file_that_was_changed_is_not_restored(backups: Path) -> None:
    with serving(Qdrant(KEY, HELD)) as url:
        run(planned("qdrant"), "backup", url, backups, API_KEY=KEY)
    (file,) = backups.iterdir()
    spoilt = file.read_bytes().replace(b"vectors", b"VECTORS", 1)
    file.write_bytes(spoilt)
    empty = Qdrant(KEY, {})
    with serving(empty) as url:
        failed = run(planned("qdrant"), "restore", url, backups, API_KEY=KEY)
    assert "0.snapshot in" in failed.stderr
    assert "is not what it was made as: nothing is done with it" in failed.stderr
    assert empty.collections == {}


def test_a_wrong_key_is_one_clear_line(backups: Path) -> None:
    with serving(Qdrant(KEY, HELD)) as url:
        failed = run(planned("qdrant"), "backup", url, backups, API_KEY="another-one")
    assert failed.returncode == 1
    assert "/collections: 401" in failed.stderr
    assert "Traceback" not in failed.stderr
