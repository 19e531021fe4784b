"""1,000 random nets on SpiNNaker: what is read from the artefact runs to the bits of the engine.

Nets of one to three populations, with all that a net can have: both models of neurons, readouts, biases, gains of
either sign, delays, recurrence, two projections onto one population, weights of 0; shifts that sPyNNaker takes by
itself, or, in every fifth, calibrated on few spikes and run on many, so that ring buffers saturate.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bulk import numbers
from small_nets import spikes

from norse_export.engine.network import compile_network
from norse_export.files.child import Parsed
from norse_export.files.limits import Limits
from norse_export.interpret.fixed import emulate
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.stages import FAMILIES, Neuron
from norse_export.passes.quantise import QuantiseChoice
from norse_export.targets.spinnaker import SpinnakerTarget, reading
from norse_export.targets.spinnaker.artefact import write
from norse_export.targets.spinnaker.limits import usage
from norse_export.targets.spinnaker.target import NETWORK

GROUPS, NETS = 50, 20  # so many groups of so many nets
STEPS, SAMPLES, INPUTS = 24, 2, 8
FAMILIES_OF_SPIKES = ("cuba_lif", "lif", "cuba_lif_gain", "lif_gain")
TARGET = SpinnakerTarget(states=True)
Rasters = dict[str, Any]


def neurons(generator: np.random.Generator, family: str, size: int) -> Neuron:
    """Neurons of a few kinds, that begin anywhere below their thresholds, with a current."""
    kind, uniform = FAMILIES[family], generator.uniform
    each = generator.integers(0, 3, size)
    values = {
        "alpha": uniform(0.02, 1, 3)[each],
        "beta": uniform(0.05, 0.7, 3)[each],
        "v_leak": uniform(-0.2, 0.2, size),
        "v_th": uniform(0.3, 1, size),
        "v_reset": uniform(-0.5, 0.2, size),
        "gain": generator.choice([-1, 1], size) * uniform(0.5, 2, size),
        "v": uniform(-0.3, 0.2, size),
        "i": generator.normal(size=size) / 2,
    }
    given: Any = {name: value.astype(np.float32) for name, value in values.items()}
    parameters, state = ({name: given[name] for name in names} for names in (kind.parameters, kind.state))
    return Neuron(family=kind, shape=(size,), parameters=parameters, initial_state=state, dt=1e-3)


def weights(generator: np.random.Generator, n_in: int, n_out: int, *, bias: bool = False) -> Linear:
    weight = generator.normal(size=(n_out, n_in)) * 4 / np.sqrt(n_in) * (generator.random((n_out, n_in)) < 0.8)
    return Linear(weight.astype(np.float32), generator.normal(size=n_out).astype(np.float32) / 5 if bias else None)


def net(generator: np.random.Generator) -> Graph[Any]:
    """A chain of populations, each perhaps with a loop and with a second road from the input; perhaps a readout."""
    nodes: dict[str, Any] = {"input": Input((INPUTS,), "float32")}
    edges: list[Edge] = []
    last, n_in = "input", INPUTS
    for k in range(int(generator.choice([1, 1, 1, 2, 2, 3]))):
        size, name = int(generator.integers(2, 8)), f"n{k}"
        nodes[f"w{k}"] = weights(generator, n_in, size, bias=bool(generator.random() < 0.4))
        nodes[name] = neurons(generator, str(generator.choice(FAMILIES_OF_SPIKES)), size)
        edges += [Edge(last, f"w{k}", "x", 0 if k else int(generator.integers(0, 4))), Edge(f"w{k}", name)]
        if generator.random() < 0.4:
            nodes[f"loop{k}"] = weights(generator, size, size)
            edges += [Edge(name, f"loop{k}", "x", int(generator.integers(1, 40))), Edge(f"loop{k}", name)]
        if generator.random() < 0.3:
            nodes[f"skip{k}"] = weights(generator, INPUTS, size)
            edges += [Edge("input", f"skip{k}", "x", int(generator.integers(0, 3))), Edge(f"skip{k}", name)]
        last, n_in = name, size
    if generator.random() < 0.3:
        nodes["read"] = neurons(generator, str(generator.choice(["cuba_li", "li"])), n_in)
        edges.append(Edge(last, "read"))
        last = "read"
    return Graph({**nodes, "output": Output((n_in,))}, (*edges, Edge(last, "output")))


def raster(generator: np.random.Generator, rate: float) -> Rasters:
    return {"input": spikes(generator, STEPS, SAMPLES, INPUTS, rate=rate)}


def read_here(parser: str, file: Any, *, name: str, limits: Limits) -> Parsed:
    """What the child process does, in this one: a process for each of 1,000 nets would take a minute by itself."""
    assert parser.endswith(":parse")
    return Parsed(*reading.parse(file, limits))


@pytest.mark.parametrize("group", numbers(GROUPS, 1))
def test_artefacts_run_to_the_engine_s_bits(group: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "parse_in_child", read_here)
    fired = saturated = 0
    for number in range(NETS):
        generator = np.random.default_rng([group, number])
        graph, calibrated = net(generator), number % 5 == 0
        made = TARGET.lower(graph, QuantiseChoice(), raster(generator, 0.05) if calibrated else None)
        with (tmp_path / NETWORK).open("wb") as file:
            write(file, made.graph, usage(made.graph))
        inputs = raster(generator, 0.9 if calibrated else 0.3)
        actual = emulate(TARGET.read(tmp_path, Limits()), inputs, states=True)
        done = compile_network(made.graph).run(inputs, states=True)
        assert differing(done.run, actual) == [], number
        fired += sum(int(sent.sum()) for sent in actual.spikes.values())
        saturated += sum(done.activity.saturated.values())
    assert fired > 500
    assert saturated > 0


def differing(expected: Any, actual: Any) -> list[str]:
    """What is not the same in both, of all spikes, outputs and states."""
    found = []
    for kind in ("spikes", "outputs"):
        one, other = getattr(expected, kind), getattr(actual, kind)
        found += [name for name in {*one, *other} if not np.array_equal(one.get(name), other.get(name))]
    assert expected.observables.keys() == actual.observables.keys()
    for name, recorded in expected.observables.items():
        found += [f"{name}.{key}" for key, held in recorded.items() if not _same(held, actual.observables[name], key)]
    return found


def _same(held: Any, other: Any, key: str) -> bool:
    return key in other and np.array_equal(held, other[key])


def test_a_difference_of_one_bit_is_seen(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    made, inputs = TARGET.lower(net(generator), QuantiseChoice(), None), raster(generator, 0.3)
    TARGET.emit(made.graph, tmp_path)
    actual = TARGET.run(tmp_path, inputs)
    done = compile_network(made.graph).run(inputs, states=True).run
    assert differing(done, actual) == []
    done.observables["n0"]["i_exc"][5, 0, 1] += 1
    assert differing(done, actual) == ["n0.i_exc"]
