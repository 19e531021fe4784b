"""Every family whose dynamics are those of whole numbers: exact in `sim` on grids of powers of two, close elsewhere.

On a grid each value of the float run is a multiple of what a 1 of its state stands for, and products round nothing:
then whole numbers give every spike and every state of it. A step that squares a state, or multiplies two, doubles the
bits of its states, and soon no number holds them: such a family is held to as many steps as are on the grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from bulk import some
from family_values import EVERY_RULE, knows
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from norse_export.engine.network import compile_network
from norse_export.interpret import interpret
from norse_export.interpret.fixed import emulate
from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.stages import DiscreteNode, Neuron
from norse_export.passes.quantise import QuantiseChoice, Quantised, quantise
from norse_export.passes.translate import obstacles
from norse_export.program.families import DYNAMICS, family
from norse_export.program.laws import Law
from norse_export.program.operations import HALF_EVEN, STOCHASTIC
from norse_export.program.program import Family

Array = NDArray[Any]
N, CELLS, STEPS = 5, 6, 7
WIDE = Law(weight_bits=16, state_bits=32, decay_bits=16)
SHARES = ("alpha", "beta", "zeta", "gamma", "beta_e", "beta_i", "g_l", "square", "u_v", "scale", "share")
DECAYS = ("decay_v", "decay_i", "decay_e")
PRODUCTS = ("izhikevich", "coba_lif")  # two steps at least are on the grid
FAMILIES = {
    made.name: made
    for name in DYNAMICS
    for recurrent in (False, True)
    for rule in EVERY_RULE
    if knows(name, rule) and not (recurrent and (name == "coba_lif" or not family(name).spikes))
    for made in [family(name, recurrent=recurrent, rule=rule)]
    if not list(obstacles(made.trace()))
}


def on_grid(name: str, rng: np.random.Generator, size: int) -> Array:
    """Values of a parameter or a state, multiples of a power of two."""
    if name in ("rho", "rho_reset"):
        return rng.integers(0, 4, size).astype(float) if name == "rho_reset" else np.zeros(size)
    if name in SHARES or name in DECAYS:
        return rng.choice([0.25, 0.5, 1.0] if name in ("g_l", "scale") else [0.25, 0.5], size)
    if name == "tau_steps":
        return rng.choice([2.0, 4.0], size)
    if name == "v_th":
        return rng.choice([0.5, 0.75, 1.0], size)
    return rng.integers(-4, 5, size) / 8


def net(made: Family, rng: np.random.Generator, draw: Any = on_grid) -> Graph[DiscreteNode]:
    """Weights into every port that is no loop, the neurons, and their own spikes, a step later, into the others."""
    node = Neuron(
        family=made,
        shape=(N,),
        parameters={name: draw(name, rng, N) for name in made.parameters},
        initial_state={name: draw(name, rng, N) for name in made.state},
        dt=1e-3,
    )
    nodes: dict[str, DiscreteNode] = {"input": Input((CELLS,), "float64"), "neurons": node, "output": Output((N,))}
    edges = []
    for port in made.ports:
        loop = port == "r"
        weight = rng.integers(-4, 14, (N, N if loop else CELLS)) / 16
        bias = None if loop else rng.integers(-1, 2, N) / 16
        nodes[f"to {port}"] = Linear(weight, bias)
        edges += [
            Edge("neurons" if loop else "input", f"to {port}", "x", int(loop)),
            Edge(f"to {port}", "neurons", port),
        ]
    return Graph(nodes, (*edges, Edge("neurons", "output")))


def spikes(rng: np.random.Generator, steps: int = STEPS, samples: int = 3) -> dict[str, Array]:
    return {"input": (rng.random((steps, samples, CELLS)) < 0.6).astype(float)}


def on_the_grid(made: Quantised, states: dict[str, Array]) -> int:
    """So many steps of a float run have states that whole numbers hold."""
    unit = made.graph.nodes["neurons"].unit  # type: ignore[union-attr]
    whole = [np.all(x / unit[name] % 1 == 0, axis=(1, 2)) for name, x in states.items()]
    both = np.logical_and.reduce(whole) if whole else np.ones(STEPS, bool)
    return int(np.argmin(both)) if not both.all() else len(both)


@pytest.mark.parametrize("name", FAMILIES)
@settings(max_examples=6)
@given(seed=st.integers(0, 2**32 - 1), strict=st.booleans())
def test_on_a_grid_whole_numbers_do_what_the_model_does(name: str, seed: int, strict: bool) -> None:
    rng = np.random.default_rng(seed)
    graph, x = net(FAMILIES[name], rng), spikes(rng)
    bits = 28 if name.startswith(PRODUCTS) else 32  # of which the multiplier takes all
    law = Law(weight_bits=16, state_bits=bits, decay_bits=16, strict=strict)
    expected = interpret(graph, x, states=True)
    made = quantise(graph, QuantiseChoice(law=law), x)
    actual = emulate(made.graph, x, states=True)
    states = {key: np.asarray(value, np.float64) for key, value in expected.observables.get("neurons", {}).items()}
    steps = on_the_grid(made, states)
    assert steps >= (1 if name.startswith(PRODUCTS) else STEPS), (name, steps)
    for key, value in states.items():
        unit = made.graph.nodes["neurons"].unit[key]  # type: ignore[union-attr]
        assert np.array_equal(actual.observables["neurons"][key][:steps] * unit, value[:steps]), key
    if FAMILIES[name].spikes:
        assert np.array_equal(actual.spikes["neurons"][:steps], expected.spikes["neurons"][:steps])
    else:
        assert np.array_equal(actual.outputs["output"][:steps], expected.outputs["output"][:steps])


def anywhere(name: str, rng: np.random.Generator, size: int) -> Array:
    """Values that are no short fractions."""
    if name in ("rho", "rho_reset"):
        return on_grid(name, rng, size)
    if name in SHARES:
        return rng.uniform(0.3, 0.9, size) if name in ("g_l", "scale") else rng.uniform(0.05, 0.4, size)
    if name in DECAYS:
        return rng.uniform(0.5, 0.95, size)
    if name == "tau_steps":
        return rng.uniform(2, 9, size)
    return rng.uniform(0.2, 0.6, size) if name == "v_th" else rng.uniform(-0.2, 0.2, size)


@pytest.mark.parametrize("name", FAMILIES)
def test_whole_numbers_of_many_bits_are_close_to_the_model(name: str) -> None:
    """Every spike of 40 steps, but for those that a rounding of the weights decides: at most one in a hundred."""
    rng = np.random.default_rng(sum(map(ord, name)))
    graph, x = net(FAMILIES[name], rng, anywhere), spikes(rng, 40)
    made = quantise(graph, QuantiseChoice(law=WIDE), x)
    (cost,) = made.table
    if cost.spikes_before is None:
        assert cost.value_error is not None
        assert cost.value_error < 1e-3
    else:
        assert cost.spikes_before > 0
        assert cost.differing is not None
        assert cost.differing <= cost.spikes_before / 100


LAWS = (Law(), Law(state_bits=12, overflow="wrap", rounding=STOCHASTIC), Law(state_bits=16, rounding=HALF_EVEN))
COMPILED = ("lsnn", "lif_refrac", "izhikevich", "coba_lif", "leaky_subtract_now", "alpha_zero")  # no two are alike


@pytest.mark.parametrize("name", some(FAMILIES, COMPILED))
def test_the_engine_does_what_the_program_does_on_arrays(name: str) -> None:
    rng, law = np.random.default_rng(len(name)), LAWS[sum(map(ord, name)) % 3]
    graph, x = net(FAMILIES[name], rng, anywhere), spikes(rng, 20)
    made = quantise(graph, QuantiseChoice(law=law, search=False), x)
    expected = emulate(made.graph, x, states=True)
    actual = compile_network(made.graph).run(x, states=True).run
    for key, value in expected.observables.get("neurons", {}).items():
        assert np.array_equal(actual.observables["neurons"][key], value), key
    for key, value in {**expected.spikes, **expected.outputs}.items():
        assert np.array_equal({**actual.spikes, **actual.outputs}[key], value)
