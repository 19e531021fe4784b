"""The fast model and the model that ticks every clock agree in every number; the page's example is what both give."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bulk import numbers
from numpy.typing import NDArray
from random_machines import Case, chain, random_case

from norse_export.engine.layers import apply
from norse_export.engine.machine import events, kernels
from norse_export.engine.machine.clocked import clocked
from norse_export.engine.machine.config import MachineConfig
from norse_export.engine.machine.events import cycles
from norse_export.engine.machine.load import load
from norse_export.engine.machine.report import CORE_NAMES, ROUND_NAMES, CycleReport, totals_of
from norse_export.engine.machine.wiring import inputs_of
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, Population, SparseSynapses
from norse_export.ir.layers import Conv
from norse_export.ir.placement import Part, Placement

Array = NDArray[Any]
NETS, CHUNK = 500, 20
ROOT = Path(__file__).parents[4]


def differences(a: CycleReport, b: CycleReport) -> list[str]:
    """Where two reports differ, for people; every number counts."""
    found = []
    for field, names in {"rounds": ROUND_NAMES, "cores": CORE_NAMES, "totals": CORE_NAMES, "memory": ()}.items():
        x, y = np.asarray(getattr(a, field)), np.asarray(getattr(b, field))
        if x.shape != y.shape:
            found.append(f"{field}: {x.shape} and {y.shape}")
        else:
            found += [
                f"{field}{[*i]} {names[i[-1]] if names else ''}: {x[*i]} and {y[*i]}" for i in np.argwhere(x != y)
            ]
    return found


def fast(case: Case, **options: Any) -> CycleReport:
    return cycles(load(case.graph, case.placement, case.config), case.spikes, **options)


def slow(case: Case) -> CycleReport:
    return clocked(case.graph, case.placement, case.config, case.spikes).report


@pytest.mark.parametrize("chunk", numbers(NETS // CHUNK, shown=4))
def test_both_models_agree_in_every_number(chunk: int) -> None:
    for seed in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        case = random_case(seed)
        assert differences(fast(case), slow(case)) == [], f"net {seed}"


def test_the_random_nets_reach_every_corner() -> None:
    """Else the comparison would be of idle machines."""
    deep, rounds, seen = np.zeros(8), set(), set()
    for seed in range(120):
        case = random_case(seed)
        report = fast(case)
        depths = report.totals.max(axis=(0, 1))
        deep += depths[CORE_NAMES.index("input_depth") : CORE_NAMES.index("link_H_depth") + 1] > 1
        rounds.add(report.rounds.shape[2])
        seen |= {type(node).__name__ for node in case.graph.nodes.values()}
        seen |= {"delay" for edge in case.graph.edges if edge.delay_steps > 1}
        seen |= {"silent"} if (report.rounds[..., ROUND_NAMES.index("quiet")] == report.rounds[..., 0]).any() else set()
        seen |= {"one core"} if case.placement.cores == 1 else set()
        seen |= {"findings"} if report.findings() else set()
    assert deep.min() >= 5, deep
    assert rounds >= {1, 2, 3, 4}
    assert seen >= {"DenseSynapses", "ConvSynapses", "SparseSynapses", "delay", "silent", "one core", "findings"}


def sums_of(case: Case, sample: int, step: int, population: str) -> Array:
    """What the graph says that arrives at each input of a population: [inputs, neurons]."""
    found = []
    for edge in inputs_of(case.graph, population):
        node, total = case.graph.nodes[edge.source], 0
        for into in case.graph.incoming(edge.source):
            if step < into.delay_steps:
                continue
            sent = np.asarray(case.spikes[into.source])[step - into.delay_steps, sample].astype(np.float64)
            if isinstance(node, DenseSynapses):
                total = total + node.weight @ sent.ravel()
            elif isinstance(node, SparseSynapses):
                source = np.repeat(np.arange(len(node.starts) - 1), np.diff(node.starts))
                added = np.zeros(np.prod(node.output_shape))
                np.add.at(added, node.targets, node.weight * sent.ravel()[source])
                total = total + added
            elif isinstance(node, ConvSynapses):
                window = {"stride": node.stride, "padding": node.padding, "dilation": node.dilation}
                layer = Conv(node.weight.astype(np.float64), node.input_shape[1:], groups=node.groups, **window)
                total = total + apply(layer, sent.reshape(1, *node.input_shape)).ravel()
        found.append(np.broadcast_to(total, np.prod(node.output_shape)))
    return np.array(found)


@pytest.mark.parametrize("chunk", range(4))
def test_the_memories_of_the_clocked_model_add_up_to_what_the_graph_says(chunk: int) -> None:
    added = 0.0
    for seed in range(1000 + 10 * chunk, 1010 + 10 * chunk):
        case = random_case(seed)
        for sample, sums in enumerate(clocked(case.graph, case.placement, case.config, case.spikes).sums):
            for name, node in case.graph.nodes.items():
                for step in range(len(next(iter(case.spikes.values()))) if isinstance(node, Population) else 0):
                    expected = sums_of(case, sample, step, name)
                    actual = np.array([sums[step, (name, n)] for n in range(expected.shape[1])]).T
                    np.testing.assert_array_equal(actual, expected, f"net {seed}, {name}, step {step}")
                    added += np.abs(expected).sum()
    assert added > 0


def worked_example() -> Case:
    parts = (Part("p0", 0, 2, 1), Part("p0", 2, 3, 2), Part("p1", 0, 1, 3))
    spikes = {
        "in": np.ones((1, 1, 2), np.bool_),
        "p0": np.ones((1, 1, 3), np.bool_),
        "p1": np.ones((1, 1, 1), np.bool_),
    }
    return Case(chain(2, 3, 1), Placement(2, 2, parts), MachineConfig(lanes=2, neuron_depth=4), spikes)


@pytest.mark.parametrize("model", [fast, slow])
def test_the_example_of_the_page_is_what_the_models_give(model: Any) -> None:
    page = (ROOT / "docs" / "reference_machine.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (\w+ ?\d?) \| (\w+) \| (\d+) \| (\d+) \|$", page, re.MULTILINE)
    stated = {(int(n), unit, phase): (int(start), int(end)) for n, unit, phase, start, end in rows}
    assert len(stated) == 14
    report = model(worked_example())
    given = {}
    for number in range(3):
        about = dict(zip(ROUND_NAMES, report.rounds[0, 0, number].tolist(), strict=True))
        given[number, "all", "round"] = (about["start"], about["release"])
        if about["host_end"] >= 0:
            given[number, "host", "host"] = (about["start"], about["host_end"])
        if about["host_last"] >= 0:
            given[number, "host", "read"] = (about["host_last"], about["host_last"])
        for core in range(4):
            record = dict(zip(CORE_NAMES, report.cores[0, 0, number, core].tolist(), strict=True))
            for phase in ("neuron", "send", "synapse"):
                if record[f"{phase}_start"] >= 0:
                    given[number, f"core {core}", phase] = (record[f"{phase}_start"], record[f"{phase}_end"])
    assert given == stated
    assert report.sample_cycles.tolist() == [63]
    assert report.cores[0, 0, 1, 3, CORE_NAMES.index("link_L_depth")] == 2
    assert report.cores[0, 0, 1, 3, CORE_NAMES.index("input_depth")] == 2
    assert report.hops == 4 + 3 + 2


def test_one_core_with_one_neuron() -> None:
    spikes = {"in": np.array([[[1]], [[0]], [[1]]], np.bool_), "p0": np.array([[[0]], [[1]], [[1]]], np.bool_)}
    case = Case(chain(1, 1), Placement(1, 1, (Part("p0", 0, 1, 0),)), MachineConfig(), spikes)
    report = fast(case)
    assert differences(report, slow(case)) == []
    # The input's flit: queue of L 1, input queue 2, word 4, sums 7; release 9, or 2 without it. Then the neuron: 8, its
    # flit 9, queue of H 10, host 11; release 13, or 10 without it. The step ends 1 later.
    assert report.rounds[0, 0, :, ROUND_NAMES.index("release")].tolist() == [9, 19]
    assert report.step_cycles.tolist() == [[9 + 10 + 1, 2 + 13 + 1, 9 + 13 + 1]]
    assert report.hops == 0


def test_steps_in_which_nothing_happens_cost_their_barriers_and_the_neurons() -> None:
    spikes = {"in": np.zeros((4, 1, 3), np.bool_), "p0": np.zeros((4, 1, 5), np.bool_)}
    case = Case(chain(3, 5), Placement(3, 2, (Part("p0", 0, 5, 4),)), MachineConfig(), spikes)
    report = fast(case)
    assert differences(report, slow(case)) == []
    assert report.step_cycles.tolist() == [[2 * (2 + 2 * 3) + (5 - 1 + 8) + 1] * 4]
    assert report.critical_core == 4
    assert report.findings() == ()


@pytest.mark.parametrize("steps", [0, 1])
def test_no_steps_and_no_samples_are_reports_too(steps: int) -> None:
    spikes = {"in": np.zeros((steps, 1 - steps, 3), np.bool_), "p0": np.zeros((steps, 1 - steps, 5), np.bool_)}
    case = Case(chain(3, 5), Placement(1, 1, (Part("p0", 0, 5, 0),)), MachineConfig(), spikes)
    for detail in (True, False):
        report = fast(case, detail=detail)
        assert report.summary()["cycles"] == 0
        assert report.critical_core is None


def test_a_queue_deeper_than_its_parameter_is_a_finding_and_changes_no_number() -> None:
    base = worked_example()
    deepest = fast(base).totals[0]
    for name, columns in {
        "input": ["input_depth"],
        "output": ["output_depth"],
        "link": [f"link_{link}_depth" for link in "EWNSLH"],
    }.items():
        depths = deepest[:, [CORE_NAMES.index(column) for column in columns]]
        parameter, top = f"{name}_queue_depth", int(depths.max())
        assert top >= 1
        for limit in range(max(1, top - 1), top + 1):
            case = Case(
                base.graph, base.placement, MachineConfig(lanes=2, neuron_depth=4, **{parameter: limit}), base.spikes
            )
            report = fast(case)
            found = [finding for finding in report.findings() if parameter in finding.fix]
            assert len(found) == int((depths > limit).sum())
            assert np.array_equal(report.totals[0], deepest)
    case = Case(base.graph, base.placement, MachineConfig(lanes=2, neuron_depth=4, input_queue_depth=1), base.spikes)
    (finding,) = fast(case).findings()
    assert (finding.kind, finding.severity, finding.where) == (
        "queue_overflow",
        "warning",
        "core 3 (1, 1), input queue",
    )
    assert finding.message == "2 entries deep, the machine has 1; in 1 of 1 samples"
    assert "input_queue_depth = 2" in finding.fix


def test_without_detail_totals_and_rounds_are_the_same() -> None:
    for seed in range(30):
        case = random_case(seed)
        full, short = fast(case), fast(case, detail=False)
        assert short.cores is None
        assert np.array_equal(full.rounds, short.rounds)
        assert np.array_equal(full.totals, short.totals)
        assert np.array_equal(full.totals, totals_of(full.cores))
        assert full.summary() == short.summary()


def test_samples_do_not_depend_on_one_another_or_on_threads() -> None:
    case = random_case(3)
    rng = np.random.default_rng(5)
    spikes = {name: rng.random((3, 6, *raster.shape[2:])) < 0.4 for name, raster in case.spikes.items()}
    machine = load(case.graph, case.placement, case.config)
    together = cycles(machine, spikes)
    assert differences(together, cycles(machine, spikes, threads=2)) == []
    for sample in range(6):
        alone = cycles(machine, {name: raster[:, sample : sample + 1] for name, raster in spikes.items()})
        assert np.array_equal(alone.rounds[0], together.rounds[sample])
        assert np.array_equal(alone.cores[0], together.cores[sample])


def test_what_an_event_is_worth_does_not_change_its_cycles() -> None:
    case = random_case(8)
    rng = np.random.default_rng(8)
    numbers = {name: rng.integers(-2, 3, raster.shape, np.int32) for name, raster in case.spikes.items()}
    machine = load(case.graph, case.placement, case.config)
    flags = {name: raster != 0 for name, raster in numbers.items()}
    strided = {name: np.asfortranarray(raster) for name, raster in numbers.items()}
    assert differences(cycles(machine, numbers), cycles(machine, flags)) == []
    assert differences(cycles(machine, strided), cycles(machine, flags)) == []


def test_room_for_flits_is_measured_exactly_where_it_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bound that is too small would write beyond the room, one that is too large take memory for nothing."""
    for seed in range(60):
        case = random_case(seed)
        machine = load(case.graph, case.placement, case.config)
        bounds = []
        for quick in (2**40, 0):
            monkeypatch.setattr(events, "QUICK", quick)
            steps, samples = next(iter(case.spikes.values())).shape[:2]
            bounds.append(events._most_flits(machine, *events._extracted(machine, case.spikes, steps, samples)))
            assert differences(fast(case), cycles(machine, case.spikes)) == []
        report = fast(case)
        sent = report.rounds[..., ROUND_NAMES.index("host_sent")]
        sent = sent + report.cores[..., CORE_NAMES.index("flits_sent")].sum(axis=-1)
        assert bounds[0] >= bounds[1] == sent.max(), f"net {seed}"


def test_what_is_compiled_gives_what_its_source_says() -> None:
    for seed in range(6):
        assert differences(fast(random_case(seed)), fast(random_case(seed), model=kernels)) == []


SCRIPT = """
import sys
sys.path.insert(0, sys.argv[1])
from random_machines import random_case
from norse_export.engine.machine.events import cycles
from norse_export.engine.machine.load import load
for seed in range(6):
    case = random_case(seed)
    report = cycles(load(case.graph, case.placement, case.config), case.spikes)
    print(report.rounds.tolist(), report.cores.tolist(), report.totals.tolist(), report.memory.tolist())
"""


def test_without_the_jit_the_numbers_are_the_same() -> None:
    environment = {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-W", "error", "-c", SCRIPT, str(Path(__file__).parent)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, result.stderr
    expected = []
    for seed in range(6):
        report = fast(random_case(seed))
        parts = (report.rounds, report.cores, report.totals, report.memory)
        expected.append(" ".join(str(part.tolist()) for part in parts))
    assert result.stdout.splitlines() == expected
