"""inspect: what is in a file: graph, dt, shapes, parameters, provenance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from norse_export.errors import UsageError
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.digest import file_digest
from norse_export.files.kind import Kind, kind_of
from norse_export.ir.arrays import compact
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.notes import CLASSES, named
from norse_export.ir.schemes import EULER
from norse_export.ir.step_choice import words_of
from norse_export.pipeline.artefacts import TRAINED, inspect_artefact, read_artefact, target_of
from norse_export.pipeline.choices import InputChoice, LoadChoice
from norse_export.pipeline.loading import load_model
from norse_export.pipeline.model import Model
from norse_export.pipeline.recorded import is_recording
from norse_export.program.families import NORSE
from norse_export.report.results import EdgeSummary, InspectResult, NodeSummary

if TYPE_CHECKING:
    from norse_export.formats.traces import TraceNode

_NO_TIME = 1e-30  # seconds: stands for the step of a file that says none; nothing that follows from it is shown


def inspect(file: str | Path, *, loading: LoadChoice | None = None) -> InspectResult:
    """Describe a model file, a .nir file, an artefact, a recorded trace, or a file of torch.save.

    The last as it lies, without running it, or as the graph that is traced of it where its input's shape is given.

    Raises:
        ExportError: the file cannot be read, or what is in it is impossible.
    """
    path, choice = Path(file), loading or LoadChoice()
    if (target := target_of(path)) is not None:
        return inspect_artefact(read_artefact(path, target, choice))
    with open_input(path) as opened:
        kind = kind_of(opened)
        if kind in (Kind.TORCH_ZIP, Kind.TORCH_LEGACY) and choice.factory is None and choice.input_shape is None:
            return _torch_file(opened, path, choice)
        if kind is Kind.HDF5 and is_recording(path, choice.limits):
            return _trace(opened, path, choice)
        sha256, size = file_digest(opened)
    model, dated = _loaded(path, choice)
    classes = named(model.graph, CLASSES)
    return InspectResult(
        file=path.name,
        kind=model.kind,
        sha256=sha256,
        bytes=size,
        nodes=tuple(_node(name, node, classes.get(name), dated=dated) for name, node in model.graph.nodes.items()),
        edges=tuple(EdgeSummary(e.source, e.target, e.port, e.delay_steps) for e in model.graph.edges),
        dt=_dts(model) if dated else (),
        provenance=_provenance(model),
        findings=model.findings if dated else (),
    )


def _loaded(path: Path, choice: LoadChoice) -> tuple[Model, bool]:
    """The model, and whether its time step is known: a file that says none is shown without, and not refused."""
    try:
        return load_model(path, choice, InputChoice()), True
    except UsageError as error:
        if any(finding.kind != "dt_missing" for finding in error.findings):
            raise
    return load_model(path, replace(choice, dt=_NO_TIME), InputChoice()), False


def _dts(model: Model) -> tuple[float, ...]:
    return tuple(dict.fromkeys(node.dt for node in model.graph.nodes.values() if isinstance(node, NeuronModel)))


def _provenance(model: Model) -> dict[str, str]:
    told = (model.provenance or {}).items()
    found = {key: text for key, text in told if text != repr(_NO_TIME) and key != CLASSES}
    if model.stored is not None:
        rasters, truth = model.stored
        shapes = ", ".join(f"{name} {list(raster.shape)}" for name, raster in rasters.items())
        found["stored_input"] = shapes
        found["stored_reference"] = truth.run.ran_by
    return found


def _node(name: str, node: Any, made_of: str | None, *, dated: bool) -> NodeSummary:
    if isinstance(node, NeuronModel):
        hidden, trained = () if dated else tuple(node.kind.rates), (*node.kind.rates.values(), *node.kind.levels)
        arrays: dict[str, Any] = {key: value for key, value in node.values.items() if key not in hidden}
    else:
        arrays, trained = {field.name: getattr(node, field.name) for field in fields(node)}, TRAINED
    arrays = {key: value for key, value in arrays.items() if isinstance(value, np.ndarray)}
    return NodeSummary(
        name=name,
        type=node.kind.name if isinstance(node, NeuronModel) else type(node).__name__,
        input_shape=node.input_shape,
        output_shape=node.output_shape,
        parameters=sum(_numbers(node, arrays[key]) for key in trained if key in arrays),
        dt=node.dt if dated and isinstance(node, NeuronModel) else None,
        details=dict(_details(node, arrays)),
        made_of=made_of,
    )


def _numbers(node: Any, value: np.ndarray[Any, Any]) -> int:
    """How many numbers a parameter is: one where all neurons of a population share it, however it lies in memory."""
    if isinstance(node, NeuronModel):
        values = compact(value)
        return 1 if bool((values == values.flat[0]).all()) else int(value.size)
    return int(value.size)


def _details(node: Any, arrays: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if isinstance(node, NeuronModel):
        if (node.rule, node.scheme) != (NORSE, EULER):
            yield "step", ", ".join(words_of(node).values())
        for name, value in arrays.items():
            low, high = float(value.min()), float(value.max())
            yield (
                name,
                (f"{low:g}" if low == high else f"{low:g} .. {high:g}")
                + (" s" if name in node.kind.rates.values() else ""),
            )
        return
    for field in fields(node):
        value = getattr(node, field.name)
        if isinstance(value, np.ndarray):
            yield field.name, f"{value.dtype} {list(value.shape)}"
        elif value is not None:
            yield field.name, str(list(value) if isinstance(value, tuple) else value)


def _trace(opened: Any, path: Path, choice: LoadChoice) -> InspectResult:
    """A recorded trace: what was recorded of each node. A node's type is the names of its observables."""
    from norse_export.formats.traces import traces_of

    if choice != LoadChoice(limits=choice.limits):
        message = "a recorded trace says its own dt and shapes, and holds no model to build"
        raise UsageError(
            message, where=path.name, fix="leave out what describes a model (--dt, --factory and the like)"
        )
    sha256, size = file_digest(opened)
    parsed = parse_in_child("norse_export.formats.traces:parse", opened, name=path.name, limits=choice.limits)
    traces = traces_of(parsed.document, parsed.arrays)
    nodes = tuple(_recorded(name, node) for name, node in traces.nodes.items())
    dts = tuple(dict.fromkeys(node.dt for node in traces.nodes.values()))
    return InspectResult(path.name, "recorded trace", sha256, size, nodes, (), dts, dict(traces.metadata))


