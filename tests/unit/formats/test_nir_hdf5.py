"""The reader of .nir files: what others write is kept to the bit, and every fault of what is impossible is named."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import nir
import nir_documents as documents
import numpy as np
import pytest
from nir_files import FC, LIF, changed, findings, put

from norse_export.formats.nir.document import NIRDocument, NIRNode
from norse_export.formats.nir.write import write

# Files of others


@pytest.mark.parametrize("compression", ["gzip", "lzf", None])
@pytest.mark.parametrize("type_", documents.NODES)
def test_a_file_of_nir_keeps_every_bit(type_: str, compression: str | None, tmp_path: Path) -> None:
    write(tmp_path / "ours.nir", documents.of(type_, metadata=documents.METADATA))
    nir.write(tmp_path / "theirs.nir", nir.read(tmp_path / "ours.nir"), compression=compression)
    expected = documents.of(type_, metadata=documents.METADATA)
    assert documents.identical(documents.read(tmp_path / "theirs.nir"), expected)


def test_nodes_come_in_the_order_of_the_file_and_edges_as_written(tmp_path: Path) -> None:
    one = np.ones(2, dtype=np.float32)
    names = ["input", *(f"lif.{k}" for k in range(11)), "output"]
    nodes = {name: nir.I(one) for name in names}
    nodes["input"], nodes["output"] = nir.Input({"input": np.array([2])}), nir.Output({"output": np.array([2])})
    edges = list(pairwise(names))
    nir.write(tmp_path / "a.nir", nir.NIRGraph(nodes=nodes, edges=edges))
    document = documents.read(tmp_path / "a.nir")
    assert list(document.nodes) == sorted(names)
    assert document.edges == tuple(edges)


def test_fields_that_old_files_lack_stay_missing(tmp_path: Path) -> None:
    def strip(file: h5py.File) -> None:
        del file[f"{LIF}/v_reset"]
        put(file, "version", "0.1.1")

    document = documents.read(changed(tmp_path, strip))
    lif = document.nodes["lif"]
    assert isinstance(lif, NIRNode)
    assert "v_reset" not in lif.fields
    assert document.version == "0.1.1"
    assert document.warnings == ()


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_padding_as_text_is_text(padding: str, tmp_path: Path) -> None:
    for text in (padding, np.bytes_(padding)):
        path = changed(tmp_path, lambda f, t=text: put(f, "node/nodes/node.0/padding", t), documents.of("Conv1d"))
        node = documents.read(path).nodes["node.0"]
        assert isinstance(node, NIRNode)
        assert node.fields["padding"] == padding


def test_scalars_are_python_values_and_other_dtypes_stay(tmp_path: Path) -> None:
    def set_integers(file: h5py.File) -> None:
        put(file, "node/nodes/node.0/groups", np.int32(1))
        put(file, "node/nodes/node.0/stride", np.array([2], dtype=">i2"))

    node = documents.read(changed(tmp_path, set_integers, documents.of("Conv1d"))).nodes["node.0"]
    assert isinstance(node, NIRNode)
    assert node.fields["dilation"] == 1
    assert type(node.fields["dilation"]) is int
    groups, stride = node.fields["groups"], node.fields["stride"]
    assert isinstance(groups, np.ndarray)
    assert isinstance(stride, np.ndarray)
    assert (groups.dtype, groups.shape, int(groups)) == (np.int32, (), 1)
    assert (stride.dtype, stride.tolist()) == (np.int16, [2])


def test_metadata_of_nir_at_both_levels(tmp_path: Path) -> None:
    lif = nir.LIF(*(documents.floats(3, seed=k) for k in range(5)), metadata={"names": ["a", "bc"], "on": True})
    graph = nir.NIRGraph.from_list(lif)
    graph.metadata = {"dt": 1e-4, "deep": {"steps": 3}}
    nir.write(tmp_path / "a.nir", graph)
    document = documents.read(tmp_path / "a.nir")
    assert documents.identical(document.metadata, {"dt": 1e-4, "deep": {"steps": 3}})
    names = np.array(["a", "bc"], dtype=object)
    assert documents.identical(document.nodes["lif"].metadata, {"names": names, "on": True})


@pytest.mark.parametrize(
    ("version", "warned"), [("0.2", 0), ("1.0.8.dev3+g1", 0), ("99.0", 1), ("later", 1), (None, 1)]
)
def test_an_unknown_version_is_accepted_with_a_warning(version: str | None, warned: int, tmp_path: Path) -> None:
    path = changed(tmp_path, lambda f: f.pop("version") if version is None else put(f, "version", version))
    document = documents.read(path)
    assert document.version == (version or "")
    assert [finding.kind for finding in document.warnings] == ["version"] * warned


def test_what_is_not_part_of_nir_is_named_in_a_warning(tmp_path: Path) -> None:
    document = documents.read(changed(tmp_path, lambda f: put(f, "extra", 1.0)))
    assert [(finding.kind, finding.where) for finding in document.warnings] == [("ignored", "HDF5 object '/extra'")]


def test_names_that_look_like_code_are_data(tmp_path: Path) -> None:
    name = '"); exec("import os")\n{x}\x1b[31m ("'
    write(tmp_path / "a.nir", documents.chain(documents.NODES["LIF"][0], (3,), (3,)))
    document = documents.of("LIF")
    renamed = {name if key == "node.0" else key: node for key, node in document.nodes.items()}
    odd = NIRDocument("1.0.8", renamed, (("input", name), (name, "output")))
    write(tmp_path / "odd.nir", odd)
    assert documents.identical(documents.read(tmp_path / "odd.nir"), odd)


def test_a_message_shows_an_odd_name_on_one_line(tmp_path: Path) -> None:
    node = NIRNode("Scale", {"scale": np.array([np.nan])})
    path = tmp_path / "a.nir"
    write(path, documents.chain(NIRNode("Scale", {"scale": np.ones(1)}), (1,), (1,)))
    with h5py.File(path, "r+") as file:
        file.move("node/nodes/node.0", "node/nodes/a\n\x1b[31mb")
        put(file, "node/nodes/a\n\x1b[31mb/scale", node.fields["scale"])
        put(file, "node/edges", np.array([["input", "a\n\x1b[31mb"], ["a\n\x1b[31mb", "output"]], dtype=object))
    assert [where for _, where, _ in findings(path)] == [r"node 'a\n\x1b[31mb', field 'scale'"]


# Faults of the graph

FAULTS: dict[str, tuple[Callable[[h5py.File], Any], str, str, str]] = {
    "nan": (
        lambda f: put(f, f"{FC}/weight", [[1.0, 2], [3, np.nan], [5, 6]]),
        "nan",
        "node 'fc'",
        "weight[1, 1] is nan",
    ),
    "infinite": (
        lambda f: put(f, f"{LIF}/v_threshold", [1.0, 1, -np.inf]),
        "nan",
        "field 'v_threshold'",
        "[2] is -inf",
    ),
    "tau_negative": (lambda f: put(f, f"{LIF}/tau", [1.0, -0.5, 1]), "tau", "field 'tau'", "tau[1] is -0.5"),
    "tau_zero": (lambda f: put(f, f"{LIF}/tau", [1.0, 1, 0]), "tau", "node 'lif'", "tau[2] is 0.0"),
    "unknown_type": (lambda f: put(f, f"{LIF}/type", "QuantumLIF"), "unknown_type", "node 'lif'", "'QuantumLIF'"),
    "module_attribute": (lambda f: put(f, f"{LIF}/type", "np"), "unknown_type", "node 'lif'", "'np'"),
    "type_of_base_class": (lambda f: put(f, f"{LIF}/type", "NIRNode"), "unknown_type", "node 'lif'", "'NIRNode'"),
    "no_type": (lambda f: f.pop(f"{LIF}/type"), "missing_field", "node 'lif'", "no type"),
    "type_is_number": (lambda f: put(f, f"{LIF}/type", 3), "missing_field", "node 'lif'", "no type"),
    "missing_field": (lambda f: f.pop(f"{LIF}/r"), "missing_field", "node 'lif'", "LIF has no r"),
    "unknown_field": (lambda f: put(f, f"{LIF}/w_rec", [1.0]), "unknown_field", "field 'w_rec'", "'w_rec'"),
    "text": (lambda f: put(f, f"{FC}/weight", "not numbers"), "field_type", "field 'weight'", "'not numbers'"),
    "texts": (lambda f: put(f, f"{LIF}/r", ["a", "b", "c"]), "field_type", "field 'r'", "texts of shape [3]"),
    "truth_values": (lambda f: put(f, f"{LIF}/r", [True] * 3), "field_type", "field 'r'", "truth values"),
    "field_is_group": (
        lambda f: (f.pop(f"{LIF}/r"), f.create_group(f"{LIF}/r")),
        "field_type",
        "field 'r'",
        "a group",
    ),
    "metadata_is_data": (lambda f: put(f, f"{LIF}/metadata", 3.0), "unknown_field", "node 'lif'", "'metadata'"),
    "graph_metadata_is_data": (lambda f: put(f, "node/metadata", 3.0), "field_type", "the graph", "metadata"),
    "shapes_inside_a_node": (
        lambda f: put(f, f"{LIF}/r", [1.0, 2]),
        "shape_mismatch",
        "field 'r'",
        "r has shape [2]",
    ),
    "scalar_beside_arrays": (lambda f: put(f, f"{LIF}/r", 1.0), "shape_mismatch", "field 'r'", "r has shape []"),
    "vector_weight": (lambda f: put(f, f"{FC}/weight", [1.0, 2]), "shape_mismatch", "field 'weight'", "two axes"),
    "empty": (lambda f: put(f, f"{FC}/weight", np.zeros((0, 2))), "shape", "field 'weight'", "[0, 2]"),
    "neighbours": (
        lambda f: put(f, f"{FC}/weight", np.ones((4, 2))),
        "shape_mismatch",
        "edge 'fc' -> 'lif'",
        "'fc' gives [4], 'lif' takes [3]",
    ),
    "rank_of_neighbours": (
        lambda f: put(f, "node/nodes/input/shape", [1, 2]),
        "shape_mismatch",
        "edge 'input' -> 'fc'",
        "'input' gives [1, 2]",
    ),
    "size_zero": (lambda f: put(f, "node/nodes/input/shape", [0]), "shape", "node 'input'", "shape[0] is 0"),
    "shape_is_scalar": (lambda f: put(f, "node/nodes/input/shape", 2), "field_type", "node 'input'", "integers"),
    "ghost": (
        lambda f: put(f, "node/edges", np.array([["input", "fc"], ["fc", "ghost"]], dtype=object)),
        "edge_missing_node",
        "edge 'fc' -> 'ghost'",
        "'ghost'",
    ),
    "duplicate": (
        lambda f: put(f, "node/edges", np.array([["input", "fc"]] * 2, dtype=object)),
        "edge_duplicate",
        "edge 'input' -> 'fc'",
        "duplicate edge: it stands 2 times",
    ),
    "edges_are_numbers": (lambda f: put(f, "node/edges", [[0, 1]]), "field_type", "the graph", "pairs of names"),
    "edges_are_triples": (
        lambda f: put(f, "node/edges", np.array([["input", "fc", "lif"]], dtype=object)),
        "field_type",
        "the graph",
        "pairs of names",
    ),
    "no_edges": (lambda f: f.pop("node/edges"), "missing_field", "the graph", "no edges"),
    "no_output": (lambda f: put(f, "node/nodes/output/type", "Input"), "no_output", "the graph", "no Output"),
    "no_input": (lambda f: put(f, "node/nodes/input/type", "Output"), "no_input", "the graph", "no Input"),
    "unknown_in_graph": (lambda f: put(f, "node/type_check", True), "unknown_field", "the graph", "'type_check'"),
    "node_is_data": (lambda f: put(f, "node/nodes/x", 1.0), "missing_field", "node 'x'", "no type"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_refused_with_its_place(fault: str, tmp_path: Path) -> None:
    change, kind, where, words = FAULTS[fault]
    found = findings(changed(tmp_path, change))
    assert len(found) == 1
    assert found[0][0] == kind
    assert where in found[0][1]
    assert words in found[0][2]


CONV_FAULTS: dict[str, tuple[str, Any, str, str]] = {
    "stride": ("stride", [0, 1], "stride", "stride[0] is 0"),
    "stride_text": ("stride", "same", "field_type", "the text 'same'"),
    "stride_float": ("stride", [1.0, 1.0], "field_type", "numbers of shape [2]"),
    "stride_of_three": ("stride", [1, 1, 1], "field_type", "integers of shape [3]"),
    "dilation": ("dilation", 0, "dilation", "dilation is 0"),
    "groups": ("groups", 0, "groups", "groups is 0"),
    "groups_do_not_divide": ("groups", 3, "shape_mismatch", "3 groups divide"),
    "padding": ("padding", [0, -1], "padding", "padding[1] is -1"),
    "padding_text": ("padding", "full", "field_type", "the text 'full'"),
    "weight": ("weight", np.ones((4, 2, 3)), "shape_mismatch", "4 axes"),
    "bias": ("bias", np.ones(3), "shape_mismatch", "bias has shape [3]"),
    "channels": ("weight", np.ones((4, 3, 3, 3)), "shape_mismatch", "'node.0' takes [3, 3 or more, 3 or more]"),
    "kernel_larger_than_input": ("weight", np.ones((4, 2, 3, 7)), "shape_mismatch", "takes [2, 3 or more, 7 or more]"),
}


@pytest.mark.parametrize("fault", CONV_FAULTS)
def test_a_fault_of_a_convolution_is_refused(fault: str, tmp_path: Path) -> None:
    field, value, kind, words = CONV_FAULTS[fault]
    path = changed(tmp_path, lambda f: put(f, f"node/nodes/node.0/{field}", value), documents.of("Conv2d"))
    found = findings(path)
    assert [kind for kind, _, _ in found] == [kind]
    assert words in found[0][2]


@pytest.mark.parametrize("kernel", [(3, 5), (1, 6)])
@pytest.mark.parametrize("groups", [1, 2])
def test_rectangular_kernels_and_groups_are_judged_rightly(
    kernel: tuple[int, int], groups: int, tmp_path: Path
) -> None:
    """nir with type check refuses most of these."""
    node, _, _ = documents.NODES["Conv2d"]
    weight = documents.floats(4, 2 // groups, *kernel)
    conv = NIRNode("Conv2d", {**node.fields, "weight": weight, "groups": groups})
    document = documents.chain(conv, (2, 6, 6), (4, 7 - kernel[0], 7 - kernel[1]))
    write(tmp_path / "a.nir", document)
    assert documents.identical(documents.read(tmp_path / "a.nir"), document)


def test_every_fault_is_found_at_once(tmp_path: Path) -> None:
    def spoil(file: h5py.File) -> None:
        put(file, f"{FC}/weight", [[1.0, 2], [3, np.nan], [5, 6]])
        put(file, f"{LIF}/type", "QuantumLIF")
        file.pop("node/nodes/output")

    kinds = [kind for kind, _, _ in findings(changed(tmp_path, spoil))]
    assert kinds == ["no_output", "unknown_type", "edge_missing_node", "nan"]


def test_a_graph_without_nodes_or_edges_is_refused(tmp_path: Path) -> None:
    kinds = [kind for kind, _, _ in findings(changed(tmp_path, lambda f: f.pop("node/nodes")))]
    assert kinds[:3] == ["missing_field", "no_input", "no_output"]
    ends = {name: node for name, node in documents.lif_chain().nodes.items() if name in ("input", "output")}
    write(tmp_path / "a.nir", NIRDocument("1.0.8", ends, ()))
    assert documents.read(tmp_path / "a.nir").edges == ()


def test_a_negative_delay_is_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, lambda f: put(f, "node/nodes/node.0/delay", [0.0, -1e-3, 0]), documents.of("Delay"))
    assert findings(path) == [("delay", "node 'node.0', field 'delay'", "delay[1] is -0.001; a delay is 0 or more")]


def test_a_flood_of_faults_is_cut_and_counted(tmp_path: Path) -> None:
    edges = np.array([["input", f"ghost{k}"] for k in range(1500)], dtype=object)
    found = findings(changed(tmp_path, lambda f: put(f, "node/edges", edges)))
    assert len(found) == 1001
    assert found[-1] == ("more", "the file", "and 500 more faults")


def test_a_fault_in_a_sub_graph_names_its_path(tmp_path: Path) -> None:
    inner = documents.of("LIF")
    outer = documents.chain(NIRDocument("", inner.nodes, inner.edges), (3,), (3,))
    path = changed(tmp_path, lambda f: put(f, "node/nodes/node.0/nodes/node.0/tau", [0.0, 1, 1]), outer)
    assert findings(path)[0][:2] == ("tau", "node 'node.0/node.0', field 'tau'")
    path = changed(tmp_path, lambda f: put(f, "node/nodes/input/shape", [4]), outer)
    assert findings(path)[0][:2] == ("shape_mismatch", "edge 'input' -> 'node.0'")


@pytest.mark.parametrize("bias", [False, True])
def test_an_array_that_does_not_fit_is_never_read(bias: bool, tmp_path: Path) -> None:
    """Its chunk holds no deflate stream, so that reading it would be a different error."""

    def bomb(file: h5py.File) -> None:
        name = f"{FC}/bias" if bias else f"{FC}/weight"
        shape = (8192 * 8192,) if bias else (8192, 8192)
        if bias:
            put(file, f"{FC}/type", "Affine")
        file.pop(name, None)
        data = file.create_dataset(name, shape, "f4", chunks=shape, compression="gzip")
        data.id.write_direct_chunk((0,) * len(shape), b"not a deflate stream")

    found = findings(changed(tmp_path, bomb))
    assert {kind for kind, _, _ in found} == {"shape_mismatch"}
    fits = documents.chain(NIRNode("Linear", {"weight": np.ones((8, 8))}), (8,), (8,))

    def spoil(file: h5py.File) -> None:
        del file["node/nodes/node.0/weight"]
        data = file.create_dataset("node/nodes/node.0/weight", (8, 8), "f4", chunks=(8, 8), compression="gzip")
        data.id.write_direct_chunk((0, 0), b"not a deflate stream")

    assert findings(changed(tmp_path, spoil, fits))[0][0] == "hdf5"
