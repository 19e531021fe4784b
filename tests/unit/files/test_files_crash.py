"""Whatever ends a writer, the old output or the new one is there, and the next run leaves nothing besides."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import endless_writer
import pytest

from norse_export.files.atomic import check_output

KILLS = 4
SEED = 20240


def versions(output: Path, *, folder: bool) -> set[int]:
    """The versions whose bytes are found; one, when the output is whole."""
    if not folder:
        content = output.read_bytes()
        assert len(content) == endless_writer.PIECES * endless_writer.PIECE_BYTES
        return set(content)
    assert sorted(os.listdir(output)) == [str(number) for number in range(endless_writer.FILES)]
    contents = [path.read_bytes() for path in output.iterdir()]
    assert {len(content) for content in contents} == {endless_writer.PIECE_BYTES}
    return set().union(*map(set, contents))


def run_until_killed(way: str, output: Path, seconds: float, number: int) -> int:
    """The last version that was announced before the signal came."""
    command = [sys.executable, "-P", endless_writer.__file__, way, str(output)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as writer:
        assert writer.stdout is not None
        first = int(writer.stdout.readline())
        time.sleep(seconds)
        writer.send_signal(number)
        rest = writer.stdout.read().split()
    assert writer.returncode != 0
    return int(rest[-1]) if rest else first


@pytest.mark.parametrize("way", ["file", "folder", "renames"])
def test_kill_9_at_random_instants_leaves_old_or_new(tmp_path: Path, way: str) -> None:
    instants = random.Random(SEED)  # noqa: S311 - repeatable, not secret
    output, strays = tmp_path / "out", 0
    for _ in range(KILLS):
        last = run_until_killed(way, output, instants.uniform(0, 0.06), signal.SIGKILL)
        strays += len(os.listdir(tmp_path)) - output.exists()
        check_output(output, force=True, folder=way != "file")
        assert os.listdir(tmp_path) == ["out"]
        (found,) = versions(output, folder=way != "file")
        assert found in (last, last % 255 + 1)
    assert strays > 0, "no kill came while something was being written"


@pytest.mark.parametrize("way", ["file", "renames"])
def test_ctrl_c_leaves_old_or_new_and_nothing_besides(tmp_path: Path, way: str) -> None:
    last = run_until_killed(way, tmp_path / "out", 0.02, signal.SIGINT)
    check_output(tmp_path / "out", force=True, folder=way != "file")
    assert os.listdir(tmp_path) == ["out"]
    (found,) = versions(tmp_path / "out", folder=way != "file")
    assert found in (last, last % 255 + 1)


LIMITED = """
import resource, signal, sys
from pathlib import Path
import h5py, numpy as np
from norse_export.errors import OutputError
from norse_export.files.atomic import writing_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
path, content = Path(sys.argv[1]), np.zeros(100_000)
for size in map(int, sys.argv[3:]):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    try:
        with writing_file(path, force=True) as temporary:
            if sys.argv[2] == "h5py":
                with h5py.File(temporary, "w") as file:
                    for number in range(4):
                        file[str(number)] = content
            else:
                temporary.write_bytes(content.tobytes())
    except OutputError as error:
        print(error.exit_code, error.what, error.where, error.fix, sep="|")
"""


@pytest.mark.parametrize("writer", ["h5py", "plain"])
def test_a_limit_on_the_size_of_files_leaves_the_old_output(tmp_path: Path, writer: str) -> None:
    output, sizes = tmp_path / "out", [0, 1, 100, 2048, 10_000, 500_000, 799_999]
    output.write_bytes(b"old")
    command = [sys.executable, "-P", "-c", LIMITED, str(output), writer, *map(str, sizes)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = run.stdout.splitlines()
    assert len(lines) == len(sizes)
    for line in lines:
        code, what, where, fix = line.split("|")
        assert (code, what, where) == ("2", "cannot write the output: the file is too large", str(output))
        assert "ulimit -f" in fix
    assert run.stderr == ""
    assert output.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["out"]
