"""One step -> the two models: `step_model`, called once a step, and `scan_model`, the same step under a Scan over time.

Sources: the ONNX IR specification, version 10 (local functions, metadata_props); operator Scan, opset 11.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, StringStringEntryProto, ValueInfoProto, helper

from norse_export.ir.arrays import few
from norse_export.ir.graph import Shape

from .bodies import DOMAIN, DOMAIN_VERSION
from .names import Names
from .step import Signal, StepGraph, renamed

IR_VERSION = 10
PRODUCER = "norse-export"
Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Model:
    """A model without the numbers of its initializers, and these by name; they are put together as it is written.

    body: of a Scan, its graph within `proto`, and the constants that it holds itself: a runtime then prepares the same
    step in the same way in both models, so that both give the same bits.
    """

    proto: ModelProto
    constants: Mapping[str, Array]
    body: tuple[GraphProto, Mapping[str, Array]] | None = None

    @property
    def numbers(self) -> dict[str, Array]:
        """Every initializer, those of the body, too."""
        return {**self.constants, **(self.body[1] if self.body else {})}


def step_model(step: StepGraph, metadata: Mapping[str, str]) -> Model:
    """One step: frames [batch, *shape] and states in, outputs and states out; metadata say what states start from."""
    graph = helper.make_graph(
        step.nodes,
        "step",
        [*_infos(step.inputs), *_infos({state.before: state.signal for state in step.states})],
        [*_infos(step.outputs), *_infos({state.after: state.signal for state in step.states})],
    )
    initial = {f"initial.{state.before}": json.dumps(state.initial.tolist()) for state in step.states}
    return Model(_model(graph, step, {**metadata, **initial}), step.constants)


def scan_model(step: StepGraph, metadata: Mapping[str, str]) -> Model:
    """Whole rasters [time, batch, *shape] in, outputs [time, batch, *shape] and the states after the last step out.

    Rasters and outputs have the names that they have in one step; a final state has that of the state.
    """
    names = Names(step.names.taken)
    inner = {name: names.fresh(f"{name}.step") for name in (*step.inputs, *step.outputs)}
    inner |= {state.before: names.fresh(f"{state.before}.step") for state in step.states}
    states = {state.before: state.signal for state in step.states}
    taken = {inner[name]: signal for name, signal in (*states.items(), *step.inputs.items())}
    given = {state.after: state.signal for state in step.states}
    given |= {inner[name]: signal for name, signal in step.outputs.items()}
    body = helper.make_graph(renamed(step.nodes, inner), "step", _infos(taken), _infos(given))
    nodes, starts, constants = _starts(step, names)
    scan = helper.make_node(
        "Scan",
        [*starts, *step.inputs],
        [*states, *step.outputs],
        name=names.fresh("time"),
        body=body,
        num_scan_inputs=len(step.inputs),
    )
    graph = helper.make_graph(
        [*nodes, scan],
        "model",
        _infos(step.inputs, "time"),
        [*_infos(step.outputs, "time"), *_infos(states)],
    )
    model = _model(graph, step, metadata)
    return Model(model, constants, (model.graph.node[-1].attribute[0].g, step.constants))


def _starts(step: StepGraph, names: Names) -> tuple[list[NodeProto], list[str], dict[str, Array]]:
    """What the states of a batch start from: numbers spread over as many samples as the first raster has."""
    if not step.states:
        return [], [], {}
    batch = names.fresh("batch")
    nodes = [helper.make_node("Shape", [next(iter(step.inputs))], [batch], names.fresh("batch/Shape"), start=1, end=2)]
    constants: dict[str, Array] = {}
    shapes: dict[Shape, str] = {}
    starts = []
    for state in step.states:
        if state.shape not in shapes:
            features = names.fresh(f"features.{len(shapes)}")
            constants[features] = np.array(state.shape, np.int64)
            shapes[state.shape] = whole = names.fresh(f"batch.{len(shapes)}")
            nodes.append(helper.make_node("Concat", [batch, features], [whole], names.fresh(f"{whole}/Concat"), axis=0))
        start = names.fresh(f"{state.before}.start")
        constants[state.start] = state.initial
        nodes.append(
            helper.make_node("Expand", [state.start, shapes[state.shape]], [start], names.fresh(f"{start}/Expand"))
        )
        starts.append(start)
    return nodes, starts, constants


def _infos(signals: Mapping[str, Signal], *leading: str) -> list[ValueInfoProto]:
    return [
        helper.make_tensor_value_info(
            name, helper.np_dtype_to_tensor_dtype(np.dtype(signal.dtype)), [*leading, "batch", *signal.shape]
        )
        for name, signal in signals.items()
    ]


def _thin(value: Array) -> Array:
    """Values for each neuron, with one along every axis on which they are alike: [C, 1, 1] of channels; [] of one."""
    for axis in range(value.ndim):
        first = value.take([0], axis)
        value = first if np.array_equal(value, np.broadcast_to(first, value.shape)) else value
    return few(value)


def _model(graph: GraphProto, step: StepGraph, metadata: Mapping[str, str]) -> ModelProto:
    units = {f"unit.{name}": json.dumps(_thin(value).tolist()) for name, value in step.units.items()}
    ranges = {f"range.{name}": json.dumps(value) for name, value in step.ranges.items()}
    model = helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", step.opset), helper.make_opsetid(DOMAIN, DOMAIN_VERSION)],
        functions=[body.function for body in step.functions.values()],
        producer_name=PRODUCER,
    )
    model.metadata_props.extend(
        StringStringEntryProto(key=f"{DOMAIN}.{key}", value=value)
        for key, value in {**metadata, **units, **ranges}.items()
    )
    return model
