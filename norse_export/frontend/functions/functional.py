"""Functions and operators on traced tensors, one rule for each name; what has no rule is refused by operations.py.

A rule gives the value of the result, a list of them where the function gives several tensors, or None where it does not
know this use of the function.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from norse_export.frontend.builder import Value
from norse_export.frontend.functions.functional_cells import CELLS
from norse_export.frontend.functions.functional_layers import LAYERS
from norse_export.frontend.functions.functional_parts import PARTS
from norse_export.frontend.functions.functional_reductions import REDUCTIONS
from norse_export.frontend.functions.functional_views import VIEWS
from norse_export.frontend.functions.functional_weights import WEIGHTS
from norse_export.frontend.functions.nonlinear import NONLINEAR
from norse_export.frontend.functions.operation import Operation, Rule
from norse_export.ir.layers import Scale

__all__ = ["Operation", "rule_of"]

Array = NDArray[Any]


def rule_of(function: str) -> Rule | None:
    """The rule of a function, by the name under which torch calls it."""
    return _RULES.get(function)


def _two(op: Operation) -> tuple[Any, Any] | None:
    """The operands of a binary operation; None where it has further arguments."""
    given = op.given("other")
    return None if given is None or "other" not in given or not op.args else (op.args[0], given["other"])


def _scaled(op: Operation, value: Value, factor: Array) -> Value:
    return op.add(lambda: Scale(factor), value)


def _with_constant(op: Operation, use: Callable[[Value, Any, Array, bool], Value | None]) -> Value | None:
    """A traced value and a constant. use: of (value, tensor, constant, whether the constant stands first)."""
    operands = _two(op)
    if operands is None:
        return None
    for (tensor, constant), first in ((operands, False), (operands[::-1], True)):
        value = op.value(tensor)
        if value is not None and op.value(constant) is None:
            array = op.constant(constant, tensor, value)
            return None if array is None else use(value, tensor, array, first)
    return None


def _multiply(op: Operation) -> Value | None:
    operands = _two(op)
    if operands is not None and all(op.value(operand) is not None for operand in operands):
        return op.joined("product", *operands)
    return _with_constant(op, lambda value, tensor, constant, _: _scaled(op, value, constant))


def _divide(op: Operation) -> Value | None:
    def use(value: Value, tensor: Any, constant: Array, first: bool) -> Value | None:
        return None if first else op.function_of("quotient", value, tensor, divisor=constant)

    return _with_constant(op, use)


def _offset(op: Operation) -> Value | None:
    return _with_constant(op, lambda value, tensor, c, _: op.function_of("offset", value, tensor, offset=c))


def _subtract(op: Operation) -> Value | None:
    """x - c is x + (-c), and c - x is (-x) + c, exactly."""
    operands = _two(op)
    if operands is not None and all(op.value(operand) is not None for operand in operands):
        return op.joined("difference", *operands)

    def use(value: Value, tensor: Any, constant: Array, first: bool) -> Value | None:
        if not first:
            return op.function_of("offset", value, tensor, offset=-constant)
        minus = op.add(lambda: Scale(-np.ones_like(constant)), value, suffix=".minus")
        return op.function_of("offset", minus, tensor, offset=constant)

    return _with_constant(op, use)


def _reverse_subtract(op: Operation) -> Value | None:
    """tensor.__rsub__(c) is c - tensor."""
    return _subtract(Operation(op.recording, op.function, op.name, op.args[::-1], op.kwargs, op.result))


def _negative(op: Operation) -> Value | None:
    value = op.value(op.args[0])
    if value is None or op.given() is None:
        return None
    dtype = str(op.args[0].dtype).removeprefix("torch.")
    return _scaled(op, value, np.full(op.features(op.args[0], value), -1, dtype))


def _power(op: Operation) -> Value | None:
    """The square: x x, as torch computes it."""
    given, found = op.given("exponent"), op.first()
    exponent = None if given is None else given.get("exponent", 2)
    if found is None or isinstance(exponent, torch.Tensor) or exponent != 2:
        return None
    return op.joined("product", found[0], found[0])


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("mul", "__mul__", "__rmul__", "__imul__", "multiply"), _multiply),
    **dict.fromkeys(("div", "__truediv__", "__itruediv__", "true_divide", "divide"), _divide),
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__"), _offset),
    **dict.fromkeys(("sub", "__sub__", "__isub__", "subtract"), _subtract),
    **dict.fromkeys(("__rsub__", "rsub"), _reverse_subtract),
    **dict.fromkeys(("neg", "__neg__", "negative"), _negative),
    **dict.fromkeys(("pow", "__pow__", "square"), _power),
    **NONLINEAR,
    **LAYERS,
    **WEIGHTS,
    **PARTS,
    **CELLS,
    **REDUCTIONS,
    **VIEWS,
}
