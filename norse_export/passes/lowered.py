"""A network as populations, real weights between them, and what the host computes: what lower.py gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from norse_export.ir.arrays import FloatArray
from norse_export.ir.graph import Edge, Shape
from norse_export.ir.layers import Input, Layer
from norse_export.ir.stages import Neuron
from norse_export.passes.linear import Weights
from norse_export.program.elementwise import FUNCTIONS
from norse_export.program.program import Family, Step


@dataclass(frozen=True, slots=True)
class InputRange:
    """An input's raster holds whole multiples of `unit`, from low to high of them."""

    low: int = 0
    high: int = 1
    unit: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Projection:
    """Real weights from the spikes of `source` to a port of `target`, delay_steps later.

    name: unique; the layers in it by their names, joined, where there are any. layers: names of the layers composed in
    it. Weights are those of a spike of value 1: an input's unit is multiplied in.
    """

    name: str
    source: str
    target: str
    port: str
    delay_steps: int
    layers: tuple[str, ...]
    weights: Weights


@dataclass(frozen=True, slots=True, eq=False)
class Lowered:
    """A network as populations, the projections onto them, and what the host computes.

    inputs, populations: by name, in an order in which each stands behind what it depends on within a step. constants:
    for each population and port, what arrives there in every step beside the projections, [*shape]; where nothing
    does, no entry. host, host_edges: outputs and the layers before them that no spike follows.
    """

    inputs: Mapping[str, tuple[Input, InputRange]]
    populations: Mapping[str, Neuron]
    projections: tuple[Projection, ...]
    constants: Mapping[str, Mapping[str, FloatArray]]
    host: Mapping[str, Layer]
    host_edges: tuple[Edge, ...]
    metadata: Mapping[str, str] = field(default_factory=dict)

    def onto(self, population: str) -> tuple[Projection, ...]:
        """The projections onto a population."""
        return tuple(found for found in self.projections if found.target == population)

    def shape(self, source: str) -> Shape:
        """What an input or a population sends in one step of one sample."""
        return self.inputs[source][0].shape if source in self.inputs else self.populations[source].shape


def any_spike(x: Any) -> Step:
    """Max pooling of spikes: x counts those in the window."""
    return Step(state=(), spike=x > 0)


ANY_SPIKE = Family("any_spike", any_spike, ports=("x",), state=())
# What to do with a step that whole numbers do not have.
ELSEWHERE = (  # the remedy for what a target does not have
    "export to another target (norse-export check tells which take the model), or run the saved model itself"
    " (norse-export run, parity)"
)


def is_function(node: Neuron) -> bool:
    """Whether a population is a function between neurons: it has no state, and sends a number in every step."""
    return FUNCTIONS.get(node.family.name) is node.family


def is_between(node: Neuron) -> bool:
    """Whether a population is max pooling or a function between neurons, and not neurons of the model."""
    return node.family is ANY_SPIKE or is_function(node)
