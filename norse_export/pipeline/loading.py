"""Input files of every kind -> Model. The kind is decided by content; each kind has one road, without a fallback."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding, InputFileError, UsageError
from norse_export.files.checked import open_input
from norse_export.files.child import Parsed, parse_in_child
from norse_export.files.kind import Kind, kind_of
from norse_export.ir.graph import Graph
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.stages import ContinuousNode
from norse_export.passes.discretise import discretise
from norse_export.pipeline.choices import InputChoice, LoadChoice, chosen_inputs
from norse_export.pipeline.model import Model, Rasters, Truth, graph_truth
from norse_export.pipeline.rasters import random_raster, read_rasters

_HASH_CHUNK = 1 << 20
_SAVE = "save the model with norse_export.save(model, 'model.pt', example_input) in the script that trained it"
DT_TOLERANCE = 1e-9  # relative: two steps nearer than this are the same
_SUFFIXES = {
    Kind.SAVED: (".pt", ".pth", ".safetensors"),
    Kind.TORCH_ZIP: (".pt", ".pth", ".bin"),
    Kind.HDF5: (".nir", ".h5", ".hdf5"),
}


def load(
    path: str | Path, *, loading: LoadChoice | None = None, inputs: InputChoice | str | Path | None = None
) -> Model:
    """Read a model from any file that can be exported; see `load_model`."""
    return load_model(Path(path), loading or LoadChoice(), chosen_inputs(inputs))


def load_model(path: Path, choice: LoadChoice, inputs: InputChoice) -> Model:
    """Read a model from a file. `inputs` are needed by files that are traced on loading.

    Raises:
        InputFileError, UnsafeFileError, LimitError: the file cannot be read, or not safely.
        UsageError: the file leaves something open that has to be given (dt, an example input, a factory).
        UnsupportedError, GraphError: the model in it.
    """
    with open_input(path) as file:
        kind = kind_of(file)
        name = path.name
        _refuse_unused(choice, kind)
        match kind:
            case Kind.SAVED:
                model = _saved(file, name, choice)
            case Kind.HDF5:
                model = _nir(file, name, choice)
            case Kind.TORCH_ZIP | Kind.TORCH_LEGACY:
                model = _torch(file, name, choice, inputs)
            case Kind.EMPTY:
                raise InputFileError("the file is empty", where=name, fix="write the model again")
            case Kind.ONNX:
                raise InputFileError("ONNX models are not supported as an input", where=name, fix=_SAVE)
            case _:
                raise InputFileError(
                    f"{kind.value}, not a model (no model file of norse_export, no .nir, no file of torch.save), "
                    "or truncated or corrupt",
                    where=name,
                    fix=_SAVE,
                )
    return _with_suffix_warning(model, path, kind)


def _refuse_unused(choice: LoadChoice, kind: Kind) -> None:
    """What is said about a file that needs no saying would be ignored: an error instead."""
    if kind in (Kind.TORCH_ZIP, Kind.TORCH_LEGACY):
        return
    given = {
        "--factory": choice.factory is not None,
        "--input-shape": choice.input_shape is not None,
        "--time": choice.time != "auto",
    }
    for option in (name for name, is_given in given.items() if is_given):
        raise UsageError(
            f"{option} is for files of torch.save; the input is {kind.value}", where=option, fix=f"leave {option} out"
        )


def file_digest(file: BinaryIO) -> tuple[str, int]:
    """sha256 and length of an open file; its position is at the start afterwards."""
    digest, size = hashlib.sha256(), 0
    file.seek(0)
    while chunk := file.read(_HASH_CHUNK):
        digest.update(chunk)
        size += len(chunk)
    file.seek(0)
    return digest.hexdigest(), size


def _saved(file: BinaryIO, name: str, choice: LoadChoice) -> Model:
    from norse_export.formats.saved import read_saved

    saved = read_saved(file, name=name, limits=choice.limits)
    graph, changed = _with_dt(saved.graph, choice)
    truth = _replayed(graph)
    return Model(
        name=name,
        kind="model file of norse_export",
        digest=saved.digest,
        graph=graph,
        truth=truth,
        exact=False,
        stored=(saved.inputs, truth(saved.inputs) if changed else Truth(saved.reference, 0)),
        provenance=saved.provenance,
    )


def _replayed(graph: Any) -> Any:
    """On rasters that are not stored in the file: Norse's own steps on the traced graph, where Norse is installed."""
    if importlib.util.find_spec("torch") is None or importlib.util.find_spec("norse") is None:
        return graph_truth(graph, "rung 1 only: norse is not installed, so the framework itself could not run")

    discrete = discretise(graph)

    def truth(inputs: Rasters) -> Truth:
        from norse_export.frontend.replay import replay

        return Truth(replay(discrete, inputs), 0)

    return truth


def _nir(file: BinaryIO, name: str, choice: LoadChoice) -> Model:
    from norse_export.formats.nir.load import load_nir

    sha256, _ = file_digest(file)
    graph, findings = load_nir(file, name=name, limits=choice.limits, dt=choice.dt, override=choice.override)
    return Model(
        name=name,
        kind="NIR file",
        digest=sha256,
        graph=graph,
        truth=graph_truth(graph),
        exact=True,
        provenance=graph.metadata,
        findings=findings,
    )


