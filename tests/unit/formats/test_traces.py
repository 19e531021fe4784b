"""Traces as NIR graph data: nir reads what is written, shapes and dtypes come back, the bytes are always the same."""

from __future__ import annotations

import os
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from norse_export.errors import ExportError, GraphError, LimitError
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats import traces
from norse_export.formats.traces import TraceNode, Traces

RNG = np.random.default_rng(0)
NODES = {
    "0.lif": TraceNode(
        {
            "spikes": RNG.random((5, 2, 3, 4)) < 0.4,
            "v": RNG.standard_normal((5, 2, 3, 4)).astype(np.float32),
            "i": RNG.standard_normal((5, 2, 12)),
        },
        1e-3,
    ),
    "counts": TraceNode({"spikes": RNG.integers(-3, 9, (5, 2, 7), dtype=np.int32)}, 1e-4),
    "raw": TraceNode({"v": RNG.integers(-(2**40), 2**40, (5, 2))}, 1e-3),
}
METADATA = {"norse-export": "0.1.0", "provenance": '{"dt": 0.001}', "empty": ""}


def read(path: Path, limits: Limits | None = None) -> Traces:
    with path.open("rb") as file:
        return traces.traces_of(*traces.parse(file, limits or Limits()))


def assert_equal(found: Traces, nodes: dict[str, TraceNode]) -> None:
    assert set(found.nodes) == set(nodes)
    for name, node in nodes.items():
        assert found.nodes[name].dt == node.dt
        assert set(found.nodes[name].observables) == set(node.observables)
        for observable, raster in node.observables.items():
            there = found.nodes[name].observables[observable]
            assert (there.dtype, there.shape) == (raster.dtype, raster.shape)
            assert np.ascontiguousarray(there).tobytes() == raster.tobytes()


def test_traces_come_back_in_their_shape_and_dtype(tmp_path: Path) -> None:
    traces.write(tmp_path / "t.nir", NODES, METADATA)
    found = read(tmp_path / "t.nir")
    assert_equal(found, NODES)
    assert dict(found.metadata) == METADATA
    assert not found.nodes["counts"].observables["spikes"].flags.writeable


def test_nir_reads_what_is_written_as_samples_steps_neurons(tmp_path: Path) -> None:
    traces.write(tmp_path / "t.nir", NODES, METADATA)
    found = nir.read_data(tmp_path / "t.nir")
    assert set(found.nodes) == set(NODES)
    gridded = found.nodes["0.lif"].observables["spikes"]
    assert isinstance(gridded, nir.TimeGriddedData)
    assert gridded.dt == 1e-3
    assert gridded.data.dtype == np.bool_
    spikes = NODES["0.lif"].observables["spikes"]
    assert gridded.data.shape == (2, 5, 12)
    for sample, step in np.ndindex(2, 5):
        assert gridded.data[sample, step].tolist() == spikes[step, sample].reshape(-1).tolist()


@pytest.mark.parametrize("compression", ["gzip", "lzf"])
def test_files_of_others_come_back_as_steps_samples_neurons(compression: str, tmp_path: Path) -> None:
    data = {"a": RNG.random((2, 5, 3)) < 0.5, "b": RNG.standard_normal((2, 5, 3)).astype(np.float16)}
    gridded = {name: nir.TimeGriddedData(array, 0.5) for name, array in data.items()}
    nir.write_data(tmp_path / "t.nir", nir.NIRGraphData({"n": nir.NIRNodeData(gridded)}), compression=compression)
    expected = {"n": TraceNode({name: np.moveaxis(array, 1, 0).copy() for name, array in data.items()}, 0.5)}
    found = read(tmp_path / "t.nir")
    assert_equal(found, expected)
    assert dict(found.metadata) == {}


@pytest.mark.parametrize("shape", [(0, 2, 3), (4, 0, 3), (4, 2, 0), (4, 2)])
def test_empty_rasters_and_rasters_without_features_come_back(shape: tuple[int, ...], tmp_path: Path) -> None:
    nodes = {"n": TraceNode({"spikes": np.ones(shape, dtype=bool)}, 1.0)}
    traces.write(tmp_path / "t.nir", nodes)
    assert_equal(read(tmp_path / "t.nir"), nodes)


def test_batches_larger_than_a_block_are_written_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "_BLOCK_BYTES", 100)
    nodes = {"n": TraceNode({"v": RNG.standard_normal((3, 11, 4))}, 1.0)}
    traces.write(tmp_path / "t.nir", nodes)
    assert_equal(read(tmp_path / "t.nir"), nodes)


