"""Elementwise functions between layers, each written once: families without a state. `FUNCTIONS` is the table by name.

Shapes: ports and parameters `[M, *shape]` or broadcastable. In the order of operations of torch, whose own functions
they stand for.
"""

from __future__ import annotations

from typing import Any

from norse_export.program.operations import maximum, minimum
from norse_export.program.program import Family, Step


def relu(x: Any) -> Step:
    """max(x, 0): torch.relu."""
    return Step(state=(), output=maximum(x, 0))


def at_least(x: Any, *, bound: Any) -> Step:
    """max(x, a constant): the lower half of torch.clamp."""
    return Step(state=(), output=maximum(x, bound))


def at_most(x: Any, *, bound: Any) -> Step:
    """min(x, a constant): the upper half of torch.clamp."""
    return Step(state=(), output=minimum(x, bound))


def leaky_relu(x: Any, *, slope: Any) -> Step:
    """x above 0, slope x below: each half is exactly 0 where the other is meant."""
    return Step(state=(), output=maximum(x, 0) + minimum(x, 0) * slope)


def magnitude(x: Any) -> Step:
    """|x|: torch.abs."""
    return Step(state=(), output=abs(x))


def offset(x: Any, *, offset: Any) -> Step:
    """x + a constant."""
    return Step(state=(), output=x + offset)


def quotient(x: Any, *, divisor: Any) -> Step:
    """x / a constant, which is not x times its inverse."""
    return Step(state=(), output=x / divisor)


def difference(x: Any, y: Any) -> Step:
    """x - y."""
    return Step(state=(), output=x - y)


def product(x: Any, y: Any) -> Step:
    """x y."""
    return Step(state=(), output=x * y)


def larger(x: Any, y: Any) -> Step:
    """The larger of two: torch.maximum."""
    return Step(state=(), output=maximum(x, y))


def smaller(x: Any, y: Any) -> Step:
    """The smaller of two: torch.minimum."""
    return Step(state=(), output=minimum(x, y))


FUNCTIONS = {
    family.name: family
    for family in (
        Family("relu", relu, ("x",), ()),
        Family("offset", offset, ("x",), ()),
        Family("quotient", quotient, ("x",), ()),
        Family("difference", difference, ("x", "y"), ()),
        Family("product", product, ("x", "y"), ()),
        Family("at_least", at_least, ("x",), ()),
        Family("at_most", at_most, ("x",), ()),
        Family("leaky_relu", leaky_relu, ("x",), ()),
        Family("magnitude", magnitude, ("x",), ()),
        Family("larger", larger, ("x", "y"), ()),
        Family("smaller", smaller, ("x", "y"), ()),
    )
}

#: What messages call them.
IN_WORDS = {
    "relu": "a ReLU",
    "offset": "a constant that is added",
    "quotient": "a division by a constant",
    "difference": "a difference",
    "product": "a product",
    "at_least": "a clamp from below",
    "at_most": "a clamp from above",
    "leaky_relu": "a leaky ReLU",
    "magnitude": "an absolute value",
    "larger": "a maximum",
    "smaller": "a minimum",
}
