"""The same model gives the same bytes: in another process, hash seed, folder, file name, locale and thread count."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any


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


def test_exporting_an_export_changes_nothing(cli: Callable[..., Any], tmp_path: Path, digits: Path) -> None:
    """The second and the third generation have the same graph; only the origin in the metadata moves on."""
    assert cli(digits, "--target", "nir", "-o", "a.nir").code == 0
    assert cli("a.nir", "--target", "nir", "-o", "b.nir").code == 0
    assert cli("parity", "a.nir", "b.nir").code == 0
