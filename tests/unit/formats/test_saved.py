"""Our model file gives back every bit, and is the same for the same model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from saved_models import (
    ARRAYS,
    DOCUMENT,
    MODEL,
    B,
    InProcess,
    T,
    model,
    neuron,
    read,
    real,
    taken_apart,
    written,
)

from norse_export.errors import ExportError, GraphError, InputFileError
from norse_export.formats.node_codec import NODE_TYPES, decode_node, encode_node
from norse_export.ir.delay import Delay
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Conv, Flatten, Input, Layer, Linear, Pool, Scale, Sum
from norse_export.ir.neurons import KINDS, LIF, CubaLIF, Kind, NeuronModel
from norse_export.ir.shaping import Elementwise, Pad, Reorder, Slice
from norse_export.ir.stages import ContinuousNode
from norse_export.program.families import NORSE, Rule


@pytest.fixture
def reader(monkeypatch: pytest.MonkeyPatch) -> InProcess:
    return InProcess(monkeypatch)


def node(kind: type) -> Layer:
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
        case "Slice":
            return Slice((3, 6), (1, 0), (3, 6), (1, 2))
        case "Pad":
            return Pad((2, 3), (1, 0), (0, 2))
        case "Reorder":
            return Reorder((2, 3), (1, 0), (3, 1, 2))
        case "Delay":
            return Delay(np.array([[0, 0.003], [0.0015, 0.0]], np.float32), 0.0015, least_steps=1)
        case _:
            raise NotImplementedError(kind.__name__)


def population(kind: Kind, *, recurrent: bool = False) -> NeuronModel:
    """A population of the kind in which every value differs from its default; its gains where it is not recurrent."""
    shape = (2, 3)
    others = [*kind.initial.values(), *(() if recurrent else kind.gains)]
    return neuron(kind, shape, "float64", recurrent=recurrent, **{name: real(*shape) for name in others})


POPULATIONS = {f"{name}{' recurrent' * form}": (kind, form) for name, kind in KINDS.items() for form in (False, True)}
del POPULATIONS["CobaLIF recurrent"]  # its ports are its own


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return isinstance(b, np.ndarray) and (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    return type(a) is type(b) and a == b


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
    assert {*NODE_TYPES.values(), Elementwise, NeuronModel} == set(get_args(ContinuousNode))
    assert all(kind.__name__ == name for name, kind in NODE_TYPES.items())
    assert all(kind.name == name for name, kind in KINDS.items())
    assert not set(NODE_TYPES) & set(KINDS)


def through_the_codec(original: NeuronModel) -> NeuronModel:
    arrays: dict[str, Any] = {}
    encoded = json.loads(json.dumps(encode_node(original, "k", arrays)))
    decoded = decode_node("name", encoded, arrays, "m.pt")
    assert isinstance(decoded, NeuronModel)
    return decoded


def assert_equal(original: NeuronModel, decoded: NeuronModel) -> None:
    for field in fields(NeuronModel):
        if field.name != "values":
            assert same(getattr(original, field.name), getattr(decoded, field.name)), field.name
    assert list(decoded.values) == list(original.values)
    for name, value in original.values.items():
        assert same(value, decoded[name]), name


@pytest.mark.parametrize(("kind", "recurrent"), POPULATIONS.values(), ids=POPULATIONS)
def test_every_value_of_every_population_comes_back_bit_for_bit(kind: Kind, recurrent: bool) -> None:
    original = population(kind, recurrent=recurrent)
    assert_equal(original, through_the_codec(original))


@pytest.mark.parametrize(("kind", "recurrent"), POPULATIONS.values(), ids=POPULATIONS)
def test_every_value_of_a_population_differs_from_its_default_in_these_tests(kind: Kind, recurrent: bool) -> None:
    """Else a value that is lost would come back as its default, unseen."""
    made = population(kind, recurrent=recurrent)
    defaults = {name: np.full(made.shape, value) for name, value in kind.defaults.items()}
    for state, name in kind.initial.items():
        start = kind.starts.get(state, 0.0)
        defaults[name] = made[start] if isinstance(start, str) else np.full(made.shape, start)
    lost = {name for name in kind.names if made.get(name) is None}
    assert lost == (
        {"w_in"} if recurrent and "w_in" in kind.gains else {"r"} if recurrent and kind.name in ("IF", "I") else set()
    )
    for name, default in defaults.items():
        assert (recurrent and name == "r") or not np.any(made[name] == default), name
    assert (made.dtype, made.recurrent) == ("float64", recurrent)


RULES = [
    Rule(threshold, reset, order)
    for threshold in ("gt", "ge")
    for reset in ("value", "zero", "subtract")
    for order in ("synapse_first", "membrane_first")
]


def allows(kind: Kind, rule: Rule) -> bool:
    changed = {name for name in asdict(rule) if getattr(rule, name) != getattr(NORSE, name)}
    return changed <= set(kind.dynamics.choices)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_rule_of_a_population_comes_back_and_one_that_it_does_not_know_is_refused(kind: Kind) -> None:
    for rule in RULES:
        arrays: dict[str, Any] = {}
        encoded = encode_node(neuron(kind, (2,)), "k", arrays) | {"rule": asdict(rule)}
        if allows(kind, rule):
            decoded = decode_node("n", json.loads(json.dumps(encoded)), arrays, "m.pt")
            assert isinstance(decoded, NeuronModel)
            assert decoded.rule == rule
            assert ("rule" in encode_node(decoded, "k", {})) == (rule != NORSE)
            continue
        with pytest.raises(InputFileError, match="is not a value it can have"):
            decode_node("n", encoded, arrays, "m.pt")


@pytest.mark.parametrize("name", ["LIFMC", "LIFMCRefrac"])
def test_a_matrix_is_written_whole_even_where_it_is_constant(name: str) -> None:
    kind, arrays = KINDS[name], dict[str, Any]()
    constant = neuron(kind, (2, 2), g=np.zeros((4, 4), np.float32))
    encode_node(constant, "k", arrays)
    assert arrays["k.g"].shape == (4, 4)
    back = through_the_codec(constant)
    assert same(back["g"], constant["g"])
    assert not back["g"].flags.writeable


def test_a_model_comes_back_and_gives_the_same_bytes(tmp_path: Path) -> None:
    data = written(MODEL)
    back = read(data, tmp_path)
    assert list(back.graph.nodes) == list(MODEL.graph.nodes)
    assert back.graph.edges == MODEL.graph.edges
    assert dict(back.graph.metadata) == dict(MODEL.graph.metadata)
    assert dict(back.provenance) == dict(MODEL.provenance)
    for name, original in MODEL.graph.nodes.items():
        found = back.graph.nodes[name]
        if isinstance(original, NeuronModel):
            assert isinstance(found, NeuronModel)
            assert_equal(original, found)
            continue
        for field in fields(original):
            assert same(getattr(original, field.name), getattr(found, field.name))
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
    assert back.kind is CubaLIF
    assert same(constant["v_th"], back["v_th"])
    assert back["v_th"].strides == (0,)


def test_zeros_of_both_signs_are_not_one_number() -> None:
    arrays: dict[str, Any] = {}
    both = neuron(LIF, (3,), v_th=np.array([0.0, -0.0, 0.0], np.float32))
    back = decode_node("n", encode_node(both, "k", arrays), arrays, "m.pt")
    assert back.kind is LIF
    assert same(both["v_th"], back["v_th"])
    assert np.signbit(back["v_th"]).tolist() == [False, True, False]


def test_a_type_that_no_raster_has_is_refused_on_writing() -> None:
    with pytest.raises(TypeError, match=r"inputs\.0 has dtype complex64"):
        written(model(inputs={"input": np.zeros((T, B), np.complex64)}))


SCRIPT = """
import os, sys
sys.path.insert(0, os.environ["TESTS"])
from saved_models import MODEL, written
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


