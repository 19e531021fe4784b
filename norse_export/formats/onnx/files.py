"""A graph as a folder of ONNX models, and the names of what is in it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph
from norse_export.ir.stages import Neuron

from .document import computed, described, is_fixed
from .float_step import float_step
from .integer_step import integer_step
from .models import Model, scan_model, step_model
from .step import StepGraph
from .write import write_models

SCAN, STEP = "model.onnx", "model.step.onnx"
GRAPH_KEY = "graph"  # of the description, among the metadata of a model
LEAST_OPSET = 18  # BitwiseXor, and ReduceSum as it is used here
LARGEST_OPSET = 26  # the newest that onnxruntime 1.31 takes


def write_folder(graph: Graph[Any], folder: Path, *, opset: int = LEAST_OPSET) -> None:
    """Write both models of a discrete or fixed graph into an empty folder; same graph, same bytes."""
    _, models = models_of(graph, opset=opset)
    write_models(folder, models)


def models_of(graph: Graph[Any], *, opset: int) -> tuple[StepGraph, dict[str, Model]]:
    """The step of a discrete or fixed graph, and both models by file name.

    Raises:
        UnsupportedError: 64 bits do not hold a sum of a fixed graph.
    """
    if is_fixed(graph):
        step = integer_step(graph, opset=opset)
    else:
        graph = computed(graph)
        step = float_step(graph, opset=opset)
    document, others = described(graph, step.tensors)
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)
    dts = {node.dt for node in graph.nodes.values() if isinstance(node, Neuron | Population)}
    common = {"dt": repr(dts.pop())} if len(dts) == 1 else {}
    about = common | {f"about.{_text(key)}": _text(value) for key, value in graph.metadata.items()}
    whole = scan_model(step, {"form": "scan", GRAPH_KEY: text, **about})
    return step, {
        SCAN: replace(whole, constants={**whole.constants, **others}),
        STEP: step_model(step, {"form": "step", **about}),
    }


def _text(told: str) -> str:
    """A text as UTF-8 can hold it: protobuf has no other."""
    return told.encode("utf-8", "backslashreplace").decode()
