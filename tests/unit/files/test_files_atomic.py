"""A file appears whole or not at all, and never where it must not."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from norse_export.errors import OutputError
from norse_export.files import rename, workspace
from norse_export.files.atomic import check_output, writing_file


def refused(path: Path, what: str, fix: str, *, folder: bool = False, **options: Any) -> OutputError:
    """By the check before any work; and by the writer in the same words."""
    with pytest.raises(OutputError) as caught:
        check_output(path, folder=folder, **{"force": False, **options})
    assert what in caught.value.what
    assert caught.value.where == str(path)
    assert fix in caught.value.fix
    assert caught.value.exit_code == 2
    if not folder:
        with pytest.raises(OutputError) as written, writing_file(path, **options):
            pytest.fail("the body must not run")
        assert str(written.value) == str(caught.value)
    return caught.value


def listing(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_new_file_appears_when_the_body_ends(tmp_path: Path) -> None:
    path = tmp_path / "out.nir"
    with writing_file(path) as temporary:
        temporary.write_bytes(b"new")
        assert not path.exists()
        assert temporary.name == path.name
        assert temporary.parent.parent.parent == tmp_path
    assert path.read_bytes() == b"new"
    assert listing(tmp_path) == ["out.nir"]


@pytest.mark.parametrize("mask", [0o022, 0o077])
def test_the_mode_follows_the_umask(tmp_path: Path, mask: int) -> None:
    old = os.umask(mask)
    try:
        with writing_file(tmp_path / "out") as temporary:
            temporary.write_bytes(b"x")
            assert stat.S_IMODE(temporary.parent.parent.stat().st_mode) == 0o700
    finally:
        os.umask(old)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o666 & ~mask


def test_a_relative_output_stays_the_same_when_the_current_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path)
    with writing_file(Path("out.nir")) as temporary:
        monkeypatch.chdir(tmp_path / "elsewhere")
        temporary.write_bytes(b"x")
    assert listing(tmp_path) == ["elsewhere", "out.nir"]


@pytest.mark.parametrize("name", ["x" * 255, "ü" * 127, "with space\nand newline", "-o", ".hidden", "a.b.c", "[x]*"])
def test_any_name_that_the_file_system_takes_can_be_written(tmp_path: Path, name: str) -> None:
    for content in (b"one", b"two"):
        with writing_file(tmp_path / name, force=True) as temporary:
            temporary.write_bytes(content)
    assert (tmp_path / name).read_bytes() == b"two"
    assert listing(tmp_path) == [name]


def test_force_replaces_the_old_file_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "out.nir"
    path.write_bytes(b"old")
    with writing_file(path, force=True) as temporary:
        temporary.write_bytes(b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert listing(tmp_path) == ["out.nir"]


class BodyError(Exception):
    pass


@pytest.mark.parametrize("error", [BodyError, KeyboardInterrupt, SystemExit, OSError, FileNotFoundError])
def test_an_exception_in_the_body_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "out.nir"
    path.write_bytes(b"old")

    def fail() -> None:
        with writing_file(path, force=True) as temporary:
            temporary.write_bytes(b"half of the ne")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_bytes() == b"old"
    assert listing(tmp_path) == ["out.nir"]


def test_a_body_that_writes_nothing_is_our_bug(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="nothing was written"), writing_file(tmp_path / "out"):
        pass
    assert listing(tmp_path) == []


def test_h5py_can_write_the_temporary(tmp_path: Path) -> None:
    """HDF5 locks its file: a lock of ours on the same file would keep it out."""
    with writing_file(tmp_path / "out.nir") as temporary, h5py.File(temporary, "w") as file:
        file["x"] = np.arange(3)
    with h5py.File(tmp_path / "out.nir") as file:
        assert file["x"][:].tolist() == [0, 1, 2]


def test_a_body_may_rename_over_its_temporary(tmp_path: Path) -> None:
    with writing_file(tmp_path / "out") as temporary:
        other = temporary.with_name("other")
        other.write_bytes(b"x")
        other.replace(temporary)
    assert (tmp_path / "out").read_bytes() == b"x"


def test_an_existing_output_needs_force(tmp_path: Path) -> None:
    path = tmp_path / "out.nir"
    path.write_bytes(b"old")
    assert refused(path, "already exists", "--force").findings[0].kind == "exists"
    assert path.read_bytes() == b"old"
    check_output(path, force=True)


@pytest.mark.parametrize("force", [False, True])
def test_a_link_is_never_written_through(tmp_path: Path, force: bool) -> None:
    (tmp_path / "victim").write_bytes(b"VICTIM")
    (tmp_path / "link").symlink_to("victim")
    (tmp_path / "dangling").symlink_to("nowhere")
    for name in ("link", "dangling"):
        refused(tmp_path / name, "symbolic link", "remove the link", force=force)
    assert (tmp_path / "victim").read_bytes() == b"VICTIM"
    assert listing(tmp_path) == ["dangling", "link", "victim"]


@pytest.mark.parametrize("force", [False, True])
def test_the_input_is_never_the_output(tmp_path: Path, force: bool) -> None:
    source = tmp_path / "model.pt"
    source.write_bytes(b"model")
    os.link(source, tmp_path / "twin")
    (tmp_path / "link").symlink_to(source)
    for inputs in ([source], [tmp_path / "missing", tmp_path / "link"]):
        for output in (source, tmp_path / "twin", tmp_path / "." / "model.pt"):
            refused(output, "the same file as the input", "choose another output", force=force, inputs=inputs)
    check_output(tmp_path / "other", force=force, inputs=[source])


@pytest.mark.parametrize("force", [False, True])
def test_a_folder_is_not_a_file(tmp_path: Path, force: bool) -> None:
    error = refused(tmp_path, "is a directory", "name of a file in it", force=force)
    assert str(tmp_path / "model.nir") in error.fix


@pytest.mark.parametrize("force", [False, True])
def test_what_is_not_a_regular_file_is_refused(tmp_path: Path, force: bool) -> None:
    refused(Path("/dev/full"), "not a regular file", "another name", force=force)
    os.mkfifo(tmp_path / "fifo")
    refused(tmp_path / "fifo", "not a regular file", "another name", force=force)


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "no" / "out", "its folder does not exist", f"mkdir -p {tmp_path / 'no'}")
    (tmp_path / "file").write_bytes(b"")
    refused(tmp_path / "file" / "out", "its folder is a file", "in a folder")


def test_impossible_names_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / ("x" * 256), "name is too long", "shorter")
    with pytest.raises(OutputError, match="a NUL in its name") as caught:
        check_output(Path("a\0b"), force=False)
    assert caught.value.where == repr("a\0b")
    assert caught.value.fix
    (tmp_path / "circle").symlink_to("circle")
    refused(tmp_path / "circle" / "out", "go round in a circle", "another")


WITHOUT_PRIVILEGES = """
import os, sys
from pathlib import Path
from norse_export.errors import OutputError
from norse_export.files import atomic
if os.geteuid() == 0:
    os.seteuid(65534)
