"""An export that is killed leaves the old artefact or the new one, and nothing else after the next run."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

OLD = b"the artefact of last week"


def _kill_at_random_instants(cli: Callable[..., Any], tmp_path: Path, digits: Path, kills: int) -> None:
    out = tmp_path / "digits.nir"
    arguments = [sys.executable, "-m", "norse_export", str(digits), "--target", "nir", "--force", "-o", str(out)]
    start = time.monotonic()
    assert subprocess.run(arguments, cwd=tmp_path, capture_output=True, check=False).returncode == 0
    whole = time.monotonic() - start
    new = out.read_bytes()
    generator = np.random.default_rng(0)
    survived = {"old": 0, "new": 0}
    for _ in range(kills):
        out.write_bytes(OLD)
        process = subprocess.Popen(
            arguments, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(generator.random() * whole)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        content = out.read_bytes()
        assert content in (OLD, new)
        survived["old" if content == OLD else "new"] += 1
    assert survived["old"] > 0
    assert cli(digits, "--target", "nir", "--force", "-o", out).code == 0
    assert {path.name for path in tmp_path.iterdir()} == {out.name}
    assert out.read_bytes() == new


def test_kill_leaves_the_old_file_or_the_new_one(cli: Callable[..., Any], tmp_path: Path, digits: Path) -> None:
    _kill_at_random_instants(cli, tmp_path, digits, kills=6)


@pytest.mark.slow
def test_a_hundred_kills_leave_the_old_file_or_the_new_one(
    cli: Callable[..., Any], tmp_path: Path, digits: Path
) -> None:
    _kill_at_random_instants(cli, tmp_path, digits, kills=100)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stopped_export_loses_nothing(number: int, code: int, tmp_path: Path, digits: Path) -> None:
    out = tmp_path / "digits.nir"
    out.write_bytes(OLD)
    arguments = [sys.executable, "-m", "norse_export", str(digits), "--target", "nir", "--force", "-o", str(out)]
    process = subprocess.Popen(arguments, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(0.35)
    process.send_signal(number)
    _, err = process.communicate(timeout=30)
    assert process.returncode in (code, 0)
    assert "Traceback" not in err
    assert {path.name for path in tmp_path.iterdir()} == {out.name}
    assert process.returncode == 0 or out.read_bytes() == OLD
