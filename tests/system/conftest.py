"""The command line as a user calls it: in a process of its own, or in this one, which takes less time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from norse_export.cli import main

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Ended:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str


@pytest.fixture
def cli(tmp_path: Path) -> Callable[..., Ended]:
    """Runs norse-export in an empty folder; `optimised` runs it under python -O."""

    def run(
        *arguments: object, optimised: bool = False, cwd: Path = tmp_path, env: dict[str, str] | None = None
    ) -> Ended:
        command = [sys.executable, *(["-O"] if optimised else []), "-m", "norse_export", *map(str, arguments)]
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(env or {})},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], parsed_here: None
) -> Callable[..., Ended]:
    """Runs norse-export in this process, in an empty folder: where processes are not what is tested."""

    def run(*arguments: object) -> Ended:
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        code = main([*map(str, arguments)])
        return Ended(code, *capsys.readouterr())

    return run


@pytest.fixture
def digits() -> Path:
    """The trained digits model."""
    return EXAMPLES / "digits" / "model.pt"