def _recorded(name: str, node: TraceNode) -> NodeSummary:
    """One node of a trace: the rasters [T, B, ...] in full, and the shape of one sample of one step."""
    rasters = {key: f"{raster.dtype} {list(raster.shape)}" for key, raster in node.observables.items()}
    shape = next(iter(node.observables.values())).shape[2:]
    return NodeSummary(name, ", ".join(rasters), shape, shape, 0, node.dt, rasters)


def _torch_file(opened: Any, path: Path, choice: LoadChoice) -> InspectResult:
    """The modules or tensors of a torch.save file, by name; nothing of it is run."""
    sha256, size = file_digest(opened)
    parser = "norse_export.frontend.saved.torch_file:parse"
    parsed = parse_in_child(parser, opened, name=path.name, limits=choice.limits)
    document = parsed.document
    if document["kind"] == "state_dict":
        nodes = tuple(_tensor_summary(name, parsed.arrays, key) for name, key in document["tensors"].items())
    else:
        nodes = tuple(_module_summaries("", document["root"], parsed.arrays))
    kind = f"file of torch.save: a {document['kind']}"
    return InspectResult(path.name, kind, sha256, size, nodes, (), (), {})


def _tensor_summary(name: str, arrays: Any, key: Any) -> NodeSummary:
    array = arrays[key["tensor"] if isinstance(key, dict) else key]
    return NodeSummary(name, str(array.dtype), None, tuple(array.shape), int(array.size), None)


def _module_summaries(path: str, tree: Any, arrays: Any) -> Iterator[NodeSummary]:
    held = [value["tensor"] for value in _walk(tree["attributes"]) if "tensor" in value]
    count = sum(int(arrays[key].size) for key in held if key in arrays)
    yield NodeSummary(path or "(root)", tree["class"].rpartition(".")[2], None, None, count, None)
    for name, child in tree["children"].items():
        if child is not None:
            yield from _module_summaries(f"{path}.{name}" if path else name, child, arrays)


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if isinstance(value.get("tensor"), str):
            yield value
            return
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _walk(part)
