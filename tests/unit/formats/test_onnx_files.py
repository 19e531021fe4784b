"""ONNX files: the same bytes each time, the user's names, data beside the file; changed, hostile and foreign ones."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, numpy_helper
from random_fixed_nets import random_fixed_net

from norse_export.errors import ExportError, InputFileError, LimitError, UnsupportedError
from norse_export.files.limits import Limits
from norse_export.formats.onnx.document import FIXED, FORM, computed, is_fixed
from norse_export.formats.onnx.files import SCAN, STEP, models_of, write_folder
from norse_export.formats.onnx.read import is_ours, read_onnx, refuse
from norse_export.formats.onnx.write import DATA, DIGEST_KEY, numbers_digest, write_models
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool
from norse_export.ir.neurons import CubaLI, CubaLIF
from norse_export.passes.discretise import discretise

pytestmark = pytest.mark.usefixtures("parsed_here")

RNG = np.random.default_rng(0)
LIF = {"dt": 1e-3, "tau_mem": np.float64(1e-2), "tau_syn": np.float64(5e-3), "v_leak": np.float32(0)}


def net(weight: NDArray[np.float32] | None = None) -> Graph[Any]:
    """Conv, LIF with a threshold for each neuron, average pool, loop of three steps, LI."""
    weight = RNG.normal(size=(4, 8)).astype(np.float32) if weight is None else weight
    hidden = CubaLIF(
        shape=(2, 4, 4), v_th=np.linspace(0.1, 1, 32, dtype=np.float32).reshape(2, 4, 4), v_reset=np.float32(0), **LIF
    )
    continuous: Graph[Any] = Graph(
        {
            "input": Input((1, 4, 4)),
            "net.conv": Conv(
                RNG.normal(size=(2, 1, 3, 3)).astype(np.float32), (4, 4), np.ones(2, np.float32), padding=(1, 1)
            ),
            "net.lif": hidden,
            "pool": Pool("avg", (2, 4, 4), (2, 2), (2, 2)),
            "flat": Flatten((2, 2, 2)),
            "fc": Linear(weight),
            "li": CubaLI(shape=(4,), **LIF),
            "output": Output((4,)),
        },
        (
            Edge("input", "net.conv"),
            Edge("net.conv", "net.lif"),
            Edge("net.lif", "pool"),
            Edge("pool", "flat"),
            Edge("flat", "fc"),
            Edge("fc", "li"),
            Edge("fc", "li", "x", 3),
            Edge("li", "output"),
        ),
        {"source": "a test"},
    )
    return discretise(continuous)


def written(folder: Path, graph: Graph[Any] | None = None) -> Path:
    """A folder with both models."""
    folder.mkdir(exist_ok=True)
    write_folder(net() if graph is None else graph, folder)
    return folder


def assert_same(a: Graph[Any], b: Graph[Any]) -> None:
    """The same nodes, edges and metadata, in every bit."""
    form: Any = FIXED if is_fixed(a) else FORM
    arrays: list[dict[str, NDArray[Any]]] = [{}, {}]
    one, other = (form.encode_graph(graph, found) for graph, found in zip((a, b), arrays, strict=True))
    assert one == other
    assert list(arrays[0]) == list(arrays[1])
    for name, value in arrays[0].items():
        assert value.dtype == arrays[1][name].dtype
        np.testing.assert_array_equal(value, arrays[1][name], err_msg=name)


def changed(path: Path, change: Callable[[ModelProto], object]) -> None:
    """Change a model file."""
    model = onnx.load(str(path), load_external_data=False)
    change(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def body(model: ModelProto) -> Any:
    """The step inside a Scan model."""
    return next(node for node in model.graph.node if node.op_type == "Scan").attribute[0].g


def test_the_same_graph_gives_the_same_bytes(tmp_path: Path) -> None:
    graph = net()
    one, two = (written(tmp_path / name, graph) for name in ("one", "two"))
    assert sorted(os.listdir(one)) == [SCAN, STEP]
    for name in (SCAN, STEP):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_every_name_is_the_users(tmp_path: Path) -> None:
    model = onnx.load(str(written(tmp_path / "m") / STEP))
    assert [one.name for one in model.graph.input][:2] == ["input", "net.lif.v"]
    assert [one.name for one in model.graph.output][:2] == ["output", "net.lif.v.next"]
    made = {name for node in model.graph.node for name in node.output}
    assert {"net.conv", "net.lif", "pool", "flat", "fc", "li", "output"} <= made
    constants = {one.name: list(one.dims) for one in model.graph.initializer}
    assert constants["net.conv.weight"] == [2, 1, 3, 3]
    assert constants["net.lif.v_th"] == [2, 4, 4]
    assert constants["net.lif.alpha"] == []  # one number for all
    call = next(node for node in model.graph.node if node.op_type == "cuba_lif")
    assert call.domain == "norse_export"
    notes = {one.key: one.value for one in call.metadata_props}
    assert notes["norse_export.module"] == "net.lif"
    assert float(notes["norse_export.tau_mem"]) == pytest.approx(1e-2)
    assert notes["norse_export.dt"] == "0.001"
    told = {one.key: one.value for one in model.metadata_props}
    assert told["norse_export.dt"] == "0.001"
    assert told["norse_export.about.source"] == "a test"
    assert told["norse_export.initial.net.lif.v"] == "0.0"


def test_names_that_clash_stay_apart(tmp_path: Path) -> None:
    """A module may be called as a weight, a state or a model's own axis is."""
    weight = np.eye(2, dtype=np.float32)
    names = ["batch", "fc", "fc.weight", "li.v", "li", "time", "features.0"]
    nodes: dict[str, Any] = {"batch": Input((2,))} | {name: Linear(weight) for name in names[1:-1]}
    nodes["li"] = CubaLI(shape=(2,), **LIF)
    nodes["features.0"] = Output((2,))
    graph = discretise(Graph(nodes, tuple(Edge(a, b) for a, b in itertools.pairwise(names))))
    folder = written(tmp_path / "m", graph)
    for name in (SCAN, STEP):
        onnx.checker.check_model(str(folder / name), full_check=True)
    assert_same(computed(graph), read_onnx(folder, Limits())[0])


