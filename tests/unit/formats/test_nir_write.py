"""The canonical writer of .nir files: what nir reads, the same bytes for the same document, no copies of arrays."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import nir
import nir_documents as documents
import numpy as np
import pytest

from norse_export.errors import GraphError
from norse_export.files.limits import Limits
from norse_export.formats.nir.document import NIRDocument, NIRNode
from norse_export.formats.nir.hdf5 import document_of, parse
from norse_export.formats.nir.primitives import PRIMITIVES
from norse_export.formats.nir.write import write

ENDS = {"Input", "Output"}


def test_every_primitive_is_tested() -> None:
    assert {*documents.NODES, *ENDS} == set(PRIMITIVES)
    assert {*PRIMITIVES, "NIRGraph", "NIRNode", "str2NIRNode", "dict2NIRNode"} == set(nir.ir.__all__)


@pytest.mark.parametrize("type_", documents.NODES)
def test_a_written_document_reads_back_identical(type_: str, tmp_path: Path) -> None:
    document = documents.of(type_, metadata=documents.METADATA)
    write(tmp_path / "a.nir", document)
    assert documents.identical(documents.read(tmp_path / "a.nir"), document)


@pytest.mark.parametrize("type_", documents.NODES)
def test_nir_reads_what_is_written_with_its_type_check_on(type_: str, tmp_path: Path) -> None:
    document = documents.of(type_, metadata=documents.METADATA)
    write(tmp_path / "a.nir", document)
    graph = nir.read(tmp_path / "a.nir")
    assert nir.serialization.read_version(tmp_path / "a.nir") == "1.0.8"
    assert sorted(graph.edges) == sorted(document.edges)
    assert graph.metadata["nested"]["inner"]["delay_steps"] == 1
    node, fields = graph.nodes["node.0"], document.nodes["node.0"].fields  # type: ignore[union-attr]
    assert type(node).__name__ == type_
    for name, value in fields.items():
        there = node.input_type["input"] if name == "input_type" else getattr(node, name)
        np.testing.assert_array_equal(there, value)
        assert np.asarray(there).dtype == np.asarray(value).dtype


@pytest.mark.parametrize("type_", documents.NODES)
def test_the_layout_is_that_of_nir(type_: str, tmp_path: Path) -> None:
    """Same names, shapes, dtypes and kinds of text; only the compression differs."""
    write(tmp_path / "ours.nir", documents.of(type_, metadata=documents.METADATA))
    nir.write(tmp_path / "theirs.nir", nir.read(tmp_path / "ours.nir"))
    assert layout(tmp_path / "ours.nir") == layout(tmp_path / "theirs.nir")


def layout(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def visit(name: str, item: h5py.Group | h5py.Dataset) -> None:
        if isinstance(item, h5py.Dataset):
            found[name] = (item.shape, item.dtype, h5py.check_string_dtype(item.dtype))
        else:
            found[name] = "group"

    with h5py.File(path) as file:
        file.visititems(visit)
    return found


def test_texts_arrays_and_scalars_of_other_dtypes_in_metadata_come_back_identical(tmp_path: Path) -> None:
    metadata = {
        "texts": np.array([["a", "ü"], ["", "c\nd"]], dtype=object),
        "array": np.arange(6, dtype=np.int16).reshape(2, 3),
        "flags": np.array([True, False]),
        "half": np.array(0.1, dtype=np.float16),
        "small": np.array(-3, dtype=np.int8),
        "large": np.array(2**64 - 1, dtype=np.uint64),
        "nan": float("nan"),
        "none": np.zeros((0, 3), dtype=np.float32),
    }
    document = documents.of("LIF", metadata=metadata)
    write(tmp_path / "a.nir", document)
    assert documents.identical(documents.read(tmp_path / "a.nir"), document)


def test_metadata_of_nodes_and_sub_graphs_come_back_identical(tmp_path: Path) -> None:
    inner = replace(documents.of("LIF", metadata={"inside": 1}), version="")
    lif, shape, _ = documents.NODES["LIF"]
    noted = NIRNode("LIF", lif.fields, {"dt": 0.5})
    document = documents.chain(
        replace(inner, nodes={**inner.nodes, "node.0": noted}), shape, shape, metadata={"outside": "x"}
    )
    write(tmp_path / "a.nir", document)
    assert documents.identical(documents.read(tmp_path / "a.nir"), document)
    assert nir.read(tmp_path / "a.nir", type_check=False).nodes["node.0"].nodes["node.0"].metadata["dt"] == 0.5


WRITER = """
import sys
sys.path.insert(0, sys.argv[1])
import nir_documents as documents
from pathlib import Path
from norse_export.formats.nir.write import write
write(Path(sys.argv[2]), documents.of("CubaLIF", metadata=documents.METADATA))
"""


def test_the_same_document_gives_the_same_bytes_in_any_process_path_and_order_of_nodes(tmp_path: Path) -> None:
    document = documents.of("CubaLIF", metadata=documents.METADATA)
    paths = [tmp_path / "a.nir", tmp_path / "elsewhere" / ("long name " * 10 + ".nir")]
    paths[1].parent.mkdir()
    for path, seed, zone in zip(paths, ("1", "2"), ("UTC", "Asia/Tokyo"), strict=True):
        subprocess.run(
            [sys.executable, "-c", WRITER, str(Path(__file__).parent), str(path)],
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone},
        )
    node = document.nodes["node.0"]
    assert isinstance(node, NIRNode)
    turned = NIRDocument(
        document.version,
        {
            name: NIRNode(item.type, dict(reversed(item.fields.items())), item.metadata)
            for name, item in reversed(document.nodes.items())
            if isinstance(item, NIRNode)
        },
        document.edges,
        dict(reversed(document.metadata.items())),
    )
    write(tmp_path / "here.nir", turned)
    assert {documents.sha256(path) for path in (*paths, tmp_path / "here.nir")} == {documents.sha256(paths[0])}
    write(tmp_path / "other.nir", documents.of("CubaLIF", metadata={**documents.METADATA, "dt": 2e-4}))
    assert documents.sha256(tmp_path / "other.nir") != documents.sha256(paths[0])


def test_writing_what_was_read_is_a_fixed_point(tmp_path: Path) -> None:
    write(tmp_path / "a.nir", documents.of("Conv2d", metadata=documents.METADATA))
    write(tmp_path / "b.nir", documents.read(tmp_path / "a.nir"))
    assert documents.sha256(tmp_path / "a.nir") == documents.sha256(tmp_path / "b.nir")


def test_arrays_are_stored_contiguous_and_never_copied(tmp_path: Path) -> None:
    side = 4096
    weight = np.ones((side, side), dtype=np.float32)  # 64 MiB
    document = documents.chain(NIRNode("Linear", {"weight": weight}), (side,), (side,))
    tracemalloc.start()
    try:
        write(tmp_path / "a.nir", document)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < weight.nbytes / 4  # the finite check looks at 4 MiB of truth values at a time
    with h5py.File(tmp_path / "a.nir") as file:
        stored = file["node/nodes/node.0/weight"]
        assert stored.chunks is None
        assert stored.compression is None
    assert (tmp_path / "a.nir").stat().st_size < weight.nbytes + 65536


def test_a_file_that_its_owner_has_locked_is_written(tmp_path: Path) -> None:
    with (tmp_path / "a.nir").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        write(tmp_path / "a.nir", documents.of("LIF"))
    assert documents.identical(documents.read(tmp_path / "a.nir"), documents.of("LIF"))


@pytest.mark.parametrize("name", ["", ".", "a/b", "a\0b", "\ud800"])
def test_a_name_that_cannot_be_read_back_is_refused(name: str, tmp_path: Path) -> None:
    lif = documents.NODES["LIF"][0]
    documents_refused = (
        documents.lif_chain(**{name: lif}),
        replace(documents.of("LIF"), metadata={name: 1}),
        replace(documents.of("LIF"), metadata={"deep": {name: 1}}),
        documents.lif_chain(lif=NIRNode("LIF", lif.fields, {name: 1.0})),
    )
    for document in documents_refused:
        with pytest.raises(GraphError, match="name") as caught:
            write(tmp_path / "a.nir", document)
        assert [finding.kind for finding in caught.value.findings] == ["name"]
        assert repr(name) in caught.value.findings[0].where or repr(name)[1:-1] in caught.value.findings[0].where
    assert not (tmp_path / "a.nir").exists()


@pytest.mark.parametrize(
    "value",
    [None, 2**63, 1j, b"bytes", [1.0], np.array([1j]), np.array([None]), np.array([1.0], np.longdouble), "a\0b"],
    ids=repr,
)
def test_a_value_that_cannot_be_stored_is_refused(value: Any, tmp_path: Path) -> None:
    with pytest.raises(GraphError, match="cannot be stored") as caught:
        write(tmp_path / "a.nir", replace(documents.of("LIF"), metadata={"key": value}))
    assert "'key'" in caught.value.findings[0].where
    assert not (tmp_path / "a.nir").exists()


def test_what_could_not_be_read_is_not_written_and_every_fault_is_named(tmp_path: Path) -> None:
    document = documents.lif_chain(
        fc=NIRNode("Linear", {"weight": np.array([[1.0, np.nan]] * 3)}),
        lif=NIRNode("LIF", {**documents.NODES["LIF"][0].fields, "tau": np.array([0.1, -0.1, 0.1])}),
    )
    with pytest.raises(GraphError) as caught:
        write(tmp_path / "a.nir", document)
    assert [finding.kind for finding in caught.value.findings] == ["nan", "tau"]
    with pytest.raises(GraphError, match="shape mismatch"):
        write(tmp_path / "a.nir", documents.lif_chain(lif=documents.neurons("I", "r", n=5)))
    assert not (tmp_path / "a.nir").exists()


def test_arrays_of_a_document_are_read_only_and_views() -> None:
    weight = np.ones((3, 3), dtype=np.float32)
    node = NIRNode("Linear", {"weight": weight})
    held = node.fields["weight"]
    assert isinstance(held, np.ndarray)
    assert np.shares_memory(held, weight)
    with pytest.raises(ValueError, match="read-only"):
        held[0, 0] = 2
    with pytest.raises(TypeError):
        node.fields["weight"] = weight  # type: ignore[index]


def test_parse_leaves_the_file_open_and_reads_no_path(tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    write(path, documents.lif_chain())
    with path.open("rb") as file:
        path.unlink()
        assert documents.identical(document_of(*parse(file, Limits())), documents.lif_chain())
        assert not file.closed
