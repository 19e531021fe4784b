"""How far dense networks on SpiNNaker are from their models: hidden spikes, calibrated shifts against sPyNNaker's own.

    python benchmarks/spinnaker.py

Networks n-m-10 of Norse's LIF with default time constants, weights normal with sd 2/sqrt(fan-in), inputs at a rate of
0.1, 200 steps; calibrated on one raster and judged on another. Of the cells of the hidden layer, the share that differ
from the model in float64, mean of five seeds. Prints JSON; ends with 1 where the calibrated share is above 0.3 % or
above a fifth of the default's.
"""

from __future__ import annotations

import json
import sys
from itertools import pairwise
from typing import Any

import numpy as np

from norse_export import registry
from norse_export.interpret import interpret
from norse_export.interpret.fixed import emulate
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.neurons import CubaLIF
from norse_export.passes.discretise import discretise
from norse_export.passes.quantise import QuantiseChoice

SIZES = ((40, 64, 10), (200, 64, 10), (784, 100, 10))
STEPS, RATE, SEEDS, DT = 200, 0.1, 5, 1e-3
MOST, PART = 0.003, 5
HIDDEN = "lif0"


def network(sizes: tuple[int, ...], generator: np.random.Generator) -> Graph[Any]:
    """input -> (Linear -> LIF) for each pair of sizes -> output."""
    levels = {"v_leak": np.float32(0), "v_th": np.float32(1), "v_reset": np.float32(0)}
    times = {"tau_mem": np.float32(1e-2), "tau_syn": np.float32(5e-3)}
    nodes: dict[str, Any] = {"input": Input((sizes[0],), "float32")}
    for number, (n_in, n_out) in enumerate(pairwise(sizes)):
        weight = generator.normal(size=(n_out, n_in)) * 2 / np.sqrt(n_in)
        nodes[f"linear{number}"] = Linear(weight.astype(np.float32))
        nodes[f"lif{number}"] = CubaLIF(shape=(n_out,), dt=DT, **times, **levels)
    nodes["output"] = Output((sizes[-1],))
    return discretise(Graph(nodes, tuple(Edge(*pair) for pair in pairwise(nodes))))


def shares(sizes: tuple[int, ...], seed: int) -> dict[str, float]:
    """The share of hidden cells that differ, in percent, with shifts calibrated and with sPyNNaker's own."""
    target: Any = registry.load("spinnaker")
    generator = np.random.default_rng(seed)
    model = network(sizes, generator)
    given, judged = ({"input": (generator.random((STEPS, 1, sizes[0])) < RATE).astype(np.float32)} for _ in range(2))
    expected = interpret(model, judged, dtype="float64").spikes[HIDDEN]
    found = {}
    for name, search in (("calibrated", True), ("default", False)):
        made = target.lower(model, QuantiseChoice(search=search), given)
        late = made.skew[HIDDEN]
        actual = emulate(made.graph, judged).spikes[HIDDEN]
        found[name] = 100 * float(np.mean(expected[: STEPS - late] != actual[late:]))
    return found


def main() -> int:
    """Measure and print."""
    record: dict[str, Any] = {"name": "spinnaker.dense", "unit": "% of the hidden layer's cells", "seeds": SEEDS}
    good = True
    for sizes in SIZES:
        each = [shares(sizes, seed) for seed in range(SEEDS)]
        mean = {name: float(np.mean([one[name] for one in each])) for name in each[0]}
        record["-".join(map(str, sizes))] = {name: round(share, 4) for name, share in mean.items()}
        good &= mean["calibrated"] <= min(100 * MOST, mean["default"] / PART)
    sys.stdout.write(json.dumps(record | {"good": good}, indent=1) + "\n")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
