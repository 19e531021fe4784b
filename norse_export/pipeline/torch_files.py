"""Files of torch.save -> Model: modules rebuilt from inert records, state_dicts with the user's factory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import ExportError, InputFileError, UnsupportedError, UsageError
from norse_export.files.child import Parsed, parse_in_child
from norse_export.files.digest import file_digest
from norse_export.pipeline.choices import SAVE, InputChoice, LoadChoice
from norse_export.pipeline.model import Model, Rasters, Truth, framework_truth
from norse_export.pipeline.rasters import random_raster, read_rasters
from norse_export.pipeline.time_step import with_steps
from norse_export.pipeline.tracing import trace

if TYPE_CHECKING:
    from norse_export.frontend.trace import Traced


def load_torch_file(file: BinaryIO, name: str, choice: LoadChoice, inputs: InputChoice) -> Model:
    """Read a file of torch.save and trace what is in it; the reference is the module itself.

    The traced graph is compared with the module over the whole raster that it is traced with.

    Raises:
        ParityError: it does not do what the module does there.
        ExportError: the file, the choice or the module, as `parse_in_child` and `trace` say.
    """
    digest, _ = file_digest(file)
    parsed = parse_in_child("norse_export.frontend.saved.torch_file:parse", file, name=name, limits=choice.limits)
    module = _module(parsed, name, choice)
    raster = _example(module, choice, inputs, name)
    from norse_export.frontend.trace import rerun

    with _of_the_shape(choice):
        traced = _traced(module, raster, choice)
    graph, changes = with_steps(traced.graph, choice.steps)

    def truth(rasters: Rasters) -> Truth:
        try:
            return Truth(rerun(module, traced, rasters), 0)
        except UsageError as error:
            if error.findings[0].kind != "images":
                raise
            return framework_truth(graph)(rasters)  # the model shows one image, so often as its code says

    return Model(
        name=name,
        kind="pickled module" if choice.factory is None else f"state_dict, built by {choice.factory}",
        digest=digest,
        graph=graph,
        truth=framework_truth(graph) if changes else truth,
        exact=False,
        findings=changes,
    )


@contextmanager
def _of_the_shape(choice: LoadChoice) -> Iterator[None]:
    """Where a model raises inside on a raster of the shape that was given, say that it may be the shape."""
    try:
        yield
    except UsageError as error:
        first, *others = error.findings
        if first.kind != "model_raised" or choice.input_shape is None:
            raise
        given = ",".join(map(str, choice.input_shape))
        fix = f"check --input-shape {given} (one sample of one step, without time and batch), or give --time"
        raise UsageError.of([replace(first, fix=fix), *others]) from None


def _traced(module: Any, raster: NDArray[Any], choice: LoadChoice) -> Traced:
    """The trace of a module; of one that shows an image at every step by itself, that of the raster's first step."""
    try:
        return trace(module, raster, time=choice.time, encoders="boundary")  # rasters are of spikes here
    except (UnsupportedError, UsageError) as error:
        try:
            traced = trace(module, raster[0], time=choice.time, encoders="boundary")
        except ExportError:
            raise error from None
        if not traced.images:
            raise
        return traced


def _module(parsed: Parsed, name: str, choice: LoadChoice) -> Any:
    """The torch module: rebuilt from the records of the pickle, or built by the user's factory."""
    kind = parsed.document["kind"]
    if kind == "state_dict" and choice.factory is None:
        raise InputFileError(
            "the file is a state_dict: weights without the architecture, and without tau, threshold and dt",
            where=name,
            fix=f"{SAVE}, or pass --factory module:function that builds the model",
            kind="state_dict",
        )
    if kind == "module" and choice.factory is not None:
        raise UsageError(
            "the file holds a whole module, --factory is for a state_dict", where="--factory", fix="leave it out"
        )
    from norse_export.frontend.saved import torch_modules
    from norse_export.frontend.saved.factory import from_factory

    if choice.factory is not None:
        return from_factory(choice.factory, torch_modules.load_state_dict(parsed.document, parsed.arrays))
    return torch_modules.rebuild(parsed.document, parsed.arrays)


def _example(module: Any, choice: LoadChoice, inputs: InputChoice, name: str) -> NDArray[Any]:
    """A raster to trace with: the given one, or a random one of the given shape.

    A model that begins with an encoder takes no time axis, [B, ...]; rasters are what the encoder would give.
    """
    given = None
    if inputs.file is not None:
        given = next(iter(read_rasters(inputs.file, choice.limits).rasters.values())).astype(np.float32)
    encoded = _begins_with_encoder(module)
    if given is not None and not encoded:
        return given
    shape = choice.input_shape or (_linear_input(module) if given is None else given.shape[2:])
    if shape is None:
        raise UsageError(
            "the file does not say which input the model takes",
            where=name,
            fix="pass --inputs x.npz with a raster [T, B, ...], or --input-shape C,H,W",
            kind="input_shape",
        )
    if encoded:
        return np.random.default_rng(inputs.seed).random((inputs.samples, *shape), dtype=np.float32)
    return random_raster(shape, inputs.random_steps or 100, inputs.samples, inputs.rate, inputs.seed)


def _begins_with_encoder(module: Any) -> bool:
    """Whether the first layer is an encoder that adds the time axis."""
    from norse_export.frontend.encoders import is_encoder

    first = next((layer for layer in module.modules() if not any(layer.children())), module)
    return is_encoder(first) and hasattr(first, "seq_length")


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
