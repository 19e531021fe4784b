"""A folder of several files appears as one, and replaces an old one without losing it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from norse_export.errors import OutputError
from norse_export.files import atomic, rename
from norse_export.files.atomic import check_output, writing_folder


@pytest.fixture(params=[True, False], ids=["exchange", "two renames"])
def either_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.param:
        monkeypatch.setattr(rename, "_renameat2", lambda *_: False)


def content(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


def write(path: Path, text: str, **options: Any) -> None:
    with writing_folder(path, **options) as folder:
        (folder / "deep").mkdir()
        (folder / "deep" / "a").write_text(text)
        (folder / "b").write_text(text)


NEW = {"b": "new", "deep/a": "new"}


def test_a_new_folder_appears_when_the_body_ends(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with writing_folder(path) as folder:
        assert folder.name == "out"
        (folder / "a").write_text("x")
        assert not path.exists()
    assert content(tmp_path) == {"out/a": "x"}
    assert os.listdir(tmp_path) == ["out"]


def test_the_mode_follows_the_umask(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        write(tmp_path / "out", "new")
    finally:
        os.umask(old)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o750


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("name", ["out", "new", "old", "x" * 255])
def test_force_replaces_the_old_folder_as_one(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    (path / "sealed").mkdir(parents=True)
    (path / "sealed" / "of_old").write_text("old")
    (path / "sealed").chmod(0o500)
    write(path, "new", force=True)
    assert content(path) == NEW
    assert os.listdir(tmp_path) == [name]


@pytest.mark.usefixtures("either_way")
def test_an_exception_in_the_body_leaves_the_old_folder_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "out"
    write(path, "new")

    def fail() -> None:
        with writing_folder(path, force=True) as folder:
            (folder / "a").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert content(path) == NEW
    assert os.listdir(tmp_path) == ["out"]


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()], ids=["full", "Ctrl-C"])
def test_failing_between_two_renames_restores_the_old_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = tmp_path / "out"
    write(path, "new")
    monkeypatch.setattr(rename, "_renameat2", lambda *_: False)
    move, moves = os.rename, []

    def second_fails(source: Any, target: Any) -> None:
        moves.append(source)
        if len(moves) == 2:
            raise error
        move(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OutputError if isinstance(error, OSError) else KeyboardInterrupt):
        write(path, "newer", force=True)
    assert content(path) == NEW
    assert os.listdir(tmp_path) == ["out"]


def test_an_old_folder_that_cannot_be_put_back_is_kept_for_the_next_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    write(path, "new")
    move, moves = os.rename, []

    def only_the_first(source: Any, target: Any) -> None:
        moves.append(source)
        if len(moves) > 1:
            raise OSError(5, "device error")
        move(source, target)

    with monkeypatch.context() as broken:
        broken.setattr(rename, "_renameat2", lambda *_: False)
        broken.setattr(os, "rename", only_the_first)
        with pytest.raises(OutputError, match="device reports an error"):
            write(path, "newer", force=True)
    assert not path.exists()
    with pytest.raises(OutputError, match="already exists"):
        check_output(path, force=False, folder=True)
    assert content(path) == NEW
    assert os.listdir(tmp_path) == ["out"]


def test_without_force_a_folder_that_appears_meanwhile_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "out"

    def lose_the_race() -> None:
        with writing_folder(path) as folder:
            (folder / "a").write_text("ours")
            write(path, "new")

    with pytest.raises(OutputError, match="already exists") as caught:
        lose_the_race()
    assert "--force" in caught.value.fix
    assert content(path) == NEW
    assert os.listdir(tmp_path) == ["out"]


def refused(path: Path, what: str, fix: str, **options: Any) -> None:
    with pytest.raises(OutputError) as caught, writing_folder(path, **options):
        pytest.fail("the body must not run")
    assert what in caught.value.what
    assert caught.value.where == str(path)
    assert fix in caught.value.fix
    assert caught.value.exit_code == 2


def test_an_existing_folder_needs_force_even_when_empty(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    refused(tmp_path / "out", "already exists", "--force")


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("x")
    refused(tmp_path / "out", "is a file", "remove the file", force=True)
    assert content(tmp_path) == {"out": "x"}


def test_a_link_to_a_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    refused(tmp_path / "link", "symbolic link", "remove the link", force=True)


def test_a_folder_that_holds_the_input_is_not_replaced(tmp_path: Path) -> None:
    source = tmp_path / "out" / "deep" / "model.pt"
    source.parent.mkdir(parents=True)
    source.write_text("model")
    refused(tmp_path / "out", "the input is inside", "another output", force=True, inputs=[source])
    (tmp_path / "link").symlink_to(source)
    refused(tmp_path / "out", "the input is inside", "another output", force=True, inputs=[tmp_path / "link"])
    (tmp_path / "outer").mkdir()
    check_output(tmp_path / "outer", force=True, inputs=[source], folder=True)


def test_a_folder_in_use_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "out" / "inner"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    refused(tmp_path / "out", "current or the home folder", "new folder", force=True)
    refused(Path(), "current or the home folder", "new folder", force=True)
    monkeypatch.chdir(tmp_path)
    check_output(tmp_path / "out", force=True, folder=True)
    monkeypatch.setenv("HOME", str(inner))
    refused(tmp_path / "out", "current or the home folder", "new folder", force=True)
    refused(Path("/proc"), "is a mount", "new folder", force=True)


def test_every_file_and_folder_is_synced_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(atomic, "_sync", lambda path: synced.append(path.name))
    write(tmp_path / "out", "new")
    assert synced == ["a", "deep", "b", "out", tmp_path.name]
