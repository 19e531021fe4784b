"""The node types of each stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from norse_export.errors import GraphError
from norse_export.ir.arrays import FloatArray, checked, per_neuron
from norse_export.ir.delay import Delay
from norse_export.ir.fixed import FixedInput, Population, Synapses
from norse_export.ir.graph import Shape
from norse_export.ir.layers import Conv, Flatten, Input, Layer, Linear, Output, Pool, Scale, Sum
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.shapes import KeepsShape, check_dt
from norse_export.program.families import FAMILIES
from norse_export.program.program import Family


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Neuron(KeepsShape):
    """A population whose step is a program: one update a step, with nothing implicit.

    parameters and initial_state: one value for each neuron, [*shape], in the float type of the model; of the family's
    matrices [N, N]. made_of: the class of the user's framework, as "snnTorch Leaky"; empty where it is not known.
    """

    family: Family
    shape: Shape
    parameters: Mapping[str, FloatArray]
    initial_state: Mapping[str, FloatArray]
    dt: float
    made_of: str = ""

    def __post_init__(self) -> None:
        check_dt(self.dt, "Neuron")
        wanted = {"parameters": self.family.parameters, "initial_state": self.family.state}
        for field, names in wanted.items():
            values = getattr(self, field)
            if tuple(values) != names:
                message = f"family {self.family.name} has {field} {names}, got {tuple(values)}"
                raise GraphError(message, where="Neuron", fix="give every one of them, in this order")
            arrays = {name: self._array(name, value) for name, value in values.items()}
            object.__setattr__(self, field, MappingProxyType(arrays))

    def _array(self, name: str, value: FloatArray) -> FloatArray:
        if name in self.family.matrices:
            return checked(value, where="Neuron", field=name, ndim=2)
        return per_neuron(value, self.shape, where="Neuron", field=name)

    @property
    def ports(self) -> tuple[str, ...]:
        """The family's ports."""
        return self.family.ports

    @property
    def spikes(self) -> bool:
        """Whether the population spikes."""
        return self.family.spikes

    @property
    def in_words(self) -> str:
        """What a message at the layer calls its neurons: by the user's class, for names of families are ours."""
        return f"its neurons ({self.made_of})" if self.made_of else "its neurons"


ContinuousNode = Layer | NeuronModel | Delay
DiscreteNode = Layer | Neuron
FixedNode = FixedInput | Synapses | Population | Layer

__all__ = [
    "FAMILIES",
    "ContinuousNode",
    "Conv",
    "Delay",
    "DiscreteNode",
    "FixedInput",
    "FixedNode",
    "Flatten",
    "Input",
    "Linear",
    "Neuron",
    "NeuronModel",
    "Output",
    "Pool",
    "Population",
    "Scale",
    "Sum",
    "Synapses",
]
