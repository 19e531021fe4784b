"""The slow model: every unit of the machine, ticked every cycle, in plain Python, from docs/reference_machine.md.

It also adds up what the synapse words say, so that the sums that reach the neurons can be checked. Nothing is shared
with the fast model but the names of what is reported.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.machine.config import MachineConfig
from norse_export.engine.machine.images import Cell, CoreImage, Image, Neuron, Word, image
from norse_export.engine.machine.report import CORE_NAMES, ROUND_NAMES, CycleReport, totals_of
from norse_export.ir.graph import Graph
from norse_export.ir.placement import Placement
from norse_export.ir.stages import FixedNode

Array = NDArray[Any]
Record = dict[str, int]
T = TypeVar("T")
INPUTS = ("N", "E", "S", "W", "core", "host")  # of a router, in the order in which equals are served
OPPOSITE = {"N": "S", "E": "W", "S": "N", "W": "E"}
AWAY = {"N": (0, -1), "E": (1, 0), "S": (0, 1), "W": (-1, 0)}


@dataclass(frozen=True, slots=True)
class Flit:
    """One event for one destination."""

    x: int
    y: int
    host: bool
    axon: int
    value: int


class Pipe(Generic[T]):
    """A shift register: what is put in during one cycle comes out `length` cycles later; at most one thing a cycle."""

    def __init__(self, length: int) -> None:
        self.stages: deque[T | None] = deque([None] * length)
        self.full = 0

    def shift(self) -> T | None:
        """Clock edge: give what has come to the end."""
        if not self.full:
            return None
        out = self.stages.popleft()
        self.stages.append(None)
        self.full -= out is not None
        return out

    def put(self, item: T) -> None:
        """Write the first stage, after the edge."""
        self.stages[-1] = item
        self.full += 1


class Server(Generic[T]):
    """A unit that takes the head of its queue, waits, and then deals with one piece of it in each cycle."""

    def __init__(self, wait: int) -> None:
        self.queue: deque[T] = deque()
        self.wait = wait
        self.waiting = 0
        self.pieces: deque[Any] = deque()

    def work(self) -> tuple[T | None, Any]:
        """What it does in this cycle: take the head (then give its pieces to `start`), or deal with a piece."""
        if not self.pieces:
            return (self.queue.popleft(), None) if self.queue else (None, None)
        self.waiting -= 1
        return None, self.pieces.popleft() if self.waiting <= 0 else None

    def start(self, pieces: list[Any]) -> None:
        """Begin with what was taken."""
        self.pieces.extend(pieces)
        self.waiting = self.wait


class Router:
    """Input stages and links of one place of the mesh."""

    def __init__(self, x: int, y: int, config: MachineConfig) -> None:
        self.x, self.y = x, y
        self.inputs: dict[str, Pipe[Flit]] = {name: Pipe(config.router_cycles) for name in INPUTS}
        self.queues: dict[str, deque[Flit]] = {link: deque() for link in "EWNSLH"}
        self.wires: dict[str, Pipe[Flit]] = {link: Pipe(config.link_cycles) for link in "EWNSLH"}
        self.inside = 0

    def link_for(self, flit: Flit) -> str:
        """X first, then y, then out."""
        if flit.x != self.x:
            return "E" if flit.x > self.x else "W"
        if flit.y != self.y:
            return "S" if flit.y > self.y else "N"
        return "H" if flit.host else "L"

    def accept(self, name: str, flit: Flit) -> None:
        """A flit comes in, or is injected."""
        self.inputs[name].put(flit)
        self.inside += 1


class Core:
    """Neuron unit, sender and synapse unit with their queues and memories."""

    def __init__(self, number: int, content: CoreImage, config: MachineConfig) -> None:
        self.number, self.content = number, content
        self.issue: deque[Neuron] = deque()
        self.until_issue = 0
        self.reading: Neuron | None = None
        self.read: list[int] = []
        self.pipeline: Pipe[Neuron] = Pipe(config.neuron_depth)
        self.sender: Server[Cell] = Server(config.send_cycles)
        self.synapses: Server[Flit] = Server(config.axon_cycles)
        self.adders: Pipe[tuple[Word, int]] = Pipe(config.synapse_latency)
        self.slots = [[0] * content.accumulators for _ in range(config.delay_slots)]


@dataclass
class Mesh:
    """The whole machine in one sample."""

    config: MachineConfig
    placement: Placement
    image: Image
    spikes: Mapping[str, Array]  # of one sample: [T, cells]
    cycle: int = 0
    step: int = 0
    sums: dict[tuple[int, Cell], tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        width, height = self.placement.width, self.placement.height
        self.routers = [Router(n % width, n // width, self.config) for n in range(width * height)]
        self.cores = [Core(n, content, self.config) for n, content in enumerate(self.image.cores)]
        self.outside: deque[tuple[Cell, tuple[int, int]]] = deque()
        self.until_inject = 0

    def flit(self, cell: Cell, destination: tuple[int, int]) -> Flit:
        """The flit of an event."""
        core, axon = destination
        value = 0 if cell[0] in self.image.steady else int(self.spikes[cell[0]][self.step, cell[1]])
        host = core < 0
        core = max(core, 0)
        return Flit(core % self.placement.width, core // self.placement.width, host, axon, value)

    def fires(self, cell: Cell) -> bool:
        """Whether the cell sends an event in this step."""
        return cell[0] in self.image.steady or bool(self.spikes[cell[0]][self.step, cell[1]] != 0)

    def run_round(self, number: int) -> tuple[Record, list[Record]]:
        """Tick until the barrier releases the round; the clock then stands at the release."""
        about = dict.fromkeys(ROUND_NAMES, 0) | {"start": self.cycle, "quiet": -1, "host_end": -1, "host_last": -1}
        records = [dict.fromkeys(CORE_NAMES, 0) | dict.fromkeys(CORE_NAMES[:6], -1) for _ in self.cores]
        self._begin(number)
        barrier: Pipe[int] = Pipe(self._barrier_cycles())
        while (quiet := barrier.shift()) is None:
            self._arrive(about, records)
            self._measure(records)
            if not self._work(about, records):
                barrier.put(self.cycle)
            self.cycle += 1
        about["quiet"], about["release"] = quiet, self.cycle
        about["critical"] = _critical(about, records)
        return about, records

    def _barrier_cycles(self) -> int:
        """From a sample that is quiet to the release: up to the corner, the decision, and back."""
        diameter = (self.placement.width - 1) + (self.placement.height - 1)
        there = diameter * self.config.barrier_hop_cycles
        return there + self.config.barrier_cycles + there

    def _begin(self, number: int) -> None:
        """Point every unit at the tables of the round."""
        for core in self.cores:
            core.issue.extend(core.content.neurons.get(number, []))
            core.until_issue = 0
        self.until_inject = 0
        if number == 0:
            for name in self.image.inputs:
                for place in range(self.spikes[name].shape[1]):
                    if self.fires((name, place)):
                        self.outside.extend(((name, place), one) for one in self.image.lists[name, place])

    def _arrive(self, about: Record, records: list[Record]) -> None:
        """Clock edge: all that is in a pipe moves on; what comes out enters its queue."""
        for router in self.routers:
            if router.inside:
                for name in INPUTS:
                    if flit := router.inputs[name].shift():
                        router.queues[router.link_for(flit)].append(flit)
        for router, core, record in zip(self.routers, self.cores, records, strict=True):
            if router.inside:
                self._wires(router, core, about, record)
            neuron = core.pipeline.shift()
            if neuron and self.fires(neuron.cell) and self.image.lists[neuron.cell]:
                core.sender.queue.append(neuron.cell)
            if summed := core.adders.shift():
                word, value = summed
                slot = core.slots[(self.step + word.delay) % self.config.delay_slots]
                for bank, (row, weight) in enumerate(word.places):
                    if weight:
                        slot[row * self.config.lanes + bank] += weight * value

    def _wires(self, router: Router, core: Core, about: Record, record: Record) -> None:
        for link, wire in router.wires.items():
            flit = wire.shift()
            if flit is None:
                continue
            router.inside -= 1
            if link == "L":
                core.synapses.queue.append(flit)
                record["flits_received"] += 1
            elif link == "H":
                about["host_received"] += 1
                about["host_last"] = self.cycle
            else:
                x, y = AWAY[link]
                neighbour = self.routers[(router.y + y) * self.placement.width + router.x + x]
                neighbour.accept(OPPOSITE[link], flit)

    def _measure(self, records: list[Record]) -> None:
        """The depth of every queue, after all arrivals and before anything is taken."""
        for router, core, record in zip(self.routers, self.cores, records, strict=True):
            record["input_depth"] = max(record["input_depth"], len(core.synapses.queue))
            record["output_depth"] = max(record["output_depth"], len(core.sender.queue))
            if router.inside:
                for link, queue in router.queues.items():
                    record[f"link_{link}_depth"] = max(record[f"link_{link}_depth"], len(queue))

    def _work(self, about: Record, records: list[Record]) -> bool:
        """What all units do in this cycle; gives whether anything is at work or under way."""
        active = self._host(about)
        for router, core, record in zip(self.routers, self.cores, records, strict=True):
            if router.inside:
                active = True
                for link, queue in router.queues.items():
                    if queue:
                        router.wires[link].put(queue.popleft())
                        record[f"link_{link}_flits"] += 1
            going = {
                "neuron": self._update(core, record),
                "send": self._send(router, core, record),
                "synapse": self._synapse(core, record),
            }
            for phase, on in going.items():
                if on:
                    active = True
                    if record[f"{phase}_start"] < 0:
                        record[f"{phase}_start"] = self.cycle
                    record[f"{phase}_end"] = self.cycle + 1
        return active

    def _host(self, about: Record) -> bool:
        if self.outside and not self.until_inject:
            cell, destination = self.outside.popleft()
            self.routers[0].accept("host", self.flit(cell, destination))
            about["host_sent"] += 1
            self.until_inject = self.config.host_interval
        if not self.until_inject:
            return False
        self.until_inject -= 1
        about["host_end"] = self.cycle + 1
        return True

    def _update(self, core: Core, record: Record) -> bool:
        """Neuron unit: the turn of the next neuron begins when that of the one before is over."""
        if core.issue and not core.until_issue:
            core.reading, core.read = core.issue.popleft(), []
            core.until_issue = core.reading.interval
            record["neurons"] += 1
            record["neuron_cycles"] += core.reading.interval
        if neuron := core.reading:
            self._read(core, neuron)
        core.until_issue = max(0, core.until_issue - 1)
        return bool(core.issue or core.reading or core.pipeline.full)

    def _read(self, core: Core, neuron: Neuron) -> None:
        """Read and clear one accumulator; with the last of them the neuron goes into the pipeline."""
        slot = core.slots[self.step % self.config.delay_slots]
        if neuron.addresses:
            address = neuron.addresses[len(core.read)]
            core.read.append(slot[address])
            slot[address] = 0
        if len(core.read) == len(neuron.addresses):
            self.sums[self.step, neuron.cell] = tuple(core.read)
            core.pipeline.put(neuron)
            core.reading = None

    def _send(self, router: Router, core: Core, record: Record) -> bool:
        was_busy = bool(core.sender.pieces)
        taken, piece = core.sender.work()
        if taken:
            record["records"] += 1
            core.sender.start([(taken, one) for one in self.image.lists[taken]])
        if piece:
            router.accept("core", self.flit(*piece))
            record["flits_sent"] += 1
        return was_busy or taken is not None

    def _synapse(self, core: Core, record: Record) -> bool:
        taken, piece = core.synapses.work()
        if taken:
            core.synapses.start([(word, taken.value) for word in core.content.axons[taken.axon]])
        if piece:
            core.adders.put(piece)
            record["words"] += 1
        return bool(core.synapses.pieces or core.adders.full)


def _critical(about: Record, records: list[Record]) -> int:
    ends = [max(record[f"{phase}_end"] for phase in ("neuron", "send", "synapse")) for record in records]
    ends.append(max(about["host_end"], about["host_last"]))
    return ends.index(max(ends)) if max(ends) >= 0 else -1


@dataclass(frozen=True, slots=True)
class Clocked:
    """What the slow model gives.

    sums: for each sample, what each neuron found in its accumulators: (step, (population, neuron)) to one sum for each
    of its inputs, in their order, before any delivery.
    """

    report: CycleReport
    sums: tuple[Mapping[tuple[int, Cell], tuple[int, ...]], ...]


def clocked(
    graph: Graph[FixedNode], placement: Placement, config: MachineConfig, spikes: Mapping[str, Array]
) -> Clocked:
    """Tick the machine through every sample; spikes as for `events.cycles`, holding what each event is worth."""
    content = image(graph, placement, config)
    steps, samples = next(iter(spikes.values())).shape[:2]
    shape = (samples, steps, content.rounds)
    rounds = np.zeros((*shape, len(ROUND_NAMES)), np.int64)
    cores = np.zeros((*shape, len(content.cores), len(CORE_NAMES)), np.int64)
    sums = []
    for sample in range(samples):
        mesh = Mesh(config, placement, content, {n: r[:, sample].reshape(steps, -1) for n, r in spikes.items()})
        for step in range(steps):
            mesh.step = step
            for number in range(content.rounds):
                about, records = mesh.run_round(number)
                rounds[sample, step, number] = [about[name] for name in ROUND_NAMES]
                cores[sample, step, number] = [[one[name] for name in CORE_NAMES] for one in records]
            mesh.cycle += config.step_cycles
        sums.append(mesh.sums)
    memory = np.array(
        [
            (sum(map(len, one.neurons.values())), one.accumulators, len(one.axons), sum(map(len, one.axons)))
            for one in content.cores
        ],
        np.int64,
    )
    totals = totals_of(cores)
    report = CycleReport(config, placement.width, placement.height, rounds, cores, totals, memory)
    return Clocked(report, tuple(sums))
