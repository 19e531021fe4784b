"""Intel's own Lava: netx loads what is written here, and Lava's bit-accurate models run it; every u, v and spike."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from family_chip_nets import GE, net, raster

from norse_export import export, registry
from norse_export.passes.plans import QuantiseChoice
from norse_export.pipeline import IntegerChoice, VendorChoice
from norse_export.program.families import Rule, family
from norse_export.program.program import Family
from norse_export.targets.loihi.target import LoihiTarget

pytestmark = pytest.mark.vendor

ROOT = Path(__file__).parents[2]
PYTHON = "NORSE_EXPORT_LAVA_PYTHON"
GOLDENS = sorted((ROOT / "tests" / "goldens" / "loihi" / "netx").glob("*.net"))


@pytest.fixture(scope="session")
def python() -> Path:
    """An interpreter of Python 3.10 with lava-nc and lava-dl."""
    if PYTHON not in os.environ:
        pytest.skip(f"{PYTHON} names no Python 3.10 with lava-nc and lava-dl, which take no later one")
    return Path(os.environ[PYTHON]).absolute()


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_lava_gives_the_recordings_again(path: Path, python: Path) -> None:
    """The software that is asked here is that which the goldens were recorded with."""
    recorded = np.load(path.with_suffix(".npz"))
    raster = recorded["raster"] != 0
    images = raster.ndim == 4
    given = {"input": (raster.transpose(0, 3, 2, 1) if images else raster)[:, np.newaxis]}
    report = registry.load("loihi").vendor_check("lava", path, given, python=python)  # type: ignore[attr-defined]
    assert {kind: counts.differing for kind, counts in report.compared.items()} == {"weights": 0, "registers": 0}
    assert report.run is not None
    for block, states in report.run.observables.items():
        for key, values in states.items():
            one = values[:, 0].transpose(0, 3, 2, 1) if values.ndim == 5 else values[:, 0]
            assert np.array_equal(one, recorded[f"B{block}_{key}"])


@pytest.mark.parametrize("precision", ["even8", "split", "stacked"])
@pytest.mark.parametrize("example", ["digits", "tutorial"])
def test_lava_runs_an_export_as_our_emulation_does(example: str, precision: str, python: Path, tmp_path: Path) -> None:
    (result,) = export(
        ROOT / "examples" / example / "model.pt",
        "loihi",
        out=tmp_path / "m.loihi",
        integers=IntegerChoice(precision=precision),
        vendor=VendorChoice("lava", python),
    ).targets
    assert result.error is None
    (check,) = result.vendor
    assert check.parity is not None
    assert check.parity.equal
    assert not check.parity.vacuous
    assert {kind: counts.differing for kind, counts in check.compared.items()} == {"weights": 0, "registers": 0}


def test_the_script_of_an_export_says_that_lava_is_equal(python: Path, tmp_path: Path) -> None:
    """As the person with Lava runs it: nothing of norse-export is there."""
    export(ROOT / "examples" / "digits" / "model.pt", "loihi", out=tmp_path / "m.loihi")
    command: list[Any] = [python, "-W", "ignore", tmp_path / "m.loihi" / "run_on_loihi.py", "--samples", "1"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    assert "equal: 0 of " in ended.stdout


@pytest.mark.parametrize(
    "made",
    [
        family("cuba_lif", rule=Rule("ge", "zero", "membrane_first")),
        family("if", rule=GE),
        family("lif", recurrent=True, rule=GE),
        family("synaptic_zero_now"),
    ],
    ids=lambda made: made.name,
)
def test_lava_runs_families_of_every_framework_as_our_emulation_does(
    made: Family, python: Path, tmp_path: Path
) -> None:
    target, inputs = LoihiTarget(states=True), raster()
    target.emit(target.lower(net(made), QuantiseChoice(), inputs, ranges=None).graph, tmp_path)
    run = target.run(tmp_path, inputs)
    target.record(tmp_path, inputs, run)
    report = target.vendor_check("lava", tmp_path, inputs, python=python)
    assert {kind: counts.differing for kind, counts in report.compared.items()} == {"weights": 0, "registers": 0}
    assert report.run is not None
    for name, states in report.run.observables.items():
        assert report.run.spikes[name].any()
        assert np.array_equal(report.run.spikes[name], run.spikes[name])
        assert all(np.array_equal(states[key], run.observables[name][key]) for key in ("u", "v"))
