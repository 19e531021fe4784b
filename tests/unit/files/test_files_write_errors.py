"""What the system and h5py say about a failed write becomes one error that names the output."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from norse_export.errors import OutputError
from norse_export.files.atomic import reporting_write_errors, writing_file
from norse_export.files.write_errors import errno_of, output_error, reporting_only_write_errors

OUT = Path("folder/out.nir")

CASES = [
    (errno.ENOSPC, "no space left on the device", "free some space"),
    (errno.EDQUOT, "no space left in the disk quota", "free some space"),
    (errno.EFBIG, "the file is too large", "ulimit -f"),
    (errno.EIO, "the device reports an error", "check the disk"),
    (errno.EROFS, "the file system is read-only", "a folder that you may write to"),
    (errno.EACCES, "permission denied", "a folder that you may write to"),
    (errno.EPERM, "permission denied", "a folder that you may write to"),
    (errno.ENOENT, "its folder does not exist", "create the folder"),
    (errno.ENAMETOOLONG, "the name is too long", "a shorter name"),
    (errno.EEXIST, "it already exists", "--force"),
    (errno.EISDIR, "it is a folder", "the name of a file"),
    (errno.ENODEV, os.strerror(errno.ENODEV), "a folder that you may write to"),
]


@pytest.mark.parametrize(("number", "reason", "fix"), CASES)
def test_every_number_has_its_reason_and_remedy(number: int, reason: str, fix: str) -> None:
    hdf5 = f"Can't write data (file write failed: time = now\n, errno = {number}, error message = 'x', buf = 0x1)"
    for error in (OSError(number, "text"), OSError(hdf5), RuntimeError(hdf5)):
        with pytest.raises(OutputError) as caught, reporting_write_errors(OUT):
            raise error
        assert caught.value.what.startswith("cannot write the output: ")
        assert reason in caught.value.what
        assert caught.value.where == str(OUT)
        assert fix in caught.value.fix
        assert caught.value.exit_code == 2
        assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [OSError("no number"), RuntimeError("a bug"), ValueError("a bug"), KeyError("x")])
def test_what_has_no_number_passes_as_it_is(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, reporting_write_errors(OUT):
        raise error
    assert caught.value is error


@pytest.mark.parametrize("number", [errno.ENOENT, errno.EACCES, errno.EISDIR])
def test_what_reading_can_cause_is_not_blamed_on_the_output(number: int) -> None:
    with pytest.raises(OSError, match="of an input"), reporting_only_write_errors(OUT):
        raise OSError(number, "of an input")


def test_an_output_error_passes_unchanged() -> None:
    error = output_error(OUT, errno.EROFS)
    with pytest.raises(OutputError) as caught, reporting_write_errors(Path("other")):
        raise error
    assert caught.value is error


def test_the_number_is_found_in_the_attribute_or_in_the_text() -> None:
    assert errno_of(OSError(5, "x")) == 5
    assert errno_of(RuntimeError("errno = 28, error message")) == 28
    assert errno_of(RuntimeError("myerrno = 28")) is None
    assert errno_of(RuntimeError("")) is None


def test_a_full_device_is_reported_while_writing(tmp_path: Path) -> None:
    def fill() -> None:
        with writing_file(tmp_path / "out") as temporary:
            temporary.symlink_to("/dev/full")
            temporary.write_bytes(b"x" * 10_000)

    with pytest.raises(OutputError, match="no space left on the device") as caught:
        fill()
    assert caught.value.where == str(tmp_path / "out")
    assert "free some space" in caught.value.fix
    assert os.listdir(tmp_path) == []


def test_a_full_device_is_reported_while_h5py_writes() -> None:
    def fill() -> None:
        with reporting_write_errors(OUT), h5py.File("/dev/full", "w") as file:
            file["x"] = np.zeros(100_000)

    with pytest.raises(OutputError, match="no space left on the device") as caught:
        fill()
    assert caught.value.where == str(OUT)
