"""The comparison of the two models is tested by wrong fast models: each fault is seeded in the source and must show."""

from __future__ import annotations

from functools import cache
from types import ModuleType
from typing import Any

import pytest
from random_machines import Case, random_case
from test_machine_models import differences, slow

from norse_export.engine.machine import counting, events, kernels, listing, load, words
from norse_export.engine.machine.config import MachineConfig
from norse_export.engine.machine.load import Load
from norse_export.engine.machine.report import CycleReport

NETS = 60

FAULTS: dict[str, tuple[ModuleType, str, str]] = {
    "the pipeline is a cycle longer": (load, "inputs - 1 + config.neuron_depth", "inputs + config.neuron_depth"),
    "the last input is read with the first": (load, "inputs - 1 + config.neuron_depth", "config.neuron_depth"),
    "the neuron phase ends when the last neuron enters": (kernels, "ends = begin - interval + latency", "ends = begin"),
    "equals are served in the opposite order": (kernels, "for origin in range(6):", "for origin in range(5, -1, -1):"),
    "of equals the later list comes first": (kernels, "(a >> TIME) > (b >> TIME)", "(a >> TIME) >= (b >> TIME)"),
    "of equals at the end of two lists the later comes first": (
        kernels,
        "flow[_at(stop - 1)]\n        later = (a >> TIME) > (b >> TIME)",
        "flow[_at(stop - 1)]\n        later = (a >> TIME) >= (b >> TIME)",
    ),
    "injection takes no time": (kernels, "((idle + m[ROUTER_CYCLES]) << TIME)", "(idle << TIME)"),
    "the host's injection takes no time": (kernels, "cycle = m[ROUTER_CYCLES]\n", "cycle = 0\n"),
    "the host sends as fast as it can": (kernels, "cycle += m[HOST_INTERVAL]", "cycle += 1"),
    "y first": (
        kernels,
        "    if to_x != x:\n        return EAST if to_x > x else WEST\n    if to_y != y:\n"
        "        return SOUTH if to_y > y else NORTH\n",
        "    if to_y != y:\n        return SOUTH if to_y > y else NORTH\n    if to_x != x:\n"
        "        return EAST if to_x > x else WEST\n",
    ),
    "a hop is a wire without a router": (kernels, "m[LINK_CYCLES] + m[ROUTER_CYCLES])", "m[LINK_CYCLES])"),
    "a link sends all it has": (
        kernels,
        "        leaves = max(cycle, free)\n        free = leaves + 1\n        depth = max(depth, free - cycle)\n"
        "        flit +=",
        "        leaves = max(cycle, free)\n        free = leaves\n        depth = max(depth, free + 1 - cycle)\n"
        "        flit +=",
    ),
    "a link's depth is measured after it has sent": (
        kernels,
        "        depth = max(depth, free - cycle)\n        flit +=",
        "        depth = max(depth, free - 1 - cycle)\n        flit +=",
    ),
    "the input queue's depth is measured after the pop": (
        kernels,
        "while taken[_at(oldest)] < enters:",
        "while oldest < flits and taken[_at(oldest)] <= enters:",
    ),
    "the output queue's depth is measured after the pop": (
        kernels,
        "taken[_at(records - deepest)] >= left",
        "taken[_at(records - deepest)] > left",
    ),
    "the axon table is read while words are": (kernels, "idle += m[AXON_CYCLES] + row", "idle += row"),
    "the sums of the last word are not waited for": (kernels, "idle + m[SYNAPSE_LATENCY] - 1", "idle - 1"),
    "the sender needs no time for its list": (kernels, "        idle += m[SEND_CYCLES]\n", ""),
    "a neuron without destinations occupies the sender": (
        kernels,
        "        if start == stop:\n            continue\n        left",
        "        left",
    ),
    "the barrier does not wait for the last core": (
        kernels,
        "    quiet, critical = 0, -1\n    for core in range(m[WIDTH] * m[HEIGHT]):",
        "    quiet, critical = 0, -1\n    for core in range(m[WIDTH] * m[HEIGHT] - 1):",
    ),
    "the barrier does not wait for what the host reads": (
        kernels,
        "for column in (HOST_END, HOST_LAST):",
        "for column in (HOST_END,):",
    ),
    "of equals the last core is critical": (
        kernels,
        "if cores[core, phase + 1] > quiet:",
        "if cores[core, phase + 1] >= quiet:",
    ),
    "the barrier runs one way": (events, "+ 2 * (load.width", "+ (load.width"),
    "the diameter counts cores": (events, "load.height - 2)", "load.height)"),
    "a step ends with its last release": (kernels, "        cycle += m[STEP_CYCLES]\n", ""),
    "every round has a step's end": (kernels, "cycle = about[RELEASE]", "cycle = about[RELEASE] + m[STEP_CYCLES]"),
    "a part's first neuron is left out": (
        kernels,
        "_search(fired, first, last, low)",
        "_search(fired, first, last, low + 1)",
    ),
    "totals add up depths": (
        kernels,
        "max(totals[core, column], cores[core, column])",
        "totals[core, column] + cores[core, column]",
    ),
    "the last cell of a row never fires": (listing, "7 - (end - 1) % 8", "min(7, 8 - (end - 1) % 8)"),
    "weights of 0 take places": (words, "node.weight[:, start:stop] != 0", "node.weight[:, start:stop] > -200"),
    "weights of 0 take places in convolutions": (
        words,
        "ascontiguousarray(node.weight != 0)",
        "ascontiguousarray(node.weight > -200)",
    ),
    "all banks but one are used": (words, "target.address % lanes", "target.address % max(1, lanes - 1)"),
    "padding is on one side only": (counting, "y + pad_y - ky", "y - ky"),
    "one delay is enough for a row": (
        load,
        "counts.max(axis=3).sum(axis=2, dtype=np.int64)",
        "counts.max(axis=3).max(axis=2)",
    ),
    "words are counted by synapses": (load, "counts.max(axis=3)", "counts.sum(axis=3)"),
    "all inputs of a neuron are read at once": (load, "max(config.neuron_interval, inputs)", "config.neuron_interval"),
    "the host comes first": (load, 'np.argsort(cell, kind="stable")', "np.lexsort((-np.arange(cell.size), cell))"),
}