if sys.argv[2] == "late":
    atomic.check_output = lambda *_, **__: None
try:
    with atomic.writing_file(Path(sys.argv[1])):
        sys.exit("the body ran")
except OutputError as error:
    print(error.exit_code, error.what, error.where, error.fix, sep="|")
"""


@pytest.mark.parametrize("when", ["early", "late"])
def test_a_folder_without_permission_is_refused(when: str) -> None:
    """In a process without privileges, since root writes everywhere."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o555)  # noqa: S103 - not even writable
        path = Path(folder, "out.nir")
        command = [sys.executable, "-P", "-c", WITHOUT_PRIVILEGES, str(path), when]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
        assert listing(Path(folder)) == []
    code, what, where, fix = run.stdout.strip().split("|")
    assert (code, what, where) == ("2", "cannot write the output: permission denied", str(path))
    assert "a folder that you may write to" in fix


def test_a_folder_that_must_not_be_written_to_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    refused(tmp_path / "out", "cannot write the output: permission denied", "a folder that you may write to")


def test_renames_without_the_system_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    assert rename.swap(tmp_path / "a", tmp_path / "b") is (sys.platform == "linux")
    with pytest.raises(FileNotFoundError):
        rename.swap(tmp_path / "a", tmp_path / "missing")
    monkeypatch.setattr(sys, "platform", "other")
    assert rename.swap(tmp_path / "a", tmp_path / "b") is False
    assert (tmp_path / "a").read_text() == "b"


