"""A placement is checked when it is made, and against the graph that it places."""

from __future__ import annotations

import numpy as np
import pytest

from norse_export.errors import GraphError
from norse_export.ir.fixed import DenseSynapses, FixedInput, Population
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Output
from norse_export.ir.placement import MAX_SIDE, Part, Placement, check_placement
from norse_export.program.laws import Law, integer_family

PARTS = (Part("a", 0, 3, 0), Part("b", 0, 2, 0), Part("a", 3, 5, 5))


def graph(neurons: int = 5) -> Graph[object]:
    program = integer_family("if", Law(), 0).trace()
    values = {"v_bias": np.int64(0), "v_th": np.int64(1), "v_reset": np.int64(0)}
    nodes = {
        "input": FixedInput((3,)),
        "s": DenseSynapses(np.ones((neurons, 3), np.int8), (3,), (neurons,)),
        "a": Population(
            program=program, shape=(neurons,), parameters=values, initial_state={"v": np.int64(0)}, dt=1e-3
        ),
        "output": Output((neurons,)),
    }
    return Graph(nodes, (Edge("input", "s"), Edge("s", "a"), Edge("a", "output")))  # type: ignore[arg-type]


def test_it_gives_its_parts_by_core_and_by_population() -> None:
    placement = Placement(3, 2, PARTS)
    assert placement.cores == 6
    assert placement.by_core == {0: PARTS[:2], 5: PARTS[2:]}
    assert placement.by_population == {"a": (PARTS[0], PARTS[2]), "b": (PARTS[1],)}
    assert dict(placement.sizes) == {"a": 5, "b": 2}
    assert PARTS[2].neurons == 2


@pytest.mark.parametrize("side", [0, -1, MAX_SIDE + 1])
def test_a_mesh_that_cannot_be_is_refused(side: int) -> None:
    for width, height in ((side, 1), (1, side)):
        with pytest.raises(GraphError, match="mesh") as caught:
            Placement(width, height, ())
        assert (caught.value.where, str(MAX_SIDE) in caught.value.fix) == ("placement", True)
    Placement(MAX_SIDE, MAX_SIDE, ())


@pytest.mark.parametrize(
    "parts",
    [
        (Part("a", 1, 2, 0),),
        (Part("a", 0, 0, 0),),
        (Part("a", 0, 2, 0), Part("a", 1, 3, 0)),
        (Part("a", 0, 2, 0), Part("a", 3, 4, 0)),
        (Part("a", 2, 4, 0), Part("a", 0, 2, 0)),
        (Part("a", 0, 2, 6),),
        (Part("a", 0, 2, -1),),
    ],
)
def test_a_gap_an_overlap_and_a_core_outside_are_refused(parts: tuple[Part, ...]) -> None:
    with pytest.raises(GraphError) as caught:
        Placement(3, 2, parts)
    assert (caught.value.where, caught.value.fix) == ("a", "place the graph again")


def test_every_violation_is_a_finding() -> None:
    with pytest.raises(GraphError) as caught:
        Placement(1, 1, (Part("a", 1, 2, 0), Part("b", 0, 2, 1), Part("c", 0, 1, 7)))
    assert {finding.where for finding in caught.value.findings} == {"a", "b", "c"}


def test_it_is_checked_against_its_graph() -> None:
    check_placement(Placement(1, 1, (Part("a", 0, 5, 0),)), graph())
    with pytest.raises(GraphError, match="5 neurons are placed, the graph has 6"):
        check_placement(Placement(1, 1, (Part("a", 0, 5, 0),)), graph(6))
    with pytest.raises(GraphError) as caught:
        check_placement(Placement(1, 1, (Part("b", 0, 5, 0),)), graph())
    assert {finding.where for finding in caught.value.findings} == {"a", "b"}
