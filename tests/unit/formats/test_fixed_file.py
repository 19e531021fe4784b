"""The artefact of sim gives back every bit, is the same for the same model, and is refused when its parts disagree."""

from __future__ import annotations

import copy
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from fixed_graphs import every_node, layers, placed, population, put_together, taken_apart
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from norse_export.errors import ExportError, GraphError, InputFileError, LimitError
from norse_export.files.child import Parsed
from norse_export.files.limits import Limits
from norse_export.formats import graph_file, safetensors_file
from norse_export.formats.fixed_codec import FIXED_TYPES, HOST_TYPES, decode_fixed, encode_fixed
from norse_export.formats.fixed_file import FORMAT, FixedModel, parse, read_fixed, write_fixed
from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import FixedInput
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.placement import Part, Placement
from norse_export.ir.stages import FixedNode

MODEL = placed(every_node())
DOCUMENT, ARRAYS = taken_apart(MODEL)


class Named(io.BytesIO):
    name = "m.sim"


def written(model: FixedModel) -> bytes:
    buffer = io.BytesIO()
    write_fixed(buffer, model)
    return buffer.getvalue()


def read(data: bytes, limits: Limits | None = None) -> FixedModel:
    return read_fixed(Named(data), name="m.sim", limits=limits or Limits())


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reads without a child process, as thousands of mutations need it."""
    monkeypatch.setattr(graph_file, "parse_in_child", lambda _, file, *, name, limits: Parsed(*parse(file, limits)))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
    if hasattr(a, "items"):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    return type(a) is type(b) and bool(a == b)


def test_a_model_comes_back_bit_for_bit_and_gives_the_same_bytes(tmp_path: Path) -> None:
    data = written(MODEL)
    (tmp_path / "m.sim").write_bytes(data)
    with (tmp_path / "m.sim").open("rb") as file:
        back = read_fixed(file, name="m.sim", limits=Limits())
    assert list(back.graph.nodes) == list(MODEL.graph.nodes)
    for name, node in MODEL.graph.nodes.items():
        assert type(back.graph.nodes[name]) is type(node)
        for field in fields(node):
            assert same(getattr(node, field.name), getattr(back.graph.nodes[name], field.name)), (name, field.name)
    assert back.graph.edges == MODEL.graph.edges
    assert dict(back.graph.metadata) == dict(MODEL.graph.metadata)
    assert back.placement == MODEL.placement
    assert back.machine == MODEL.machine
    assert [type(value) for value in back.machine.values()] == [int, float, str]
    assert len(back.digest) == 64
    assert written(back) == data


def test_what_was_written_computes_what_the_model_computes(in_process: None) -> None:
    inputs = {"input": np.random.default_rng(0).integers(-1, 4, (40, 2, 2, 8, 8))}
    expected, actual = (emulate(graph, inputs) for graph in (MODEL.graph, read(written(MODEL)).graph))
    assert all(0 < raster.mean() < 1 for raster in expected.spikes.values())
    for name, raster in expected.spikes.items():
        assert same(raster, actual.spikes[name])
    assert same(expected.outputs["output"], actual.outputs["output"])
    assert np.ptp(expected.outputs["output"]) > 0


def test_every_kind_of_node_and_every_field_is_in_the_file() -> None:
    kinds = {type(node).__name__ for node in MODEL.graph.nodes.values()}
    assert set(FIXED_TYPES) <= kinds
    assert {kind.__name__ for kind in get_args(FixedNode)} - {"Input"} == {*FIXED_TYPES, *HOST_TYPES}
    for node in (node for node in MODEL.graph.nodes.values() if type(node).__name__ in FIXED_TYPES):
        for field in fields(node):
            default = field.default_factory() if callable(field.default_factory) else field.default
            values = [getattr(other, field.name, default) for other in MODEL.graph.nodes.values()]
            assert any(isinstance(value, np.ndarray) or value != default for value in values), field.name


def test_a_node_of_another_graph_is_no_node_of_this_one() -> None:
    with pytest.raises(TypeError, match="Input is no node of the fixed graph"):
        encode_fixed(Input((2,)), "k", {})
    with pytest.raises(InputFileError, match="unknown type"):
        decode_fixed("n", {"type": "Input", "shape": [2], "dtype": "float32"}, {}, "m.sim")
    with pytest.raises(InputFileError, match="unknown type"):
        decode_fixed("n", {"type": "CubaLIF"}, {}, "m.sim")


def test_constants_take_one_number_and_come_back_as_one() -> None:
    arrays: dict[str, Any] = {}
    node = population("lif", (1000,), parameters=population("lif", (1000,)).parameters | {"v_th": np.full(1000, 9)})
    back = decode_fixed("n", encode_fixed(node, "k", arrays), arrays, "m.sim")
    assert all(array.shape == () for array in arrays.values())
    assert same(node.parameters["v_th"], back.parameters["v_th"])  # type: ignore[union-attr]


def test_a_placement_of_another_graph_is_not_written() -> None:
    with pytest.raises(GraphError, match="are placed"):
        written(replace(MODEL, placement=Placement(1, 1, (Part("1", 0, 5, 0),))))


SCRIPT = """
import hashlib, os, sys
sys.path.insert(0, os.environ["TESTS"])
from test_fixed_file import MODEL, written
print(hashlib.sha256(written(MODEL)).hexdigest())
"""


def test_the_bytes_are_the_same_in_any_process_folder_and_hash_seed(tmp_path: Path) -> None:
    digests = set()
    for seed in ("0", "1"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "TESTS": str(Path(__file__).parent), "TZ": f"UTC+{seed}"}
        run = subprocess.run(
            [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, cwd=tmp_path, env=environment
        )
        digests.add(run.stdout)
    assert len(digests) == 1


# Damage, and contradictions with right checksums.


def test_shortened_lengthened_and_changed_files_are_refused(in_process: None) -> None:
    data, random = written(MODEL), np.random.default_rng(2)
    damaged = [data[:length] for length in (0, 4, 100, len(data) - 1)] + [data + b"\0"]
    for position in random.integers(0, len(data), 300):
        changed = bytearray(data)
        changed[position] ^= 1 << int(random.integers(8))
        damaged.append(bytes(changed))
    for content in damaged:
        with pytest.raises(ExportError) as caught:
            read(content)
        assert caught.value.exit_code == 2
        assert "norse_export.save" not in caught.value.fix  # which writes models, and this is none


def test_a_saved_model_is_no_artefact(in_process: None) -> None:
    buffer = Named()
    safetensors_file.write(buffer, {}, {"norse_export": "{}"})
    with pytest.raises(InputFileError, match="no fixed graph") as caught:
        read_fixed(buffer, name="m.sim", limits=Limits())
    assert caught.value.where.startswith("m.sim")
    assert "export the model" in caught.value.fix


def changed(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(DOCUMENT)
    holder = at(document, path[:-1])
    holder[path[-1]] = value
    return document


def at(document: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        document = document[key]
    return document


def node_path(name: str, *rest: Any) -> tuple[Any, ...]:
    return ("graph", "nodes", list(MODEL.graph.nodes).index(name), 1, *rest)


WRONG = {
    "format": (("format",), FORMAT + 1, "this version reads 1"),
    "no graph": (("graph",), [], "the graph is no object"),
    "name twice": (("graph", "nodes", 1, 0), "input", "without a name of its own"),
    "type": (node_path("dense", "type"), "Dense", "unknown type"),
    "field more": (node_path("dense", "bias"), 0, "other fields than DenseSynapses"),
    "edge": (("graph", "edges", 0), ["input", "conv", "x"], "no list of 4"),
    "delay": (("graph", "edges", 0, 3), 1.0, "an edge that is none"),
    "negative delay": (("graph", "edges", 0, 3), -1, "the delay is -1 steps"),
    "edge to nowhere": (("graph", "edges", 0, 0), "nobody", "no node"),
    "weights of floats": (node_path("dense", "weight", "tensor"), "graph.9.weight", "dtype float64"),
    "weights of int64": (node_path("dense", "weight", "tensor"), "placement.parts", "weights have dtype int64"),
    "weights of another": (node_path("dense", "weight", "tensor"), "graph.8.weight", "shape mismatch"),
    "no tensor": (node_path("dense", "weight", "tensor"), "graph.99", "no tensor of the file"),
    "starts": (node_path("loop", "starts", "tensor"), "graph.5.targets", "shape mismatch"),
    "wrap": (node_path("conv", "delivery", 0), 33, "a sum of 33 bits"),
    "shift": (node_path("conv", "delivery", 1), -32, "a shift by -32"),
    "stride": (node_path("conv", "stride"), [1], "not a value it can have"),
    "range": (node_path("input", "low"), 1, "an input of 1 to 3"),
    "parameter gone": (node_path("1", "parameters"), {}, "the program has parameters"),
    "no integers": (node_path("1", "initial_state", "v", "tensor"), "graph.2.unit.1", "dtype float64"),
    "seed": (node_path("1", "seed"), 2**64, "seed 18446744073709551616"),
    "dt": (node_path("1", "dt"), -0.1, "dt = -0.1 s"),
    "saturated": (node_path("2", "saturated"), {"y": 1}, "saturated"),
    "operation": (node_path("1", "program", "instructions", 9, 0), "sqrt", "no such operation"),
    "operation of real numbers": (node_path("1", "program", "instructions", 9, 0), "exp", "real numbers"),
    "operand": (node_path("1", "program", "instructions", -1, 1, 0), 10**6, "do not all stand before it"),
    "constant": (node_path("1", "program", "instructions", 8, 3), [2**63], "beyond 62 bits"),
    "rounding": (node_path("1", "program", "instructions", 9, 4), "up", "no such rounding"),
    "state": (node_path("1", "program", "state"), [0], "state values"),
    "mesh": (("placement", "width"), 0, "a mesh of 0 x 2"),
    "core": (("placement", "height"), 1.5, "no size"),
    "parts": (("placement", "parts"), {"tensor": "graph.4.weight"}, "no parts"),
    "machine": (("machine", "width"), [1], "neither a number nor a text"),
    "metadata": (("graph", "metadata", "law"), 1, "'law', which is no text"),
}


@pytest.mark.parametrize(("path", "value", "text"), WRONG.values(), ids=WRONG)
def test_a_contradiction_is_named(path: tuple[Any, ...], value: Any, text: str, in_process: None) -> None:
    with pytest.raises(ExportError) as caught:
        read(put_together(changed(path, value), ARRAYS))
    assert caught.value.exit_code == 2
    assert text in str(caught.value)
    assert caught.value.where
    assert caught.value.fix


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        (np.zeros((2, 3), np.int64), "four columns"),
        (np.zeros((2, 4), np.int32), "four columns"),
        (np.array([[11, 0, 1, 0]]), "not there"),
        (np.array([[-1, 0, 1, 0]]), "not there"),
        (np.array([[0, 0, 1, 0]]), "are placed"),
        (np.array([[2, 0, 64, 10**6], [4, 0, 10, 0], [7, 0, 10, 0]]), "stand on core 1000000"),
        (np.array([[2, 0, 63, 0], [4, 0, 10, 0], [7, 0, 10, 0]]), "63 neurons are placed"),
    ],
)
def test_a_placement_that_cannot_be_is_refused(parts: Any, text: str, in_process: None) -> None:
    with pytest.raises(ExportError, match=text):
        read(put_together(DOCUMENT, {**ARRAYS, "placement.parts": parts}))


def test_targets_of_a_source_rise(in_process: None) -> None:
    targets = ARRAYS["graph.5.targets"].copy()
    targets[:4] = [3, 2, 1, 0]
    with pytest.raises(InputFileError, match="do not rise"):
        read(put_together(DOCUMENT, {**ARRAYS, "graph.5.targets": targets}))


def test_a_tensor_that_belongs_to_nothing_is_refused(in_process: None) -> None:
    with pytest.raises(InputFileError, match="'extra' belongs to nothing"):
        read(put_together(DOCUMENT, {**ARRAYS, "extra": np.zeros(1)}))


def test_a_small_file_cannot_ask_for_much_memory(in_process: None) -> None:
    limits = Limits(max_bytes=10**6)
    assert read(written(MODEL), limits)
    late = changed(("graph", "edges", 0, 3), 10**9)
    with pytest.raises(LimitError, match="too large"):
        read(put_together(late, ARRAYS), limits)
    nodes = {"input": FixedInput((1,)), **layers(1, 1).nodes, "1": FixedInput((10**9,)), "o": Output((10**9,))}
    wide = Graph(nodes, (*layers(1, 1).edges, Edge("1", "o")))
    with pytest.raises(LimitError, match="node '1'"):
        read(written(placed(wide)), limits)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths of all values in a JSON document."""
    yield path
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


