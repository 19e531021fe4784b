"""The table of bad inputs and outputs has the same outcomes under `python -O`, where assertions are gone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import refusals


def test_bad_inputs_are_refused_alike_under_python_o(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = str(Path(refusals.__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")])))
    plain, optimised = tmp_path / "p", tmp_path / "o"
    plain.mkdir()
    optimised.mkdir()
    expected = refusals.outcomes(plain)
    for name, outcome in expected.items():
        assert outcome[0] != "accepted", name
        assert outcome[1] == 2, name
    run = subprocess.run(
        [sys.executable, "-O", refusals.__file__, str(optimised)], capture_output=True, text=True, check=True
    )
    found = json.loads(run.stdout.replace(str(optimised), str(plain)))
    assert found == {"optimize": 1, "outcomes": expected}
