"""A discrete graph as a folder of ONNX models, and the names of what is in it."""

from __future__ import annotations

import json
from pathlib import Path

from norse_export.ir.graph import Graph
from norse_export.ir.stages import DiscreteNode

from .document import computed, described
from .models import Model, scan_model, step_model
from .step import StepGraph, step_of
from .write import write_models

SCAN, STEP = "model.onnx", "model.step.onnx"
GRAPH_KEY = "graph"  # of the description, among the metadata of a model
LEAST_OPSET, LARGEST_OPSET = 18, 26  # from CastLike and Scan as used here, to the newest that onnxruntime 1.31 takes


def write_folder(graph: Graph[DiscreteNode], folder: Path, *, opset: int = LEAST_OPSET) -> None:
    """Write both models of a graph into an empty folder; same graph, same bytes."""
    _, models = models_of(graph, opset=opset)
    write_models(folder, models)


def models_of(graph: Graph[DiscreteNode], *, opset: int) -> tuple[StepGraph, dict[str, Model]]:
    """The step of a graph, and both models by file name."""
    graph = computed(graph)
    step = step_of(graph, opset=opset)
    text = json.dumps(described(graph, step.tensors), separators=(",", ":"), allow_nan=False)
    about = {f"about.{key}": value for key, value in graph.metadata.items()}
    return step, {
        SCAN: scan_model(step, {"form": "scan", GRAPH_KEY: text, **about}),
        STEP: step_model(step, {"form": "step", **about}),
    }