PLACES = [path for path in places(DOCUMENT) if path]
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 40), st.sampled_from([2**31, -(2**63), 2**62, 2**64, 10**30, 10**400]),
    st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    st.sampled_from([[], {}, [[]], [1, 2], {"tensor": "graph.1.weight"}, {"tensor": []}, "graph.3.weight", "add", "v",
                     "where", "Population", "input", "output", "2", "stochastic", [10**9, 10**9], [-1, 3]]),
)  # fmt: skip
INPUTS = np.random.default_rng(3).integers(0, 2, (6, 1, 2, 8, 8))


@contextmanager
def refused_or_sound() -> Iterator[None]:
    """A refusal is complete, and its exit code is 2, or 3 where numbers could leave 64 bits."""
    refused: list[ExportError] = []
    try:
        yield
    except ExportError as error:
        refused.append(error)
    for error in refused:
        assert error.exit_code in (2, 3)
        assert all(finding.message and finding.where and finding.fix for finding in error.findings)


def assert_sound(model: FixedModel) -> None:
    """What is accepted can be run, and is written again."""
    assert written(model)
    inputs = {name: node for name, node in model.graph.nodes.items() if isinstance(node, FixedInput)}
    emulate(model.graph, {name: np.resize(INPUTS, (6, 1, *node.shape)) for name, node in inputs.items()})


@settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(path=st.sampled_from(PLACES), how=st.sampled_from(["set", "drop", "double"]), value=VALUES)
def test_a_wrong_description_is_an_error_of_the_input_or_a_model_like_any_other(
    in_process: None, path: tuple[Any, ...], how: str, value: Any
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
        assert_sound(read(put_together(document, ARRAYS)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pair=st.tuples(st.sampled_from(sorted(ARRAYS)), st.sampled_from(sorted(ARRAYS))))
def test_swapped_tensors_are_an_error_of_the_input_or_a_model_like_any_other(
    in_process: None, pair: tuple[str, str]
) -> None:
    a, b = pair
    with refused_or_sound():
        assert_sound(read(put_together(DOCUMENT, {**ARRAYS, a: ARRAYS[b], b: ARRAYS[a]})))


def test_fields_of_the_nodes_are_those_of_the_rules() -> None:
    from norse_export.formats.fixed_codec import _RULES

    for kind in FIXED_TYPES.values():
        assert is_dataclass(kind)
        assert {str(field.type) for field in fields(kind)} <= set(_RULES)
