"""Our model file gives back every bit, is the same for the same model, and is refused when its parts disagree."""

from __future__ import annotations

import copy
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from norse_export.errors import ExportError, GraphError, InputFileError, LimitError
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file
from norse_export.formats.node_codec import NODE_TYPES, decode_node, encode_node
from norse_export.formats.saved import FORMAT, SavedModel, parse, read_saved, write_saved
from norse_export.formats.saved_checks import _STATES
from norse_export.interpret import interpret
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, LI, LIF, CubaLI, CubaLIF, NeuronModel
from norse_export.ir.run import Run
from norse_export.ir.stages import ContinuousNode, Neuron
from norse_export.passes.discretise import discretise

T, B = 5, 3
R = np.random.default_rng(0)


def real(*shape: int, dtype: str = "float32") -> Any:
    return R.normal(size=shape).astype(dtype)


def neuron(kind: type, shape: tuple[int, ...], dtype: str = "float32", **values: Any) -> NeuronModel:
    """A population with a value of its own for each neuron and field."""
    made: dict[str, Any] = {"shape": shape, "dt": 0.0013, "dtype": dtype}
    for field in fields(kind):
        if field.name.startswith("tau"):
            made[field.name] = R.uniform(0.004, 0.04, shape)
        elif field.name.startswith("v"):
            made[field.name] = real(*shape, dtype=dtype)
    return kind(**{**made, **values})


def node(kind: type) -> ContinuousNode:
    """A node of the kind in which every field differs from its default."""
    shape = (2, 3)
    match kind.__name__:
        case "Input":
            return Input(shape, "float64")
        case "Output" | "Sum":
            return kind(shape)
        case "Scale":
            return Scale(real(*shape))
        case "Linear":
            return Linear(real(3, 4), real(3), np.abs(real(3)))
        case "Conv":
            return Conv(real(4, 2, 3, 2), (9, 8), real(4), (2, 1), (1, 2), (1, 2), 2, np.abs(real(4)))
        case "Pool":
            return Pool("max", (2, 8, 9), (2, 3), (1, 2), (1, 0))
        case "Flatten":
            return Flatten((2, 3, 4), 1, 2)
        case "CubaLIF":
            return neuron(kind, shape, "float64", i0=real(*shape, dtype="float64"), recurrent=True)
        case "CubaLI":
            return neuron(kind, shape, "float64", r=real(*shape), w_in=real(*shape), i0=real(*shape))
        case _:
            return neuron(kind, shape, "float64", r=real(*shape))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return type(a) is type(b) and a == b


def model(**changes: Any) -> SavedModel:
    """A small model with every kind of layer on its way, a loop, and two outputs' worth of rasters."""
    nodes: dict[str, ContinuousNode] = {
        "input": Input((2, 4, 4)),
        "0": Conv(real(2, 2, 3, 3), (4, 4), padding=(1, 1)),
        "1": neuron(LIF, (2, 4, 4), v_th=np.float32(0.5)),
        "2": Pool("avg", (2, 4, 4), (2, 2), (2, 2)),
        "3": Flatten((2, 2, 2)),
        "4": Linear(real(3, 8), real(3)),
        "5": neuron(CubaLIF, (3,), recurrent=True),
        "5.recurrent_weights": Linear(real(3, 3)),
        "6": neuron(CubaLI, (3,)),
        "output": Output((3,)),
    }
    edges = (
        Edge("input", "0"), Edge("0", "1"), Edge("1", "2"), Edge("2", "3"), Edge("3", "4"), Edge("4", "5"),
        Edge("5", "5.recurrent_weights", "x", 1), Edge("5.recurrent_weights", "5", "r"), Edge("5", "6"),
        Edge("6", "output"),
    )  # fmt: skip
    shapes = {"1": (2, 4, 4), "5": (3,), "6": (3,)}
    reference = Run(
        spikes={name: R.random((T, B, *shapes[name])) < 0.3 for name in ("1", "5")},
        outputs={"output": real(T, B, 3)},
        ran_by="norse 1.1.0, torch 2.13.0, float32, batch 3, 1 threads",
        final_state={
            name: {key: real(B, *shapes[name]) for key in _STATES[type(nodes[name])]} for name in ("1", "5", "6")
        },
    )
    made = {
        "graph": Graph(nodes, edges, {"note": "ünïcode \U0001f9e0", "empty": ""}),
        "inputs": {"input": (R.random((T, B, 2, 4, 4)) < 0.4).astype(np.float32)},
        "reference": reference,
        "provenance": {"norse_export": "0.1.0", "time": "outside"},
    }
    return SavedModel(**{**made, **changes})