def test_a_large_raster_is_not_copied_whole(tmp_path: Path) -> None:
    raster = np.zeros((64, 1024, 1024), dtype=bool)  # 64 MiB
    tracemalloc.start()
    try:
        traces.write(tmp_path / "t.nir", {"n": TraceNode({"spikes": raster}, 1.0)})
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < raster.nbytes


WRITER = """
import sys
import numpy as np
from pathlib import Path
from norse_export.formats.traces import TraceNode, write
raster = np.arange(24, dtype=np.int32).reshape(3, 2, 4)
nodes = {name: TraceNode({"v": raster, "spikes": raster > 5}, 1e-3) for name in sys.argv[2:]}
write(Path(sys.argv[1]), nodes, dict.fromkeys(sys.argv[2:], "x"))
"""


def test_the_same_traces_give_the_same_bytes(tmp_path: Path) -> None:
    paths = [tmp_path / "a.nir", tmp_path / ("long name " * 10)]
    for path, seed, names in zip(paths, ("1", "2"), (["p", "q", "r"], ["r", "q", "p"]), strict=True):
        command = [sys.executable, "-c", WRITER, str(path), *names]
        subprocess.run(command, check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    assert paths[0].read_bytes() == paths[1].read_bytes()


@pytest.mark.parametrize("name", ["", ".", "a/b", "a\0b"])
def test_a_name_that_cannot_be_read_back_is_refused(name: str, tmp_path: Path) -> None:
    raster = np.zeros((2, 1, 1), dtype=bool)
    for nodes, metadata in (
        ({name: TraceNode({"spikes": raster}, 1.0)}, {}),
        ({"n": TraceNode({name: raster}, 1.0)}, {}),
        ({"n": TraceNode({"spikes": raster}, 1.0)}, {name: "text"}),
    ):
        with pytest.raises(GraphError, match="name") as caught:
            traces.write(tmp_path / "t.nir", nodes, metadata)
        assert repr(name) in caught.value.where
    assert not (tmp_path / "t.nir").exists()


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (TraceNode({"spikes": np.zeros((2, 1, 1), dtype=np.float32)}, 1.0), "float32"),
        (TraceNode({"v": np.zeros((2, 1, 1), dtype=np.complex64)}, 1.0), "complex64"),
        (TraceNode({"v": np.zeros(2)}, 1.0), r"shape \[2\]"),
        (TraceNode({"v": np.zeros((2, 1))}, 0.0), "dt is 0.0"),
        (TraceNode({"v": np.zeros((2, 1))}, float("nan")), "dt is nan"),
    ],
)
def test_what_is_no_trace_is_refused(node: TraceNode, words: str, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match=words):
        traces.write(tmp_path / "t.nir", {"n": node})
    assert not (tmp_path / "t.nir").exists()


@pytest.mark.parametrize("valued", [False, True])
def test_event_data_is_refused_with_the_reason(valued: bool, tmp_path: Path) -> None:
    idx, time = np.array([[0, 1]]), np.array([[0.0, 0.001]])
    data: Any = nir.ValuedEventData(idx, time, 2, 0.01, time) if valued else nir.EventData(idx, time, 2, 0.01)
    nir.write_data(tmp_path / "t.nir", nir.NIRGraphData({"n": nir.NIRNodeData({"spikes": data})}))
    with pytest.raises(ExportError, match=r"EventData.*shifts spikes") as caught:
        read(tmp_path / "t.nir")
    assert caught.value.exit_code == 2
    assert caught.value.where == "node 'n', observable 'spikes'"
    assert "TimeGriddedData" in caught.value.fix


def attribute(place: str, name: str, value: Any) -> Callable[[h5py.File], Any]:
    return lambda f: f[place].attrs.__setitem__(name, value)


