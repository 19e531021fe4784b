"""A chain on the cores of a chip: each layer is cut into stretches of neurons that fit on a core, layers in order.

Layers share no cores: neither netx's nor nengo-loihi's allocation lets them. A neuron takes an axon out for every core
that it sends to, so that layers are cut from the last one backwards.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import CapacityError, Finding
from norse_export.ir.placement import Part, Placement

from .chain import Chain, ChainLayer
from .fan_out import Stretch, fan_outs, synapse_bits
from .limits import (
    AXONS_IN,
    AXONS_OUT,
    COMPARTMENTS,
    CORES,
    DECAYS,
    MEMORY,
    NEURONS,
    SYNAPSES,
    THRESHOLDS,
    ChipLimits,
)

Array = NDArray[Any]
MAX_CORES = 1 << 20  # beyond this many nothing is laid out
_FASTER = 50  # a part of the cores by which at least they become more


@dataclass(frozen=True, slots=True)
class Fit:
    """A layer on one kind of chip. needs: of the core that needs most of each. binding: what makes the cores so many;
    of a layer on one core, what it uses the greatest part of.
    """

    layer: str
    stretches: tuple[Stretch, ...]
    needs: Mapping[str, int]
    binding: str

    @property
    def cores(self) -> int:
        """How many cores."""
        return len(self.stretches)


@dataclass(frozen=True, slots=True)
class Placed:
    """All layers on one kind of chip. used: of all chips together. binding: what makes the chips so many."""

    chip: ChipLimits
    fits: tuple[Fit, ...]
    used: Mapping[str, int]
    chips: int
    binding: str

    @property
    def cores(self) -> int:
        """How many cores."""
        return self.used[CORES]

    def placement(self) -> Placement:
        """Stretches on cores 0, 1, 2, and so on; row y of the mesh is chip y."""
        stretches = [(fit.layer, *ends) for fit in self.fits for ends in fit.stretches]
        parts = tuple(Part(*stretch, core) for core, stretch in enumerate(stretches))
        return Placement(self.chip.cores, max(self.chips, ceil(len(parts) / self.chip.cores)), parts)


def place_on(chain: Chain, chip: ChipLimits) -> Placed:
    """Place a chain on chips of one kind.

    Raises:
        CapacityError: a core cannot hold even one neuron of a layer; every such layer is a finding.
    """
    fits: list[Fit] = []
    findings: list[Finding] = []
    following: ChainLayer | None = None
    for layer in reversed(chain.layers):
        try:
            fits.insert(0, _cut(layer, following, fits[0].stretches if fits and following is not None else (), chip))
        except CapacityError as error:
            findings = [*error.findings, *findings]
        following = layer if fits and fits[0].layer == layer.name else None
    if findings:
        raise CapacityError.of(findings)
    used = {
        CORES: sum(fit.cores for fit in fits),
        NEURONS: sum(prod(layer.population.shape) for layer in chain.layers),
        SYNAPSES: sum(_synapses(layer) for layer in chain.layers),
    }
    chips = {name: ceil(used[name] / figure.value) for name, figure in chip.chip.items() if figure.value}
    most = max(chips, key=lambda name: chips[name])
    return Placed(chip, tuple(fits), used, chips[most], most)


def _synapses(layer: ChainLayer) -> int:
    whole = (0, prod(layer.population.shape))
    return int(sum(fan_outs(synapses, whole).sum() for synapses in _arrays(layer)))


def _arrays(layer: ChainLayer) -> list[Any]:
    """Every array of synapses onto the layer: of the modes with two arrays both."""
    recurrent = () if layer.recurrent is None else (layer.recurrent,)
    return [layer.synapses, *layer.more, *recurrent, *layer.more_recurrent]


def _cut(layer: ChainLayer, following: ChainLayer | None, ahead: Sequence[Stretch], chip: ChipLimits) -> Fit:
    """The longest stretches of one length, nearly, that fit."""
    size = prod(layer.population.shape)
    room = chip.core[COMPARTMENTS].value or size
    count, binding = ceil(size / room), COMPARTMENTS if size > room else None
    reached = np.zeros(size, np.int64)
    for stretch in ahead if following is not None else ():
        reached += fan_outs(following.synapses, stretch) > 0  # type: ignore[union-attr]
    while True:
        length = ceil(size / count)
        stretches = tuple((start, min(start + length, size)) for start in range(0, size, length))
        needs = _needs(layer, stretches, reached)
        over = {name: needs[name] / figure.value for name, figure in chip.core.items() if figure.value}
        worst = max(over, key=lambda name: over[name])
        if over[worst] <= 1:
            return Fit(layer.name, stretches, needs, binding or worst)
        if length == 1 or len(stretches) > MAX_CORES:
            raise CapacityError.of([_too_large(layer, worst, needs[worst], chip)])
        binding = worst
        shorter = ceil(size / (length - 1))
        count = min(size, max(shorter, count + count // _FASTER, int(len(stretches) * over[worst])))


def _needs(layer: ChainLayer, stretches: Sequence[Stretch], reached: Array) -> dict[str, int]:
    """What the core that needs most of each needs. reached: cores of the next layer that each neuron sends to."""
    needs = dict.fromkeys((COMPARTMENTS, MEMORY, AXONS_IN, AXONS_OUT, DECAYS, THRESHOLDS), 1)
    thresholds = layer.population.parameters["v_th"].reshape(-1)
    within = len(stretches) if layer.recurrent is not None else 0  # a dense loop sends to every core of the layer
    lengths: dict[int, tuple[int, int]] = {}  # of dense arrays, where stretches of one length are alike
    for start, stop in stretches:
        axons, bits = lengths.get(stop - start) or _arriving(layer, (start, stop))
        if not layer.is_conv:
            lengths[stop - start] = axons, bits
        own = {
            COMPARTMENTS: stop - start,
            MEMORY: bits,
            AXONS_IN: axons,
            AXONS_OUT: int(reached[start:stop].sum()) + within * (stop - start),
            THRESHOLDS: np.unique(thresholds[start:stop]).size,
        }
        needs |= {name: max(needs[name], value) for name, value in own.items()}
    return needs


def _arriving(layer: ChainLayer, stretch: Stretch) -> tuple[int, int]:
    """Axons that arrive at a core with this stretch, and the bits of their synapses."""
    axons = 0
    for synapses in (layer.synapses, layer.recurrent):  # an axon serves both arrays of the modes that have two
        axons += 0 if synapses is None else int(np.count_nonzero(fan_outs(synapses, stretch)))
    return axons, sum(synapse_bits(synapses, fan_outs(synapses, stretch)) for synapses in _arrays(layer))


def _too_large(layer: ChainLayer, limit: str, needed: int, chip: ChipLimits) -> Finding:
    figure = chip.core[limit]
    message = f"one neuron alone needs {needed} {limit}; a core of {chip.name} has {figure.value} ({figure.source})"
    fix = "make the layer before it smaller, or a convolution of it"
    if limit == AXONS_OUT:
        fix = "make the layers that it sends to smaller"
    return Finding("capacity", "error", layer.name, message, fix)