def _torch(file: BinaryIO, name: str, choice: LoadChoice, inputs: InputChoice) -> Model:
    sha256, _ = file_digest(file)
    parsed = parse_in_child("norse_export.frontend.torch_file:parse", file, name=name, limits=choice.limits)
    module = _module(parsed, name, choice)
    raster = _example(module, choice, inputs, name)
    import torch

    from norse_export.frontend.reference import reference_run
    from norse_export.frontend.trace import trace

    traced = trace(module, raster, time=choice.time)  # type: ignore[arg-type]  # checked there
    graph, changed = _with_dt(traced.graph, choice)

    def truth(rasters: Rasters) -> Truth:
        (given,) = (np.asarray(rasters[name], dtype=example.dtype) for name, example in traced.inputs.items())
        return Truth(reference_run(module, torch.as_tensor(given), traced.time, traced.graph), 0)

    return Model(
        name=name,
        kind="pickled module" if choice.factory is None else f"state_dict, built by {choice.factory}",
        digest=sha256,
        graph=graph,
        truth=_replayed(graph) if changed else truth,
        exact=False,
    )


def _module(parsed: Parsed, name: str, choice: LoadChoice) -> Any:
    """The torch module: rebuilt from the records of the pickle, or built by the user's factory."""
    kind = parsed.document["kind"]
    if kind == "state_dict" and choice.factory is None:
        raise InputFileError(
            "the file is a state_dict: weights without the architecture, and without tau, threshold and dt",
            where=name,
            fix=f"{_SAVE}, or pass --factory module:function that builds the model",
            kind="state_dict",
        )
    if kind == "module" and choice.factory is not None:
        raise UsageError(
            "the file holds a whole module, --factory is for a state_dict", where="--factory", fix="leave it out"
        )
    from norse_export.frontend import torch_modules
    from norse_export.frontend.factory import from_factory

    if choice.factory is not None:
        return from_factory(choice.factory, torch_modules.load_state_dict(parsed.document, parsed.arrays))
    return torch_modules.rebuild(parsed.document, parsed.arrays)


def _example(module: Any, choice: LoadChoice, inputs: InputChoice, name: str) -> NDArray[Any]:
    """A raster to trace with: the given one, or a random one of the given shape."""
    if inputs.file is not None:
        return next(iter(read_rasters(inputs.file, choice.limits).rasters.values())).astype(np.float32)
    shape = choice.input_shape or _linear_input(module)
    if shape is None:
        raise UsageError(
            "the file does not say which input the model takes",
            where=name,
            fix="pass --inputs x.npz with a raster [T, B, ...], or --input-shape C,H,W",
            kind="input_shape",
        )
    return random_raster(shape, inputs.random_steps or 100, inputs.samples, inputs.rate, inputs.seed)


def _linear_input(module: Any) -> tuple[int, ...] | None:
    """The input shape where the first layer with weights tells it."""
    for layer in module.modules():
        if hasattr(layer, "in_features"):
            return (int(layer.in_features),)
        if hasattr(layer, "input_weights"):
            return (int(layer.input_weights.shape[1]),)
        if hasattr(layer, "in_channels"):
            return None
    return None


def _with_dt(graph: Graph[ContinuousNode], choice: LoadChoice) -> tuple[Graph[ContinuousNode], bool]:
    """The graph with the given dt, and whether that changed it: a model says its own dt, so this needs --override."""
    contradicting = {
        name: node.dt
        for name, node in graph.nodes.items()
        if isinstance(node, NeuronModel) and choice.dt is not None and abs(node.dt - choice.dt) > DT_TOLERANCE * node.dt
    }
    if not contradicting or choice.dt is None:
        return graph, False
    name, own = next(iter(contradicting.items()))
    if not choice.override:
        raise UsageError(
            f"--dt {choice.dt:g} contradicts the model, whose neurons step by {own:g} s",
            where=name,
            fix="leave --dt out, or pass --override to change the model",
            kind="dt",
        )
    nodes: dict[str, ContinuousNode] = {
        name: _stepping(node, choice.dt) if isinstance(node, NeuronModel) else node
        for name, node in graph.nodes.items()
    }
    return Graph(nodes, graph.edges, {**graph.metadata, "dt_override": f"{own!r} -> {choice.dt!r}"}), True


def _stepping(node: NeuronModel, dt: float) -> NeuronModel:
    """The same physics with another step: tau stays, the coefficients follow."""
    derived: dict[str, Any] = {field: None for field in ("alpha", "beta") if hasattr(node, field)}
    return replace(node, dt=dt, **derived)


def _with_suffix_warning(model: Model, path: Path, kind: Kind) -> Model:
    suffixes = _SUFFIXES[kind if kind in _SUFFIXES else Kind.TORCH_ZIP]
    if not path.suffix or path.suffix.lower() in suffixes:
        return model
    message = f"the file is named {path.suffix}, but is {kind.value}: read as what it is"
    warning = Finding("suffix", "warning", path.name, message, f"name it {suffixes[0]}")
    return replace(model, findings=(*model.findings, warning))