@pytest.mark.parametrize("fixed", [False, True])
def test_a_module_may_have_as_long_a_name_as_any(fixed: bool, tmp_path: Path) -> None:
    """What stands behind it in the name of a weight or of a parameter does not count."""
    plain = random_fixed_net(400_002).graph if fixed else net()
    most = Limits().max_name_bytes
    for size, held in ((most, True), (most + 1, False)):
        names = {name: name.rjust(size, "n") for name in plain.nodes}
        edges = (replace(edge, source=names[edge.source], target=names[edge.target]) for edge in plain.edges)
        graph = Graph({names[name]: node for name, node in plain.nodes.items()}, tuple(edges))
        folder = written(tmp_path / str(size), graph)
        if held:
            assert_same(graph if fixed else computed(graph), read_onnx(folder, Limits())[0])
        else:
            with pytest.raises(LimitError, match="257 bytes in a name exceed the limit of 256"):
                read_onnx(folder, Limits())


@pytest.mark.parametrize("opset", [18, 21, 23, 26])
def test_a_graph_is_read_as_it_was_written(opset: int, tmp_path: Path) -> None:
    graph = net()
    write_folder(graph, tmp_path, opset=opset)
    for path in (tmp_path, tmp_path / SCAN):
        back, version = read_onnx(path, Limits())
        assert version == opset
        assert_same(computed(graph), back)
        assert back.metadata == graph.metadata


def test_values_that_are_equal_are_one_number_however_they_are_held(tmp_path: Path) -> None:
    """In memory they may be as many as there are neurons, and in the file they are one."""
    tau = np.full(3, 0.01)
    hidden = CubaLIF(shape=(3,), v_th=np.full(3, 0.5, np.float32), v_reset=np.float32(0), **{**LIF, "tau_mem": tau})
    nodes = {"input": Input((3,)), "lif": hidden, "output": Output((3,))}
    graph = discretise(Graph(nodes, (Edge("input", "lif"), Edge("lif", "output"))))
    assert_same(computed(graph), read_onnx(written(tmp_path / "m", graph), Limits())[0])


@pytest.mark.parametrize("seed", range(400_000, 400_006))
def test_a_fixed_graph_is_read_as_it_was_written(seed: int, tmp_path: Path) -> None:
    graph = random_fixed_net(seed).graph
    write_folder(graph, tmp_path)
    assert_same(graph, read_onnx(tmp_path, Limits())[0])


