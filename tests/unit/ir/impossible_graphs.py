"""Thirty graphs that cannot be, each with the kind of its error and what the message has to name.

Run as a program, it prints what each of them raises: for a run without assertions.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from norse_export.errors import ExportError, locating
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import IF, CubaLIF

F = np.float32
Row = tuple[Callable[[], Any], str, tuple[str, ...]]


def around(make: Callable[[], Any], *, taken: tuple[int, ...] = (3,), sent: tuple[int, ...] = (3,)) -> Any:
    """input -> 2.lif -> output, the node in the middle made as a front end makes it."""
    with locating("2.lif"):
        node = make()
    nodes = {"input": Input(taken), "2.lif": node, "output": Output(sent)}
    return Graph(nodes, (Edge("input", "2.lif"), Edge("2.lif", "output")))


def lif(**changes: Any) -> Callable[[], Any]:
    values = {"tau_mem": np.full(3, 1e-2), "tau_syn": np.full(3, 5e-3), "v_leak": F(0), "v_th": F(1), "v_reset": F(0)}
    return lambda: around(lambda: CubaLIF(**{"shape": (3,), "dt": 1e-3, **values, **changes}))


def at(index: int, value: Any, rest: Any = 1.0) -> Any:
    array = np.full(3, rest, dtype=np.result_type(type(value), np.float64))
    array[index] = value
    return array


def conv(**changes: Any) -> Callable[[], Any]:
    values: dict[str, Any] = {"weight": np.ones((2, 2, 3, 3), F), "size": (5, 5), **changes}
    return lambda: around(lambda: Conv(**values), taken=(2, 5, 5), sent=(2, 3, 3))


def linear(weight: Any, bias: Any = None) -> Callable[[], Any]:
    return lambda: around(lambda: Linear(weight, bias))


def loop(delay: int, *, through: Any = None) -> Callable[[], Any]:
    def make() -> Any:
        nodes = {"input": Input((3,)), "sum": Sum((3,)), "w": through or Scale(np.ones(3, F)), "output": Output((3,))}
        edges = (Edge("input", "sum"), Edge("sum", "w"), Edge("w", "sum", "x", delay), Edge("sum", "output"))
        return Graph(nodes, edges)

    return make


def wired(*edges: Edge) -> Callable[[], Any]:
    return lambda: Graph({"input": Input((3,)), "sum": Sum((3,)), "output": Output((3,))}, edges)


ONES = np.ones((3, 3), F)
FIRST, LAST = Edge("input", "sum"), Edge("sum", "output")
ROWS: dict[str, Row] = {
    "NaN weight": (linear(np.where(np.eye(3) > 0, np.nan, 1)), "nan", ("2.lif", "weight[0, 0]", "nan")),
    "infinite bias": (linear(ONES, at(2, np.inf)), "nan", ("2.lif", "bias[2]", "inf")),
    "NaN threshold": (lif(v_th=at(1, np.nan)), "nan", ("2.lif", "v_th[1]", "nan")),
    "infinite reset": (lif(v_reset=at(0, -np.inf)), "nan", ("2.lif", "v_reset[0]", "-inf")),
    "NaN time constant": (lif(tau_mem=at(1, np.nan)), "nan", ("2.lif", "tau_mem[1]", "nan")),
    "NaN initial state": (lif(i0=at(2, np.nan)), "nan", ("2.lif", "i0[2]", "nan")),
    "tau of 0": (lif(tau_mem=at(1, 0.0)), "tau", ("2.lif", "tau_mem[1]", "0.0", "above 0")),
    "negative tau": (lif(tau_syn=at(2, -1.0)), "tau", ("2.lif", "tau_syn[2]", "-1.0", "above 0")),
    "dt of twice tau": (lif(tau_mem=at(1, 5e-4)), "tau", ("2.lif", "tau_mem[1]", "0.0005", "dt = 0.001", "diverges")),
    "tau in the wrong unit": (lif(dt=1.0), "tau", ("2.lif", "tau_mem[0]", "0.01", "dt = 1", "(not ms)")),
    "a coefficient that is not dt/tau": (lif(alpha=at(1, 0.2, 0.1)), "coefficient", ("2.lif", "alpha[1]", "0.2")),
    "dt of 0": (lif(dt=0.0), "dt", ("2.lif", "dt = 0.0")),
    "infinite dt": (lif(dt=float("inf")), "dt", ("2.lif", "dt = inf")),
    "half precision": (lif(v_th=np.float16(1)), "dtype", ("2.lif", "v_th", "float16")),
    "complex weight": (linear(ONES * 1j), "dtype", ("2.lif", "weight", "complex")),
    "object weight": (linear(ONES.astype(object)), "dtype", ("2.lif", "weight", "object")),
    "empty population": (lif(shape=(0,)), "shape", ("2.lif", "(0,)")),
    "empty weight": (linear(np.ones((0, 3), F)), "shape", ("2.lif", "weight", "(0, 3)")),
    "empty input": (lambda: Input((3, 0)), "shape", ("(3, 0)",)),
    "a parameter for other neurons": (lif(v_leak=np.zeros(4)), "shape", ("2.lif", "v_leak", "(4,)", "(3,)")),
    "a weight for another input": (linear(np.ones((3, 4), F)), "shape", ("input -> 2.lif", "(3,)", "(4,)")),
    "stride of 0": (conv(stride=(0, 1)), "conv_stride", ("2.lif", "stride = (0, 1)")),
    "dilation of 0": (conv(dilation=(1, 0)), "conv_dilation", ("2.lif", "dilation = (1, 0)")),
    "groups of 0": (conv(groups=0), "conv_groups", ("2.lif", "groups = 0")),
    "groups that do not divide": (conv(groups=3), "conv_groups", ("2.lif", "groups = 3")),
    "negative padding": (conv(padding=(0, -1)), "conv_padding", ("2.lif", "padding = (0, -1)")),
    "a kernel larger than its input": (conv(size=(2, 5)), "shape", ("2.lif", "(2, 0, 3)")),
    "a pool larger than its input": (
        lambda: around(lambda: Pool("avg", (1, 2, 2), (3, 3), (1, 1)), taken=(1, 2, 2)),
        "shape",
        ("2.lif", "(1, 0, 0)"),
    ),
    "a flatten of axes that are not there": (lambda: around(lambda: Flatten((3,), 0, 2)), "shape", ("2.lif", "(3,)")),
    "a loop without a delay": (loop(0), "loop", ("sum", "w", "without a delay")),
    "an edge to nowhere": (wired(FIRST, LAST, Edge("sum", "nowhere")), "edge", ("'nowhere'",)),
    "an edge twice": (wired(FIRST, FIRST, LAST), "edge", ("input -> sum", "twice")),
    "an edge into no port": (wired(FIRST, LAST, Edge("input", "sum", "r")), "edge", ("'sum'", "'r'")),
    "a negative delay": (wired(Edge("input", "sum", "x", -2), LAST), "edge", ("input -> sum", "-2")),
    "a node without an input": (wired(LAST), "unconnected", ("sum", "'x'")),
    "a gain on a recurrent population": (lif(recurrent=True, r=F(2)), "gain", ("2.lif", "recurrent")),
}
POSSIBLE: dict[str, Callable[[], Any]] = {
    "a loop with a delay": loop(1),
    "a loop through an integrate-and-fire population": loop(
        2, through=IF(shape=(3,), dt=1e-3, v_th=F(0.5), v_reset=F(0))
    ),
    "a LIF": lif(),
    "an infinite tau": lif(tau_mem=np.full(3, np.inf)),
    "dt of tau": lif(tau_mem=np.full(3, 1e-3)),
    "dt just below twice tau": lif(tau_mem=np.full(3, 0.5001e-3)),
    "a threshold below the reset": lif(v_th=F(-1)),
    "float64": lif(dtype="float64", v_th=np.float64(1)),
    "a convolution": conv(),
}


def outcome(make: Callable[[], Any]) -> tuple[str, str]:
    """Kind of the error that is raised, and its text; ("", "") for none."""
    try:
        make()
    except ExportError as error:
        return error.findings[0].kind, str(error)
    return "", ""


if __name__ == "__main__":
    sys.stdout.write("\n".join(outcome(make)[0] for make, *_ in ROWS.values()))
