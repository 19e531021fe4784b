"""Compiled kernels are kept in a folder of the user's own, and nothing depends on it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from norse_export.engine import cache
from norse_export.engine.kernels.memory import JIT, execute

compiled = pytest.mark.skipif(not JIT, reason="the JIT is disabled")

SOURCE = """import numpy as np
from norse_export.engine.kernels.memory import entry_point, view


@entry_point(CACHE)
def kernel(row, t, sample):
    view(row, 1, np.int64)[0] += 10 * t + sample
"""


@pytest.fixture
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """What a new process would do: load the kernel, and run it."""
    monkeypatch.setenv("NORSE_EXPORT_CACHE", str(tmp_path))

    def load() -> int:
        monkeypatch.setattr(cache, "_loaded", {})
        number = np.zeros(1, np.int64)
        execute(int(cache.loaded(SOURCE).kernel), number.ctypes.data, 4, 2)
        return int(number[0])

    return load


def kept(folder: Path) -> dict[str, bytes]:
    files = (path for path in (folder / "norse-export").rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@compiled
def test_a_kernel_is_compiled_once_and_then_read(fresh: Callable[[], int], tmp_path: Path) -> None:
    assert fresh() == 42
    first = kept(tmp_path)
    assert {Path(name).suffix for name in first} == {".py", ".nbi", ".nbc"}
    assert (tmp_path / "norse-export").stat().st_mode & 0o777 == 0o700
    assert fresh() == 42
    assert kept(tmp_path) == first
    (name,) = (Path(name).stem for name in first if name.endswith(".py"))
    assert cache.hashlib.sha256(first[f"norse-export/{name}.py"]).hexdigest() == name


@pytest.mark.parametrize("suffix", [".py", ".nbi", ".nbc"])
@pytest.mark.parametrize("damage", [b"", b"def kernel(row, t, sample): raise SystemExit\n"])
def test_a_damaged_file_is_not_believed(suffix: str, damage: bytes, fresh: Callable[[], int], tmp_path: Path) -> None:
    assert fresh() == 42
    for path in (tmp_path / "norse-export").rglob(f"*{suffix}"):
        path.write_bytes(damage)
    assert fresh() == 42
    assert fresh() == 42


def _no_folder(folder: Path) -> None:
    folder.write_text("in the way")


def _open_to_others(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def _link(folder: Path) -> None:
    (folder.parent / "elsewhere").mkdir(mode=0o700)
    folder.symlink_to(folder.parent / "elsewhere")


@pytest.mark.parametrize("spoil", [_no_folder, _open_to_others, _link])
def test_a_folder_that_cannot_be_trusted_is_left_alone(
    spoil: Callable[[Path], None], fresh: Callable[[], int], tmp_path: Path
) -> None:
    spoil(tmp_path / "norse-export")
    before = sorted(tmp_path.rglob("*"))
    assert fresh() == 42
    assert sorted(tmp_path.rglob("*")) == before


def test_a_folder_of_another_user_is_left_alone(
    fresh: Callable[[], int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)
    assert fresh() == 42
    assert kept(tmp_path) == {}


def test_the_folder_follows_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NORSE_EXPORT_CACHE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache.kernel_folder() == tmp_path / "home/.cache/norse-export"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache.kernel_folder() == tmp_path / "xdg/norse-export"
    monkeypatch.setenv("NORSE_EXPORT_CACHE", str(tmp_path / "own"))
    assert cache.kernel_folder() == tmp_path / "own/norse-export"


@compiled
def test_two_processes_at_once(tmp_path: Path) -> None:
    script = f"from norse_export.engine import cache; print(cache.loaded({SOURCE!r}).kernel != 0)"
    environment = {**os.environ, "NORSE_EXPORT_CACHE": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", script]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate()[0].strip() for process in both] == ["True", "True"]
    assert not [name for name in kept(tmp_path) if "tmp" in name]
