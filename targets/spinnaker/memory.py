"""The bytes of SDRAM that sPyNNaker plans for a core, and those of its own memory, DTCM, that the network takes.

A core's SDRAM is planned as bytes that are always taken, and bytes for each step that is recorded or sent; a board is
planned for PLANNED_STEPS of them, however long the run. Regions of a core of neurons, in bytes; n is its neurons (as
many on the last core as on a full one), w the words of a neuron, p the fields of its structures:

    system 412, provenance 112, profile 4, recording 124, current sources 4, synapse parameters 36
    core parameters 28 + 4 n, neuron parameters and initial values 4 (1 + w n) each
    recorded indices 52 + 4 i, builder of the neurons 196 + 8 p + 24 p n + 4 i, i = 2 n in whole words
    population table 8 + 20 for each source + 4 for each projection
    rows: from 8 on, for each core of each projection's source from the next multiple of 16, its neurons on a full core
    times (3 + longest row) words
    connection builder 92 + 4 for each source, bit fields 8 + 32 + 4 ceil(size / 32) for each source
    recording: 8 for each variable; a step of spikes 4 + 4 ceil(n / 32), of membranes 4 + 4 n

Of a core of sources: 512, and twice for the first step, 4 for each spike and 6 for each 61 of the fullest step.

Sources: sPyNNaker 7.4.1: splitter_population_vertex_fixed.py, population_vertex.py, neuron_recorder.py,
master_pop_table.py, synaptic_matrices.py, synapse_io.py, bit_field_utilities.py; SpiNNFrontEndCommon 7.4.1:
constants.py, recording_utilities.py, reverse_ip_tag_multicast_source_machine_vertex.py, buffered_sending_region.py;
abstract_spinnaker_base.py for the planned steps. Measured: tests/vendor runs sPyNNaker, and compares every core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from .derive import WORDS, Model

PLANNED_STEPS = 1000
DTCM_BYTES = 65536  # of a core. Source: SpiNNMachine 7.4.1, version_spin1
RING_INDEX_BITS = 14  # of a cell of the ring buffers: delay slot, receptor type, neuron. Source: constants.py
_RING_BYTES = 2
_TYPE_BITS = 1  # two receptor types
_WORD = 4
_ROW_HEADER = 3  # words before the synapses of a row: plastic, fixed, fixed-plastic
_ALIGNED = 16  # bytes; the population table counts addresses in them
_FIRST_ROW = 8
# Fields of the structures of a model's neurons: those of the words, and one of all neurons.
_FIELDS = {model: len(words) + 1 for model, words in WORDS.items()}
_FIXED = 412 + 112 + 4 + 124 + 4 + 36
_SPIKE_BUFFER = 256  # words. Source: the word of SynapseParams, measured
_ROW_BUFFERS = 2  # assumed: one row is worked on while the next arrives


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one projection onto a core: its source, how many neurons that has in all and on each of its cores but the
    last, and how many synapses are in the longest row.
    """

    source: str
    sources: int
    per_core: int
    longest: int


@dataclass(frozen=True, slots=True)
class Bytes:
    """SDRAM of a core: always taken, and for each step."""

    fixed: int
    step: int

    @property
    def planned(self) -> int:
        """What a board is planned for."""
        return self.fixed + self.step * PLANNED_STEPS


def bits(values: int) -> int:
    """Bits for so many values, as sPyNNaker counts them: at least one."""
    return max(1, (values - 1).bit_length())


def most_slots(neurons: int) -> int:
    """Delay slots for which the ring buffers of a core of so many neurons have room."""
    return 1 << (RING_INDEX_BITS - _TYPE_BITS - bits(neurons))


def slots(neurons: int, longest_delay: int) -> int:
    """Delay slots that sPyNNaker takes: a power of two, at least 2."""
    return min(1 << bits(longest_delay), most_slots(neurons))


def ring_bytes(neurons: int, longest_delay: int) -> int:
    """DTCM of the ring buffers of a core."""
    return _RING_BYTES * slots(neurons, longest_delay) << (_TYPE_BITS + bits(neurons))


def of_rows(rows: Sequence[Rows]) -> int:
    """The region of the synaptic rows; projections of one source stand together, sources in their first order."""
    together = dict.fromkeys(one.source for one in rows)
    end = _FIRST_ROW
    for source in together:
        for one in rows:
            for _ in range(ceil(one.sources / one.per_core) if one.source == source else 0):
                end = ceil(end / _ALIGNED) * _ALIGNED + one.per_core * (_ROW_HEADER + one.longest) * _WORD
    return end


def of_neurons(model: Model, neurons: int, rows: Sequence[Rows], *, membranes: bool) -> Bytes:
    """SDRAM of a core of neurons, of which spikes are recorded, or membranes."""
    fields, words = _FIELDS[model], len(WORDS[model])
    indices = 2 * ceil(neurons / 2) * 2
    parameters = _WORD * (1 + words * neurons)
    fixed = _FIXED + 28 + _WORD * neurons + 2 * parameters + 52 + 4 * indices
    fixed += 196 + 8 * fields + 24 * fields * neurons + 4 * indices
    sizes = {one.source: one.sources for one in rows}
    fixed += _table(rows) + of_rows(rows)
    fixed += 92 + _WORD * len(sizes) + 8 + sum(32 + _WORD * ceil(size / 32) for size in sizes.values())
    step = _WORD + _WORD * (neurons if membranes else ceil(neurons / 32))
    return Bytes(fixed + 8, step)


def of_sources(most_spikes: int) -> Bytes:
    """SDRAM of a core of spike sources; most_spikes: of its sources in one step of the raster."""
    step = 6 * ceil(most_spikes / 61) + 4 * most_spikes
    return Bytes(512 + step, step)


def dtcm(model: Model, neurons: int, rows: Sequence[Rows], longest_delay: int) -> int:
    """At least so much of a core's own memory does the network take; the program's own data are not counted.

    Ring buffers, a copy of the parameter words and of the population table, bit fields, the buffers of arriving spikes
    and rows. Assumed from what stands in SDRAM for the program to copy; sPyNNaker does not count it.
    """
    sizes = {one.source: one.sources for one in rows}
    words = (1 + len(WORDS[model])) * neurons + _SPIKE_BUFFER
    words += _ROW_BUFFERS * (_ROW_HEADER + max((one.longest for one in rows), default=0))
    words += sum(ceil(size / 32) for size in sizes.values())
    return ring_bytes(neurons, longest_delay) + _WORD * words + _table(rows)


def _table(rows: Sequence[Rows]) -> int:
    """The population table."""
    return 8 + 20 * len({one.source for one in rows}) + _WORD * len(rows)