@pytest.mark.parametrize("number", [errno.EINVAL, errno.EACCES])
def test_a_folder_that_cannot_be_synced_is_not_an_error_but_a_device_that_fails_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    sync = os.fsync

    def fail(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, "no")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    _write(tmp_path / "out")
    number = errno.EIO
    with pytest.raises(OutputError, match="device reports an error"):
        _write(tmp_path / "out")


@pytest.mark.parametrize("hard_links", [True, False])
@pytest.mark.parametrize("noreplace", [True, False])
def test_without_force_a_file_that_appears_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool, noreplace: bool
) -> None:
    _take_away(monkeypatch, hard_links=hard_links, renameat2=noreplace)
    path = tmp_path / "out.nir"

    def lose_the_race() -> None:
        with writing_file(path) as temporary:
            temporary.write_bytes(b"ours")
            path.write_bytes(b"theirs")

    with pytest.raises(OutputError, match="already exists") as caught:
        lose_the_race()
    assert caught.value.where == str(path)
    assert "--force" in caught.value.fix
    assert path.read_bytes() == b"theirs"
    assert listing(tmp_path) == ["out.nir"]


@pytest.mark.parametrize("hard_links", [True, False])
@pytest.mark.parametrize("noreplace", [True, False])
def test_a_file_system_without_hard_links_will_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hard_links: bool, noreplace: bool
) -> None:
    _take_away(monkeypatch, hard_links=hard_links, renameat2=noreplace)
    with writing_file(tmp_path / "out") as temporary:
        temporary.write_bytes(b"x")
    assert (tmp_path / "out").read_bytes() == b"x"
    assert (tmp_path / "out").stat().st_nlink == 1
    assert listing(tmp_path) == ["out"]


def _take_away(monkeypatch: pytest.MonkeyPatch, *, hard_links: bool, renameat2: bool) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError(errno.EPERM, "no hard links here")

    if not hard_links:
        monkeypatch.setattr(os, "link", refuse)
    if not renameat2:
        monkeypatch.setattr(rename, "_renameat2", lambda *_: False)


def test_a_parent_that_is_a_link_is_followed_and_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    synced: list[tuple[int, int]] = []
    sync = os.fsync

    def record(descriptor: int) -> None:
        status = os.fstat(descriptor)
        synced.append((status.st_ino, stat.S_IFMT(status.st_mode)))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record)
    with writing_file(tmp_path / "link" / "out") as temporary:
        temporary.write_bytes(b"x")
    folder, file = (tmp_path / "real").stat(), (tmp_path / "real" / "out").stat()
    assert synced == [(file.st_ino, stat.S_IFREG), (folder.st_ino, stat.S_IFDIR)]


def stale(target: Path, *, name: str | None = None) -> Path:
    folder = target.with_name(f".{name or target.name}.{'0123456789abcdef'}{workspace.SUFFIX}")
    (folder / "new").mkdir(parents=True)
    (folder / "new" / target.name).write_bytes(b"half")
    (folder / "old").mkdir()
    return folder


def _write(path: Path) -> None:
    with writing_file(path, force=True) as temporary:
        temporary.write_bytes(b"x")


@pytest.mark.parametrize(
    "use", [_write, lambda path: check_output(path, force=True)], ids=["writing_file", "check_output"]
)
def test_the_next_run_sweeps_what_a_killed_run_left(tmp_path: Path, use: Callable[[Path], None]) -> None:
    path = tmp_path / "out.nir"
    left = stale(path)
    (left / "new" / "sealed").mkdir(mode=0o500)
    use(path)
    assert not left.exists()


