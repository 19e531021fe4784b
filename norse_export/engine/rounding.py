"""Bounds of the rounding error of the stateless layers.

An error bound travels beside a value as an array of the same shape, or None for a value that every computation in the
float type gives exactly. A sum of n products, in any order and with or without fused operations, is off by at most
g(n) sum |w x|, with g(n) = n u / (1 - n u) and unit roundoff u; a product that is 0 rounds nothing and does not count.
This holds for direct convolution and for matrix products, not for convolution by Winograd or Fourier transforms, whose
error is larger. A sum is exact, in any order, when all its products are multiples of one power of two and the sum of
their magnitudes stays within 2^24 of it (2^53 in float64).
Source: N. Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., sections 2.1, 3.1 and 4.2.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from math import frexp, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.engine.layers import apply, as_type, correlate, pool, spread
from norse_export.ir.layers import Conv, Flatten, Input, Layer, Linear, Output, Pool, Scale, Sum
from norse_export.ir.shaping import Elementwise, Pad, Reorder, Slice
from norse_export.program.affine import bounded_step

Array = NDArray[Any]
# Roundings of a term where a batch normalisation stands for itself: var + eps, square root, division, product with
# gamma, product with x, sum with the shift; and where it is folded: the weight, the bias.
_FOLD_ROUNDINGS = 8
_FLOAT64_DIGITS = 53
_NUMBERS_AT_ONCE = 2**17  # of a weight: temporaries of some MB, whatever its size


def elementwise(
    node: Elementwise, ports: Sequence[tuple[Array, Array | None]], u: float, tiny: float = 0.0
) -> tuple[Array, Array | None]:
    """Value and error bound of a function, of those of its ports; None: every computation gives the value exactly."""
    given = {
        name: (value, 0.0 if error is None else error) for name, (value, error) in zip(node.ports, ports, strict=True)
    }
    parameters = {name: value.astype(np.float64) for name, value in node.parameters.items()}
    step = bounded_step(node.family.trace(), given, {}, parameters, None, u, tiny)
    return step.output, None if not np.any(step.output_error) else step.output_error


def bound(node: Layer, x: Array, error: Array | None, u: float, tiny: float = 0.0) -> Array | None:
    """Bound how far a computation with unit roundoff u may be from `apply(node, x)`, when x is off by up to `error`.

    tiny: the smallest normal number of that computation's float type, which any product may lose. None: not at all.
    """
    match node:
        case Input() | Output() | Sum():
            return error
        case Flatten():
            return None if error is None else error.reshape(error.shape[0], *node.output_shape)
        case Slice() | Pad() | Reorder():
            return None if error is None else apply(node, error)
        case Elementwise():
            return elementwise(node, [(x, error)], u, tiny)[1]
        case Scale():
            size = np.abs(node.scale)
            if error is None and _is_exact(size * np.abs(x), unit(node.scale) * unit(x), u, tiny):
                return None
            return size * _grown(x, error, _growth(1, u)) + tiny
        case Linear() | Conv():
            return _weighted_bound(node, x, error, u, tiny)
        case Pool():
            return _pooled_bound(node, x, error, u, tiny)


def exact_sum(a: Array, b: Array, u: float, tiny: float) -> bool:
    """Whether the sum of two exact values is exact."""
    return _is_exact(np.abs(a) + np.abs(b), min(unit(a), unit(b)), u, tiny)


def unit(values: Array) -> float:
    """The largest power of two of which all values are multiples; infinite if all are 0."""
    nonzero = values[values != 0]
    if nonzero.size == 0:
        return float("inf")
    fraction, exponent = np.frexp(nonzero.astype(np.float64, copy=False))
    whole = (fraction * 2.0**_FLOAT64_DIGITS).astype(np.int64)
    lowest = (whole & -whole).astype(np.float64)
    return float(np.ldexp(lowest, exponent - _FLOAT64_DIGITS).min())


def _is_exact(total: Array, step: float, u: float, tiny: float) -> bool:
    """Whether sums of multiples of `step`, whose magnitudes add up to `total`, are exact with unit roundoff u.

    A step below the normal range may be lost.
    """
    return _fits(float(total.max(initial=0.0)), step, u, tiny)


def _fits(largest: float, step: float, u: float, tiny: float) -> bool:
    return largest == 0.0 or (step > 0 and step >= tiny and largest / step <= 2.0 ** (1 - frexp(u)[1]))


def _growth(terms: Any, u: float) -> Any:
    share = np.asarray(terms * u)
    with np.errstate(divide="ignore"):
        return np.where(share < 1, share / (1 - share), np.inf)


def _grown(x: Array, error: Array | None, growth: Any) -> Array:
    """What a weight 1 on x adds to the bound: own rounding of a value that is off already, and the error passed on."""
    return np.asarray(growth * np.abs(x) if error is None else growth * np.abs(x) + (1 + growth) * error)


def _weighted_bound(node: Linear | Conv, x: Array, error: Array | None, u: float, tiny: float) -> Array | None:
    constant = None if node.bias is None else np.abs(as_type(node.bias, x))
    extra = int(node.bias is not None)
    if node.folded is not None:
        extra += _FOLD_ROUNDINGS
        folded = as_type(node.folded, x)
        constant = folded if constant is None else np.maximum(constant, folded)
    weights = np.empty(node.weight.shape, x.dtype)  # one array for all that is made of the weights

    def weigh(values: Array) -> Array:
        return values @ weights.T if isinstance(node, Linear) else correlate(node, values, weights)

    _fill(weights, node.weight, np.abs)
    total = weigh(np.abs(x))
    if constant is not None:
        total = total + spread(constant, total)
    if error is None and node.folded is None and _on_grid(node, x, total, u, tiny):
        return None
    passed_on = None if error is None else weigh(error)
    nonzero = x != 0 if error is None else (x != 0) | (error != 0)
    _fill(weights, node.weight, lambda part: part != 0)
    terms = weigh(nonzero.astype(x.dtype)) + extra
    growth = _growth(terms, u)
    own = growth * total + terms * tiny
    return np.asarray(own if passed_on is None else own + (1 + growth) * passed_on)


def _parts(weight: Array) -> Iterator[slice]:
    """Stretches of a flat array, each small enough for temporaries of its size."""
    return (slice(start, start + _NUMBERS_AT_ONCE) for start in range(0, weight.size, _NUMBERS_AT_ONCE))


def _fill(out: Array, weight: Array, law: Callable[[Array], Array]) -> None:
    """Set `out` to law(weight in the type of out), part by part.

    The product with it is not cut into parts: a matrix product of some rows may differ in the last bit from the same
    rows of the whole product.
    """
    given, taken = out.reshape(-1), weight.reshape(-1)
    for part in _parts(weight):
        given[part] = law(as_type(taken[part], out))


def _on_grid(node: Linear | Conv, x: Array, total: Array, u: float, tiny: float) -> bool:
    """Whether every partial sum is exact; the cheap questions come first, and the first part that is off decides."""
    largest, largest_x = float(total.max(initial=0.0)), float(np.abs(x).max(initial=0.0))
    step, flat = float("inf"), node.weight.reshape(-1)
    for part in _parts(flat):
        step = min(step, unit(flat[part]))
        if not _fits(largest, step * largest_x, u, tiny):
            return False
    step *= unit(x)
    return _is_exact(total, step if node.bias is None else min(step, unit(node.bias)), u, tiny)


def _pooled_bound(node: Pool, x: Array, error: Array | None, u: float, tiny: float) -> Array | None:
    if node.kind == "max":
        return None if error is None else pool(node, error)
    window = prod(node.kernel)
    is_power_of_two = window & (window - 1) == 0  # dividing and multiplying by it is exact
    if error is None and is_power_of_two and _is_exact(apply(node, np.abs(x)) * window, unit(x), u, tiny):
        return None
    growth = float(_growth(window + 2, u))  # the sum, and a division or a division and a product
    return pool(node, _grown(x, error, growth)) + tiny