MODEL = model()


def written(saved: SavedModel) -> bytes:
    buffer = io.BytesIO()
    write_saved(buffer, saved)
    return buffer.getvalue()


def read(data: bytes, tmp_path: Path, limits: Limits | None = None) -> SavedModel:
    path = tmp_path / "m.pt"
    path.write_bytes(data)
    with path.open("rb") as file:
        return read_saved(file, name="m.pt", limits=limits or Limits())


@pytest.mark.parametrize("kind", NODE_TYPES.values(), ids=NODE_TYPES)
def test_every_field_of_every_node_comes_back_bit_for_bit(kind: type) -> None:
    original, arrays = node(kind), {}
    encoded = json.loads(json.dumps(encode_node(original, "k", arrays)))
    decoded = decode_node("name", encoded, arrays, "m.pt")
    assert type(decoded) is kind
    for field in fields(kind):
        assert same(getattr(original, field.name), getattr(decoded, field.name)), field.name


@pytest.mark.parametrize("kind", NODE_TYPES.values(), ids=NODE_TYPES)
def test_every_field_differs_from_its_default_in_these_tests(kind: type) -> None:
    """Else a field that is lost would come back as its default, unseen."""
    made = node(kind)
    for field in fields(kind):
        value = getattr(made, field.name)
        assert value is not None or (field.name == "w_in" and kind is CubaLIF), field.name
        assert isinstance(value, np.ndarray) or value is None or value != field.default, field.name


def test_every_kind_of_node_is_in_the_codec() -> None:
    assert set(NODE_TYPES.values()) == set(get_args(ContinuousNode))
    assert all(kind.__name__ == name for name, kind in NODE_TYPES.items())


def test_the_states_of_a_population_are_those_of_its_program() -> None:
    for kind, names in _STATES.items():
        population = neuron(kind, (2,))
        graph = Graph({"in": Input((2,)), "n": population}, (Edge("in", "n"),))
        discrete = discretise(graph).nodes["n"]
        assert isinstance(discrete, Neuron)
        assert set(discrete.family.state) == set(names)
    assert set(_STATES) == set(get_args(NeuronModel))


def test_a_model_comes_back_and_gives_the_same_bytes(tmp_path: Path) -> None:
    data = written(MODEL)
    back = read(data, tmp_path)
    assert list(back.graph.nodes) == list(MODEL.graph.nodes)
    assert back.graph.edges == MODEL.graph.edges
    assert dict(back.graph.metadata) == dict(MODEL.graph.metadata)
    assert dict(back.provenance) == dict(MODEL.provenance)
    for name, original in MODEL.graph.nodes.items():
        for field in fields(original):
            assert same(getattr(original, field.name), getattr(back.graph.nodes[name], field.name))
    for one, other in (
        (MODEL.inputs, back.inputs),
        (MODEL.reference.spikes, back.reference.spikes),
        (MODEL.reference.outputs, back.reference.outputs),
        *zip(MODEL.reference.final_state.values(), back.reference.final_state.values(), strict=True),
    ):
        assert list(one) == list(other)
        assert all(same(one[name], other[name]) for name in one)
    assert back.reference.ran_by == MODEL.reference.ran_by
    assert written(back) == data
    assert len(back.digest) == 64


def test_rasters_of_zeros_and_ones_take_a_bit_a_cell() -> None:
    steps = model(inputs={"input": np.ones((4000, B, 2, 4, 4), np.float32)})
    assert len(written(steps)) - len(written(MODEL)) < 4000 * B * 32 // 8 * 1.1


@pytest.mark.parametrize(
    "raster",
    [
        np.zeros((T, B, 2, 4, 4), np.float32),
        np.ones((T, B, 2, 4, 4), np.float32),
        np.full((T, B, 2, 4, 4), -0.0, np.float32),
        np.full((T, B, 2, 4, 4), 0.5, np.float32),
        np.full((T, B, 2, 4, 4), 5e-324).astype(np.float32),
        np.broadcast_to(np.float32(1), (T, B, 2, 4, 4)),
        np.asfortranarray(real(T, B, 2, 4, 4)),
        (real(T, B, 2, 4, 4) > 0).astype(np.float32)[:, :, ::-1],
    ],
    ids=["zeros", "ones", "minus zero", "halves", "tiny", "broadcast", "fortran", "strided"],
)
def test_any_raster_comes_back_bit_for_bit(raster: Any, reader: InProcess) -> None:
    back = reader.read(*taken_apart(model(inputs={"input": raster}))).inputs["input"]
    assert same(np.ascontiguousarray(raster), np.ascontiguousarray(back))


