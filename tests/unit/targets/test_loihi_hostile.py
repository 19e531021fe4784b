"""Hostile .net files: each is a clear error, found in the limited child process; `holds` never raises."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from loihi_nets import TARGET, dense_net
from net_files import conv, dense, write_net

from norse_export.errors import ExportError
from norse_export.files.child import Parsed
from norse_export.files.limits import Limits
from norse_export.targets.loihi import netx
from norse_export.targets.loihi.net_file import parse

W = np.array([[2, -6, 40], [64, -128, 8]])
Damage = Callable[[h5py.File], None]


def replaced(name: str, **dataset: Any) -> Damage:
    def damage(file: h5py.File) -> None:
        file.pop(name, None)
        file.create_dataset(name, **dataset)

    return damage


def cycle(file: h5py.File) -> None:
    file["layer/0/neuron/more"] = file["layer"]


def shared(file: h5py.File) -> None:
    file["layer/0/bias"] = file["layer/0/shape"]


def soft(file: h5py.File) -> None:
    file["layer/1"] = h5py.SoftLink("/layer/0")


def external(file: h5py.File) -> None:
    del file["layer/0/weight"]
    file["layer/0/weight"] = h5py.ExternalLink("/etc/hostname", "/x")


def stored_elsewhere(file: h5py.File) -> None:
    del file["layer/0/weight"]
    file["layer/0"].create_dataset("weight", (2, 3), "f4", external=[("/etc/hostname", 0, 24)])


def virtual(file: h5py.File) -> None:
    del file["layer/0/weight"]
    layout = h5py.VirtualLayout((2, 3), "f4")
    layout[:] = h5py.VirtualSource("/etc/hostname", "/x", (2, 3))
    file["layer/0"].create_virtual_dataset("weight", layout)


def deep(file: h5py.File) -> None:
    group = file["layer/0/neuron"]
    for _ in range(40):
        group = group.create_group("g")


def many(file: h5py.File) -> None:
    for number in range(1, 300):
        file[f"layer/{number}/x"] = 1


def renumbered(file: h5py.File) -> None:
    file.move("layer/0", "layer/-1")


def packed(shape: tuple[int, ...], chunk: tuple[int, ...]) -> Damage:
    """A few bytes of file that declare far more."""

    def damage(file: h5py.File) -> None:
        del file["layer/0/weight"]
        data = file["layer/0"].create_dataset("weight", shape, "f4", chunks=chunk, compression="gzip")
        data[tuple(slice(0, n) for n in chunk)] = 2

    return damage


def records(file: h5py.File) -> None:
    del file["layer/0/weight"]
    file["layer/0/weight"] = np.zeros((2, 3), [("a", "f4"), ("b", "i8")])


NEURON = "layer/0/neuron"
HOSTILE: dict[str, tuple[Damage, str]] = {
    "a cycle of links": (cycle, "linked twice"),
    "a shared object": (shared, "linked twice"),
    "a soft link": (soft, "a soft link"),
    "an external link": (external, "an external link"),
    "external storage": (stored_elsewhere, "external storage"),
    "a virtual dataset": (virtual, "a virtual dataset"),
    "too deep": (deep, "levels of nesting"),
    "layers without types": (many, "it has no type"),
    "a negative number": (renumbered, "none is named 0"),
    "a bomb of zeros": (packed((1 << 20, 1 << 20), (64, 64)), "too large"),
    "a bomb in one chunk": (packed((1 << 14, 1 << 15), (1 << 13, 1 << 12)), "too large"),
    "records": (records, "none of float, integer, text"),
    "complex numbers": (replaced("layer/0/weight", data=np.ones((2, 3), complex)), "none of float, integer, text"),
    "texts as weights": (replaced("layer/0/weight", data=np.array([["a", "b"]], "S4")), "a text, where numbers"),
    "numbers as a type": (replaced("layer/0/type", data=np.zeros(1, "i8")), "it has no type"),
    "a type without end": (replaced("layer/0/type", data=np.array([b"x" * 5000])), "a type of 5000 bytes"),
    "a type of other bytes": (replaced("layer/0/type", data=np.array([b"\xff\xfe"])), "not UTF-8"),
    "a huge shape": (replaced("layer/0/shape", data=np.array([1 << 40])), "beyond 32 bits"),
    "a shape that overflows": (replaced("layer/0/shape", data=np.full(8, 1 << 30)), "too large"),
    "a negative shape": (replaced("layer/0/shape", data=np.array([-2])), "a shape"),
    "nothing in a shape": (replaced("layer/0/shape", data=np.zeros(0, "i8")), "shape"),
    "weights that are no numbers": (replaced("layer/0/weight", data=np.full((2, 3), np.nan)), "beyond 32 bits"),
    "endless weights": (replaced("layer/0/weight", data=np.full((2, 3), np.inf)), "beyond 32 bits"),
    "weights of three axes": (replaced("layer/0/weight", data=np.ones((2, 3, 1))), "weight has shape"),
    "another threshold for more neurons": (replaced(f"{NEURON}/vThMant", data=np.ones(7, "i8")), "v_th has shape"),
    "a decay of many": (replaced(f"{NEURON}/iDecay", data=np.ones(2, "i8")), "decays that differ"),
    "a neuron that is a number": (replaced(NEURON, data=3), "neuron"),
    "additions to no layer": (replaced("additions/7/u", data=np.zeros(2, "i8")), "7"),
    "additions of fractions": (replaced("additions/0/u", data=np.full(2, 0.5)), "whole numbers"),
    "additions of other shapes": (replaced("additions/0/v", data=np.zeros(5, "i8")), "shape"),
    "additions that are a number": (replaced("additions", data=3), "additions"),
}


@pytest.fixture
def parsed_here() -> None:
    """Here it is the child that parses."""


@pytest.fixture(params=HOSTILE)
def hostile(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, str]:
    damage, message = HOSTILE[request.param]
    path = write_net(tmp_path / "a.net", [dense(W)])
    with h5py.File(path, "a") as file:
        damage(file)
    return path, message


@pytest.mark.parametrize("process", ["this", pytest.param("child", marks=pytest.mark.bulk)])
def test_a_hostile_file_is_a_clear_error(
    process: str, hostile: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path, message = hostile
    if process == "this":  # the same parser, without the time that a process takes to start
        monkeypatch.setattr(netx, "parse_in_child", lambda _, file, *, name, limits: Parsed(*parse(file, limits)))
    else:
        assert isinstance(TARGET.holds(path), bool)
    with pytest.raises(ExportError) as caught:
        TARGET.read(path, Limits())
    assert message in str(caught.value) or message in f"{caught.value.findings}"
    assert caught.value.exit_code in (2, 3)
    assert caught.value.fix
    assert caught.value.where


@pytest.mark.bulk
@pytest.mark.parametrize("keep", [9, 100, 500, 1000, 2000, -8, -1])
def test_a_truncated_file_is_an_error(keep: int, tmp_path: Path) -> None:
    path = write_net(tmp_path / "a.net", [dense(W)])
    path.write_bytes(path.read_bytes()[:keep])
    assert isinstance(TARGET.holds(path), bool)
    with pytest.raises(ExportError) as caught:
        TARGET.read(path, Limits())
    assert caught.value.exit_code == 2


@pytest.mark.bulk
def test_single_bytes_that_are_other_never_bring_it_down(tmp_path: Path) -> None:
    """Each is read, or refused with an exit code; 25 places in the structure of the file."""
    path = write_net(tmp_path / "a.net", [dense(W)])
    data = path.read_bytes()
    for place in np.random.default_rng(0).integers(8, len(data), 25):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xA5]) + data[place + 1 :])
        assert read_or_refused(path)


def read_or_refused(path: Path) -> bool:
    try:
        TARGET.read(path, Limits())
    except ExportError as error:
        return error.exit_code in (2, 3)
    return True


def test_the_file_is_parsed_in_the_limited_child_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def noted(parser: str, *arguments: Any, **options: Any) -> Any:
        asked.append(parser)
        return in_child(parser, *arguments, **options)

    in_child = netx.parse_in_child
    monkeypatch.setattr(netx, "parse_in_child", noted)
    opened = []
    monkeypatch.setattr(h5py, "File", lambda *arguments, **_: opened.append(arguments))
    TARGET.read(write_net_elsewhere(tmp_path), Limits())
    assert asked == ["norse_export.targets.loihi.net_file:parse"]
    assert opened == []  # in this process


def write_net_elsewhere(folder: Path) -> Path:
    """The bytes of a small .net file, written before h5py is watched."""
    path = folder / "a.net"
    path.write_bytes(BYTES)
    return path


BYTES = (Path(__file__).parents[2] / "goldens" / "loihi" / "netx" / "net_dense2.net").read_bytes()


def test_a_folder_with_a_fifo_in_the_place_of_its_net_does_not_block(tmp_path: Path) -> None:
    TARGET.emit(dense_net(), tmp_path)
    for name in ("model.net", "host.safetensors"):
        (tmp_path / name).unlink()
        os.mkfifo(tmp_path / name)
        with pytest.raises(ExportError, match="not a regular file"):
            TARGET.read(tmp_path, Limits())
        (tmp_path / name).unlink()
        (tmp_path / name).write_bytes(b"")


def test_images_that_declare_far_more_than_the_file_holds_are_refused(tmp_path: Path) -> None:
    size = 1 << 15
    layers = [
        {"type": "input", "shape": np.array([1, size, size])},
        conv(np.ones((1, 1, 1, 1)), [1, size, size]),
    ]
    with pytest.raises(ExportError, match="too large"):
        TARGET.read(write_net(tmp_path / "a.net", layers), Limits())
