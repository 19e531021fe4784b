"""The recording that lies beside a `.net` file: a raster, and what every layer does on it.

The raster is random, from a counter-based generator, at the lowest of RATES at which every layer fires; the person with
the chip needs no data of ours to see whether the chip does what was exported.
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.interpret.fixed import emulate
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run
from norse_export.ir.stages import FixedNode
from norse_export.program.philox import random_words

from .chain import Chain

Array = NDArray[Any]
MOST_STEPS, LEAST_STEPS = 100, 10
MOST_NUMBERS = 1 << 24  # of membranes that are recorded: a large net is recorded for fewer steps
RATES = (0.1, 0.3, 0.6, 1.0)
_WORD = 2**32


def write_recording(path: Path, graph: Graph[FixedNode], chain: Chain) -> None:
    """Write raster, spikes and membranes as npz, uncompressed; the same graph, the same bytes."""
    raster, run = _fired(graph, chain)
    images, steps = chain.layers[0].is_conv, len(raster)
    arrays = {"input": (raster[:, 0] if images else raster[:, 0].reshape(steps, -1)).astype(np.int8)}
    for number, layer in enumerate(chain.layers):
        shape = (steps, *layer.population.shape) if layer.is_conv else (steps, -1)
        if layer.population.spikes:
            arrays[f"spikes_{number}"] = run.spikes[layer.name].reshape(shape).astype(np.int8)
        arrays[f"v_{number}"] = run.observables[layer.name]["v"].reshape(shape).astype(np.int32)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]  # allow_pickle is the only other keyword


def _fired(graph: Graph[FixedNode], chain: Chain) -> tuple[Array, Run]:
    for rate in RATES:
        raster = _raster(chain, rate)
        run = emulate(graph, {chain.input_name: raster}, states=True)
        if all(spikes.any() for spikes in run.spikes.values()):
            break
    return raster, run


def _raster(chain: Chain, rate: float) -> Array:
    recorded = sum(prod(layer.population.shape) for layer in chain.layers)
    steps = min(max(MOST_NUMBERS // recorded, LEAST_STEPS), MOST_STEPS)
    cells, sample = np.arange(prod(chain.input_shape)), np.zeros(1, np.int64)
    words = [random_words(0, node=0, stream=0, sample=sample, neuron=cells, step=t) for t in range(steps)]
    raster: Array = (np.stack(words) < rate * _WORD).reshape(steps, 1, *chain.input_shape)
    return raster