def test_nodes_of_one_kind_share_nothing_in_the_file() -> None:
    assert len({id(array) for array in ARRAYS.values()}) == len(ARRAYS)
    used = json.dumps(DOCUMENT)
    assert all(f'"{key}"' in used for key in ARRAYS)


def test_unused_kinds_are_imported_for_the_codec() -> None:
    assert {Sum, Scale} <= set(NODE_TYPES.values())


def lacking(encoded: dict[str, Any], field: str) -> dict[str, Any]:
    return {name: value for name, value in encoded.items() if name != field}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_hostile_fields_of_a_population_are_refused_by_name(kind: Kind) -> None:
    arrays: dict[str, Any] = {}
    encoded = json.loads(json.dumps(encode_node(population(kind), "k", arrays)))
    wrong: list[tuple[dict[str, Any], str]] = [
        ({**encoded, "w\n": None}, "fields that"),
        ({**encoded, "kind": "LIF"}, "fields that"),
        ({**encoded, "recurrent": 1}, "recurrent"),
        ({**encoded, "recurrent": None}, "recurrent"),
        ({**encoded, "rule": []}, "rule"),
        ({**encoded, "rule": {}}, "rule"),
        ({**encoded, "rule": {**asdict(NORSE), "reset": "half"}}, "reset"),
        ({**encoded, "rule": {**asdict(NORSE), "reset": ["value"]}}, "reset"),
        ({**encoded, "rule": {**asdict(NORSE), "more": 1}}, "rule"),
        ({**encoded, "dt": True}, "dt"),
        ({**encoded, "shape": [2, True]}, "shape"),
    ]
    for name in kind.names:
        wrong.append((lacking(encoded, name), f"lacks the field '{name}'"))
        wrong.append(({**encoded, name: 1.0}, f"{name} is no tensor"))
        wrong.append(({**encoded, name: {"tensor": "nowhere"}}, f"{name} is no tensor"))
        if name not in kind.gains:
            wrong.append(({**encoded, name: None}, f"{name} is no tensor"))
    for changed, text in wrong:
        with pytest.raises(InputFileError) as caught:
            decode_node("n", changed, arrays, "m.pt")
        assert text in str(caught.value), text
        assert caught.value.fix


def test_a_population_with_ports_of_its_own_is_not_made_recurrent_by_a_file() -> None:
    arrays: dict[str, Any] = {}
    encoded = encode_node(population(KINDS["CobaLIF"]), "k", arrays) | {"recurrent": True}
    with pytest.raises(ExportError, match="recurrent"):
        decode_node("n", encoded, arrays, "m.pt")


@pytest.mark.parametrize("name", ["LIFMC", "LIFMCRefrac"])
def test_a_matrix_of_another_size_in_a_file_is_refused(name: str) -> None:
    arrays: dict[str, Any] = {}
    encoded = encode_node(population(KINDS[name]), "k", arrays)
    for wrong in (np.zeros((2, 3)), np.zeros(()), np.zeros((6, 6, 1)), np.full((6, 6), np.nan), np.zeros((6, 6), int)):
        with pytest.raises(GraphError) as caught:
            decode_node("n", encoded, {**arrays, "k.g": wrong}, "m.pt")
        assert caught.value.findings[0].where.startswith("n")
