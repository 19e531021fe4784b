"""Random models on SpiNNaker: nearly the spikes of float64."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_nets import spikes

from norse_export.interpret import interpret
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.stages import FAMILIES, Neuron
from norse_export.passes.quantise import QuantiseChoice
from norse_export.program.families import Rule, family
from norse_export.program.program import Family
from norse_export.targets.spinnaker import SpinnakerTarget

pytestmark = pytest.mark.bulk  # the default suite has whole exports
STEPS, SEEDS = 80, range(24)
GE, FIRST = Rule(threshold="ge"), Rule(order="membrane_first")
KINDS = [
    *(family(name, gain=gain) for name in ("cuba_lif", "lif") for gain in (False, True)),
    *(family("cuba_lif", rule=rule) for rule in (GE, FIRST, Rule(reset="zero"))),
    family("lif_refrac"),
    family("lif", rule=GE),
    family("if"),
    family("leaky_zero"),
    family("synaptic_zero"),
    family("lif_quotient_whole"),
    family("threshold"),
]
WEAK = ("lif", "lif_gain", "lif_ge")  # of what arrives they take the part alpha
TARGET = SpinnakerTarget(states=True)


def neurons(generator: np.random.Generator, kind: Family, size: int) -> Neuron:
    """Neurons that are all different, and begin anywhere below their thresholds, with a current."""
    uniform = generator.uniform
    values = {
        "alpha": uniform(0.02, 0.5, size),
        "beta": uniform(0.05, 0.9, size),
        "decay_v": uniform(0.5, 0.98, size),
        "decay_i": uniform(0.1, 0.95, size),
        "tau_steps": uniform(2, 50, size),
        "v_leak": uniform(-0.2, 0.2, size),
        "v_th": uniform(0.5, 1, size),
        "v_reset": uniform(-0.5, 0.2, size),
        "rho_reset": generator.integers(0, 5, size),
        "rho": generator.integers(0, 3, size),
        "gain": generator.choice([-1, 1], size) * uniform(0.5, 2, size),
        "v": uniform(-0.3, 0.3, size),
        "i": generator.normal(size=size) / 2,
    }
    given: Any = {name: value.astype(np.float32) for name, value in values.items()}
    parameters, state = ({name: given[name] for name in names} for names in (kind.parameters, kind.state))
    return Neuron(family=kind, shape=(size,), parameters=parameters, initial_state=state, dt=1e-3)


def model(seed: int) -> tuple[Graph[Any], dict[str, Any]]:
    """Three layers of any family with weights and biases, a delay at the first, a readout; and a raster."""
    generator = np.random.default_rng(seed)
    nodes: dict[str, Any] = {"input": Input((8,), "float32")}
    edges: list[Edge] = []
    last, n_in = "input", 8
    for number in range(3):
        size = int(generator.integers(3, 8))
        kind = KINDS[int(generator.integers(len(KINDS)))]
        weight = generator.normal(size=(size, n_in)) * (8 if kind.name in WEAK else 3) / np.sqrt(n_in)
        bias = generator.normal(size=size) / 5
        nodes[f"w{number}"] = Linear(weight.astype(np.float32), bias.astype(np.float32))
        nodes[f"n{number}"] = neurons(generator, kind, size)
        delay = 0 if number else int(generator.integers(0, 3))
        edges += [Edge(last, f"w{number}", "x", delay), Edge(f"w{number}", f"n{number}")]
        last, n_in = f"n{number}", size
    nodes["read"] = neurons(generator, FAMILIES[str(generator.choice(["cuba_li", "li"]))], n_in)
    nodes["output"] = Output((n_in,))
    edges += [Edge(last, "read"), Edge("read", "output")]
    return Graph(nodes, tuple(edges)), {"input": spikes(generator, STEPS, 2, 8)}


def test_few_spikes_differ_from_those_of_float64(tmp_path: Path) -> None:
    sent, differing = Counter[bool](), Counter[bool]()
    for seed in SEEDS:
        graph, inputs = model(seed)
        made = TARGET.lower(graph, QuantiseChoice(), inputs)
        folder = tmp_path / str(seed)
        folder.mkdir()
        TARGET.emit(made.graph, folder)
        expected, actual = interpret(graph, inputs, dtype="float64").spikes, TARGET.run(folder, inputs).spikes
        forgets = True
        for name, raster in expected.items():
            late = made.skew[name]
            forgets = forgets and graph.nodes[name].family.name != "if"  # which keeps every rounding
            differing[forgets] += int(np.count_nonzero(raster[: STEPS - late] != actual[name][late:]))
            sent[forgets] += int(raster.sum())
    assert sent[True] > 5000
    assert differing[True] <= sent[True] / 200
    assert sent[False] > 500
    assert differing[False] <= sent[False] / 200
