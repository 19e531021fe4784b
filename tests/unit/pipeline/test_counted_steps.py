"""Models whose framework counts time in steps: dt is assumed, told, and given without --override."""

from __future__ import annotations

import numpy as np

from norse_export.ir.doubts import COUNTED, doubts
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Output
from norse_export.ir.neurons import KINDS
from norse_export.ir.step_choice import StepChoice
from norse_export.passes.discretise import discretise
from norse_export.pipeline.time_step import with_steps


def counted() -> Graph:
    neuron = KINDS["LeakySubtract"](shape=(2,), dt=1e-4, decay_v=np.float32(0.9), v_th=np.float32(1))
    nodes = {"input": Input((2,), "float32"), "lif": neuron, "output": Output((2,))}
    edges = (Edge("input", "lif", "x", 0), Edge("lif", "output", "x", 0))
    return Graph(nodes, edges, {COUNTED: "snnTorch"})


def test_an_assumed_step_is_told() -> None:
    (note,) = doubts(counted())
    assert (note.kind, note.severity) == ("assumed", "note")
    assert note.message == "snnTorch counts time in steps: a step of 0.0001 s is assumed"
    assert "--dt" in note.fix
    assert doubts(Graph(counted().nodes, counted().edges, {})) == ()


def test_a_step_that_was_assumed_may_be_given() -> None:
    graph, findings = with_steps(counted(), StepChoice(dt=1e-3))
    assert findings == ()
    assert graph.nodes["lif"].dt == 1e-3
    before, after = (discretise(one).nodes["lif"].parameters for one in (counted(), graph))
    assert all(np.array_equal(before[name], after[name]) for name in before)  # nothing of the step depends on it
