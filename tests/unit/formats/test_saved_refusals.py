"""Our model file is refused when it is damaged, or when its parts disagree."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from saved_models import (
    ARRAYS,
    DOCUMENT,
    MODEL,
    B,
    InProcess,
    Named,
    R,
    T,
    model,
    read,
    taken_apart,
    written,
)

from norse_export.errors import ExportError, GraphError, InputFileError, LimitError
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.formats.saved import FORMAT, SavedModel, read_saved
from norse_export.interpret import interpret
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Input, Output, Pool
from norse_export.ir.run import Run
from norse_export.ir.stages import ContinuousNode
from norse_export.passes.discretise import discretise


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(monkeypatch)


# Mutations of the description, written with the public writer: every checksum holds, the content is wrong.


def test_every_changed_byte_is_found(reader: InProcess) -> None:
    data = written(MODEL)
    for position in R.integers(0, len(data), 500):
        changed = bytearray(data)
        changed[position] ^= 1 << int(R.integers(8))
        buffer = Named(changed)
        with pytest.raises(ExportError) as caught:
            read_saved(buffer, name="m.pt", limits=Limits())
        assert caught.value.exit_code == 2


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values in a JSON document."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


PLACES = [path for path in places(DOCUMENT) if path]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 40), st.sampled_from([2**31, -(2**63), 2**64, 10**30, 10**400]),
    st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    st.sampled_from([[], {}, [[]], [1, 2], {"tensor": "graph.1.weight"}, {"tensor": []}, {"tensor": "inputs.0"},
                     "Linear", "input", "output", "graph.1.weight", "float64", "max", [10**9, 10**9], [-1, 3]]),
)  # fmt: skip


@contextmanager
def refused_or_sound() -> Iterator[None]:
    """A refusal is one of exit code 2, and complete."""
    refused: list[ExportError] = []
    try:
        yield
    except ExportError as error:
        refused.append(error)
    for error in refused:
        assert error.exit_code == 2
        assert all(finding.message and finding.where and finding.fix for finding in error.findings)


def assert_sound(accepted: SavedModel) -> None:
    """What is accepted can be run, and is written again."""
    with np.errstate(all="ignore"):  # a changed weight may overflow
        run = interpret(discretise(accepted.graph), accepted.inputs)
    assert {name: raster.shape for name, raster in run.outputs.items()} == {
        name: raster.shape for name, raster in accepted.reference.outputs.items()
    }
    assert written(accepted)


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PLACES), how=st.sampled_from(["set", "drop", "double"]), value=VALUES)
def test_a_wrong_description_is_an_error_of_the_input_or_a_model_like_any_other(
    reader: InProcess, path: tuple[Any, ...], how: str, value: Any
) -> None:
    document = copy.deepcopy(DOCUMENT)
    holder, key = at(document, path[:-1]), path[-1]
    if how == "set":
        holder[key] = value
    elif how == "drop":
        del holder[key]
    elif isinstance(holder, list):
        holder.insert(key, copy.deepcopy(holder[key]))
    else:
        holder[f"{key}_"] = copy.deepcopy(holder[key])
    with refused_or_sound():
        assert_sound(reader.read(document, ARRAYS))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    key=st.sampled_from(sorted(ARRAYS)),
    value=st.sampled_from([
        np.zeros((0,), np.float32), np.zeros((3, 3), np.uint8), np.full((2, 2), np.nan, np.float32),
        np.full((1,), np.inf), np.zeros((3, 8), np.int64), np.ones((2, 2, 3, 3), np.float64),
        np.full((60,), 255, np.uint8), np.ones((), np.float32), np.full((3,), -1.0), np.zeros((3,), np.bool_),
        np.full((3,), 5e-324), np.full((3,), 1e300), np.full((3,), 1e39), np.full((3,), 3e38, np.float32),
    ]),
)  # fmt: skip
def test_a_wrong_tensor_is_an_error_of_the_input_or_a_model_like_any_other(
    reader: InProcess, key: str, value: Any
) -> None:
    with refused_or_sound():
        assert_sound(reader.read(DOCUMENT, {**ARRAYS, key: value}))


def changed(path: tuple[Any, ...], value: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        at(document, path[:-1])[path[-1]] = value

    return change


NODES = {name: number for number, (name, _) in enumerate(DOCUMENT["graph"]["nodes"])}


def of_node(name: str, field: str, value: Any) -> Callable[[Any], None]:
    return changed(("graph", "nodes", NODES[name], 1, field), value)


WRONG: dict[str, tuple[Callable[[Any], None], type[ExportError], str]] = {
    "a newer format": (changed(("format",), FORMAT + 1), InputFileError, "format"),
    "an unknown node": (of_node("4", "type", "Attention"), InputFileError, "unknown type"),
    "an unknown field": (of_node("4", "gain", 2), InputFileError, "fields that Linear"),
    "a lost bias": (lambda d: at(d, ("graph", "nodes", NODES["4"], 1)).pop("bias"), InputFileError, "lacks"),
    "another's tensor": (of_node("4", "weight", {"tensor": "graph.7.weight"}), GraphError, "shape mismatch"),
    "a missing tensor": (of_node("4", "weight", {"tensor": "graph.99.weight"}), InputFileError, "no tensor"),
    "no weight": (of_node("4", "weight", None), InputFileError, "no tensor"),
    "another number of groups": (of_node("0", "groups", 7), GraphError, "groups"),
    "a negative time step": (of_node("1", "dt", -0.001), GraphError, "dt"),
    "an infinite time step": (of_node("1", "dt", 1e999), InputFileError, "Infinity"),
    "an unknown float type": (of_node("1", "dtype", "float16"), InputFileError, "dtype"),
    "a number for a flag": (of_node("5", "recurrent", 1), InputFileError, "recurrent"),
    "an unknown pooling": (of_node("2", "kind", "median"), InputFileError, "kind"),
    "two nodes of one name": (changed(("graph", "nodes", 2, 0), "0"), InputFileError, "name"),
    "a node without a name": (changed(("graph", "nodes", 2, 0), ""), InputFileError, "name"),
    "a number for a name": (changed(("graph", "nodes", 2, 0), 7), InputFileError, "name"),
    "an edge to nowhere": (changed(("graph", "edges", 0, 1), "nowhere"), GraphError, "nowhere"),
    "a fraction of a delay": (changed(("graph", "edges", 6, 3), 1.5), InputFileError, "edge"),
    "a loop without a delay": (changed(("graph", "edges", 6, 3), 0), GraphError, "without a delay"),
    "metadata that are no text": (changed(("graph", "metadata", "note"), 7), InputFileError, "metadata"),
    "provenance that is no text": (changed(("provenance", "time"), None), InputFileError, "provenance"),
    "another number of samples": (changed(("inputs", "input", "shape"), [T, B - 1, 2, 4, 4]), InputFileError, "raster"),
    "the inputs of another graph": (lambda d: d["inputs"].update(x=d["inputs"].pop("input")), InputFileError, "inputs"),
    "no inputs": (changed(("inputs",), {}), InputFileError, "no step"),
    "spikes of a layer less": (lambda d: d["reference"]["spikes"].pop("5"), InputFileError, "spikes"),
    "spikes of an integrator": (
        lambda d: d["reference"]["spikes"].update({"6": d["reference"]["spikes"]["5"]}), InputFileError, "spikes"),
    "spikes of a layer twice": (
        lambda d: d["reference"]["spikes"].update({"1": d["reference"]["spikes"]["5"]}), InputFileError, "spikes"),
    "no outputs": (changed(("reference", "outputs"), {}), InputFileError, "outputs"),
    "a state less": (lambda d: d["reference"]["final_state"]["5"].pop("i"), InputFileError, "final states"),
    "nothing that ran": (changed(("reference", "ran_by"), None), InputFileError, "what ran"),
    "a raster packed that is not": (
        changed(("reference", "outputs", "output", "packed"), True), InputFileError, "raster"),
    "a part more": (changed(("code",), "print()"), InputFileError, "description"),
    "a part less": (lambda d: d.pop("provenance"), InputFileError, "description"),
    "no object": (lambda d: d.update(graph=[]), InputFileError, "graph"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_each_contradiction_is_named(name: str, reader: InProcess) -> None:
    change, error, words = WRONG[name]
    document = copy.deepcopy(DOCUMENT)
    change(document)
    with pytest.raises(error) as caught:
        reader.read(document, ARRAYS)
    assert type(caught.value) is error
    assert words in str(caught.value)
    assert "incomplete" not in caught.value.what


def test_rasters_of_another_type_than_the_model_are_refused(reader: InProcess) -> None:
    inputs = {"input": MODEL.inputs["input"].astype(np.float64)}
    with pytest.raises(InputFileError, match="another type"):
        reader.read(*taken_apart(model(inputs=inputs)))
    run = MODEL.reference
    spikes = {name: raster.astype(np.int32) for name, raster in run.spikes.items()}
    wrong = Run(spikes=spikes, outputs=run.outputs, ran_by="x", final_state=run.final_state)
    with pytest.raises(InputFileError, match="truth values"):
        reader.read(*taken_apart(model(reference=wrong)))


def test_a_tensor_that_belongs_to_nothing_is_refused(reader: InProcess) -> None:
    with pytest.raises(InputFileError, match="'stray' belongs to nothing"):
        reader.read(DOCUMENT, {**ARRAYS, "stray": np.zeros(3, np.float32)})


def test_bits_behind_the_end_of_a_raster_are_refused(reader: InProcess) -> None:
    key = DOCUMENT["reference"]["spikes"]["5"]["tensor"]
    bits = ARRAYS[key].copy()
    bits[-1] |= 1
    with pytest.raises(InputFileError, match="bits behind its end"):
        reader.read(DOCUMENT, {**ARRAYS, key: bits})


def test_numbers_that_are_none_are_refused(reader: InProcess) -> None:
    key = DOCUMENT["reference"]["outputs"]["output"]["tensor"]
    wrong = ARRAYS[key].copy()
    wrong[1, 2, 0] = np.nan
    with pytest.raises(InputFileError, match="NaN"):
        reader.read(DOCUMENT, {**ARRAYS, key: wrong})


def test_a_file_of_tensors_is_no_model(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    safetensors_file.write(buffer, {"weight": np.zeros(3, np.float32)}, {})
    with pytest.raises(InputFileError, match="no graph"):
        read(buffer.getvalue(), tmp_path)


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{", '{"format": 1, "format": 1}', "[" * 100_000, '{"format": NaN}']
)
def test_a_description_that_is_none_is_refused(text: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    safetensors_file.write(buffer, ARRAYS, {"norse_export": text})
    with pytest.raises(ExportError) as caught:
        read(buffer.getvalue(), tmp_path)
    assert caught.value.exit_code == 2


BITS = -(-T * B * 32 // 8)


@pytest.mark.parametrize(
    ("limit", "enough"),
    [("max_edges", len(MODEL.graph.edges)), ("max_name_bytes", len("5.recurrent_weights")), ("max_depth", 6)],
)
def test_each_limit_holds_at_its_value_and_not_below(limit: str, enough: int, reader: InProcess) -> None:
    assert reader.read(DOCUMENT, ARRAYS, Limits(**{limit: enough}))
    with pytest.raises(LimitError):
        reader.read(DOCUMENT, ARRAYS, Limits(**{limit: enough - 1}))


def test_a_raster_counts_with_its_unpacked_size(reader: InProcess) -> None:
    """Bits become floats: a file must not grow 32 times when it is read."""
    ones = model(inputs={"input": np.ones((4000, B, 2, 4, 4), np.float32)})
    reference = Run(
        spikes={name: np.ones((4000, *raster.shape[1:]), np.bool_) for name, raster in MODEL.reference.spikes.items()},
        outputs={"output": np.ones((4000, B, 3), np.float32)},
        ran_by="x",
        final_state=MODEL.reference.final_state,
    )
    document, arrays = taken_apart(model(inputs=ones.inputs, reference=reference))
    unpacked = 4000 * B * 2 * 4 * 4 * 4
    assert reader.read(document, arrays, Limits(max_bytes=unpacked))
    with pytest.raises(LimitError, match="the inputs: 'input'"):
        reader.read(document, arrays, Limits(max_bytes=unpacked - 1))


def test_a_small_file_cannot_declare_a_layer_that_no_memory_holds(reader: InProcess) -> None:
    """A kernel of one value with a border of a million zeros, pooled away again."""
    nodes: dict[str, ContinuousNode] = {
        "input": Input((1, 1, 1)),
        "conv": Conv(np.ones((1, 1, 1, 1), np.float32), (1, 1), padding=(10**6, 10**6)),
        "pool": Pool("sum", (1, 2 * 10**6 + 1, 2 * 10**6 + 1), (2 * 10**6 + 1,) * 2, (1, 1)),
        "output": Output((1, 1, 1)),
    }
    edges = (Edge("input", "conv"), Edge("conv", "pool"), Edge("pool", "output"))
    raster = np.ones((1, 1, 1, 1, 1), np.float32)
    saved = SavedModel(Graph(nodes, edges), {"input": raster}, Run({}, {"output": raster}, "x"), {})
    with pytest.raises(LimitError, match="node 'conv'"):
        reader.read(*taken_apart(saved))
