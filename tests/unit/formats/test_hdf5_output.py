"""HDF5 on a disk that is full, wherever in the file it runs out: an error of the system, and never a crash."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from norse_export.formats.hdf5_output import writing_hdf5

LIMITED = """
import errno, resource, signal, sys
from pathlib import Path
import numpy as np
from norse_export.formats.hdf5_output import writing_hdf5
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
content, failed = np.arange(3000.0), []
for size in map(int, sys.argv[2:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        with writing_hdf5(Path(sys.argv[1])) as hdf5:
            for name in "abc":
                group = hdf5.create_group(name)
                group.create_dataset("content", data=content)
                group.create_dataset("text", data="x" * 900)
                group.attrs["number"] = 1.5
    except OSError as error:
        assert error.errno == errno.EFBIG, error
        failed.append(size)
print(*failed)
"""


def write(path: Path) -> None:
    with writing_hdf5(path) as hdf5:
        hdf5.create_dataset("a", data=np.arange(10))


def test_a_file_is_written_and_read_again(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    with h5py.File(tmp_path / "x.h5") as hdf5:
        assert hdf5["a"][()].tolist() == list(range(10))


def test_the_bytes_do_not_depend_on_the_path(tmp_path: Path) -> None:
    write(tmp_path / "x.h5")
    write(tmp_path / "another name.h5")
    assert (tmp_path / "x.h5").read_bytes() == (tmp_path / "another name.h5").read_bytes()


def test_an_older_longer_file_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "old.h5").write_bytes(b"x" * 100_000)
    write(tmp_path / "old.h5")
    write(tmp_path / "new.h5")
    assert (tmp_path / "old.h5").read_bytes() == (tmp_path / "new.h5").read_bytes()


def test_a_file_that_becomes_too_large_is_an_error_at_every_size(tmp_path: Path) -> None:
    sizes = [*range(0, 80_000, 4001), 10_000_000]
    command = [sys.executable, "-c", LIMITED, str(tmp_path / "x.h5"), *map(str, sizes)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    failed = [int(size) for size in ended.stdout.split()]
    assert failed == sizes[: len(failed)]
    assert 15 <= len(failed) < len(sizes)
    assert ended.stderr == ""


def test_an_error_of_the_caller_is_its_own(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"), writing_hdf5(tmp_path / "x.h5"):
        raise ValueError("mine")
