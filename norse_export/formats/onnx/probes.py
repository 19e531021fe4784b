"""A Scan model with further outputs: what each population sends, and every state after every step.

What a model gives by itself are its outputs and last states. That a probe changes nothing is checked by running the
file as it is, too (runner.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, ValueInfoProto, helper

from .names import Names
from .step import StepGraph


@dataclass(frozen=True, slots=True)
class Probed:
    """The model as bytes, and which of its outputs holds each value of the step: spikes by population, states."""

    model: bytes
    outputs: dict[str, str]


def probed(path: Path, step: StepGraph, *, states: bool) -> Probed:
    """The model in a file, with probes; the numbers beside it stay there."""
    model: ModelProto = onnx.load(str(path), load_external_data=False)
    scan = next(node for node in model.graph.node if node.op_type == "Scan")
    kinds = step.dtypes | {state.after: state.signal.dtype for state in step.states}
    body = next(attribute for attribute in scan.attribute if attribute.name == "body").g
    names = Names(_taken(model.graph) | _taken(body))
    wanted = list(dict.fromkeys(step.spiking.values()))
    wanted += [*(state.after for state in step.states if state.of), *step.observed.values()] if states else []
    outputs = {value: names.fresh(f"probe.{number}") for number, value in enumerate(wanted)}
    for value, name in outputs.items():
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(kinds.get(value, step.dtype)))
        copy = names.fresh(f"{name}.step")
        body.node.append(NodeProto(op_type="Identity", name=copy, input=[value], output=[copy]))
        body.output.append(_info(copy, kind))
        scan.output.append(name)
        model.graph.output.append(_info(name, kind))
    return Probed(model.SerializeToString(), outputs)


def _taken(graph: GraphProto) -> set[str]:
    """Names of values and nodes; of what is made in a graph, and of what it is given."""
    named = (*graph.input, *graph.initializer, *graph.node)
    return {one.name for one in named} | {name for node in graph.node for name in node.output}


def _info(name: str, kind: int) -> ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, None)
