"""What a run takes on the reference machine: cycles, queues, hops, utilisation, findings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.machine.config import MachineConfig
from norse_export.errors import Finding

IntArray = NDArray[np.int64]
LINKS = ("E", "W", "N", "S", "L", "H")
CORE_NAMES = (
    *(f"{phase}_{end}" for phase in ("neuron", "send", "synapse") for end in ("start", "end")),
    *("neurons", "neuron_cycles", "records", "flits_sent", "flits_received", "words", "input_depth", "output_depth"),
    *(f"link_{link}_depth" for link in LINKS),
    *(f"link_{link}_flits" for link in LINKS),
)
ROUND_NAMES = ("start", "quiet", "release", "host_end", "host_last", "host_sent", "host_received", "critical")

START, QUIET, RELEASE, _, _, HOST_SENT, HOST_RECEIVED, CRITICAL = range(len(ROUND_NAMES))
NEURONS, NEURON_CYCLES, RECORDS, SENT, RECEIVED, WORDS, INPUT_DEPTH, OUTPUT_DEPTH, LINK_DEPTH = range(6, 15)
LINK_FLITS = LINK_DEPTH + len(LINKS)


@dataclass(frozen=True, slots=True, eq=False)
class CycleReport:
    """Cycles of B samples of T steps of R rounds on C cores. docs/reference_machine.md, section 8, says what each is.

    rounds [B, T, R, 8]: columns ROUND_NAMES. cores [B, T, R, C, 26]: columns CORE_NAMES, None where the detail was
    not asked for. totals [B, C, 26]: the same columns, counts summed over the sample, depths their greatest; phases 0.
    memory [C, 4]: neurons, accumulators of a slot, axon entries, synapse words.
    """

    config: MachineConfig
    width: int
    height: int
    rounds: IntArray
    cores: IntArray | None
    totals: IntArray
    memory: IntArray

    @property
    def step_cycles(self) -> IntArray:
        """Cycles of each step, [B, T]."""
        return self.rounds[:, :, -1, RELEASE] + self.config.step_cycles - self.rounds[:, :, 0, START]

    @property
    def sample_cycles(self) -> IntArray:
        """Cycles of each sample, [B]."""
        return np.asarray(self.step_cycles.sum(axis=1))

    @property
    def hops(self) -> int:
        """Flits on links between routers, summed."""
        return int(self.totals[:, :, LINK_FLITS : LINK_FLITS + 4].sum())

    @property
    def critical_cycles(self) -> IntArray:
        """For each core, and last for the host, the cycles of the rounds in which it was the last to end, [C + 1]."""
        found = np.zeros(self.width * self.height + 1, np.int64)
        busy = self.rounds[..., CRITICAL] >= 0
        spent = self.rounds[..., QUIET] - self.rounds[..., START]
        np.add.at(found, self.rounds[..., CRITICAL][busy], spent[busy])
        return found

    @property
    def critical_core(self) -> int | None:
        """The core that holds the others up longest; C is the host, None: nothing ever happened."""
        cycles = self.critical_cycles
        return int(cycles.argmax()) if cycles.any() else None

    @property
    def utilisation(self) -> Mapping[str, NDArray[np.float64]]:
        """For each kind of unit the share of all cycles in which that of each core is busy, [C]."""
        counts, config = self.totals.sum(axis=0), self.config
        every = max(1, int(self.sample_cycles.sum()))
        busy = {
            "neuron": counts[:, NEURON_CYCLES],
            "send": counts[:, RECORDS] * config.send_cycles + counts[:, SENT],
            "synapse": counts[:, RECEIVED] * config.axon_cycles + counts[:, WORDS],
        }
        busy |= {f"link_{link}": counts[:, LINK_FLITS + number] for number, link in enumerate(LINKS)}
        return {name: cycles / every for name, cycles in busy.items()}

    def findings(self) -> tuple[Finding, ...]:
        """One for each queue that grew beyond its configured depth."""
        return tuple(self._overflows())

    def _overflows(self) -> Iterator[Finding]:
        config = self.config
        queues = [(INPUT_DEPTH, "input queue", "input_queue_depth")]
        queues += [(OUTPUT_DEPTH, "output queue", "output_queue_depth")]
        queues += [(LINK_DEPTH + n, f"queue of link {link}", "link_queue_depth") for n, link in enumerate(LINKS)]
        for core in range(self.totals.shape[1]):
            for column, queue, parameter in queues:
                depths, limit = self.totals[:, core, column], getattr(config, parameter)
                if depths.max(initial=0) <= limit:
                    continue
                where = f"core {core} ({core % self.width}, {core // self.width}), {queue}"
                beyond = int((depths > limit).sum())
                message = f"{depths.max()} entries deep, the machine has {limit}; in {beyond} of {len(depths)} samples"
                fix = f"give the machine {parameter} = {depths.max()}, or place the graph on more cores"
                yield Finding("queue_overflow", "warning", where, message, fix)

    def summary(self) -> dict[str, Any]:
        """The figures of a run, for reports."""
        steps, counts = self.step_cycles, self.totals.sum(axis=(0, 1))
        return {
            "cycles": int(self.sample_cycles.sum()),
            "cycles_per_step": {
                "min": int(steps.min(initial=0) if not steps.size else steps.min()),
                "mean": float(steps.mean()) if steps.size else 0.0,
                "max": int(steps.max(initial=0)),
            },
            "critical_core": self.critical_core,
            "utilisation": {name: float(shares.mean()) for name, shares in self.utilisation.items()},
            "neuron_updates": int(counts[NEURONS]),
            "events": int(counts[RECORDS]),
            "flits": int(counts[SENT] + self.rounds[..., HOST_SENT].sum()),
            "flits_to_host": int(self.rounds[..., HOST_RECEIVED].sum()),
            "hops": self.hops,
            "synapse_words_read": int(counts[WORDS]),
            "synapse_words_stored": int(self.memory[:, 3].sum()),
            "axon_entries": int(self.memory[:, 2].sum()),
            "deepest": {
                "input": int(self.totals[:, :, INPUT_DEPTH].max(initial=0)),
                "output": int(self.totals[:, :, OUTPUT_DEPTH].max(initial=0)),
                "link": int(self.totals[:, :, LINK_DEPTH : LINK_DEPTH + 6].max(initial=0)),
            },
        }


def totals_of(cores: IntArray) -> IntArray:
    """Sums of counts and greatest depths over steps and rounds: [..., T, R, C, 26] to [..., C, 26]."""
    totals: IntArray = np.asarray(cores.sum(axis=(-4, -3)))
    deep = slice(INPUT_DEPTH, LINK_FLITS)
    totals[..., :NEURONS] = 0
    totals[..., deep] = cores[..., deep].max(axis=(-4, -3), initial=0)
    return totals
