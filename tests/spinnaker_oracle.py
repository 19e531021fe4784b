"""One neuron of SpiNNaker in plain Python integers, statement by statement as its C text has it.

Every sum, difference and product is cut to 32 bits where the chip stores it in a register, unlike in the law, which
cuts once at the end of a sum; nothing is shared with the package.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass


def int32(value: int) -> int:
    value %= 2**32
    return value - 2**32 if value >= 2**31 else value


def accum_times(a: int, b: int) -> int:
    """Product of two s16.15: the 64-bit product shifted arithmetically."""
    return int32(a * b // 2**15)


def fraction_times(a: int, unit: int) -> int:
    """Product of an s16.15 with a u0.32."""
    return int32(a * unit // 2**32)


@dataclass
class Neuron:
    """A neuron with the numbers that it derived; `exponential` tells the two models apart."""

    exponential: bool
    derived: Mapping[str, int]
    shifts: Sequence[int]

    def run(self, rings: Iterable[Sequence[int]]) -> Iterator[dict[str, int]]:
        """What is recorded in each step, for contents [T][2] of the ring buffers."""
        p = self.derived
        v, counter = p["v_init"], p["refract_timer"]
        currents = [p["exc_isyn"], p["inh_isyn"]]
        for ring in rings:
            for kind in range(2):
                if ring[kind] == 0:
                    continue
                arriving = int32(ring[kind] << self.shifts[kind])
                if self.exponential:
                    arriving = fraction_times(arriving, p[("exc_init", "inh_init")[kind]])
                currents[kind] = int32(currents[kind] + arriving)
            record = {"v_rec": v, "exc": currents[0], "inh": currents[1]}
            if counter <= 0:
                v = self.closed_form(v, currents)
            else:
                counter -= 1
            record["spike"] = 0
            if not v < p["v_thresh"]:
                record["spike"] = 1
                v = p["v_reset"]
                counter = p["t_refract"]
            if self.exponential:
                currents = [
                    fraction_times(currents[0], p["exc_decay"]),
                    fraction_times(currents[1], p["inh_decay"]),
                ]
            else:
                currents = [0, 0]
            yield record | {"v_post": v, "refr": counter}

    def closed_form(self, v: int, currents: Sequence[int]) -> int:
        p = self.derived
        exc, inh = currents
        if not self.exponential:
            exc, inh = accum_times(exc, p["scale_factor"]), accum_times(inh, p["scale_factor"])
        total = int32(int32(exc - inh) + p["i_offset"])
        alpha = int32(accum_times(total, p["r_membrane"]) + p["v_rest"])
        return int32(alpha - accum_times(int32(alpha - v), p["exp_tc"]))


def run_network(
    sources: Sequence[Sequence[int]],
    populations: Mapping[str, Sequence[Neuron]],
    projections: Mapping[tuple[str, str], tuple[Sequence[Sequence[int]], Sequence[Sequence[int]]]],
    slots: Mapping[str, Sequence[int]],
) -> dict[str, list[list[dict[str, int]]]]:
    """Records [T][n] of each population, for an input "inp" that sends sources [T][n], with ring buffers in slots.

    projections: of each pair of names the weights (below 0: inhibitory) and delays [n_source][n_target]. slots: of each
    neuron of each population how many slots its ring buffers have.
    """
    rings = {
        name: [[[0] * slots[name][cell] for _ in range(2)] for cell in range(len(neurons))]
        for name, neurons in populations.items()
    }
    contents: dict[str, list[list[int]]] = {name: [[0, 0] for _ in neurons] for name, neurons in populations.items()}
    running = {
        name: [neuron.run(_consumed(contents[name][cell])) for cell, neuron in enumerate(neurons)]
        for name, neurons in populations.items()
    }
    records: dict[str, list[list[dict[str, int]]]] = {name: [] for name in populations}
    for t, fired in enumerate(sources):
        sent = {"inp": list(fired)}
        for name in populations:
            for cell, ring in enumerate(rings[name]):
                for kind in range(2):
                    contents[name][cell][kind] = ring[kind][t % slots[name][cell]]
                    ring[kind][t % slots[name][cell]] = 0
            records[name].append([next(neuron) for neuron in running[name]])
            sent[name] = [record["spike"] for record in records[name][-1]]
        for (source, target), (weights, delays) in projections.items():
            for row, spike in enumerate(sent[source]):
                for column, weight in enumerate(weights[row] if spike else ()):
                    ring = rings[target][column][1 if weight < 0 else 0]
                    slot = (t + delays[row][column]) % slots[target][column]
                    ring[slot] = min(65535, ring[slot] + abs(weight))
    return records


def _consumed(cell: Sequence[int]) -> Iterator[Sequence[int]]:
    """What a cell's ring buffers hold in each step; the cell is filled anew before the next is asked for."""
    while True:
        yield cell
