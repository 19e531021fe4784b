"""How many cores and chips a chain takes, layer by layer, and which limit binds."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding
from norse_export.ir.bounds import weight_totals
from norse_export.ir.fixed import ConvSynapses, DenseSynapses

from .chain import Chain, ChainLayer
from .law import WEIGHT_BITS
from .limits import (
    CHIPS,
    CHUNK_HEADER_BITS,
    INDEX_BITS,
    LOIHI1,
    LOIHI2,
    MEMORY_WORD_BITS,
    SYNAPSES_PER_CHUNK,
    ChipLimits,
)

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Demand:
    """What a layer asks for. synapse_bits: of all its synapses; neuron_bits: of those of the neuron with the most,
    which no two cores can share; fan_in: the sources of that neuron; sources: all cells that send to the layer.
    """

    layer: str
    compartments: int
    synapses: int
    synapse_bits: int
    neuron_bits: int
    fan_in: int
    sources: int


@dataclass(frozen=True, slots=True)
class Fit:
    """A layer on one kind of chip: cores by each limit (None: unknown), the most of them, and the limit that binds."""

    layer: str
    by_limit: dict[str, int | None]
    cores: int
    binding: str


def demands(chain: Chain) -> tuple[Demand, ...]:
    """What every layer asks for."""
    return tuple(_demand(layer) for layer in chain.layers)


def axon_bits(synapses: int, index_bits: int = 0) -> int:
    """The memory that one axon with so many synapses takes on a core, in bits: chunks of 64, each in whole words."""
    whole, rest = divmod(synapses, SYNAPSES_PER_CHUNK)
    return whole * _chunk_bits(SYNAPSES_PER_CHUNK, index_bits) + (_chunk_bits(rest, index_bits) if rest else 0)


def fits_on(demand: Demand, chip: ChipLimits) -> Fit:
    """Cores of that chip for a layer, without other layers on the same cores."""
    by_limit: dict[str, int | None] = {
        "compartments": ceil(demand.compartments / chip.compartments),
        "synapse memory": ceil(demand.synapse_bits / chip.synapse_bits),
        "axons in": None if chip.in_axons is None else ceil(demand.fan_in / chip.in_axons),
        "axons out": None if chip.out_axons is None else ceil(demand.compartments / chip.out_axons),
    }
    binding = max(by_limit, key=lambda name: by_limit[name] or 0)
    return Fit(demand.layer, by_limit, by_limit[binding] or 0, binding)


def capacity_findings(chain: Chain) -> tuple[Finding, ...]:
    """An error for each layer that no core can hold a neuron of; else notes of cores and chips."""
    wanted = demands(chain)
    found = [finding for demand in wanted for finding in _too_much(demand)]
    if any(finding.severity == "error" for finding in found):
        return tuple(found)
    for chip in CHIPS:
        fits = [fits_on(demand, chip) for demand in wanted]
        if chip is LOIHI1 and any(demand.fan_in > (LOIHI1.in_axons or 0) for demand in wanted):
            continue
        cores = sum(fit.cores for fit in fits)
        most = max(fits, key=lambda fit: fit.cores)
        chips = ceil(cores / chip.cores)
        unknown = [name for name, number in most.by_limit.items() if number is None]
        message = (
            f"{chip.name}: {cores} cores of {chip.cores}, {chips} {'chip' if chips == 1 else 'chips'}; layer"
            f" {most.layer!r} takes {most.cores}, bound by {most.binding}"
            + (f"; unknown: {', '.join(unknown)} of a core" if unknown else "")
        )
        severity: Any = "note" if chips == 1 else "warning"
        found.append(Finding("cores", severity, "chip", message, f"figures: {chip.source}"))
    return tuple(found)


def _too_much(demand: Demand) -> list[Finding]:
    if demand.neuron_bits > LOIHI2.synapse_bits:
        message = (
            f"a neuron with {demand.fan_in} synapses takes {demand.neuron_bits} bits of synapse memory, a core of"
            f" {LOIHI2.name} has {LOIHI2.synapse_bits}"
        )
        return [Finding("capacity", "error", demand.layer, message, "make the layer before it smaller")]
    limit = LOIHI1.in_axons or 0
    if demand.fan_in > limit:
        message = f"a neuron with {demand.fan_in} sources: a core of {LOIHI1.name} takes {limit} axons"
        fix = f"use {LOIHI2.name}, of which no such limit is published, or make the layer before it smaller"
        return [Finding("fan_in", "warning", demand.layer, message, fix)]
    return []


def _demand(layer: ChainLayer) -> Demand:
    arrays = [layer.synapses] + ([] if layer.recurrent is None else [layer.recurrent])
    counted = [_counts(synapses) for synapses in arrays]
    fan_in = int(np.sum([into for into, _ in counted], axis=0).max())
    bits = sum(
        int(number) * axon_bits(int(out), _index_bits(synapses))
        for synapses, (_, outs) in zip(arrays, counted, strict=True)
        for out, number in zip(*np.unique(outs[outs > 0], return_counts=True), strict=True)
    )
    return Demand(
        layer=layer.name,
        compartments=prod(layer.population.shape),
        synapses=sum(int(outs.sum()) for _, outs in counted),
        synapse_bits=bits,
        neuron_bits=fan_in * max(axon_bits(1, _index_bits(synapses)) for synapses in arrays),
        fan_in=fan_in,
        sources=sum(prod(synapses.input_shape) for synapses in arrays),
    )


def _counts(synapses: DenseSynapses | ConvSynapses) -> tuple[Array, Array]:
    """Synapses into each target cell [N_out], and out of each source cell [N_in]."""
    if isinstance(synapses, DenseSynapses):
        n_out, n_in = synapses.weight.shape
        return np.full(n_out, n_in), np.full(n_in, n_out)
    ones = _ones(synapses)
    return weight_totals(ones)[1], _outgoing(ones)


def _ones(conv: ConvSynapses) -> ConvSynapses:
    window = (conv.stride, conv.padding, conv.dilation, conv.groups)
    return ConvSynapses(np.ones(conv.weight.shape, np.int8), conv.input_shape, conv.output_shape, *window)


def _outgoing(conv: ConvSynapses) -> Array:
    """Synapses out of each source cell of a convolution: windows that it falls into, times maps that look at it."""
    along = []
    for axis in (0, 1):
        size, out = conv.input_shape[1 + axis], conv.map_shape[1 + axis]
        taps = np.arange(conv.weight.shape[2 + axis]) * conv.dilation[axis] - conv.padding[axis]
        reached = (np.arange(out)[:, np.newaxis] * conv.stride[axis] + taps).reshape(-1)
        along.append(np.bincount(reached[(reached >= 0) & (reached < size)], minlength=size))
    plane = np.outer(*along).reshape(-1) * (conv.weight.shape[0] // conv.groups)
    return np.tile(plane, conv.input_shape[0])


def _index_bits(synapses: DenseSynapses | ConvSynapses) -> int:
    """Bits of a target's index; none where the synapses of an axon go to every cell."""
    if isinstance(synapses, DenseSynapses):
        return 0
    return int(np.clip((prod(synapses.output_shape) - 1).bit_length(), *INDEX_BITS))


def _chunk_bits(synapses: int, index_bits: int) -> int:
    bits = synapses * (WEIGHT_BITS + index_bits) + CHUNK_HEADER_BITS
    return ceil(bits / MEMORY_WORD_BITS) * MEMORY_WORD_BITS
