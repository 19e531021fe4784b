"""ONNX on the command line: written, read, compared, killed on the way; files that were changed or are of others."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import helper

from norse_export.cli import main

FILES = ["model.onnx", "model.step.onnx"]


@pytest.fixture(scope="module")
def artefacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The digits model as floats and as whole numbers, and as an artefact of sim; none of them was run yet."""
    folder = tmp_path_factory.mktemp("artefacts")
    model = Path(__file__).resolve().parents[2] / "examples" / "digits" / "model.pt"
    forms = {"floats": ("onnx", "--opset", "20"), "whole": ("onnx", "--fixed"), "sim": ("sim",)}
    for name, (target, *more) in forms.items():
        arguments = ["export", str(model), "--target", target, *more, "--no-verify", "-q", "-o", str(folder / name)]
        assert main(arguments) == 0
    return folder


def copied(artefacts: Path, folder: Path) -> Path:
    """The artefact of floats, in a folder of the test."""
    return shutil.copytree(artefacts / "floats", folder / "m")


def test_an_export_is_proved_and_names_what_ran(here: Callable[..., Any], tmp_path: Path, digits: Path) -> None:
    done = here("export", digits, "--target", "onnx", "--json")
    assert done.code == 0, done.err
    (told,) = json.loads(done.out)["result"]["targets"]
    assert told["verified"]
    assert told["artefact"]["path"] == "model.onnx"
    assert sorted(path.name for path in (tmp_path / "model.onnx").iterdir()) == FILES
    again = here("export", digits, "--target", "onnx")
    assert again.code == 2
    assert "the output already exists" in again.err


@pytest.mark.parametrize("alone", [False, True])
def test_an_artefact_equals_its_model_as_a_folder_and_as_one_file(
    alone: bool, here: Callable[..., Any], artefacts: Path, digits: Path
) -> None:
    path = artefacts / "floats"
    done = here("parity", digits, path / "model.onnx" if alone else path)
    assert done.code == 0, done.err
    assert "equal: onnxruntime" in done.out
    assert "(rung 1)" in done.out


def test_whole_numbers_are_those_of_sim_bit_for_bit(here: Callable[..., Any], artefacts: Path) -> None:
    """The same integers have no price against each other: one that differs is a failure."""
    done = here("parity", artefacts / "sim", artefacts / "whole" / "model.onnx")
    assert done.code == 0, done.err
    assert "(rung 3)" in done.out


def test_floats_and_whole_numbers_of_onnx_have_a_price_against_each_other(
    here: Callable[..., Any], artefacts: Path, digits: Path
) -> None:
    done = here("parity", artefacts / "floats", artefacts / "whole", "--inputs", digits)
    assert "the price of integers" in done.out
    assert "(rung 2)" in done.out
    assert done.code == 1


def test_a_trace_is_compared_with_what_it_was_recorded_from(
    here: Callable[..., Any], artefacts: Path, digits: Path
) -> None:
    assert here("run", artefacts / "floats", "--inputs", digits, "-o", "t.h5", "-q").code == 0
    done = here("parity", "t.h5", artefacts / "floats")
    assert done.code == 0, done.err
    assert "(rung 3)" in done.out


def test_it_is_inspected_and_tells_its_opset(here: Callable[..., Any], artefacts: Path) -> None:
    done = here("inspect", artefacts / "floats", "--json")
    assert done.code == 0, done.err
    told = json.loads(done.out)["result"]
    assert told["kind"] == "an artefact of target onnx"
    assert {"name": "1", "type": "Neuron"}.items() <= told["nodes"][2].items()
    model = onnx.load(str(artefacts / "floats" / "model.onnx"), load_external_data=False)
    assert next(one.version for one in model.opset_import if one.domain == "") == 20
    step = here("inspect", artefacts / "floats" / "model.step.onnx")
    assert step.code == 3
    assert "a model of single steps" in step.err
    assert "give the folder, or model.onnx" in step.err


def test_a_model_that_was_changed_is_refused(here: Callable[..., Any], artefacts: Path, tmp_path: Path) -> None:
    folder = copied(artefacts, tmp_path)
    model = onnx.load(str(folder / "model.onnx"))
    step = next(node for function in model.functions for node in function.node if node.op_type == "Greater")
    step.op_type = "GreaterOrEqual"
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    for command in ("run", "inspect"):
        done = here(command, folder)
        assert done.code == 2
        assert "changed after norse-export wrote it" in done.err


def test_damage_is_told_and_is_no_bug_of_ours(cli: Callable[..., Any], artefacts: Path, tmp_path: Path) -> None:
    """In the limited child, too: cut short, and with a text that is no UTF-8."""
    folder = copied(artefacts, tmp_path)
    whole = (folder / "model.onnx").read_bytes()
    for damaged, message in (
        (whole[: len(whole) // 2], "truncated or corrupt"),
        (whole.replace(b"1.v_th", b"\xff.v_th"), "no UTF-8"),
    ):
        (folder / "model.onnx").write_bytes(damaged)
        done = cli("inspect", folder)
        assert done.code == 2
        assert message in done.err
        assert "Traceback" not in done.err


def test_models_that_say_nothing_of_neurons_are_refused_by_name(
    here: Callable[..., Any], artefacts: Path, tmp_path: Path
) -> None:
    info = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [2])
    out = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [2])
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "g", [info], [out])
    (tmp_path / "theirs.onnx").write_bytes(helper.make_model(graph, producer_name="somebody").SerializeToString())
    theirs = here("export", "theirs.onnx", "--target", "nir")
    assert theirs.code == 3
    assert "an ONNX model of somebody, which norse-export did not write" in theirs.err
    ours = here("export", artefacts / "floats" / "model.onnx", "--target", "nir")
    assert ours.code == 3
    assert "no model to export" in ours.err


def test_an_opset_that_no_runtime_takes_is_wrong_usage(here: Callable[..., Any], digits: Path) -> None:
    done = here("check", digits, "--target", "onnx", "--opset", "27")
    assert done.code == 2
    assert "use 18 to 26" in done.err


def test_an_export_that_is_killed_leaves_the_old_artefact_or_the_new_one(tmp_path: Path, digits: Path) -> None:
    old = tmp_path / "m"
    old.mkdir()
    (old / "model.onnx").write_bytes(b"the artefact of last week")
    command = [
        sys.executable,
        "-m",
        "norse_export",
        "export",
        str(digits),
        "--target",
        "onnx",
        "--force",
        "-o",
        str(old),
    ]
    for wait in (0.4, 0.9, 1.4):
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        time.sleep(wait)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        assert sorted(path.name for path in old.iterdir()) in (["model.onnx"], FILES)
    assert subprocess.run(command, capture_output=True, check=False, timeout=120).returncode == 0
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    assert sorted(path.name for path in old.iterdir()) == FILES
