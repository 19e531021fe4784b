"""Target loihi: the folder that it writes; every .net file against the checklist of NET.md, files of lava-dl first."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from loihi_nets import NETS, TARGET, dense_net, image_net, recurrent_net
from net_checklist import checklist, faults
from small_nets import spikes

from norse_export.errors import InputFileError
from norse_export.targets.loihi.precision import Precision

FILES = ["host.safetensors", "model.net", "report.json", "run_on_loihi.py"]
GOLDENS = sorted((Path(__file__).parents[2] / "goldens" / "loihi" / "netx").glob("*.net"))


@pytest.fixture(params=NETS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    TARGET.emit(NETS[request.param](), tmp_path)
    return tmp_path


def test_the_folder_holds_these_files(folder: Path) -> None:
    assert sorted(path.name for path in folder.iterdir()) == FILES


def test_files_that_lava_dl_wrote_pass_the_checklist() -> None:
    assert len(GOLDENS) == 4
    assert {path.name: faults(path) for path in GOLDENS} == {path.name: [] for path in GOLDENS}


def test_the_checklist_has_all_that_files_of_lava_dl_hold() -> None:
    held = set()
    for path in GOLDENS:
        with h5py.File(path) as file:
            for layer in file["layer"].values():
                layer.visititems(lambda name, one: held.add(name) if isinstance(one, h5py.Dataset) else None)
    assert held == set(checklist())


@pytest.mark.parametrize("precision", list(Precision))
@pytest.mark.parametrize("name", NETS)
def test_every_net_file_passes_the_checklist(name: str, precision: Precision, tmp_path: Path) -> None:
    TARGET.emit(NETS[name](precision=str(precision)), tmp_path)
    assert faults(tmp_path / "model.net") == []
    with h5py.File(tmp_path / "model.net") as file:
        for layer in file["layer"].values():
            if "neuron" in layer:
                check_numbers(layer)


def check_numbers(layer: Any) -> None:
    """What the registers and the 8-bit synapses of the chip hold."""
    for name in {"weight", "weight_rec", "bias"} & set(layer):
        values = layer[name][()]
        assert np.array_equal(values, np.rint(values))
        if name == "bias":
            assert -4096 <= values.min() <= values.max() <= 4095
        else:
            assert -256 <= values.min() <= values.max() <= 255
            mixed = values.min() < 0 < values.max()
            assert not mixed or np.all(values % 2 == 0) or -128 <= values.min() <= values.max() <= 127
            assert values.any()
    neuron = layer["neuron"]
    assert neuron["type"][()] == b"CUBA"
    assert 1 <= neuron["iDecay"][()] <= 4096
    assert 0 <= neuron["vDecay"][()] <= 4095
    assert 0 <= np.min(neuron["vThMant"][()]) <= np.max(neuron["vThMant"][()]) <= 131071


def without(name: str) -> Callable[[h5py.Group], None]:
    def change(layer: h5py.Group) -> None:
        del layer[name]

    return change


def instead(name: str, value: Any) -> Callable[[h5py.Group], None]:
    def change(layer: h5py.Group) -> None:
        layer.pop(name, None)
        layer[name] = value

    return change


def attributed(layer: h5py.Group) -> None:
    layer["weight"].attrs["scale"] = 1


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (without("weight"), "weight is missing"),
        (without("neuron/vThMant"), "neuron/vThMant is missing"),
        (instead("shape", np.array([5])), "weight has shape"),
        (instead("shape", np.array([8], np.int32)), "shape is int32"),
        (instead("weight", np.ones((8, 6), np.float64)), "weight is float64"),
        (instead("type", np.array([b"dense"], "S5")), "type is S5"),
        (instead("neuron/messageBits", 8), "neuron/messageBits is not read"),
        (instead("neuron/iDecay", np.array([3])), "neuron/iDecay has shape"),
        (instead("weight_rec", np.ones((8, 8), np.float32)), "weight_rec is not read"),
        (attributed, "weight has attributes"),
    ],
)
def test_the_checklist_finds_what_is_wrong(change: Callable[[h5py.Group], None], fault: str, tmp_path: Path) -> None:
    TARGET.emit(dense_net(), tmp_path)
    with h5py.File(tmp_path / "model.net", "a") as file:
        change(file["layer/0"])
    assert any(fault in found for found in faults(tmp_path / "model.net"))


@pytest.mark.parametrize("name", NETS)
def test_the_same_graph_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    for place in ("one", "other"):
        (tmp_path / place).mkdir()
        TARGET.emit(NETS[name](), tmp_path / place)
    for file in FILES:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "other" / file).read_bytes()


@pytest.mark.bulk
def test_run_reads_the_net_file(tmp_path: Path) -> None:
    """A weight changed in model.net alone changes what runs."""
    TARGET.emit(dense_net(), tmp_path)
    inputs = {"input": spikes(np.random.default_rng(0), 40, 2, 6, rate=0.5)}
    before = TARGET.run(tmp_path, inputs)
    with h5py.File(tmp_path / "model.net", "r+") as file:
        file["layer/0/weight"][...] = file["layer/0/weight"][...][::-1]
    after = TARGET.run(tmp_path, inputs)
    assert not np.array_equal(before.spikes["1"], after.spikes["1"])
    assert "model.net" in after.ran_by


@pytest.mark.bulk
def test_states_are_recorded_where_asked_for(tmp_path: Path) -> None:
    TARGET.emit(dense_net(), tmp_path)
    inputs = {"input": spikes(np.random.default_rng(0), 10, 1, 6)}
    assert not TARGET.run(tmp_path, inputs).observables
    assert set(replace(TARGET, states=True).run(tmp_path, inputs).observables["1"]) == {"u", "v"}


@pytest.mark.bulk
def test_files_of_two_exports_are_refused(tmp_path: Path) -> None:
    for name, make in NETS.items():
        (tmp_path / name).mkdir()
        TARGET.emit(make(), tmp_path / name)
    shutil.copy(tmp_path / "recurrent" / "model.net", tmp_path / "dense" / "model.net")
    with pytest.raises(InputFileError, match="1 layers with neurons"):
        TARGET.run(tmp_path / "dense", {"input": np.zeros((3, 1, 6))})


@pytest.mark.bulk
@pytest.mark.parametrize("file", ["host.safetensors", "model.net"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "gone"])
def test_a_damaged_file_is_refused(file: str, damage: str, tmp_path: Path) -> None:
    TARGET.emit(dense_net(), tmp_path)
    path = tmp_path / file
    data = bytearray(path.read_bytes())
    if damage == "gone":
        path.unlink()
    else:
        data[0] ^= 0xFF
        path.write_bytes(data[: len(data) // 2] if damage == "cut" else data)
    with pytest.raises(InputFileError) as caught:
        TARGET.run(tmp_path, {"input": np.zeros((3, 1, 6))})
    assert caught.value.fix


def test_the_report_says_what_was_exported(tmp_path: Path) -> None:
    TARGET.emit(image_net(precision="stacked"), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["law"].startswith("lava (Loihi 2")
    assert (report["precision"], report["chip"]) == ("stacked", "loihi2")
    assert report["skew"] == {"1": 1, "4": 2, "6": 3, "output": 3}
    assert [(layer["name"], layer["late_by_steps"], layer["readout"]) for layer in report["layers"]] == [
        ("1", 1, False),
        ("4", 2, False),
        ("6", 3, True),
    ]
    with h5py.File(tmp_path / "model.net") as file:
        assert report["layers"][0]["iDecay"] == file["layer/1/neuron/iDecay"][()]
        assert report["layers"][0]["weights"][0] == [
            int(file["layer/1/weight"][()].min()),
            int(file["layer/1/weight"][()].max()),
        ]
    assert [price["node"] for price in report["prices"]] == ["1", "4", "6"]
    assert all(price["projections"][0]["error_rms"] > 0 for price in report["prices"])


def test_the_report_names_cores_and_every_limit_with_its_source(tmp_path: Path) -> None:
    TARGET.emit(image_net(), tmp_path)
    chips = json.loads((tmp_path / "report.json").read_text())["chips"]
    assert [(chip["chip"], chip["cores"], chip["chips"], chip["fits"]) for chip in chips] == [
        ("Loihi 2", 3, 1, True),
        ("Loihi 1", 3, 1, True),
    ]
    for chip in chips:
        assert all(limit["source"] for limit in chip["limits"])
        assert [place["core"] for layer in chip["layers"] for place in layer["places"]] == [0, 1, 2]
    unknown = [limit["name"] for limit in chips[0]["limits"] if limit["maximum"] is None]
    assert unknown == [
        f"{name} of a core" for name in ("axons in", "axons out", "distinct decays", "distinct thresholds")
    ]
    assert not any(limit["maximum"] is None for limit in chips[1]["limits"])


def test_what_the_host_computes_is_in_the_report(tmp_path: Path) -> None:
    TARGET.emit(recurrent_net(), tmp_path)
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["on_host"] == []
    assert report["layers"][0]["recurrent_weights"]
