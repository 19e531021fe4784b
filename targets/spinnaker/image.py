"""What stands in the memory that sPyNNaker makes for a core: shifts, delay slots, parameter words, synaptic rows.

    region 2    neuron_params: the structures of the neurons, one after another, each for all neurons
    region 4    SynapseParams: neurons, types, bits of both and of a delay, ..., a shift for each type
    region 5    PopTable: entries of five words (key, mask, first address and count, ...), then addresses: in units of
                16 bytes in the upper 24 bits, the length of a row less 1 in the lower 8
    region 6    rows: one for each source neuron, of one length in a projection: words of plastic synapses (0), of fixed
                ones, of fixed-plastic ones (0), then a word for each: weight 16, delay, type, neuron
    region 13   neuron_builder, in the place of region 2: for each field of a structure how often which value repeats

Source: sPyNNaker 7.4.1: population_machine_vertex.py, population_machine_synapses.py, master_pop_table.py,
synapse_io.py, synapse_dynamics_static.py, neuron_data.py, struct.py, param_generator_data.py.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Place = tuple[int, int, int]  # column and row of the chip, core

_PARAMETERS, _SYNAPSES, _TABLE, _ROWS, _BUILDER = 2, 4, 5, 6, 13
_HEADER = 3  # words of a row before its synapses
_ENTRY = 5  # words
_BUILDER_HEADER = 12  # words
_FOR_EACH = 0xFFFFFFFF  # a structure that repeats for each neuron
_WHOLE = 2  # type of a field that holds whole numbers
_GLOBAL = 1  # words of the structure that all neurons share


@dataclass(frozen=True, slots=True)
class Synapses:
    """What a core's synapses are read with: bits of a neuron's number, delay slots, a shift for each type."""

    neuron_bits: int
    slots: int
    shifts: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """Rows of one projection on a core: synapses of each source [S], and for each synapse the number of its row and its
    fields [N]; broken: rows whose header is none [S], bool.
    """

    counts: Array
    row: Array
    weight: Array
    delay: Array
    kind: Array
    neuron: Array
    broken: Array


def regions(path: Path, place: Place) -> dict[int, Array]:
    """The words of a core's regions that the host has written."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        held = database.execute("SELECT region_num, content FROM region WHERE x = ? AND y = ? AND p = ?", place)
        return {int(number): np.frombuffer(content, "<u4") for number, content in held if content}
    finally:
        database.close()


def synapses(held: Mapping[int, Array]) -> Synapses:
    """How a core reads its synapses."""
    words = held[_SYNAPSES].astype(int).tolist()
    return Synapses(words[2], 1 << words[4], tuple(words[7:9]))


def tables(held: Mapping[int, Array]) -> dict[int, list[tuple[int, int]]]:
    """For the key of each source: first word and length of the rows of each of its projections."""
    words = held[_TABLE].astype(int)
    entries, found = words[2 : 2 + _ENTRY * words[0]].reshape(-1, _ENTRY), {}
    addresses = words[2 + _ENTRY * words[0] :][: words[1]]
    for key, _, where, *_ in entries.tolist():
        first, count = where & 0x1FFF, where >> 16
        found[key] = [((one >> 8) * 4, (one & 0xFF) + 1) for one in addresses[first : first + count].tolist()]
    return found


def rows(held: Mapping[int, Array], read: Synapses, first: int, length: int, sources: int) -> Found:
    """The rows of a projection.

    Raises:
        ValueError: they end beyond the region.
    """
    words = (
        held[_ROWS][first : first + sources * (_HEADER + length)].reshape(sources, _HEADER + length).astype(np.int64)
    )
    counts = words[:, 1]
    broken = (words[:, 0] != 0) | (words[:, 2] != 0) | (counts > length)
    counts = np.where(broken, 0, counts)
    there = np.arange(length) < counts[:, np.newaxis]
    row, word = np.nonzero(there)[0], words[:, _HEADER:][there]
    low = word & 0xFFFF
    return Found(
        counts=counts,
        row=row,
        weight=word >> 16,
        delay=low >> (read.neuron_bits + 1),
        kind=low >> read.neuron_bits & 1,
        neuron=low & ((1 << read.neuron_bits) - 1),
        broken=broken,
    )


def parameters(held: Mapping[int, Array], sizes: Sequence[int], neurons: int) -> Array:
    """Parameter words int64 [neurons, words], in their order; sizes: words of each structure.

    Raises:
        ValueError, IndexError: they are written in another form.
    """
    if _BUILDER in held:
        return _built(held[_BUILDER].astype(np.int64), neurons)
    words, parts = held[_PARAMETERS].view("<i4").astype(np.int64)[_GLOBAL:], []
    for size in sizes:
        parts.append(words[: size * neurons].reshape(neurons, size))
        words = words[size * neurons :]
    return np.concatenate(parts, axis=1)


def _built(words: Array, neurons: int) -> Array:
    """What the builder on the chip makes of its instructions; values are s16.15, all of them constants."""
    columns: list[Array] = []
    structures, at = int(words[_BUILDER_HEADER - 2]), _BUILDER_HEADER
    for number in range(structures):
        at, fields = at + 4, int(words[at + 3])
        repeats = []
        for _ in range(fields):
            kind, ranges = words[at : at + 2].tolist()
            pairs = words[at + 2 : at + 2 + 2 * ranges].reshape(ranges, 2)
            if np.any(pairs[:, 1]):
                raise ValueError("a parameter that is drawn at random")
            repeats.append((kind, [neurons if times == _FOR_EACH else times for times in pairs[:, 0].tolist()]))
            at += 2 + 2 * ranges
        for kind, times in repeats:
            values = words[at : at + len(times)].astype(np.uint32).view(np.int32).astype(np.int64)
            at += len(times)
            if number:  # the first structure is that of all neurons
                columns.append(np.repeat(values >> 15 if kind == _WHOLE else values, times)[:neurons])
    return np.stack(columns, axis=1)
