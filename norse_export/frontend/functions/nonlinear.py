"""Functions of each cell by itself that are not linear, and choices by a constant mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from norse_export.frontend.builder import Value
from norse_export.frontend.functions.operation import Operation, Rule
from norse_export.ir.layers import Scale


def clamped(op: Operation, value: Value, like: Any, low: Any, high: Any) -> Value | None:
    """min(max(x, low), high); None stands for no bound."""
    found: Value | None = value
    for function, bound, suffix in (("at_least", low, ".low"), ("at_most", high, ".high")):
        if bound is None or found is None:
            continue
        constant = op.constant(bound, like, value)
        alone = low is None or high is None
        found = None
        if constant is not None:
            found = op.function_of(function, value, like, suffix="" if alone else suffix, bound=constant)
            value = found
    return found


def _relu(op: Operation) -> Value | None:
    given, found = op.given("inplace"), op.first()
    return None if found is None or given is None else op.function_of("relu", found[1], found[0])


def _clamp(op: Operation) -> Value | None:
    given, found = op.given("min", "max"), op.first()
    if given is None or found is None:
        return None
    return clamped(op, found[1], found[0], given.get("min"), given.get("max"))


def _one_bound(name: str, low: str | None, high: str | None) -> Rule:
    """clamp_min and clamp_max."""

    def rule(op: Operation) -> Value | None:
        given, found = op.given(name), op.first()
        if given is None or found is None:
            return None
        return clamped(op, found[1], found[0], given.get(low or ""), given.get(high or ""))

    return rule


def _hardtanh(op: Operation) -> Value | None:
    given, found = op.given("min_val", "max_val", "inplace"), op.first()
    if given is None or found is None:
        return None
    return clamped(op, found[1], found[0], given.get("min_val", -1.0), given.get("max_val", 1.0))


def _relu6(op: Operation) -> Value | None:
    given, found = op.given("inplace"), op.first()
    return None if found is None or given is None else clamped(op, found[1], found[0], 0.0, 6.0)


def _leaky_relu(op: Operation) -> Value | None:
    given, found = op.given("negative_slope", "inplace"), op.first()
    if given is None or found is None:
        return None
    slope = op.constant(given.get("negative_slope", 0.01), *found)
    return None if slope is None else op.function_of("leaky_relu", found[1], found[0], slope=slope)


def _magnitude(op: Operation) -> Value | None:
    found = op.first()
    return None if found is None or op.given() is None else op.function_of("magnitude", found[1], found[0])


def _either(function: str, with_constant: str) -> Rule:
    """torch.maximum and torch.minimum, of two signals or of one and a constant."""

    def rule(op: Operation) -> Value | None:
        given = op.given("other")
        if given is None or "other" not in given or not op.args:
            return None
        for tensor, other in ((op.args[0], given["other"]), (given["other"], op.args[0])):
            value = op.value(tensor)
            if value is not None and op.value(other) is None:
                constant = op.constant(other, tensor, value)
                return None if constant is None else op.function_of(with_constant, value, tensor, bound=constant)
        return op.joined(function, op.args[0], given["other"])

    return rule


def _where(op: Operation) -> Value | None:
    """torch.where(mask, x, constant) and the other way round, of a mask that does not depend on the input."""
    if len(op.args) != 3 or op.kwargs or op.value(op.args[0]) is not None:
        return None
    mask, chosen, otherwise = op.args
    if op.value(chosen) is None:
        return _masked(op, ~mask, otherwise, chosen)
    return None if op.value(otherwise) is not None else _masked(op, mask, chosen, otherwise)


def _masked_fill(op: Operation) -> Value | None:
    given = op.given("mask", "value")
    if given is None or set(given) != {"mask", "value"} or op.value(given["mask"]) is not None:
        return None
    return _masked(op, ~given["mask"], op.args[0], given["value"])


def _masked(op: Operation, mask: Any, x: Any, constant: Any) -> Value | None:
    """x where the mask is set, else the constant: x times 1 or 0, plus the constant times 0 or 1."""
    value = op.value(x)
    if value is None or not isinstance(mask, torch.Tensor) or mask.dtype != torch.bool:
        return None
    kept, given = op.constant(mask, x, value), op.constant(constant, x, value)
    if kept is None or given is None or tuple(op.result.shape) != tuple(x.shape) or not np.isfinite(given).all():
        return None
    masked = op.add(lambda: Scale(np.ascontiguousarray(kept)), value)
    rest = np.where(kept != 0, 0, given).astype(given.dtype)
    return op.function_of("offset", masked, x, suffix=".constant", offset=rest) if rest.any() else masked


NONLINEAR: dict[str, Rule] = {
    "relu": _relu,
    **dict.fromkeys(("clamp", "clip"), _clamp),
    "clamp_min": _one_bound("min", "min", None),
    "clamp_max": _one_bound("max", None, "max"),
    "hardtanh": _hardtanh,
    "relu6": _relu6,
    "leaky_relu": _leaky_relu,
    **dict.fromkeys(("abs", "absolute", "__abs__"), _magnitude),
    **dict.fromkeys(("maximum", "fmax"), _either("larger", "at_least")),
    **dict.fromkeys(("minimum", "fmin"), _either("smaller", "at_most")),
    "where": _where,
    "masked_fill": _masked_fill,
}
