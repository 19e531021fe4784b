"""Which rasters a command runs on: given in a file, stored in the model, or random."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UsageError
from norse_export.files.checked import open_input
from norse_export.files.kind import Kind, kind_of
from norse_export.files.limits import Limits
from norse_export.formats.inputs import InputFile, read_inputs
from norse_export.formats.saved import read_saved
from norse_export.interpret import checked_inputs, interpret
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import NeuronModel
from norse_export.pipeline.choices import InputChoice
from norse_export.pipeline.model import Model, Rasters, Truth
from norse_export.report.results import InputSummary

Array = NDArray[Any]
RISING_RATES = (0.1, 0.3, 0.6, 1.0)
RANDOM_STEPS = 100
RANDOM = "random"  # the first word of what random rasters are called
# Of one value of one sample and step, with all that a run and a comparison keep of it. Measured at peak: 10 to 21 for
# float32 models, 33 to 39 for float64; the rest is a reserve.
_BYTES_PER_CELL = 64
_MEMORY_SHARE = 0.5  # of the machine's memory that a run on random rasters may need


@dataclass(frozen=True, slots=True)
class Chosen:
    """The rasters of a command, and the truth on them.

    kind: "given" in a file, "stored" in the model, or "random". searched: random ones, tried until every layer fires.
    """

    rasters: Rasters
    truth: Truth
    summary: InputSummary
    kind: Literal["given", "stored", "random"]
    labels: Array | None = None
    recorded: Mapping[str, Array] = field(default_factory=dict)
    searched: bool = False


def choose(model: Model, choice: InputChoice, limits: Limits) -> Chosen:
    """Give the rasters to compare on: from the file, stored in the model, or random.

    Raises:
        UsageError: the file's arrays do not fit the model's inputs, or its labels not the model's classes.
    """
    if choice.file is not None:
        given = read_rasters(choice.file, limits)
        rasters = checked_inputs(model.discrete, matched(input_shapes(model), given))
        check_labels(model.graph, given.labels, len(next(iter(rasters.values()))[0]), choice.file.name)
        told = summary_of(origin_of(choice.file), rasters)
        return Chosen(rasters, model.truth(rasters), told, "given", given.labels, given.recorded)
    if choice.random_steps is not None:
        rasters = _random(model, choice.random_steps, choice.samples, choice.rate, choice.seed)
        return Chosen(
            rasters, model.truth(rasters), summary_of(random_words(choice.rate, choice.seed), rasters), "random"
        )
    if model.stored is not None:
        stored, truth = model.stored
        return Chosen(stored, truth, summary_of("stored in the model", stored), "stored")
    rate, rasters = _firing(model, choice)
    return Chosen(
        rasters, model.truth(rasters), summary_of(random_words(rate, choice.seed), rasters), "random", searched=True
    )


def check_labels(graph: Graph[Any], labels: Array | None, samples: int, where: str) -> None:
    """Refuse labels that the model can never decide on: they would count as its mistakes."""
    shapes = [node.output_shape for node in graph.nodes.values() if isinstance(node, Output)]
    if labels is None or len(shapes) != 1 or len(shapes[0]) != 1:
        return  # without one vector of outputs there is no decision
    classes = shapes[0][0]
    if len(labels) != samples:
        message = f"the number of labels, {len(labels)}, is not that of samples, {samples}"
        raise UsageError(message, where=f"{where} [labels]", fix="give one label for each sample", kind="labels")
    wrong = ~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))
    if wrong.any():
        sample = int(wrong.argmax())
        raise UsageError(
            f"label {float(labels[sample]):g} of sample {sample}: the model decides among {classes} outputs",
            where=f"{where} [labels]",
            fix=f"give the number of an output, 0 to {classes - 1}, as the label of each sample",
            kind="labels",
        )


def read_rasters(path: Path, limits: Limits) -> InputFile:
    """Read a file of rasters (see formats/inputs.py), or those that are stored in a model file of ours."""
    with open_input(path) as file:
        if kind_of(file) is Kind.SAVED:
            return InputFile(read_saved(file, name=path.name, limits=limits).inputs, None, {})
    return read_inputs(path, limits)


def origin_of(path: Path) -> str:
    """How rasters of a file are called."""
    with open_input(path) as file:
        return f"stored in {path.name}" if kind_of(file) is Kind.SAVED else path.name


def random_raster(shape: tuple[int, ...], steps: int, samples: int, rate: float, seed: int) -> NDArray[np.float32]:
    """Independent spikes [T, B, *shape], each cell with chance `rate`.

    Raises:
        UsageError: a run on it would need too much memory.
    """
    _check_memory(steps, samples, math.prod(shape))
    generator = np.random.default_rng(seed)
    return (generator.random((steps, samples, *shape)) < rate).astype(np.float32)


def _check_memory(steps: int, samples: int, cells: int) -> None:
    """Refuse what the system would kill for its memory. cells: values of one sample of one step, over all nodes."""
    needed, memory = steps * samples * cells * _BYTES_PER_CELL, _machine_memory()
    if memory is None or needed <= _MEMORY_SHARE * memory:
        return
    raise UsageError(
        f"{steps} steps of {samples} samples need up to {needed / 1e9:.3g} GB of memory; "
        f"{_MEMORY_SHARE:.0%} of this machine's are {_MEMORY_SHARE * memory / 1e9:.3g} GB",
        where="--random",
        fix="fewer steps (--random) or fewer samples (--samples)",
        kind="memory",
    )


def _machine_memory() -> int | None:
    """Bytes of memory that the machine has; None where the system does not say."""
    try:
        pages, size = os.sysconf("SC_PHYS_PAGES"), os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):
        return None
    return pages * size if pages > 0 and size > 0 else None


def _cells(model: Model) -> int:
    """Values of one sample of one step: of all inputs, populations and outputs."""
    counted = (Input, Output, NeuronModel)
    return sum(math.prod(node.output_shape) for node in model.graph.nodes.values() if isinstance(node, counted))


def _firing(model: Model, choice: InputChoice) -> tuple[float, dict[str, Array]]:
    """Random rasters at the lowest rate at which every population fires; else at the highest."""
    for rate in RISING_RATES:
        rasters = _random(model, RANDOM_STEPS, choice.samples, rate, choice.seed)
        if all(raster.any() for raster in interpret(model.discrete, rasters).spikes.values()):
            break
    return rate, rasters


def _random(model: Model, steps: int, samples: int, rate: float, seed: int) -> dict[str, Array]:
    _check_memory(steps, samples, _cells(model))
    return {
        name: random_raster(node.shape, steps, samples, rate, seed + number)
        for number, (name, node) in enumerate(_inputs(model))
    }


def _inputs(model: Model) -> Iterator[tuple[str, Input]]:
    return ((name, node) for name, node in model.graph.nodes.items() if isinstance(node, Input))


def input_shapes(model: Model) -> dict[str, tuple[int, ...]]:
    """The feature shape of each input, by name."""
    return {name: node.shape for name, node in _inputs(model)}


def matched(shapes: Mapping[str, tuple[int, ...]], given: InputFile, *, where: str = "--inputs") -> dict[str, Array]:
    """Rasters by input node: by key, or the only raster for the only input.

    Raises:
        UsageError: the names are not those of the model's inputs; `where` is the option that gave the file.
    """
    names = list(shapes)
    rasters = dict(given.rasters)
    if len(names) == len(rasters) == 1:
        rasters = {names[0]: next(iter(rasters.values()))}
    if set(rasters) != set(names):
        raise UsageError(
            f"the file holds {', '.join(rasters)}, the model's inputs are {', '.join(names)}",
            where=where,
            fix="name the arrays after the model's inputs",
        )
    return {name: _as_features(rasters[name], shape) for name, shape in shapes.items()}


def _as_features(raster: Array, shape: tuple[int, ...]) -> Array:
    """A recording of one neuron [T, 1, 1] also fits an input without feature axes, or with several of size 1."""
    if raster.shape[2:] == (1,) and int(np.prod(shape)) == 1:
        return raster.reshape(*raster.shape[:2], *shape)
    return raster


def random_words(rate: float, seed: int) -> str:
    """How random rasters are called."""
    return f"{RANDOM}, rate {rate:g}, seed {seed}"


def summary_of(origin: str, rasters: Rasters) -> InputSummary:
    """Where rasters come from, and their length and number."""
    raster = next(iter(rasters.values()))
    return InputSummary(origin, int(raster.shape[0]), int(raster.shape[1]))
