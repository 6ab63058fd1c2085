"""The router's build context, from this checkout. From a wheel: tests/package. That an image comes of it: tests/docker."""

from pathlib import Path

import pytest

import slipway_router
from slipway.images import router_context
from slipway.images.container_image import Build

APP = Path(slipway_router.__file__).parent.parent


def listing(folder: Path) -> dict[str, tuple[bytes, int, int]]:
    return {
        str(f.relative_to(folder)): (f.read_bytes(), f.stat().st_mode & 0o777, int(f.stat().st_mtime))
        for f in folder.rglob("*")
        if f.is_file()
    }


def test_it_has_what_the_dockerfile_copies_and_nothing_compiled(tmp_path: Path) -> None:
    context = Path(router_context(tmp_path))
    code = {str(f.relative_to(APP)) for f in (APP / "slipway_router").rglob("*") if f.is_file() and f.suffix != ".pyc"}
    assert set(listing(context)) == code | {".dockerignore", "Dockerfile", "requirements.txt", "requirements-clouds.txt"}
    assert "slipway_router/config.py" in code
    assert (context / "slipway_router/config.py").read_bytes() == (APP / "slipway_router/config.py").read_bytes()


def test_twice_the_same_bytes_modes_and_times(tmp_path: Path) -> None:
    one, other = Path(router_context(tmp_path / "a")), Path(router_context(tmp_path / "b"))
    assert listing(one) == listing(other)
    assert one.name == other.name
    assert {(mode, time) for _, mode, time in listing(one).values()} == {(0o644, 315532800)}


def test_what_is_there_is_kept_and_drafts_are_not(tmp_path: Path) -> None:
    context = Path(router_context(tmp_path))
    before = context.stat().st_ino
    assert Path(router_context(tmp_path)).stat().st_ino == before
    assert list(tmp_path.iterdir()) == [context]


def test_new_code_gets_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "app/slipway_router"
    package.mkdir(parents=True)
    for name in (".dockerignore", "Dockerfile", "requirements.txt", "requirements-clouds.txt"):
        (package.parent / name).write_bytes((APP / name).read_bytes())
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(slipway_router, "__file__", str(package / "__init__.py"))
    first = router_context(tmp_path / "out")
    (package / "__init__.py").write_text("new = True\n")
    second = router_context(tmp_path / "out")
    assert first != second
    assert Path(second, "slipway_router/__init__.py").read_text() == "new = True\n"
    (package.parent / "Dockerfile").unlink()
    with pytest.raises(RuntimeError, match="has no Dockerfile"):
        router_context(tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(FileExistsError):
        router_context(tmp_path / "file")


def test_an_image_takes_it_as_its_context(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    context = router_context()
    assert context.startswith(".slipway/images/router-"), "a path of this machine must not get into the state"
    build = Build.of("router", {"context": context, "repository": "ghcr.io/acme/router", "tags": ["1"]})
    assert build.dockerfile == "Dockerfile"