def test_constants_take_one_number_and_come_back_as_one() -> None:
    arrays: dict[str, Any] = {}
    constant = neuron(CubaLIF, (1000,), v_th=np.float32(0.7), tau_mem=np.full(1000, 0.01))
    encoded = encode_node(constant, "k", arrays)
    assert arrays["k.v_th"].shape == arrays["k.tau_mem"].shape == arrays["k.alpha"].shape == ()
    assert arrays["k.tau_syn"].shape == (1000,)
    back = decode_node("n", encoded, arrays, "m.pt")
    assert isinstance(back, CubaLIF)
    assert same(constant.v_th, back.v_th)
    assert back.v_th.strides == (0,)


def test_zeros_of_both_signs_are_not_one_number() -> None:
    arrays: dict[str, Any] = {}
    both = neuron(LIF, (3,), v_th=np.array([0.0, -0.0, 0.0], np.float32))
    back = decode_node("n", encode_node(both, "k", arrays), arrays, "m.pt")
    assert isinstance(back, LIF)
    assert same(both.v_th, back.v_th)
    assert np.signbit(back.v_th).tolist() == [False, True, False]


def test_a_type_that_no_raster_has_is_refused_on_writing() -> None:
    with pytest.raises(TypeError, match=r"inputs\.0 has dtype complex64"):
        written(model(inputs={"input": np.zeros((T, B), np.complex64)}))


SCRIPT = """
import os, sys
sys.path.insert(0, os.environ["TESTS"])
from test_saved import MODEL, written
import hashlib
data = written(MODEL)
print(hashlib.sha256(data).hexdigest())
"""


def test_the_bytes_are_the_same_in_any_process_folder_and_hash_seed(tmp_path: Path) -> None:
    digests = set()
    for seed in ("0", "1", "random"):
        folder = tmp_path / seed
        folder.mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TESTS": str(Path(__file__).parent), "TZ": f"UTC+{seed!r}"}
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=folder, env=environment
        )
        digests.add(run.stdout)
    assert len(digests) == 1


def test_the_order_in_which_nodes_and_names_stand_is_kept_and_counts() -> None:
    nodes = dict(reversed(MODEL.graph.nodes.items()))
    assert written(model(graph=Graph(nodes, MODEL.graph.edges, MODEL.graph.metadata))) != written(MODEL)


@pytest.mark.parametrize("length", [0, 4, 100, -1])
def test_a_shortened_file_is_refused(length: int, tmp_path: Path) -> None:
    with pytest.raises(InputFileError):
        read(written(MODEL)[:length], tmp_path)


def test_a_file_with_something_behind_its_end_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputFileError):
        read(written(MODEL) + b"\0", tmp_path)


# Mutations of the description, written with the public writer: every checksum holds, the content is wrong.


def taken_apart(saved: SavedModel) -> tuple[dict[str, Any], dict[str, Any]]:
    """Description and arrays as they go to the container."""
    kept: dict[str, Any] = {}

    def keep(file: Any, arrays: Any, metadata: Any) -> None:
        kept.update(arrays=arrays, document=json.loads(metadata["norse_export"]))

    original, safetensors_file.write = safetensors_file.write, keep  # type: ignore[assignment]
    try:
        write_saved(io.BytesIO(), saved)
    finally:
        safetensors_file.write = original
    return kept["document"], kept["arrays"]


DOCUMENT, ARRAYS = taken_apart(MODEL)


class InProcess:
    """Reads a file without a child process, as thousands of mutations need it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        from norse_export.files.child import Parsed
        from norse_export.formats import saved

        monkeypatch.setattr(saved, "parse_in_child", lambda _, file, *, name, limits: Parsed(*parse(file, limits)))

    def read(self, document: Any, arrays: Any, limits: Limits | None = None) -> SavedModel:
        text = json.dumps(document)
        buffer = Named()
        safetensors_file.write(buffer, arrays, {"norse_export": text})
        buffer.seek(0)
        return read_saved(buffer, name="m.pt", limits=limits or Limits())


class Named(io.BytesIO):
    name = "m.pt"


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(monkeypatch)


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


def test_nodes_of_one_kind_share_nothing_in_the_file() -> None:
    assert len({id(array) for array in ARRAYS.values()}) == len(ARRAYS)
    used = json.dumps(DOCUMENT)
    assert all(f'"{key}"' in used for key in ARRAYS)


def test_unused_kinds_are_imported_for_the_codec() -> None:
    assert {Sum, Scale, LI, IF} <= set(NODE_TYPES.values())
