"""Elementwise functions between layers, each written once: families without a state. `FUNCTIONS` is the table by name.

Shapes: ports and parameters `[M, *shape]` or broadcastable. In the order of operations of torch, whose own functions
they stand for.
"""

from __future__ import annotations

from typing import Any

from norse_export.program.operations import maximum
from norse_export.program.program import Family, Step


def relu(x: Any) -> Step:
    """max(x, 0): torch.relu."""
    return Step(state=(), output=maximum(x, 0))


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


FUNCTIONS = {
    family.name: family
    for family in (
        Family("relu", relu, ("x",), ()),
        Family("offset", offset, ("x",), ()),
        Family("quotient", quotient, ("x",), ()),
        Family("difference", difference, ("x", "y"), ()),
        Family("product", product, ("x", "y"), ()),
    )
}