@pytest.mark.parametrize("delay", [1, 2, 3000])
def test_a_late_edge_is_one_state_however_late_it_is(delay: int, tmp_path: Path) -> None:
    nodes = {"input": Input((3,)), "li": CubaLI(shape=(3,), **LIF), "output": Output((3,))}
    edges = (Edge("input", "li"), Edge("input", "li", "x", delay), Edge("li", "output"))
    graph = discretise(Graph(nodes, edges))
    step, _ = models_of(graph, opset=18)
    late = {state.before: state.shape for state in step.states if state.of is None}
    assert late == ({"input.delay1": (3,)} if delay == 1 else {"input.past": (delay, 3)})
    assert_same(computed(graph), read_onnx(written(tmp_path / "m", graph), Limits())[0])


def test_large_numbers_stand_once_beside_both_models(tmp_path: Path) -> None:
    graph = net(RNG.normal(size=(4, 8)).astype(np.float32))
    wide = np.arange(600, dtype=np.float32).reshape(4, 150)
    nodes = {**graph.nodes, "wide": Linear(np.tile(wide, (2, 4)).astype(np.float32)), "second": Output((8,))}
    nodes["other"] = Input((600,))
    graph = Graph(nodes, (*graph.edges, Edge("other", "wide"), Edge("wide", "second")))
    _, models = models_of(graph, opset=18)
    write_models(tmp_path, models, max_inside=1000)
    assert sorted(os.listdir(tmp_path)) == [DATA, SCAN, STEP]
    data = (tmp_path / DATA).read_bytes()
    assert len(data) == 8 * 600 * 4
    model = onnx.load(str(tmp_path / SCAN), load_external_data=False)
    outside = [one for one in body(model).initializer if one.data_location == TensorProto.EXTERNAL]
    assert [one.name for one in outside] == ["wide.weight"]
    onnx.checker.check_model(str(tmp_path / SCAN), full_check=True)
    back, _ = read_onnx(tmp_path, Limits())
    assert_same(computed(graph), back)
    (tmp_path / DATA).write_bytes(data[:-4] + np.float32(7).tobytes())
    with pytest.raises(InputFileError, match="changed after norse-export wrote it"):
        read_onnx(tmp_path, Limits())
    (tmp_path / DATA).write_bytes(data[:-4])
    with pytest.raises(InputFileError, match="19200 bytes from 0, the file has a size of 19196"):
        read_onnx(tmp_path, Limits())
    (tmp_path / DATA).write_bytes(data[:-4] + np.float32(np.nan).tobytes())
    with pytest.raises(InputFileError, match="NaN or infinity"):
        read_onnx(tmp_path, Limits())
    (tmp_path / DATA).rename(tmp_path / "moved")
    (tmp_path / DATA).symlink_to("moved")
    with pytest.raises(InputFileError, match="symlink"):
        read_onnx(tmp_path, Limits())
    (tmp_path / DATA).unlink()
    os.link(tmp_path / "moved", tmp_path / DATA)
    with pytest.raises(InputFileError, match="no regular file of its own"):
        read_onnx(tmp_path, Limits())
    for made in (Path.mkdir, os.mkfifo):
        (tmp_path / DATA).rmdir() if (tmp_path / DATA).is_dir() else (tmp_path / DATA).unlink()
        made(tmp_path / DATA)
        with pytest.raises(InputFileError, match="a folder, a pipe or a device"):
            read_onnx(tmp_path, Limits())


def greater_equal(model: ModelProto) -> None:
    step = next(node for function in model.functions for node in function.node if node.op_type == "Greater")
    step.op_type = "GreaterOrEqual"


def other_number(model: ModelProto) -> None:
    tensor = next(one for one in body(model).initializer if one.name == "fc.weight")
    value = numpy_helper.to_array(tensor).copy()
    value[0, 0] += 1
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def other_sign(model: ModelProto) -> None:
    """A zero that nothing in the description tells, with its digest: -0 is equal to it, and is not its bits."""
    held = {one.name: one for graph in (model.graph, body(model)) for one in graph.initializer}
    held["fc.past.initial"].raw_data = np.float32(-0.0).tobytes()
    digest = next(one for one in model.metadata_props if one.key == DIGEST_KEY)
    digest.value = numbers_digest({name: numpy_helper.to_array(one) for name, one in held.items()})


def other_description(model: ModelProto) -> None:
    entry = next(one for one in model.metadata_props if one.key == "norse_export.graph")
    entry.value = entry.value.replace('"stride":[2,2]', '"stride":[1,1]').replace('"kind":"avg"', '"kind":"sum"')


