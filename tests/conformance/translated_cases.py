"""Fixed graphs whose populations have steps that are translated from those of float families, beside functions."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from fixed_builder import Case, drawn
from numpy.typing import NDArray

from norse_export.ir.graph import Edge, Graph
from norse_export.ir.layers import Input, Linear, Output
from norse_export.ir.shaping import Elementwise
from norse_export.ir.stages import DiscreteNode, Neuron
from norse_export.passes.quantise import QuantiseChoice, quantise
from norse_export.program.families import family
from norse_export.program.laws import Law
from norse_export.program.operations import STOCHASTIC

Array = NDArray[Any]
N = 4
NUMBERS = {
    "alpha": 0.31,
    "beta": 0.23,
    "zeta": 0.11,
    "v_leak": 0.05,
    "v_th": 0.4,
    "v_reset": -0.1,
    "b_spike": 0.3,
    "rho_reset": 2.0,
    "b": 0.4,
    "gamma": 0.2,
    "beta_e": 0.3,
    "beta_i": 0.2,
    "g_l": 0.4,
    "v_rest": -0.2,
    "e_e": 3.0,
    "e_i": -2.0,
}


def neurons(name: str, *, recurrent: bool = False) -> Neuron:
    made = family(name, recurrent=recurrent)
    spread = np.linspace(0.8, 1.2, N)

    def values(names: tuple[str, ...]) -> dict[str, Array]:
        whole = ("rho", "rho_reset")
        return {key: NUMBERS.get(key, 0.0) * (np.ones(N) if key in whole else spread) for key in names}

    return Neuron(
        family=made,
        shape=(N,),
        parameters=values(made.parameters),
        initial_state=values(made.state),
        dt=0.001,
    )


def _weights(seed: int, n_in: int, drive: float = 1.0) -> Linear:
    rng = np.random.default_rng(seed)
    return Linear(drive * rng.normal(0.3, 0.5, (N, n_in)), rng.normal(0, 0.1, N))


def steps_that_are_translated() -> Case:
    """A threshold that rises, with a loop; a relu; neurons that rest, under a law that wraps and rounds at random."""
    nodes: dict[str, DiscreteNode] = {
        "input": Input((5,), "float64"),
        "in": _weights(1, 5),
        "adaptive": neurons("lsnn", recurrent=True),
        "loop": Linear(np.random.default_rng(2).normal(0, 0.4, (N, N))),
        "between": _weights(3, N),
        "relu": Elementwise("relu", (N,)),
        "behind": _weights(4, N),
        "resting": neurons("lif_refrac"),
        "out": Output((N,)),
    }
    names = ("input", "in", "adaptive", "between", "relu", "behind", "resting", "out")
    edges = [Edge(a, b) for a, b in itertools.pairwise(names)]
    edges += [Edge("adaptive", "loop", "x", 1), Edge("loop", "adaptive", "r")]
    law = Law(state_bits=14, overflow="wrap", rounding=STOCHASTIC)
    made = quantise(Graph(nodes, tuple(edges)), QuantiseChoice(law=law))
    return Case(made.graph, {"input": drawn(7, 25, 5)})


def states_that_are_multiplied() -> Case:
    """Two ports, and products of two states, so wide that the multiplier takes a part of their bits."""
    nodes: dict[str, DiscreteNode] = {
        "input": Input((5,), "float64"),
        "excites": _weights(5, 5),
        "inhibits": _weights(6, 5, 0.3),
        "conductances": neurons("coba_lif"),
        "out": Output((N,)),
    }
    edges = [Edge("input", "excites"), Edge("input", "inhibits"), Edge("conductances", "out")]
    edges += [Edge("excites", "conductances", "e"), Edge("inhibits", "conductances", "i")]
    made = quantise(Graph(nodes, tuple(edges)), QuantiseChoice(law=Law(state_bits=32, decay_bits=16, strict=False)))
    return Case(made.graph, {"input": drawn(8, 25, 5)})


TRANSLATED = (steps_that_are_translated, states_that_are_multiplied)