@cache
def judged(seed: int) -> tuple[Case, CycleReport]:
    case = random_case(seed)
    return case, slow(case)


def changed(module: ModuleType, old: str, new: str, **names: Any) -> ModuleType:
    """The module as its source would be with the fault, in plain Python."""
    source = module.__loader__.get_source(module.__name__)  # type: ignore[union-attr]
    assert old in source, "the fault has lost its place"
    made = ModuleType(module.__name__)
    exec(compile(source.replace(old, new), module.__file__ or "", "exec"), made.__dict__)  # noqa: S102
    made.__dict__.update(names)
    return made


def wrong(module: ModuleType, old: str, new: str) -> Any:
    """The fast model with a fault: a function of a case."""

    def version(of: ModuleType, **names: Any) -> ModuleType:
        return changed(of, *((old, new) if of is module else ("", "")), **names)

    loops, lists, plain = version(counting), version(listing), version(kernels)
    measuring = version(words, counting=lambda: loops)
    loading, running = version(load, count=measuring.count), version(events, listing=lambda: lists)

    def model(case: Case) -> CycleReport:
        filled: Load = loading.load(case.graph, case.placement, case.config)
        report: CycleReport = running.cycles(filled, case.spikes, model=plain)
        return report

    return model


def test_the_model_without_a_fault_passes() -> None:
    right = wrong(kernels, "", "")
    for seed in range(12):
        case, expected = judged(seed)
        assert differences(right(case), expected) == []


@pytest.mark.parametrize("name", FAULTS)
def test_the_comparison_catches(name: str) -> None:
    model = wrong(*FAULTS[name])
    for seed in range(NETS):
        case, expected = judged(seed)
        if differences(model(case), expected):
            return
    pytest.fail(f"{NETS} nets do not tell the model from one in which {name}")


def test_every_parameter_of_time_changes_some_number() -> None:
    """A parameter that neither model reads would be equal in both."""
    queues = {"word_bits", "weight_bits", "index_bits", "delay_slots"}
    names = [name for name in MachineConfig.__dataclass_fields__ if name not in queues and "queue" not in name]
    silent = set(names)
    for seed in range(20):
        case, expected = judged(seed)
        for name in sorted(silent):
            values = {one: getattr(case.config, one) for one in MachineConfig.__dataclass_fields__}
            config = MachineConfig(**{**values, name: values[name] + 1})
            model = events.cycles(load.load(case.graph, case.placement, config), case.spikes)
            if (model.rounds != expected.rounds).any() or (model.step_cycles != expected.step_cycles).any():
                silent.discard(name)
    assert silent == set()