def no_pool(model: ModelProto) -> None:
    node = next(one for one in body(model).node if one.op_type == "Div")
    node.input[1] = node.input[0]


def moved_number(model: ModelProto) -> None:
    """From the step to the graph around it, where it means the same."""
    inner = body(model)
    model.graph.initializer.append(inner.initializer[0])
    del inner.initializer[0]


def huge_pool(model: ModelProto) -> None:
    """Shapes for which 400 MB of ones would be made."""
    entry = next(one for one in model.metadata_props if one.key == "norse_export.graph")
    for old, new in (("[2,4,4]", "[2,8000,8000]"), ('"kernel":[2,2]', '"kernel":[8000,8000]')):
        assert old in entry.value
        entry.value = entry.value.replace(old, new)


CHANGES: dict[str, Callable[[ModelProto], object]] = {
    "an operator": greater_equal,
    "a number": other_number,
    "the sign of a zero": other_sign,
    "the description": other_description,
    "a connection": no_pool,
    "an output more": lambda model: model.graph.output.append(model.graph.output[0]),
    "an initializer more": lambda model: model.graph.initializer.append(numpy_helper.from_array(np.ones(3), "more")),
    "one of another type": lambda model: model.graph.initializer.append(
        numpy_helper.from_array(np.ones(3, np.uint8), "u")
    ),
    "a place": moved_number,
    "what is told": lambda model: model.metadata_props.add(key="norse_export.about.source", value="somebody"),
    "more kernels than numbers": huge_pool,
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_file_that_was_changed_is_told(change: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    changed(folder / SCAN, CHANGES[change])
    with pytest.raises((InputFileError, ExportError), match=r"changed|shape|corrupt"):
        read_onnx(folder, Limits())


def test_what_states_start_from_is_as_it_was_written(tmp_path: Path) -> None:
    """A caller of the model of one step takes it from its metadata."""
    folder = written(tmp_path / "m")

    def other_start(model: ModelProto) -> None:
        next(one for one in model.metadata_props if one.key.startswith("norse_export.initial.")).value = "0.5"

    changed(folder / STEP, other_start)
    with pytest.raises(InputFileError, match="changed after norse-export wrote it"):
        read_onnx(folder, Limits())


def test_the_model_of_one_step_is_looked_at_too(tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    changed(folder / STEP, greater_equal)
    with pytest.raises(InputFileError, match="changed after norse-export wrote it"):
        read_onnx(folder, Limits())
    read_onnx(folder / SCAN, Limits())
    with pytest.raises(UnsupportedError, match="a model of single steps"):
        read_onnx(folder / STEP, Limits())


def test_a_model_of_ours_is_no_model_to_export(tmp_path: Path) -> None:
    path = written(tmp_path / "m") / SCAN
    assert is_ours(path)
    with pytest.raises(UnsupportedError, match="holds steps, and no model to export"):
        refuse(path, Limits())


def foreign(*nodes: Any, initializers: tuple[Any, ...] = (), opset: int = 18) -> ModelProto:
    """A model that norse-export did not write."""
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2])]
    graph = helper.make_graph(list(nodes), "g", inputs, outputs, list(initializers))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], producer_name="somebody")


def tensor(**fields: Any) -> TensorProto:
    """An initializer as it may stand in a hostile file."""
    return TensorProto(**{"name": "w", "data_type": TensorProto.FLOAT, "dims": [2], **fields})


def outside(**entries: str) -> TensorProto:
    """An initializer whose numbers are said to be elsewhere."""
    made = tensor(data_location=TensorProto.EXTERNAL)
    for key, value in entries.items():
        made.external_data.add(key=key, value=value)
    return made


