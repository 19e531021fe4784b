"""What lies beside a .net file: the rasters that proved it, and the script that plays them; reading it all back."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from lava_stand_in import installed
from loihi_nets import NETS, TARGET
from net_files import conv, dense, write_net

from norse_export.errors import ExportError, InputFileError
from norse_export.files.limits import Limits
from norse_export.ir.fixed import FixedInput, Population
from norse_export.targets.loihi import emulate_net

FILES = ["host.safetensors", "model.net", "recording.nir", "report.json", "run_on_loihi.py"]
GOLDENS = sorted((Path(__file__).parents[2] / "goldens" / "loihi" / "netx").glob("*.net"))


def rasters(graph: Any, steps: int = 30, samples: int = 1) -> dict[str, Any]:
    shape = next(node.shape for node in graph.nodes.values() if isinstance(node, FixedInput))
    return {"input": np.random.default_rng(1).random((steps, samples, *shape)) < 0.5}


def played(folder: Path, name: str, **size: int) -> Path:
    graph = NETS[name]()
    TARGET.emit(graph, folder)
    inputs = rasters(graph, **size)
    TARGET.record(folder, inputs, replace(TARGET, states=True).run(folder, inputs))
    return folder


@pytest.fixture(scope="module", params=NETS)
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return played(tmp_path_factory.mktemp("played"), request.param)


@pytest.fixture
def folder(original: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(original, tmp_path / "m.loihi"))


def test_a_recording_lies_beside_the_net(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_the_recording_is_nir_graph_data_of_the_input_and_every_state(folder: Path) -> None:
    data = nir.read_data(folder / "recording.nir")
    own = emulate_net(folder / "model.net", _raster_of_net(folder))
    with h5py.File(folder / "recording.nir") as file:
        layers = json.loads(file["metadata/loihi"][()])["layers"]
    assert set(data.nodes) == {"input", "output", *layers}
    for name, states in zip(layers, own, strict=True):
        for key, state in (("u", "u"), ("v", "v"), ("spikes", "s")):
            if key not in data.nodes[name].observables:
                assert not states[state].any()  # a readout
                continue
            recorded = np.asarray(data.nodes[name].observables[key].data)[0]
            values = states[state].transpose(0, 3, 2, 1) if states[state].ndim == 4 else states[state]
            assert np.array_equal(recorded, values.reshape(len(values), -1))
            assert recorded.any()


def _raster_of_net(folder: Path) -> Any:
    """The first sample as `emulate_net` takes it."""
    stored = TARGET.recorded(folder)
    assert stored is not None
    one = stored["input"][:, 0]
    return one.transpose(0, 3, 2, 1) if one.ndim == 4 else one


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        played(tmp_path / place, "images")
    assert (tmp_path / "a/recording.nir").read_bytes() == (tmp_path / "b/recording.nir").read_bytes()


def test_at_most_eight_samples_are_recorded_and_states_are_computed_where_the_run_has_none(tmp_path: Path) -> None:
    graph = NETS["dense"]()
    TARGET.emit(graph, tmp_path)
    inputs = rasters(graph, samples=11)
    TARGET.record(tmp_path, inputs, TARGET.run(tmp_path, inputs))
    stored = TARGET.recorded(tmp_path)
    assert stored is not None
    assert stored["input"].shape == (30, 8, 6)
    assert np.array_equal(stored["input"], inputs["input"][:, :8])


def test_a_folder_without_a_recording_says_so(tmp_path: Path) -> None:
    TARGET.emit(NETS["dense"](), tmp_path)
    assert TARGET.recorded(tmp_path) is None
    ended = run_script(tmp_path, Path(sys.executable))
    assert ended.returncode == 2
    assert "no raster is stored here: export the model again, without --no-verify" in ended.stderr


def test_folders_and_net_files_are_told_by_content(folder: Path, tmp_path: Path) -> None:
    renamed = shutil.copy(folder / "model.net", tmp_path / "anything.h5")
    assert TARGET.holds(folder)
    assert TARGET.holds(Path(renamed))
    assert not TARGET.holds(tmp_path)
    assert not TARGET.holds(tmp_path / "none")
    for name in ("recording.nir", "host.safetensors", "report.json", "run_on_loihi.py"):
        assert not TARGET.holds(folder / name)


def test_nobody_elses_files_are_held(tmp_path: Path) -> None:
    path = tmp_path / "other.h5"
    with h5py.File(path, "w") as file:
        file["node/type"] = "layer"
        file["layer/0/type"] = "x"
    assert not TARGET.holds(path)
    path.write_bytes(b"\x89HDF\r\n\x1a\nlayer")
    assert not TARGET.holds(path)


def test_a_folder_is_read_with_law_skew_and_dt(folder: Path) -> None:
    graph = TARGET.read(folder, Limits())
    assert graph.metadata["law"].startswith("lava (")
    late = json.loads(graph.metadata["skew"])
    assert list(late.values()) == sorted(late.values())
    assert late["output"] == len([node for node in graph.nodes.values() if isinstance(node, Population)])
    populations = [node for node in graph.nodes.values() if hasattr(node, "dt")]
    assert {node.dt for node in populations} == {1e-3}


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path.stem)
def test_a_net_file_by_itself_is_read_and_run(path: Path) -> None:
    """The recordings of lava-dl, through the same door as any artefact."""
    graph, recorded = TARGET.read(path, Limits()), np.load(path.with_suffix(".npz"))
    raster = recorded["raster"]
    images = raster.ndim == 4
    assert TARGET.holds(path)
    assert TARGET.recorded(path) is None
    assert "skew" in graph.metadata
    run = replace(TARGET, states=True).run(
        path, {"input": (raster.transpose(0, 3, 2, 1) if images else raster)[:, None]}
    )
    for block in range(sum(name.endswith("_u") for name in recorded.files)):
        for key in "uv":
            values = run.observables[str(block)][key][:, 0]
            values = values.transpose(0, 3, 2, 1) if values.ndim == 4 else values
            assert np.array_equal(values, recorded[f"B{block}_{key}"])
    assert run.outputs["output"].any()


def test_a_net_file_that_does_not_say_how_large_its_images_are_is_refused(tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", [conv(np.full((1, 1, 2, 2), 4), [1, 3, 3])])
    with pytest.raises(InputFileError, match="how large its images are"):
        TARGET.read(path, Limits())


def test_a_damaged_recording_is_refused(tmp_path: Path) -> None:
    played(tmp_path, "dense")
    path = tmp_path / "recording.nir"
    for data in (path.read_bytes()[:900], b"text"):
        path.write_bytes(data)
        with pytest.raises(ExportError) as caught:
            TARGET.recorded(tmp_path)
        assert caught.value.exit_code == 2
    shutil.copy(tmp_path / "model.net", path)
    with pytest.raises(InputFileError):
        TARGET.recorded(tmp_path)


# The script


def run_script(folder: Path, python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [python, "-W", "ignore", folder / "run_on_loihi.py", *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def test_the_script_plays_the_stored_raster_and_finds_it_equal(folder: Path, tmp_path: Path) -> None:
    ended = run_script(folder, installed(tmp_path / "lava"))
    assert (ended.returncode, ended.stderr) == (0, "sample 1 of 1\n")
    last = ended.stdout.splitlines()[-1]
    assert last.startswith("equal: 0 of ")
    assert int(last.split()[3]) > 500


@pytest.mark.parametrize("state", ["u", pytest.param("v", marks=pytest.mark.bulk), "s"])
def test_the_script_finds_one_wrong_value(state: str, tmp_path: Path) -> None:
    (tmp_path / "m.loihi").mkdir()
    folder = played(tmp_path / "m.loihi", "dense")
    ended = run_script(folder, installed(tmp_path / "lava", spoil=(1, state, 7)))
    assert ended.returncode == 1, ended.stderr
    named = "spikes" if state == "s" else state
    assert f"1 of 120 {named} differ, the first in step 7, sample 0, neuron 0: expected" in ended.stdout
    assert "DIFFERENT: 1 of " in ended.stdout


@pytest.mark.bulk
def test_the_script_plays_as_many_samples_as_are_asked_for(tmp_path: Path) -> None:
    (tmp_path / "m.loihi").mkdir()
    ended = run_script(played(tmp_path / "m.loihi", "dense", samples=3), installed(tmp_path / "lava"), "--samples", "2")
    assert (ended.returncode, ended.stderr) == (0, "sample 1 of 2\nsample 2 of 2\n")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"without": "lava.lib.dl.netx.hdf5"}, "No module named 'lava.lib"),
        pytest.param({"spoil": "load"}, "RuntimeError: no such net", marks=pytest.mark.bulk),
        pytest.param({"spoil": "stop"}, "Exception(s) occurred", marks=pytest.mark.bulk),
    ],
)
def test_what_cannot_run_is_no_difference(wrong: dict[str, Any], told: str, tmp_path: Path) -> None:
    (tmp_path / "m.loihi").mkdir()
    ended = run_script(played(tmp_path / "m.loihi", "dense"), installed(tmp_path / "lava", **wrong))
    assert ended.returncode == 2
    assert told in ended.stderr
    assert "could not run: " in ended.stderr


@pytest.mark.bulk
def test_wrong_use_of_the_script_is_2(tmp_path: Path) -> None:
    (tmp_path / "m.loihi").mkdir()
    folder = played(tmp_path / "m.loihi", "dense")
    python = installed(tmp_path / "lava")
    for arguments in (("--samples", "0"), ("--samples", "many"), ("--nothing",), ("--hardware",)):
        ended = run_script(folder, python, *arguments)
        assert ended.returncode == 2, arguments
        assert ended.stderr
    with h5py.File(folder / "recording.nir", "a") as file:
        for name in ("1", "3"):
            del file[f"nodes/{name}"]
    ended = run_script(folder, python)
    assert ended.returncode == 2
    assert "says of no layer what to expect" in ended.stderr


def test_the_script_asks_for_nothing_but_lava_numpy_and_h5py(tmp_path: Path) -> None:
    TARGET.emit(NETS["dense"](), tmp_path)
    text = (tmp_path / "run_on_loihi.py").read_text()
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported - set(sys.stdlib_module_names) == {"numpy", "h5py"}
    named = {part.split('"')[1] for part in text.split("import_module(")[1:] if part.startswith('"')}
    assert all(name.startswith("lava.") or name == "scipy.sparse" for name in named)


def test_one_layer_of_negative_weights_is_played(tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", [dense(-np.ones((2, 3)) * 3, bias=np.array([90.0, 40.0]))])
    assert TARGET.run(path, {"input": np.ones((20, 1, 3), bool)}).spikes["0"].any()
