"""Target onnx: what runs its artefacts, what it refuses, and that its two models are one."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from random_fixed_nets import random_fixed_net
from small_nets import chain, cuba_li, cuba_lif, discrete_chain, grid_dense

from norse_export.errors import MissingDependencyError, ParityError, TargetUnavailableError, UsageError
from norse_export.files.limits import Limits
from norse_export.formats.onnx.files import SCAN, STEP, models_of
from norse_export.interpret import interpret
from norse_export.interpret.fixed import emulate
from norse_export.ir.fixed import ConvSynapses, Delivery, DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Linear, Output, Pool
from norse_export.ir.shaping import Elementwise
from norse_export.target import Stage
from norse_export.targets.onnx import OnnxTarget, runner
from norse_export.targets.onnx.runner import run_models, runner_for

RNG = np.random.default_rng(0)


def net(dtype: str = "float32") -> Graph[Any]:
    """Two layers of LIF and a readout, on a grid."""
    return discrete_chain(
        (12,),
        grid_dense(RNG, 12, 9),
        cuba_lif((9,), dtype=dtype, v_th=0.5),
        grid_dense(RNG, 9, 4),
        cuba_li((4,), dtype=dtype),
        dtype=dtype,
    )


def raster(*shape: int) -> dict[str, np.ndarray[Any, Any]]:
    return {"input": (RNG.random(shape) < 0.4).astype(np.float32)}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_is_the_interpreters_bit_for_bit_on_a_grid(dtype: str, tmp_path: Path) -> None:
    graph, target = net(dtype), OnnxTarget(states=True)
    target.emit(graph, tmp_path)
    inputs = raster(30, 3, 12)
    expected, done = interpret(graph, inputs, states=True), target.run(tmp_path, inputs)
    assert expected.spikes["1"].any()
    np.testing.assert_array_equal(expected.spikes["1"], done.spikes["1"])
    np.testing.assert_array_equal(expected.outputs["output"], done.outputs["output"])
    for name, variables in expected.final_state.items():
        for variable, value in variables.items():
            np.testing.assert_array_equal(value, done.final_state[name][variable])
            np.testing.assert_array_equal(expected.observables[name][variable], done.observables[name][variable])


@pytest.mark.parametrize("kind", ["avg", "sum", "max"])
def test_float64_maps_run_on_onnxruntime_which_has_no_such_convolution(kind: Any, tmp_path: Path) -> None:
    weight = RNG.integers(-4, 5, (4, 1, 3, 2)) / 8
    graph = discrete_chain(
        (2, 9, 7),
        Conv(weight, (9, 7), np.array([0.5, 0, -0.5, 1]), (2, 1), (1, 1), (1, 2), 2),
        Pool(kind, (4, 5, 7), (2, 2), (2, 1), (1, 1)),
        cuba_lif((4, 3, 8), dtype="float64", v_th=0.5),
        dtype="float64",
    )
    OnnxTarget().emit(graph, tmp_path)
    inputs = raster(12, 2, 2, 9, 7)
    done = OnnxTarget().run(tmp_path, inputs)
    assert done.spikes["2"].any()
    np.testing.assert_array_equal(interpret(graph, inputs).spikes["2"], done.spikes["2"])


def test_the_reference_evaluator_runs_small_models_where_onnxruntime_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph, target = net(), OnnxTarget()
    target.emit(graph, tmp_path)
    inputs = raster(10, 2, 12)
    fast = target.run(tmp_path, inputs)
    monkeypatch.setattr(runner, "installed", lambda: False)
    monkeypatch.setattr("norse_export.targets.onnx.target.installed", lambda: False)
    slow = target.run(tmp_path, inputs)
    assert slow.ran_by.startswith("onnx ")
    assert "reference evaluator" in slow.ran_by
    assert target.runners() == ("onnx reference evaluator",)
    np.testing.assert_array_equal(fast.spikes["1"], slow.spikes["1"])
    np.testing.assert_array_equal(fast.outputs["output"], slow.outputs["output"])
    with pytest.raises(MissingDependencyError, match="onnxruntime is not installed") as caught:
        runner_for(1e12)
    assert caught.value.fix == "pip install 'norse-export[onnx]'"
    assert caught.value.exit_code == 5


def test_the_evaluator_and_the_runtime_agree_on_whole_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = random_fixed_net(500_002, steps=3)
    target = OnnxTarget(fixed=True, states=True)
    target.emit(found.graph, tmp_path)
    runs = [emulate(found.graph, found.inputs, states=True), target.run(tmp_path, found.inputs)]
    monkeypatch.setattr(runner, "installed", lambda: False)
    runs.append(target.run(tmp_path, found.inputs))
    for other in runs[1:]:
        for name, spikes in runs[0].spikes.items():
            np.testing.assert_array_equal(spikes, other.spikes[name])
        for name, variables in runs[0].final_state.items():
            for variable, value in variables.items():
                np.testing.assert_array_equal(value, other.final_state[name][variable])


def test_two_models_that_are_not_one_are_told(tmp_path: Path) -> None:
    """Also where one of them gives the right result."""
    graph = net()
    OnnxTarget().emit(graph, tmp_path)
    step, _ = models_of(graph, opset=18)
    model = onnx.load(str(tmp_path / STEP))
    scale = next(one for one in model.graph.initializer if one.name == "1.v_th")
    scale.CopyFrom(onnx.numpy_helper.from_array(np.float32(0.4), scale.name))
    (tmp_path / STEP).write_bytes(model.SerializeToString())
    with pytest.raises(ParityError, match="bit for bit") as caught:
        run_models(tmp_path, step, raster(20, 2, 12), runner_for(0), states=False)
    assert caught.value.where == STEP


def test_an_operator_that_the_runtime_lacks_is_told(tmp_path: Path) -> None:
    OnnxTarget().emit(net(), tmp_path)
    model = onnx.load(str(tmp_path / SCAN))
    step = next(node for function in model.functions for node in function.node if node.op_type == "Greater")
    step.op_type, step.domain = "Grater", "somebody"
    next(one for one in model.functions).opset_import.add(domain="somebody", version=1)
    model.opset_import.add(domain="somebody", version=1)
    (tmp_path / SCAN).write_bytes(model.SerializeToString())
    with pytest.raises(TargetUnavailableError, match=r"cannot load the model: .*Grater"):
        run_models(tmp_path / SCAN, models_of(net(), opset=18)[0], raster(2, 1, 12), runner_for(0), states=False)


def test_the_stage_follows_the_form() -> None:
    assert OnnxTarget().stage is Stage.DISCRETE
    assert OnnxTarget(fixed=True).stage is Stage.FIXED
    assert replace(OnnxTarget(), fixed=True).stage is Stage.FIXED


@pytest.mark.parametrize("opset", [17, 27])
def test_an_opset_that_no_runtime_takes_is_refused(opset: int) -> None:
    with pytest.raises(UsageError, match=f"opset {opset} is not supported"):
        OnnxTarget(opset=opset)


def test_ends_that_are_missing_are_found() -> None:
    graph = chain((3,), cuba_lif((3,)))
    assert OnnxTarget().check(graph) == ()
    inner = Graph({"input": graph.nodes["input"], "0": graph.nodes["0"]}, graph.edges[:1])
    assert [one.kind for one in OnnxTarget().check(inner)] == ["no_output"]


@pytest.mark.parametrize("name", ["", "\ud800"])
def test_a_name_that_onnx_takes_for_none_is_found(name: str) -> None:
    graph = chain((3,), cuba_lif((3,)))
    edges = tuple(replace(one, **{side: name}) for one, side in zip(graph.edges, ("target", "source"), strict=True))
    odd = Graph({"input": graph.nodes["input"], name: graph.nodes["0"], "output": graph.nodes["output"]}, edges)
    (found,) = OnnxTarget().check(odd)
    assert (found.kind, found.where) == ("name", ascii(name))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_late_edges_and_loops_are_the_interpreters(dtype: str, tmp_path: Path) -> None:
    plain = net(dtype)
    late = (Edge("1", "1", "x", 1), Edge("1", "1", "x", 3), Edge("input", "more", "x", 5))
    graph = Graph({**plain.nodes, "more": grid_dense(RNG, 12, 4)}, (*plain.edges, *late, Edge("more", "3")))
    OnnxTarget().emit(graph, tmp_path)
    inputs = raster(15, 2, 12)
    expected, done = interpret(graph, inputs), OnnxTarget().run(tmp_path, inputs)
    assert expected.spikes["1"].any()
    np.testing.assert_array_equal(expected.spikes["1"], done.spikes["1"])
    np.testing.assert_array_equal(expected.outputs["output"], done.outputs["output"])


def test_only_folders_and_models_of_ours_are_held(tmp_path: Path) -> None:
    target = OnnxTarget()
    target.emit(net(), tmp_path)
    assert target.holds(tmp_path)
    assert target.holds(tmp_path / SCAN)
    assert not target.holds(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    assert not target.holds(tmp_path / "empty")
    assert set(target.read(tmp_path, Limits()).nodes) == set(net().nodes)
    assert target.recorded(tmp_path) is None


@pytest.mark.parametrize("number", ["float32", "float64", "whole"])
def test_the_loop_of_the_page_runs_and_gives_what_the_scan_gives(
    number: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = Path(__file__).parents[3] / "targets" / "onnx" / "README.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    (tmp_path / "model.onnx").mkdir()
    if number == "whole":
        found = random_fixed_net(600_003, steps=25, samples=3)
        graph, frames, expected = found.graph, found.inputs, emulate(found.graph, found.inputs)
    else:
        graph, frames = net(number), raster(25, 3, 12)
        expected = interpret(graph, frames)
    OnnxTarget().emit(graph, tmp_path / "model.onnx")
    monkeypatch.chdir(tmp_path)
    step, _ = models_of(graph, opset=18)
    rasters = {name: values.astype(step.inputs[name].dtype) for name, values in frames.items()}
    names: dict[str, Any] = {"batch": 3, "steps": 25, "rasters": rasters}
    exec(block, names)  # noqa: S102
    assert any(spikes.any() for spikes in expected.spikes.values())
    for name, values in expected.outputs.items():
        np.testing.assert_array_equal(names["given"][name], values[-1])
    for name, variables in expected.final_state.items():
        for variable, value in variables.items():
            np.testing.assert_array_equal(names["states"][f"{name}.{variable}"], value)


def test_a_gain_that_a_runtime_would_multiply_into_weights_is_run_as_it_is_written(tmp_path: Path) -> None:
    """In float64, where no rounding is forgiven, with weights that are no short fractions."""
    weight = RNG.normal(size=(20, 12)).astype(np.float32)
    graph = discrete_chain(
        (12,), Linear(weight), cuba_lif((20,), dtype="float64", r=np.float64(9.7), v_th=0.5), dtype="float64"
    )
    OnnxTarget().emit(graph, tmp_path)
    frames = raster(40, 4, 12)
    expected, done = interpret(graph, frames), OnnxTarget().run(tmp_path, frames)
    assert expected.spikes["1"].any()
    np.testing.assert_array_equal(expected.final_state["1"]["v"], done.final_state["1"]["v"])


def test_a_runtime_that_optimises_gives_the_same_bits_in_one_step_and_in_a_scan(tmp_path: Path) -> None:
    import onnxruntime

    graph, frames = net(), raster(25, 3, 12)
    OnnxTarget().emit(graph, tmp_path)
    step, _ = models_of(graph, opset=18)
    scan, once = (onnxruntime.InferenceSession(str(tmp_path / name)) for name in (SCAN, STEP))
    states = {one.before: np.broadcast_to(one.initial, (3, *one.shape)) for one in step.states}
    names = ["output", *(one.after for one in step.states)]
    (whole,) = scan.run(["output"], frames)
    for t, frame in enumerate(frames["input"]):
        sent, *after = once.run(names, {"input": frame, **states})
        np.testing.assert_array_equal(sent, whole[t])
        states = dict(zip(states, after, strict=True))


@pytest.mark.parametrize("name", ["probe.0", "probe.0.step", "probe.1"])
def test_a_module_may_be_called_as_a_probe_is(name: str, tmp_path: Path) -> None:
    """Probes are added to a model as it is run."""
    plain = net()
    edges = (
        replace(edge, **{side: name for side in ("source", "target") if getattr(edge, side) == "1"})
        for edge in plain.edges
    )
    graph = Graph({name if key == "1" else key: node for key, node in plain.nodes.items()}, tuple(edges))
    OnnxTarget().emit(graph, tmp_path)
    inputs = raster(20, 2, 12)
    expected, done = interpret(graph, inputs, states=True), OnnxTarget(states=True).run(tmp_path, inputs)
    assert expected.spikes[name].any()
    np.testing.assert_array_equal(expected.spikes[name], done.spikes[name])
    np.testing.assert_array_equal(expected.observables[name]["v"], done.observables[name]["v"])


@pytest.mark.parametrize("number", ["float64", "whole"])
def test_no_product_of_windows_takes_what_was_transposed_before_it(number: str) -> None:
    """By default onnxruntime 1.18 to 1.22 fuse the two into an operator that they do not have in float64."""
    weight = RNG.integers(-(2**31), 2**31, (4, 1, 3, 2))
    conv: Graph[Any] = discrete_chain((2, 9, 7), Conv(weight / 2**10, (9, 7), groups=2), dtype="float64")
    if number == "whole":
        synapses = ConvSynapses(weight.astype(np.int32), (2, 9, 7), (4, 7, 6), groups=2)
        nodes = {"input": FixedInput((2, 9, 7), -128, 127), "conv": synapses, "output": Output((4, 7, 6))}
        conv = Graph(nodes, (Edge("input", "conv"), Edge("conv", "output")))
    step, _ = models_of(conv, opset=18)
    makers = {name: node.op_type for node in step.nodes for name in node.output}
    products = [node for node in step.nodes if node.op_type == "MatMul"]
    assert products
    assert all(makers[name] != "Transpose" for node in products for name in node.input)


@pytest.mark.parametrize("title", ["philox4x32", "relu", "delivery_left2", "neuron"])
def test_a_class_may_be_called_as_any_function_is(title: str, tmp_path: Path) -> None:
    """The function of a population is named for its class; nothing else in the model has that function then."""
    found = random_fixed_net(600_001)
    some = next(name for name, node in found.graph.nodes.items() if isinstance(node, Population) and node.spikes)
    synapses = DenseSynapses(
        np.ones((3, prod(found.graph.nodes[some].shape)), np.int8),
        found.graph.nodes[some].shape,
        (3,),
        Delivery(shift=2),
    )
    more = {"more": synapses, "relu": Elementwise("relu", (3,)), "of it": Output((3,))}
    edges = (Edge(some, "more"), Edge("more", "relu"), Edge("relu", "of it"))
    named = {"classes": json.dumps({some: f"somebody's {title}"})}
    graph = Graph({**found.graph.nodes, **more}, (*found.graph.edges, *edges), named)
    target = OnnxTarget(fixed=True)
    target.emit(graph, tmp_path)
    expected, done = emulate(graph, found.inputs), target.run(tmp_path, found.inputs)
    assert expected.spikes[some].any()
    np.testing.assert_array_equal(expected.outputs["of it"], done.outputs["of it"])
    np.testing.assert_array_equal(expected.spikes[some], done.spikes[some])


@pytest.mark.parametrize(
    ("unit", "told"),
    [
        (np.float64(0.25), 0.25),
        (np.array([0.5, 0.125])[:, None], [[0.5], [0.125]]),
        (np.arange(1, 7).reshape(2, 3) / 8, (np.arange(1, 7).reshape(2, 3) / 8).tolist()),
    ],
)
def test_what_a_whole_number_stands_for_is_told_in_as_few_numbers_as_there_are(
    unit: Any, told: Any, tmp_path: Path
) -> None:
    """And the least and largest number of a raster; a graph with them comes back."""
    found = random_fixed_net(600_003, steps=5, samples=2)
    name, node = next(
        (name, node) for name, node in found.graph.nodes.items() if isinstance(node, Population) and node.spikes
    )
    shape = (2, 3)
    dense = DenseSynapses(np.ones((6, 4), np.int8), (4,), shape)
    population = Population(
        program=node.program,
        shape=shape,
        parameters={key: value.reshape(-1)[0] for key, value in node.parameters.items()},
        initial_state={key: value.reshape(-1)[0] for key, value in node.initial_state.items()},
        dt=0.001,
        unit={node.program.variables[0]: np.broadcast_to(unit, shape)},
    )
    nodes = {"input": FixedInput((4,), -1, 3), "fc": dense, name: population, "output": Output(shape)}
    heard = (Edge("fc", name, port) for port in node.program.ports)
    edges = (Edge("input", "fc"), *heard, Edge(name, "output"))
    graph: Graph[Any] = Graph(nodes, edges)
    OnnxTarget(fixed=True).emit(graph, tmp_path)
    for file in (SCAN, STEP):
        metadata = {one.key: one.value for one in onnx.load(str(tmp_path / file)).metadata_props}
        assert json.loads(metadata[f"norse_export.unit.{name}.{node.program.variables[0]}"]) == told
        assert json.loads(metadata["norse_export.range.input"]) == [-1, 3]
    back = OnnxTarget(fixed=True).read(tmp_path, Limits())
    np.testing.assert_array_equal(back.nodes[name].unit[node.program.variables[0]], np.broadcast_to(unit, shape))