RELU = helper.make_node("Relu", ["x"], ["y"])
HOSTILE: dict[str, tuple[ModelProto, type[ExportError], str]] = {
    "of others": (foreign(RELU), UnsupportedError, "an ONNX model of somebody, which norse-export did not write"),
    "cyclic": (
        foreign(helper.make_node("Add", ["x", "b"], ["y"]), helper.make_node("Relu", ["y"], ["b"])),
        InputFileError,
        "cyclic, or not sorted",
    ),
    "no output": (foreign(helper.make_node("Relu", ["x"], ["z"])), InputFileError, "nothing makes its output 'y'"),
    "future opset": (foreign(RELU, opset=9999), InputFileError, "opset version 9999"),
    "nan": (
        foreign(RELU, initializers=(tensor(raw_data=np.array([1, np.nan], np.float32).tobytes()),)),
        InputFileError,
        "NaN or infinity",
    ),
    "too short": (foreign(RELU, initializers=(tensor(raw_data=b"1234"),)), InputFileError, "need 8 bytes, there are 4"),
    "too few": (foreign(RELU, initializers=(tensor(float_data=[1.0]),)), InputFileError, "do not fit its shape"),
    "wraps": (foreign(RELU, initializers=(tensor(dims=[2**32, 2**32]),)), LimitError, "bytes of tensors exceed"),
    "negative": (foreign(RELU, initializers=(tensor(dims=[-1]),)), InputFileError, "impossible dims"),
    "unknown type": (foreign(RELU, initializers=(tensor(data_type=77),)), InputFileError, "unknown data type 77"),
    "path outside": (
        foreign(RELU, initializers=(outside(location="../secret"),)),
        InputFileError,
        "may lie outside of the model's folder",
    ),
    "absolute path": (
        foreign(RELU, initializers=(outside(location="/etc/passwd"),)),
        InputFileError,
        "may lie outside",
    ),
    "huge length": (
        foreign(RELU, initializers=(outside(location="d", length=str(2**50)),)),
        InputFileError,
        "external data of length 1125899906842624",
    ),
    "odd keys": (foreign(RELU, initializers=(outside(location="d", key="?"),)), InputFileError, "unknown keys"),
    "no number": (foreign(RELU, initializers=(outside(location="d", offset="1e3"),)), InputFileError, "is no number"),
    "in two forms": (
        foreign(RELU, initializers=(tensor(raw_data=bytes(8), float_data=[1.0, 2.0]),)),
        InputFileError,
        "in two forms",
    ),
    "missing": (foreign(RELU, initializers=(outside(location="d"),)), InputFileError, "'d' cannot be read"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_and_foreign_models_are_refused_by_name(name: str, tmp_path: Path) -> None:
    model, kind, message = HOSTILE[name]
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    assert not is_ours(path)
    with pytest.raises(kind, match=message):
        refuse(path, Limits())


@pytest.mark.parametrize("text", [b"somebody", b"net.lif.v_th", b"norse_export.form", b"net.conv", b"Where"])
def test_a_text_that_is_no_utf8_is_told(text: bytes, tmp_path: Path) -> None:
    """protobuf gives it as bytes, which are no name."""
    whole = (written(tmp_path / "m") / SCAN).read_bytes() if text != b"somebody" else foreign(RELU).SerializeToString()
    assert text in whole
    path = tmp_path / "odd.onnx"
    path.write_bytes(whole.replace(text, b"\xff" + text[1:]))
    with pytest.raises(InputFileError, match="no UTF-8"):
        refuse(path, Limits())


@pytest.mark.parametrize("seed", range(3))
def test_a_file_of_which_some_bytes_are_others_is_an_error_or_unchanged(seed: int, tmp_path: Path) -> None:
    generator = np.random.default_rng(seed)
    path = written(tmp_path / "m", net() if seed else random_fixed_net(400_001).graph) / SCAN
    whole, errors = path.read_bytes(), 0
    for _ in range(60):
        other = bytearray(whole)
        for place in generator.integers(0, len(whole), generator.integers(1, 4)):
            other[place] = generator.integers(256)
        path.write_bytes(other)
        try:
            read_onnx(path, Limits())
        except ExportError:
            errors += 1
        else:
            assert bytes(other) == whole
    assert errors > 50


def test_every_part_of_a_file_cut_short_is_an_error(tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    whole = (folder / SCAN).read_bytes()
    for length in [*range(0, 200, 23), *range(200, len(whole), len(whole) // 9)]:
        (folder / SCAN).write_bytes(whole[:length])
        with pytest.raises(ExportError):
            read_onnx(folder, Limits())


def test_limits_hold(tmp_path: Path) -> None:
    folder = written(tmp_path / "m")
    with pytest.raises(LimitError, match="objects exceed the limit of 5"):
        read_onnx(folder, Limits(max_objects=5))
    with pytest.raises(LimitError, match="bytes of tensors exceed"):
        read_onnx(folder, Limits(max_bytes=1000))
