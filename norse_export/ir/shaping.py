"""Nodes without a state or weights: functions of each cell, parts of a signal, zeros around it, its axes anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from types import MappingProxyType

from norse_export.errors import GraphError
from norse_export.ir.arrays import FloatArray, per_neuron
from norse_export.ir.graph import Shape
from norse_export.ir.shapes import KeepsShape, OnePort, TakesShape, check_shape
from norse_export.program.elementwise import FUNCTIONS
from norse_export.program.program import Family


@dataclass(frozen=True, slots=True, eq=False)
class Elementwise(KeepsShape):
    """A function of one or several signals, cell by cell: a row of program/elementwise.py.

    parameters: constants of the function, [*shape].
    """

    function: str
    shape: Shape
    parameters: Mapping[str, FloatArray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_shape(self.shape, "Elementwise")
        if self.function not in FUNCTIONS:
            fix = f"use one of: {', '.join(FUNCTIONS)}"
            raise GraphError(f"no function {self.function!r}", where="Elementwise", fix=fix, kind="function")
        names = self.family.parameters
        if tuple(self.parameters) != names:
            message = f"{self.function} has parameters {names}, got {tuple(self.parameters)}"
            raise GraphError(message, where="Elementwise", fix="give every one of them, in this order", kind="function")
        values = {n: per_neuron(v, self.shape, where="Elementwise", field=n) for n, v in self.parameters.items()}
        if any((values[name] == 0).any() for name in values if name == "divisor"):
            raise GraphError("a divisor is 0", where="Elementwise", fix="divide by other numbers", kind="function")
        object.__setattr__(self, "parameters", MappingProxyType(values))

    @property
    def family(self) -> Family:
        """The function, as a program without a state."""
        return FUNCTIONS[self.function]

    @property
    def ports(self) -> tuple[str, ...]:
        """Those of the function."""
        return self.family.ports


@dataclass(frozen=True, slots=True, eq=False)
class Slice(OnePort, TakesShape):
    """A part of a signal: along each axis the cells start, start + step, ... below stop."""

    shape: Shape
    start: Shape
    stop: Shape
    step: Shape

    def __post_init__(self) -> None:
        check_shape(self.shape, "Slice")
        ranks = {len(values) for values in (self.start, self.stop, self.step)}
        if ranks != {len(self.shape)} or not all(
            0 <= a < b <= n and s >= 1 for a, b, s, n in zip(self.start, self.stop, self.step, self.shape, strict=True)
        ):
            message = f"cells {self.start} to {self.stop} by {self.step} of a signal of shape {self.shape}"
            raise GraphError(message, where="Slice", fix="take cells that there are", kind="shape")

    @property
    def output_shape(self) -> Shape:
        """Shape of the part."""
        return tuple(len(range(a, b, s)) for a, b, s in zip(self.start, self.stop, self.step, strict=True))

    @property
    def index(self) -> tuple[slice, ...]:
        """The part, as an index of the features."""
        return tuple(slice(a, b, s) for a, b, s in zip(self.start, self.stop, self.step, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Pad(OnePort, TakesShape):
    """A signal among zeros: `before` and `after` it along each axis. Signals joined are a Sum of padded ones."""

    shape: Shape
    before: Shape
    after: Shape

    def __post_init__(self) -> None:
        check_shape(self.shape, "Pad")
        ranks = {len(values) for values in (self.before, self.after)}
        if ranks != {len(self.shape)} or min((*self.before, *self.after), default=0) < 0:
            message = f"{self.before} and {self.after} cells around a signal of shape {self.shape}"
            raise GraphError(message, where="Pad", fix="give 0 or more for each axis", kind="shape")

    @property
    def output_shape(self) -> Shape:
        """Shape with the zeros."""
        return tuple(a + n + b for a, n, b in zip(self.before, self.shape, self.after, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Reorder(OnePort, TakesShape):
    """The same cells along other axes: in the order `order`, as of a transpose; then the shape `into`, in C order."""

    shape: Shape
    order: Shape
    into: Shape

    def __post_init__(self) -> None:
        check_shape(self.shape, "Reorder")
        check_shape(self.into, "Reorder")
        if sorted(self.order) != list(range(len(self.shape))):
            message = f"the axes {self.order} of a signal of shape {self.shape}"
            raise GraphError(message, where="Reorder", fix="name every axis once", kind="shape")
        if prod(self.shape) != prod(self.into):
            message = f"the shape {self.into} for the {prod(self.shape)} cells of a signal of shape {self.shape}"
            raise GraphError(message, where="Reorder", fix="give a shape of as many cells", kind="shape")

    @property
    def output_shape(self) -> Shape:
        """Shape of the result."""
        return self.into

    @property
    def in_order(self) -> bool:
        """Whether every cell keeps its place in C order, so that the layer only names axes anew."""
        moved = [axis for axis in self.order if self.shape[axis] != 1]
        return moved == sorted(moved)
