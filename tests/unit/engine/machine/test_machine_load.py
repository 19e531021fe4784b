"""What the machine refuses, with place and remedy; what its tables hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from random_machines import chain, population, random_case

from norse_export.engine.machine import load as load_module
from norse_export.engine.machine.config import MachineConfig
from norse_export.engine.machine.events import cycles
from norse_export.engine.machine.images import image
from norse_export.engine.machine.load import HOST_BIT, load
from norse_export.engine.machine.report import ROUND_NAMES
from norse_export.engine.machine.wiring import depths, weight_bits
from norse_export.errors import CapacityError, ExportError, GraphError, UsageError
from norse_export.ir.fixed import DenseSynapses, FixedInput
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.ir.placement import Part, Placement

ONE = Placement(1, 1, (Part("p0", 0, 2, 0),))


def graph(weight: Any = None, *, delay: int = 0, late: int = 0, kind: str = "one") -> Graph[Any]:
    """Input of 3 onto population p0 of 2, read out."""
    weight = np.ones((2, 3), np.int8) if weight is None else weight
    nodes = {"in": FixedInput((3,)), "s": DenseSynapses(weight, (3,), (2,)), "p0": population(kind, (2,))}
    edges = (Edge("in", "s", "x", delay), Edge("s", "p0", "x", late), Edge("p0", "out"))
    return Graph({**nodes, "out": Output((2,))}, edges)


def refused(kind: type[ExportError], built: Graph[Any], placement: Placement, config: MachineConfig) -> ExportError:
    with pytest.raises(kind) as caught:
        load(built, placement, config)
    assert caught.value.what
    assert caught.value.where
    assert caught.value.fix
    return caught.value


def test_a_delay_is_at_most_one_less_than_the_slots() -> None:
    load(graph(delay=3), ONE, MachineConfig(delay_slots=4))
    error = refused(CapacityError, graph(delay=4), ONE, MachineConfig(delay_slots=4))
    assert error.where == "edge in -> s"
    assert "delay_slots = 5" in error.fix


@pytest.mark.parametrize(
    ("value", "bits"), [(0, 1), (-1, 1), (1, 2), (-2, 2), (127, 8), (-128, 8), (128, 9), (-129, 9), (32767, 16)]
)
def test_weights_fit_the_places_of_a_word(value: int, bits: int) -> None:
    weight = np.full((2, 3), value, np.int16)
    assert weight_bits(DenseSynapses(weight, (3,), (2,))) == bits
    if bits > 1:
        load(graph(weight), ONE, MachineConfig(weight_bits=bits))
    if bits > 2:
        error = refused(CapacityError, graph(weight), ONE, MachineConfig(weight_bits=bits - 1))
        assert error.where == "s"
        assert f"weight_bits = {bits}" in error.fix


def test_accumulators_fit_the_rows_of_the_banks() -> None:
    placement = Placement(1, 1, (Part("p0", 0, 4, 0),))
    load(chain(1, 4), placement, MachineConfig(lanes=2, index_bits=1))
    placement = Placement(1, 1, (Part("p0", 0, 5, 0),))
    error = refused(CapacityError, chain(1, 5), placement, MachineConfig(lanes=2, index_bits=1))
    assert (error.where, error.what) == ("core 0", "5 accumulators, the core has 4")


@pytest.mark.parametrize(("width", "height", "fits"), [(64, 1, True), (1, 64, True), (65, 1, False), (1, 65, False)])
def test_the_mesh_fits_the_coordinates_of_a_flit(width: int, height: int, fits: bool) -> None:
    placement = Placement(width, height, (Part("p0", 0, 2, width * height - 1),))
    if fits:
        spikes = {"in": np.ones((1, 1, 3), np.bool_), "p0": np.ones((1, 1, 2), np.bool_)}
        assert cycles(load(graph(), placement, MachineConfig()), spikes).hops == (3 + 2) * 63
    else:
        error = refused(CapacityError, graph(), placement, MachineConfig())
        assert (error.where, error.what) == ("placement", f"a mesh of {width} x {height} cores")


def test_the_widths_of_flits_and_axon_entries_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    load(graph(), ONE, MachineConfig(lanes=1))
    for name, at, where, what in (
        ("MAX_AXONS", 3, "core 0", "3 source cells lead to the core, its axon table has 2 entries"),
        ("MAX_WORDS", 2, "in", "a cell with 2 synapse words on one core, a row has at most 1"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(load_module, name, at)
            load(graph(), ONE, MachineConfig(lanes=1))
            patch.setattr(load_module, name, at - 1)
            error = refused(CapacityError, graph(), ONE, MachineConfig(lanes=1))
            assert (error.where, error.what) == (where, what)
    monkeypatch.setattr(load_module, "MAX_AXONS", 1)
    assert refused(CapacityError, graph(), ONE, MachineConfig()).findings[-1].message == (
        "the host reads 2 cells, a flit can name 1"
    )


def test_every_violation_is_a_finding() -> None:
    config = MachineConfig(delay_slots=2, weight_bits=2)
    error = refused(CapacityError, graph(np.full((2, 3), 7, np.int8), delay=9), ONE, config)
    assert [finding.where for finding in error.findings] == ["edge in -> s", "s"]


def test_wires_that_the_machine_does_not_have_are_refused() -> None:
    error = refused(GraphError, graph(late=1), ONE, MachineConfig())
    assert (error.where, error.what) == ("edge s -> p0", "a population is fed by synapses, without delay")
    nodes = {"in": FixedInput((2,)), "p0": population("one", (2,)), "out": Output((2,))}
    direct = Graph(nodes, (Edge("in", "p0"), Edge("p0", "out")))
    assert refused(GraphError, direct, ONE, MachineConfig()).where == "edge in -> p0"
    nodes = {**graph(kind="silent").nodes, "s2": DenseSynapses(np.ones((1, 2), np.int8), (2,), (1,))}
    behind = Graph({**nodes, "o2": Output((1,))}, (*graph().edges, Edge("p0", "s2"), Edge("s2", "o2")))
    error = refused(GraphError, behind, ONE, MachineConfig())
    assert (error.where, error.what) == ("edge p0 -> s2", "synapses are fed by inputs and by populations that spike")


def test_a_placement_of_another_graph_is_refused() -> None:
    error = refused(GraphError, chain(1, 3), ONE, MachineConfig())
    assert error.where == "p0"


@pytest.mark.parametrize(
    ("spikes", "word"),
    [
        ({"in": np.zeros((1, 1, 3))}, "'p0'"),
        ({"in": np.zeros((1, 1, 3)), "p0": np.zeros((1, 1, 3))}, "2 cells"),
        ({"in": np.zeros((1, 1, 3)), "p0": np.zeros(2)}, "2 cells"),
        ({"in": np.zeros((1, 1, 3)), "p0": np.zeros((2, 1, 2))}, "steps"),
        ({"in": np.zeros((1, 2, 3)), "p0": np.zeros((1, 1, 2))}, "samples"),
    ],
)
def test_rasters_that_do_not_fit_are_refused(spikes: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError) as caught:
        cycles(load(graph(), ONE, MachineConfig()), spikes)
    assert word in caught.value.what
    assert caught.value.where == "spikes"
    assert caught.value.fix


def test_rounds_too_long_to_be_counted_are_refused() -> None:
    """The fast model holds 30 bits of a cycle."""
    spikes = {"in": np.ones((1, 1, 1100), np.bool_), "p0": np.zeros((1, 1, 1), np.bool_)}
    placement = Placement(1, 1, (Part("p0", 0, 1, 0),))
    for interval, fits in ((976_126, True), (976_127, False)):
        machine = load(chain(1100, 1), placement, MachineConfig(host_interval=interval, axon_cycles=1000))
        if fits:
            assert cycles(machine, spikes).rounds[0, 0, 0, ROUND_NAMES.index("host_end")] == 1100 * interval
        else:
            with pytest.raises(CapacityError, match="a round of 1100 flits") as caught:
                cycles(machine, spikes)
            assert caught.value.where == "machine"
            assert "host_interval" in caught.value.fix


def test_depth_is_the_longest_path_without_delay() -> None:
    built = chain(1, 1, 1, 1)
    skip = DenseSynapses(np.ones((1, 1), np.int8), (1,), (1,))
    edges = (*built.edges, Edge("in", "skip"), Edge("skip", "p2"), Edge("p2", "back", "x", 1), Edge("back", "p0"))
    assert depths(Graph({**built.nodes, "skip": skip, "back": skip}, edges)) == {"in": 0, "p0": 1, "p1": 2, "p2": 3}
    late = Graph(built.nodes, tuple(Edge(e.source, e.target, e.port, int(e.target == "s0")) for e in built.edges))
    assert depths(late) == {"in": 0, "p0": 0, "p1": 1, "p2": 2}


def test_the_tables_hold_what_the_memories_of_the_clocked_model_hold() -> None:
    for seed in range(40):
        case = random_case(seed)
        filled, content = load(case.graph, case.placement, case.config), image(case.graph, case.placement, case.config)
        for number, source in enumerate(filled.sources):
            for cell in range(filled.cells[number + 1] - filled.cells[number]):
                place = filled.cells[number] + cell
                listed = []
                for entry in filled.entries[filled.lists[place] : filled.lists[place + 1]].tolist():
                    x, y = entry >> 20 & 63, entry >> 26 & 63
                    core = -1 if entry & HOST_BIT else y * filled.width + x
                    listed.append((core, entry & (2**20 - 1)))
                words = [(c, len(content.cores[c].axons[a]) if c >= 0 else 0) for c, a in content.lists[source, cell]]
                assert listed == words, f"net {seed}, {source} {cell}"
