"""The walk over a graph keeps what a run consists of, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np
from small_nets import cuba_lif, graph

from norse_export.interpret.plain import _Plain
from norse_export.ir.layers import Input, Output, Scale, Sum
from norse_export.ir.walk import execute
from norse_export.passes.discretise import discretise

F = np.float32


def test_only_populations_and_outputs_are_kept() -> None:
    twice = Scale(np.full(2, 2, F))
    nodes: dict[str, Any] = {"input": Input((2,)), "a": twice, "b": twice, "lif": cuba_lif((2,)), "sum": Sum((2,))}
    nodes |= {"output": Output((2,))}
    edges = [("input", "a"), ("a", "b"), ("b", "lif"), ("lif", "sum"), ("input", "sum"), ("a", "sum", "x", 1)]
    net = discretise(graph(nodes, [*edges, ("sum", "sum", "x", 1), ("sum", "output")]))
    x = np.ones((3, 1, 2), F)
    sent = execute(net, {"input": x}, 3, _Plain(np.dtype(F), 1, record=False))
    assert set(sent) == {"lif", "output"}
    fired = sent["lif"][:, 0, 0].tolist()
    expected = np.cumsum([fired[t] + 1 + (2 if t else 0) for t in range(3)])
    assert sent["output"][:, 0, 0].tolist() == expected.tolist()