def test_a_refused_run_sweeps_too(tmp_path: Path) -> None:
    path = tmp_path / "out.nir"
    path.write_bytes(b"old")
    stale(path)
    with pytest.raises(OutputError, match="already exists"):
        check_output(path, force=False)
    assert listing(tmp_path) == ["out.nir"]


def test_the_sweep_leaves_alone_what_is_not_its_own(tmp_path: Path) -> None:
    path = tmp_path / "out.nir"
    other_name = stale(path, name="other.nir")
    similar = [tmp_path / ".out.nir.backup.norse-export.tmp", tmp_path / f".outxnir.{'0' * 16}.norse-export.tmp"]
    for folder in similar:
        folder.mkdir()
    is_file = tmp_path / f".out.nir.{'0' * 16}.norse-export.tmp"
    is_file.write_bytes(b"")
    is_link = tmp_path / f".out.nir.{'1' * 16}.norse-export.tmp"
    is_link.symlink_to(similar[0])
    _write(path)
    for kept in (other_name, *similar, is_file):
        assert kept.exists()
    assert is_link.is_symlink()


def test_the_sweep_leaves_alone_what_a_living_run_holds(tmp_path: Path) -> None:
    path = tmp_path / "out.nir"
    with writing_file(path, force=True) as temporary:
        temporary.write_bytes(b"first")
        _write(path)
        assert temporary.read_bytes() == b"first"
        assert path.read_bytes() == b"x"
    assert path.read_bytes() == b"first"
    assert listing(tmp_path) == ["out.nir"]


def test_a_sweep_between_making_and_locking_a_folder_is_survived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, seen = fcntl.flock, []

    def swept(descriptor: int, operation: int) -> None:
        """The first folder is gone when it is locked; the second one is locked by the other run."""
        seen.append(descriptor)
        if len(seen) == 1:
            for folder in tmp_path.glob(f".*{workspace.SUFFIX}"):
                folder.rmdir()
        if len(seen) == 2:
            raise BlockingIOError(errno.EWOULDBLOCK, "held")
        lock(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", swept)
    _write(tmp_path / "out")
    assert len(seen) == 3
    assert (tmp_path / "out").read_bytes() == b"x"


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_will_do_but_is_not_swept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, "no locks here")

    left = stale(tmp_path / "out")
    monkeypatch.setattr(fcntl, "flock", refuse)
    _write(tmp_path / "out")
    assert listing(tmp_path) == [left.name, "out"]


def test_folders_that_cannot_be_made_do_not_go_on_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise BlockingIOError(errno.EWOULDBLOCK, "held")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OutputError, match="cannot write the output"):
        _write(tmp_path / "out")


def test_ctrl_c_while_cleaning_up_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    remove, calls = workspace.remove_tree, []

    def interrupted(folder: Path) -> None:
        calls.append(folder)
        if len(calls) == 1:
            raise KeyboardInterrupt
        remove(folder)

    monkeypatch.setattr(workspace, "remove_tree", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"x"
    assert listing(tmp_path) == ["out"]


def test_ctrl_c_between_making_and_locking_a_folder_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(fcntl, "flock", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path / "out")
    assert listing(tmp_path) == []


def test_no_space_for_the_temporary_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = os.mkdir

    def full(path: Any, mode: int = 0o777) -> None:
        if os.path.basename(path) == "old":
            raise OSError(errno.ENOSPC, "full")
        make(path, mode)

    monkeypatch.setattr(os, "mkdir", full)
    with pytest.raises(OutputError, match="no space left") as caught:
        _write(tmp_path / "out")
    assert caught.value.where == str(tmp_path / "out")
    assert listing(tmp_path) == []


def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    _write(tmp_path / "out")
    assert len(os.listdir("/proc/self/fd")) == before