OBSERVABLE = "nodes/counts/observables/spikes"
SPOILED: dict[str, tuple[Callable[[h5py.File], Any], str]] = {
    "root": (attribute("/", "__type__", "NIRGraph"), "not NIR graph data"),
    "root_has_no_type": (lambda f: f.attrs.pop("__type__"), "not NIR graph data"),
    "no_nodes": (lambda f: f.pop("nodes"), "not NIR graph data"),
    "nested": (attribute("nodes/counts", "__type__", "NIRGraphData"), "nested"),
    "no_observables": (lambda f: f.pop("nodes/counts/observables"), "no observables"),
    "nothing_recorded": (lambda f: f.pop(OBSERVABLE), "nothing was recorded"),
    "node_is_data": (lambda f: f.create_dataset("nodes/x", data=1), "no observables"),
    "observable_is_data": (lambda f: f.create_dataset("nodes/counts/observables/x", data=1), "a dataset where"),
    "unknown_kind": (attribute(OBSERVABLE, "__type__", "Movie"), "no TimeGriddedData"),
    "no_data": (lambda f: f.pop(f"{OBSERVABLE}/data"), "no TimeGriddedData"),
    "rank": (
        lambda f: (f.pop(f"{OBSERVABLE}/data"), f[OBSERVABLE].create_dataset("data", data=[1, 2])),
        r"shape \[2\]",
    ),
    "text": (lambda f: (f.pop(f"{OBSERVABLE}/data"), f[OBSERVABLE].create_dataset("data", data="x")), "not numbers"),
    "dt_zero": (attribute(OBSERVABLE, "dt", 0.0), "dt is"),
    "dt_infinite": (attribute(OBSERVABLE, "dt", np.inf), "dt is"),
    "dt_text": (attribute(OBSERVABLE, "dt", "1 ms"), "dt is '1 ms'"),
    "dt_many": (attribute(OBSERVABLE, "dt", [1.0, 2.0]), "dt is"),
    "no_dt": (lambda f: f[OBSERVABLE].attrs.pop("dt"), "dt is None"),
    "dts_differ": (attribute("nodes/0.lif/observables/v", "dt", 0.5), "different dt"),
    "shape": (attribute(OBSERVABLE, "norse_export.shape", [5, 2, 8]), "shape mismatch"),
    "shape_negative": (attribute(OBSERVABLE, "norse_export.shape", [5, 2, -7, -1]), "shape mismatch"),
    "shape_of_texts": (attribute(OBSERVABLE, "norse_export.shape", ["a"]), "shape mismatch"),
    "shape_of_floats": (attribute(OBSERVABLE, "norse_export.shape", [5.0, 2, 7]), "shape mismatch"),
    "dtype": (attribute(OBSERVABLE, "norse_export.dtype", "bool"), "dtype mismatch"),
    "soft_link": (lambda f: f.__setitem__("nodes/x", h5py.SoftLink("/nodes")), "link"),
}


@pytest.mark.parametrize("case", SPOILED)
def test_a_file_that_is_no_trace_is_refused(case: str, tmp_path: Path) -> None:
    change, words = SPOILED[case]
    traces.write(tmp_path / "t.nir", NODES, METADATA)
    with h5py.File(tmp_path / "t.nir", "r+") as file:
        change(file)
    with pytest.raises(ExportError, match=words) as caught:
        read(tmp_path / "t.nir")
    assert caught.value.exit_code == 2
    assert caught.value.where
    assert caught.value.fix


def test_limits_hold_for_traces(tmp_path: Path) -> None:
    nodes = {"n": TraceNode({"v": np.zeros((10, 10, 10))}, 1.0)}  # 8000 bytes; HDF5 declares 8 for a text
    traces.write(tmp_path / "t.nir", nodes, {"k": "v" * 100})
    read(tmp_path / "t.nir", Limits(max_bytes=8008, max_header_bytes=100))
    for limits in (Limits(max_bytes=8007), Limits(max_header_bytes=99)):
        with pytest.raises(LimitError, match="exceed"):
            read(tmp_path / "t.nir", limits)


def test_what_else_stands_in_a_metadata_group_is_not_ours(tmp_path: Path) -> None:
    traces.write(tmp_path / "t.nir", NODES, METADATA)
    with h5py.File(tmp_path / "t.nir", "r+") as file:
        file["metadata/number"] = 3
        file["metadata/bytes"] = np.bytes_("fixed length")
    assert dict(read(tmp_path / "t.nir").metadata) == {**METADATA, "bytes": "fixed length"}


def test_the_child_gives_what_a_direct_call_gives(tmp_path: Path) -> None:
    traces.write(tmp_path / "t.nir", NODES, METADATA)
    with (tmp_path / "t.nir").open("rb") as file:
        parsed = parse_in_child("norse_export.formats.traces:parse", file, name="t.nir", limits=Limits())
    found = traces.traces_of(parsed.document, parsed.arrays)
    assert_equal(found, NODES)
    assert dict(found.metadata) == METADATA
