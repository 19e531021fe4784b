"""How much of each limited resource of the chip and of a board a network takes, with who says how much there is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from norse_export.target import Limit

from . import placing
from .limits import CORES_PER_BOARD, DECIDES, NEURONS_PER_CORE, ROUTER_ENTRIES, Use, place, totals
from .memory import DTCM_BYTES, PLANNED_STEPS, RING_INDEX_BITS
from .placing import CHIPS, GATHERER_BYTES, MONITOR_BYTES, SDRAM_BYTES

_MACHINE = "SpiNNMachine 7.4.1, version_spin1 and version_5"
_TABLE = "sPyNNaker 7.4.1, master_pop_table: 8 bits"
_RING = f"sPyNNaker 7.4.1, constants: {RING_INDEX_BITS} bits for slot, type and neuron"
_PLANNED = f"SpiNNMachine 7.4.1, less the monitors; planned for {PLANNED_STEPS} steps"
_LEAST = f"{_MACHINE}; assumed: the program's own data are not counted"


def limits_of(use: Mapping[str, Use]) -> tuple[Limit, ...]:
    """The resources, each where it is taken most; routing entries of several chips are sPyNNaker's to decide."""
    whole, neurons = totals(use), [one for one in use.values() if one.slots]
    tightest = max(neurons, key=lambda one: one.longest_delay / one.slots, default=None)
    per_core = max((min(one.neurons, one.neurons_per_core) for one in neurons), default=0)
    found = [
        Limit("neurons of a core", per_core, NEURONS_PER_CORE, _TABLE),
        Limit("bytes of SDRAM of a core", max(one.sdram_bytes for one in use.values()), _room(), _PLANNED),
        Limit("bytes of DTCM of a core, at least", max(one.dtcm_bytes for one in use.values()), DTCM_BYTES, _LEAST),
        Limit("cores of a board", float(sum(one.cores for one in use.values())), CORES_PER_BOARD, _MACHINE),
        Limit("boards", float(whole["boards"]), None, "one is foretold; how many more, sPyNNaker decides"),
        Limit("synapses", float(whole["synapses"]), None, "bound by the SDRAM"),
    ]
    if tightest is not None:
        found.insert(1, Limit("delay slots of a core", tightest.longest_delay, tightest.slots, _RING))
    placed = place(use)
    if placed is not None:
        fullest = _fullest(use, placed)
        found.insert(
            -2, Limit("bytes of SDRAM of a chip", fullest, SDRAM_BYTES, "SpiNNMachine 7.4.1, with the monitors")
        )
        found.insert(-2, Limit("chips of a board", float(whole["chips"]), len(CHIPS), _MACHINE))
    if whole["routing_entries"] != DECIDES:
        found.insert(-2, Limit("routing entries of a chip", float(whole["routing_entries"]), ROUTER_ENTRIES, _MACHINE))
    return tuple(found)


def _room() -> int:
    return SDRAM_BYTES - MONITOR_BYTES


def _fullest(use: Mapping[str, Use], placed: list[list[placing.Chip]]) -> int:
    """Bytes that are planned on the chip with the most."""
    taken = Counter({CHIPS[0]: GATHERER_BYTES})
    for one, chips in zip(use.values(), placed, strict=True):
        for chip in chips:
            taken[chip] += one.sdram_bytes
    return MONITOR_BYTES + max(taken.values())
