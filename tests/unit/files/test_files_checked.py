"""Only regular files are opened, at once, and every refusal says what, where and how to fix it."""

from __future__ import annotations

import io
import os
import socket
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pytest

from norse_export.errors import InputFileError
from norse_export.files.checked import name_of, open_input


def refused(path: Path, what: str, *, kind: str) -> InputFileError:
    started = time.monotonic()
    with pytest.raises(InputFileError) as caught:
        open_input(path)
    assert time.monotonic() - started < 2
    assert what in caught.value.what
    assert caught.value.where == str(path)
    assert caught.value.fix
    assert caught.value.findings[0].kind == kind
    assert caught.value.exit_code == 2
    return caught.value


def test_a_regular_file_is_opened_at_its_start_under_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model ü.pt"
    path.write_bytes(b"content")
    with open_input(path) as file:
        assert file.read() == b"content"
        assert name_of(file) == str(path)
        assert os.get_blocking(file.fileno())
        assert not os.get_inheritable(file.fileno())


def test_a_link_to_a_regular_file_is_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"x")
    (tmp_path / "link").symlink_to("target")
    with open_input(tmp_path / "link") as file:
        assert file.read() == b"x"


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert "check the path" in refused(tmp_path / "missing.nir", "no such file", kind="missing").fix


def test_a_path_through_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    refused(tmp_path / "file" / "model.nir", "no such file", kind="missing")


def test_a_name_with_a_nul_is_refused() -> None:
    with pytest.raises(InputFileError, match="no such file") as caught:
        open_input(Path("a\0b"))
    assert caught.value.where == repr("a\0b")
    assert caught.value.fix


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "a file in it" in refused(tmp_path, "is a directory", kind="directory").fix


def test_a_fifo_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert "to a file first" in refused(tmp_path / "fifo", "not a regular file but a fifo", kind="not_regular").fix


def test_a_fifo_that_comes_in_place_of_a_file_is_refused_without_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"")
    regular = os.stat(tmp_path / "file")
    monkeypatch.setattr(os, "stat", lambda _path: regular)
    descriptors = len(os.listdir("/proc/self/fd"))
    refused(tmp_path / "fifo", "not a regular file but a fifo", kind="not_regular")
    assert len(os.listdir("/proc/self/fd")) == descriptors


def test_a_device_is_refused() -> None:
    refused(Path("/dev/zero"), "not a regular file but a device", kind="not_regular")


def test_a_socket_is_refused() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as server:
        path = Path(folder, "s")
        server.bind(str(path))
        refused(path, "not a regular file but a socket", kind="not_regular")


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    refused(tmp_path / "a", "no such file: its symbolic links", kind="missing")


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / ("x" * 300), "cannot be read", kind="unreadable")


def test_a_file_without_permission_is_refused() -> None:
    """In a process without privileges, since root reads everything."""
    script = """
import os, sys
from pathlib import Path
from norse_export.errors import InputFileError
from norse_export.files.checked import open_input
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    open_input(Path(sys.argv[1]))
except InputFileError as error:
    print(error.exit_code, error.what, error.where, error.fix, sep="|")
"""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)  # noqa: S103 - the process without privileges must get through
        path = Path(folder, "model.nir")
        path.write_bytes(b"x")
        path.chmod(0)
        run = subprocess.run(
            [sys.executable, "-P", "-c", script, str(path)], capture_output=True, text=True, check=True
        )
    assert run.stdout.strip() == f"2|permission denied: the file cannot be read|{path}|allow it: chmod u+r"


def test_no_permission_is_told_from_other_failures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")

    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(os, "open", refuse)
    error = PermissionError(13, "x")
    refused(tmp_path / "file", "permission denied", kind="permission")
    error = OSError(5, "Input/output error")
    assert "check the disk" in refused(tmp_path / "file", "cannot be read: Input/output", kind="unreadable").fix


def test_nothing_is_created_by_opening(tmp_path: Path) -> None:
    refused(tmp_path / "missing", "no such file", kind="missing")
    assert list(tmp_path.iterdir()) == []
    assert stat.S_ISDIR(tmp_path.stat().st_mode)


def test_a_stream_without_a_path_has_a_name_for_messages() -> None:
    assert name_of(io.BytesIO(b"")) == "the input file"
    with tempfile.TemporaryFile() as file:
        assert name_of(file) == "the input file"
