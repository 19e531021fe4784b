"""When each population does on the chip what it does in the model: a spike takes at least one step, in Norse none.

A population of depth k is `late` by k steps: by so many that every projection onto it has a delay of one step or more.
The delays take up the differences, late[target] - late[source] more than in the model, so that every layer sees what it
sees in the model, and recurrence, a step in Norse, is a step on the chip. Nothing of it shows but the stamps of spikes.
What the host reads of layers of different depth it waits for: an edge of the host's part has the difference as a delay.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from norse_export.errors import Finding, UnsupportedError
from norse_export.ir.graph import Edge
from norse_export.passes.lowered import Lowered

LEAST_DELAY = 1  # steps; derive: a spike of step t arrives in step t + 1 at the earliest
RECORDED_LATE = 1  # steps; of the membrane, which is recorded before its update


@dataclass(frozen=True, slots=True)
class Schedule:
    """late: steps of each input and population. delays: of each projection on the chip, by its name.

    sent: by how many steps what each population and host node sends, and each output, is late. host_edges: of the
    host's part, with delays after which all that arrives at a node is equally late.
    """

    late: Mapping[str, int]
    delays: Mapping[str, int]
    sent: Mapping[str, int]
    host_edges: tuple[Edge, ...]


def schedule(lowered: Lowered, *, recorded_late: int = RECORDED_LATE) -> Schedule:
    """The least lateness with which every delay is possible; recorded_late: of membranes that are read, in steps.

    Raises:
        UnsupportedError: a loop of several layers with too short delays.
    """
    late = dict.fromkeys((*lowered.inputs, *lowered.populations), 0)
    _relax(lowered, late, len(lowered.populations) + 1)
    sent = _sent(lowered, late, recorded_late)
    delays = {p.name: p.delay_steps + late[p.target] - late[p.source] for p in lowered.projections}
    waiting = tuple(
        replace(edge, delay_steps=edge.delay_steps + sent[edge.target] - sent[edge.source])
        for edge in lowered.host_edges
    )
    return Schedule(late, delays, {name: steps for name, steps in sent.items() if name not in lowered.inputs}, waiting)


def _relax(lowered: Lowered, late: dict[str, int], most: int) -> None:
    """Make populations later until every delay is possible."""
    for _ in range(most):
        tight = None
        for p in lowered.projections:
            least = late[p.source] + LEAST_DELAY - p.delay_steps
            if least > late[p.target]:
                late[p.target], tight = least, p
        if tight is None:
            return
    message = "a loop of layers with fewer steps of delay than projections: on the chip each takes a step at least"
    fix = "use a delay of one step for every connection in the loop"
    raise UnsupportedError.of([Finding("loop_delay", "error", tight.target if tight else "the model", message, fix)])


def _sent(lowered: Lowered, late: Mapping[str, int], recorded_late: int) -> dict[str, int]:
    """The lateness of what every node sends; of a host node the most of what it gets."""
    sent = {name: steps for name, steps in late.items() if name in lowered.inputs}
    for name, node in lowered.populations.items():
        sent[name] = late[name] + (0 if node.spikes else recorded_late)
    waiting = list(lowered.host)
    while waiting:  # a host part has no loops
        for name in tuple(waiting):
            sources = [edge.source for edge in lowered.host_edges if edge.target == name]
            if all(source in sent for source in sources):
                sent[name] = max((sent[source] for source in sources), default=0)
                waiting.remove(name)
    return sent
