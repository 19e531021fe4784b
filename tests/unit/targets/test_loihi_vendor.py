"""Lava as a vendor: the protocol with an interpreter of its own, against a Lava that is none (lava_stand_in.py).

The real one is asked in tests/vendor.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lava_stand_in import installed
from loihi_nets import NETS, TARGET

from norse_export.errors import MissingDependencyError, UsageError
from norse_export.ir.fixed import FixedInput
from norse_export.pipeline.choices import VendorChoice
from norse_export.pipeline.vendors import vendor_checked, vendor_error


def exported(folder: Path, name: str) -> tuple[Path, dict[str, Any]]:
    graph = NETS[name]()
    folder.mkdir()
    TARGET.emit(graph, folder)
    shape = next(node.shape for node in graph.nodes.values() if isinstance(node, FixedInput))
    return folder, {"input": np.random.default_rng(2).random((20, 2, *shape)) < 0.5}


def checked(tmp_path: Path, name: str = "dense", **lava: Any) -> Any:
    """What the pipeline makes of a check with a stand-in, and the error that it amounts to."""
    folder, inputs = exported(tmp_path / "m.loihi", name)
    emulated = replace(TARGET, states=True).run(folder, inputs)
    choice = VendorChoice("lava", installed(tmp_path / "lava", **lava))
    found = vendor_checked(TARGET, choice, folder, inputs, emulated)
    return found, vendor_error(found)


@pytest.mark.parametrize("name", ["images", pytest.param("recurrent", marks=pytest.mark.bulk)])
def test_weights_registers_and_every_state_are_compared(name: str, tmp_path: Path) -> None:
    found, error = checked(tmp_path, name)
    assert error is None
    assert found.version.startswith("lava-nc 0.10.0, lava-dl 0.6.0, python 3.")
    assert {kind: counts.differing for kind, counts in found.compared.items()} == {"weights": 0, "registers": 0}
    assert all(counts.total >= 4 for counts in found.compared.values())  # at least a layer of four registers
    assert found.figures["samples"] == 2
    assert found.parity.equal
    assert not found.parity.vacuous


@pytest.mark.parametrize("spoil", ["weights", pytest.param("registers", marks=pytest.mark.bulk)])
def test_what_netx_loaded_otherwise_is_counted(spoil: str, tmp_path: Path) -> None:
    found, error = checked(tmp_path, spoil=spoil)
    assert found.compared[spoil].differing > 0
    assert error is not None
    assert error.exit_code == 1
    assert spoil in error.what


@pytest.mark.parametrize("state", ["u", pytest.param("s", marks=pytest.mark.bulk)])
def test_one_wrong_value_of_the_run_is_a_divergence(state: str, tmp_path: Path) -> None:
    found, error = checked(tmp_path, spoil=(0, state, 4))
    assert not found.parity.equal
    assert found.parity.first_divergence.step == 4
    assert error is not None
    assert error.exit_code == 1


@pytest.mark.bulk
@pytest.mark.parametrize("spoil", ["load", "stop"])
def test_a_net_that_lava_cannot_run_is_an_error_of_the_export(spoil: str, tmp_path: Path) -> None:
    found, error = checked(tmp_path, spoil=spoil)
    assert found.parity is None
    assert error is not None
    assert error.exit_code == 1
    assert "Lava could not run the net: could not run: RuntimeError" in error.what


def test_without_lava_it_says_what_to_install(tmp_path: Path) -> None:
    folder, inputs = exported(tmp_path / "m.loihi", "dense")
    for python in (None, installed(tmp_path / "lava", without="lava.lib.dl.netx.hdf5")):
        with pytest.raises(MissingDependencyError, match="No module named 'lava") as caught:
            TARGET.vendor_check("lava", folder, inputs, python=python)
        assert caught.value.exit_code == 5
        for part in ("Python 3.10", "pip install lava-nc lava-dl", "--vendor-python"):
            assert part in caught.value.fix


def test_an_interpreter_that_is_none_is_wrong_use(tmp_path: Path) -> None:
    folder, inputs = exported(tmp_path / "m.loihi", "dense")
    for python in (tmp_path / "none", folder / "report.json", tmp_path):
        with pytest.raises(UsageError, match="is no interpreter") as caught:
            TARGET.vendor_check("lava", folder, inputs, python=python)
        assert caught.value.where == "--vendor-python"
    with pytest.raises(UsageError, match="no vendor 'nengo'"):
        TARGET.vendor_check("nengo", folder, inputs, python=None)


def test_lava_has_a_home_of_its_own_and_nothing_of_our_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, inputs = exported(tmp_path / "m.loihi", "dense")
    told = tmp_path / "told"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nenv > "{told}"\npwd >> "{told}"\nexit 1\n')
    python.chmod(0o755)
    monkeypatch.setenv("PYTHONPATH", "/nowhere")
    monkeypatch.setenv("SECRET", "x")
    with pytest.raises(MissingDependencyError):
        TARGET.vendor_check("lava", folder, inputs, python=python)
    lines = dict(line.partition("=")[::2] for line in told.read_text().splitlines())
    assert lines["HOME"] != os.environ.get("HOME")
    assert lines["HOME"] in lines  # the folder that it runs in
    assert not Path(lines["HOME"]).exists()
    assert not {"PYTHONPATH", "SECRET"} & lines.keys()


def test_what_lava_leaves_running_is_ended(tmp_path: Path) -> None:
    folder, inputs = exported(tmp_path / "m.loihi", "dense")
    number = tmp_path / "number"
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nsleep 300 >&- 2>&- <&- &\necho $! > "{number}"\nexit 3\n')
    python.chmod(0o755)
    with pytest.raises(MissingDependencyError):
        TARGET.vendor_check("lava", folder, inputs, python=python)
    state = Path(f"/proc/{number.read_text().strip()}/stat")
    for _ in range(100):
        if not state.exists() or state.read_text().split()[2] == "Z":
            return
        time.sleep(0.1)
    pytest.fail("it still runs")
