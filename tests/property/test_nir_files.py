"""Random files of the nir library are read, and written again as they were: to nir, the two files are one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
from graph_parts import differences
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nir.serialization import hdf2dict, read_version
from nir_simulation import Simulation
from nir_strategies import DT, EXACT_DT, graphs

from norse_export.files.limits import Limits
from norse_export.formats.nir.document import NIRDocument
from norse_export.formats.nir.hdf5 import document_of, parse
from norse_export.formats.nir.to_document import document_of_graph
from norse_export.formats.nir.to_graph import graph_of_document
from norse_export.formats.nir.write import write
from norse_export.interpret import interpret
from norse_export.passes.discretise import discretise

OPTIONAL = ("v_reset", "w_in")


def read(path: Path) -> NIRDocument:
    with path.open("rb") as file:
        return document_of(*parse(file, Limits()))


def in_the_file(path: Path) -> dict[str, Any]:
    """All that nir takes from a file, before it makes nodes of it: sizes that nir misjudges make no difference."""
    with h5py.File(path, "r") as file:
        return hdf2dict(file["node"])


def as_nir_reads(path: Path) -> dict[str, Any] | None:
    """The graph as nir has it; None where nir refuses it: it checks sizes within sub-graphs, and misjudges some."""
    try:
        return nir.read(path, type_check=False).to_dict()
    except (ValueError, TypeError, NotImplementedError):
        return None


def identical(a: Any, b: Any) -> bool:
    """Types, dtypes, shapes and bits; of dicts the names, in any order; of lists the order too."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(identical(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(identical, a, b))
    if isinstance(a, np.ndarray | np.generic) and a.dtype != object:
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return bool(np.all(a == b))


def drop(file: h5py.File, names: list[str]) -> None:
    """Take out what old files do not have."""
    for name in names:
        del file[name]


def optional_fields(path: Path) -> list[str]:
    found: list[str] = []
    with h5py.File(path, "r") as file:
        file["node"].visit(lambda name: found.append(f"node/{name}"))
        return [name for name in found if name.split("/")[-1] in OPTIONAL and "metadata" not in name]


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(graphs(), st.data())
def test_a_file_is_written_again_as_it_was(given_graph: tuple[nir.NIRGraph, Any], data: st.DataObject) -> None:
    graph, _ = given_graph
    with tempfile.TemporaryDirectory() as folder:
        first, again, third = (Path(folder) / f"{name}.nir" for name in ("first", "again", "third"))
        nir.write(first, graph)
        missing = optional_fields(first)
        with h5py.File(first, "r+") as file:
            drop(file, data.draw(st.lists(st.sampled_from(missing), unique=True)) if missing else [])
        loaded = graph_of_document(read(first), dt=DT)
        write(again, document_of_graph(loaded.graph))
        assert identical(in_the_file(first), in_the_file(again))
        assert identical(as_nir_reads(first), as_nir_reads(again))
        assert read_version(first) == read_version(again)

        reloaded = graph_of_document(read(again))  # what the file did not say stands beside it now
        assert differences(loaded.graph, reloaded.graph) == []
        write(third, document_of_graph(reloaded.graph))
        assert third.read_bytes() == again.read_bytes()


STEPS = 6


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(graphs(exact=True), st.integers(0, 2**32 - 1))
def test_a_file_means_what_its_equations_say(given_graph: tuple[nir.NIRGraph, Any], seed: int) -> None:
    graph, shape = given_graph
    raster = np.random.default_rng(seed).integers(0, 3, (STEPS, 2, *shape)).astype(float)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.nir"
        nir.write(path, graph)
        loaded = graph_of_document(read(path), dt=EXACT_DT)
    expected = np.stack([Simulation(graph, EXACT_DT).run(raster[:, sample]) for sample in range(2)], axis=1)
    (source,) = (name for name, node in graph.nodes.items() if isinstance(node, nir.Input))
    (actual,) = interpret(discretise(loaded.graph), {source: raster}).outputs.values()
    assert expected.shape == actual.shape
    np.testing.assert_array_equal(actual, expected)
