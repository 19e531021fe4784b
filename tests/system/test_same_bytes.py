"""The same model gives the same bytes: in another process, hash seed, folder, file name, locale and thread count."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def test_an_export_is_the_same_everywhere(cli: Callable[..., Any], tmp_path: Path, digits: Path) -> None:
    digests = set()
    for number, seed in enumerate(("0", "4711")):
        folder = tmp_path / f"folder {number}"
        folder.mkdir()
        model = folder / f"name{number}.pt"
        shutil.copy(digits, model)
        env = {
            "PYTHONHASHSEED": seed,
            "OMP_NUM_THREADS": str(number + 1),
            "LANG": ("C", "C.UTF-8")[number],
            "TZ": "Asia/Tokyo",
        }
        ended = cli(model.name, "--target", "nir", "-o", f"out{number}.nir", cwd=folder, env=env)
        assert ended.code == 0, ended.err
        digests.add(hashlib.sha256((folder / f"out{number}.nir").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_exporting_an_export_changes_nothing(here: Callable[..., Any], digits: Path) -> None:
    """The second and the third generation have the same graph; only the origin in the metadata moves on."""
    assert here(digits, "--target", "nir", "-o", "a.nir").code == 0
    assert here("a.nir", "--target", "nir", "-o", "b.nir").code == 0
    assert here("parity", "a.nir", "b.nir").code == 0


@pytest.mark.slow
def test_every_installed_python_writes_the_same_bytes(tmp_path: Path, digits: Path) -> None:
    """Interpreters with norse-export installed, separated by colons, stand in NORSE_EXPORT_PYTHONS."""
    pythons = [python for python in os.environ.get("NORSE_EXPORT_PYTHONS", "").split(os.pathsep) if python]
    if not pythons:
        pytest.skip("NORSE_EXPORT_PYTHONS names no interpreter")
    digests = set()
    for number, python in enumerate([sys.executable, *pythons]):
        out = tmp_path / f"{number}.nir"
        command = [python, "-m", "norse_export", str(digits), "--target", "nir", "-o", str(out)]
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
        digests.add(hashlib.sha256(out.read_bytes()).hexdigest())
    assert len(digests) == 1
