"""Bounds of the layers: no float32 computation in any order leaves them, and they are not idle."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from other_orders import in_another_order

from norse_export.engine import layers, rounding
from norse_export.frontend.frameworks.torch_nn import fold
from norse_export.ir.layers import Conv, Flatten, Layer, Linear, Output, Pool, Scale
from norse_export.ir.shaping import Reorder

Array = NDArray[Any]
U = 2.0**-24 + 2.0**-53
TINY = 2.0**-126
F = np.float32


def normal(seed: int, *shape: int) -> Array:
    generator = np.random.default_rng(seed)
    return (generator.normal(size=shape) * 2.0 ** generator.integers(-6, 6, size=shape)).astype(F)


LAYERS: dict[str, Layer] = {
    "linear": Linear(normal(0, 6, 300), normal(1, 6)),
    "linear without bias": Linear(normal(0, 6, 300)),
    "conv": Conv(normal(2, 4, 3, 5, 3), (12, 9), normal(3, 4), (2, 1), (1, 0), (1, 2)),
    "grouped conv": Conv(normal(4, 4, 2, 9), (40,), None, (1,), (3,), (1,), 2),
    "scale": Scale(normal(5, 50)),
    "average": Pool("avg", (3, 12, 9), (3, 5), (2, 2), (1, 2)),
    "average of three": Pool("avg", (3, 20, 30), (1, 3), (1, 1)),
    "sum": Pool("sum", (3, 12, 9), (3, 5), (2, 2)),
    "maximum": Pool("max", (3, 12, 9), (3, 5), (2, 2), (1, 2)),
    "flatten": Flatten((3, 12, 9)),
    "reordered": Reorder((3, 12, 9), (2, 0, 1), (27, 3, 4)),
    "output": Output((7,)),
}


@pytest.mark.parametrize("largest", [0.0, 1e-6, 0.3])
@pytest.mark.parametrize("node", LAYERS.values(), ids=LAYERS)
def test_no_order_of_summation_leaves_the_bound(node: Layer, largest: float) -> None:
    generator = np.random.default_rng(7)
    x = normal(8, 40, *node.input_shape).astype(np.float64)
    error: Array | None = None
    other = x.astype(F)
    if largest:
        other = (x + largest * generator.uniform(-1, 1, x.shape)).astype(F)
        error = np.abs(other - x)
    value, bound = layers.apply(node, x), rounding.bound(node, x, error, U, TINY)
    for _ in range(5):
        off = np.abs(in_another_order(node, other, generator) - value)
        assert (off <= (0 if bound is None else bound)).all()
    if bound is not None:
        assert bound.shape == value.shape
        assert (off[bound > 0] / bound[bound > 0]).max() > (0.3 if largest == 0.3 else 0.01)


@pytest.mark.parametrize("name", ["maximum", "flatten", "output"])
def test_what_does_not_round_keeps_an_exact_value_exact(name: str) -> None:
    node = LAYERS[name]
    assert rounding.bound(node, normal(0, 2, *node.input_shape), None, U) is None


def test_an_error_passes_a_maximum_as_the_largest_of_its_window() -> None:
    error = np.zeros((1, 1, 4, 4))
    error[0, 0, 1, 2] = 0.5
    bound = rounding.bound(Pool("max", (1, 4, 4), (2, 2), (2, 2)), np.zeros((1, 1, 4, 4)), error, U)
    assert bound is not None
    assert bound.tolist() == [[[[0, 0.5], [0, 0]]]]


def test_more_terms_than_the_unit_roundoff_counts_have_no_bound() -> None:
    bound = rounding.bound(Linear(np.ones((1, 64), F)), np.ones((1, 64)), None, 2.0**-5)
    assert bound is not None
    assert np.isinf(bound).all()


def cancelling_norm(seed: int) -> tuple[Conv, torch.nn.Module, torch.nn.Module]:
    """A convolution with a large bias that the normalisation behind it takes away again, and scales up."""
    torch.manual_seed(seed)
    conv, norm = torch.nn.Conv2d(2, 8, 3), torch.nn.BatchNorm2d(8).eval()
    with torch.no_grad():
        conv.bias.uniform_(-50, 50)  # type: ignore[union-attr]
        norm.running_mean.copy_(conv.bias)  # type: ignore[union-attr, arg-type]
        norm.running_var.uniform_(1e-4, 10)  # type: ignore[union-attr]
        norm.weight.uniform_(-2, 2)
        norm.bias.uniform_(-1, 1)
    layer = Conv(conv.weight.detach().numpy().copy(), (8, 8), conv.bias.detach().numpy().copy())  # type: ignore[union-attr]
    return fold(layer, norm), conv, norm  # type: ignore[return-value]


def test_a_folded_normalisation_is_within_the_bound_of_the_layers_that_it_was() -> None:
    used = 0.0
    for seed in range(20):
        folded, conv, norm = cancelling_norm(seed)
        x = np.random.default_rng(seed).integers(0, 2, (16, 2, 8, 8)).astype(F)
        with torch.no_grad():
            expected = norm(conv(torch.tensor(x))).numpy()
        wide = x.astype(np.float64)
        off, bound = np.abs(expected - layers.apply(folded, wide)), rounding.bound(folded, wide, None, U, TINY)
        assert bound is not None
        assert (off <= bound).all()
        used = max(used, float((off / bound).max()))
    assert used > 0.05


def test_the_roundings_of_a_normalisation_itself_are_counted() -> None:
    """One weight a neuron: what the normalisation rounds is more than what the layer rounds."""
    torch.manual_seed(0)
    linear, norm = torch.nn.Linear(1, 5000, bias=False), torch.nn.BatchNorm1d(5000).eval()
    with torch.no_grad():
        norm.running_var.uniform_(1e-4, 10)  # type: ignore[union-attr]
        norm.weight.uniform_(-2, 2)
        x = torch.rand(20, 1)
        expected = norm(linear(x)).numpy()
    folded = fold(Linear(linear.weight.detach().numpy().copy()), norm)
    wide = x.numpy().astype(np.float64)
    off, bound = np.abs(expected - layers.apply(folded, wide)), rounding.bound(folded, wide, None, U, TINY)
    assert bound is not None
    assert (off <= bound).all()
    assert (off > 2 * U * np.abs(expected)).any()
