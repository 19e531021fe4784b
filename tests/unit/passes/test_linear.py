"""Linear layers composed into one: the same sums as the layers one after the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from norse_export.engine.layers import apply
from norse_export.errors import CapacityError
from norse_export.ir.layers import Conv, Flatten, Layer, Linear, Pool, Scale
from norse_export.ir.shaping import Reorder
from norse_export.passes import linear
from norse_export.passes.linear import (
    ConvWeights,
    DenseWeights,
    SparseWeights,
    Weights,
    as_sparse,
    composed,
    with_rows_scaled,
)

Array = NDArray[Any]
IMAGE = (2, 7, 6)


def kernel(seed: int, *shape: int) -> Array:
    """Numbers k/8: sums of products of two of them are exact in every order."""
    return np.random.default_rng(seed).integers(-8, 9, size=shape) / 8


def conv(seed: int, channels: int, shape: tuple[int, ...], size: int = 3, **options: Any) -> Conv:
    groups = options.get("groups", 1)
    axes = len(shape) - 1
    options = {"stride": (1,) * axes, "padding": (0,) * axes, "dilation": (1,) * axes} | options
    return Conv(kernel(seed, channels, shape[0] // groups, *(size,) * axes), shape[1:], **options)


def avg(shape: tuple[int, ...], size: int = 2, **options: Any) -> Pool:
    return Pool("avg", shape, (size, size), **{"stride": (size, size)} | options)


def chained(*makers: Any, shape: tuple[int, ...]) -> list[Layer]:
    """Layers, each made for the shape that the one before sends."""
    made: list[Layer] = []
    for maker in makers:
        made.append(maker(shape))
        shape = made[-1].output_shape
    return made


def dense(seed: int, n_out: int) -> Any:
    return lambda shape: Linear(kernel(seed, n_out, shape[0]))


def sums(weights: Weights, x: Array) -> Array:
    """What the weights make of x [M, *shape], by their definition, [M, N_out]."""
    flat = x.reshape(len(x), -1)
    match weights:
        case DenseWeights():
            return flat @ weights.weight.T
        case ConvWeights():
            return apply(weights.as_layer(), x.reshape(-1, *weights.input_shape)).reshape(len(x), -1)
        case SparseWeights():
            out = np.zeros((len(x), int(weights.targets.max()) + 1))
            for source in range(flat.shape[1]):
                for synapse in range(weights.starts[source], weights.starts[source + 1]):
                    out[:, weights.targets[synapse]] += flat[:, source] * weights.weight[synapse]
            return out


CHAINS: dict[str, tuple[tuple[int, ...], list[Any], type]] = {
    "conv": (IMAGE, [lambda s: conv(1, 3, s, padding=(1, 0), stride=(2, 1))], ConvWeights),
    "grouped": (IMAGE, [lambda s: conv(2, 4, s, groups=2, dilation=(2, 1))], ConvWeights),
    "conv1d": ((2, 9), [lambda s: conv(3, 3, s, stride=(2,), padding=(1,))], ConvWeights),
    "avg": (IMAGE, [avg], ConvWeights),
    "reordered": (IMAGE, [lambda s: Reorder(s, (2, 0, 1), (6, 2, 7))], SparseWeights),
    "reordered dense": (IMAGE, [lambda s: Reorder(s, (1, 2, 0), (84,)), dense(20, 5)], DenseWeights),
    "conv reordered": (IMAGE, [lambda s: conv(21, 3, s), lambda s: Reorder(s, (2, 1, 0), s[::-1])], SparseWeights),
    "reshaped conv": ((84,), [lambda s: Reorder(s, (0,), IMAGE), lambda s: conv(22, 3, s)], ConvWeights),
    "sum with padding": (IMAGE, [lambda s: Pool("sum", s, (3, 3), (2, 2), (1, 1))], ConvWeights),
    "avg conv": (IMAGE, [avg, lambda s: conv(4, 3, s, 2)], ConvWeights),
    "avg conv with padding": ((2, 6, 6), [avg, lambda s: conv(4, 3, s, 3, padding=(1, 1))], ConvWeights),
    "remainder avg conv with padding": (IMAGE, [avg, lambda s: conv(4, 8, s, 3, padding=(1, 1))], DenseWeights),
    "avg depthwise": (IMAGE, [avg, lambda s: conv(5, 2, s, 2, groups=2)], ConvWeights),
    "conv conv": (
        IMAGE,
        [lambda s: conv(6, 4, s, padding=(1, 1), stride=(2, 2)), lambda s: conv(7, 3, s, 2)],
        ConvWeights,
    ),
    "grouped conv conv": (
        IMAGE,
        [lambda s: conv(6, 4, s, groups=2), lambda s: conv(7, 4, s, 2, groups=4)],
        ConvWeights,
    ),
    "uneven groups": (
        (4, 5, 5),
        [lambda s: conv(6, 12, s, groups=4), lambda s: conv(7, 6, s, 2, groups=6)],
        ConvWeights,
    ),
    "padded conv conv with padding": (
        (2, 6, 6),
        [lambda s: conv(6, 3, s, 2, padding=(1, 1), stride=(2, 2)), lambda s: conv(7, 4, s, padding=(1, 1))],
        DenseWeights,
    ),
    "overlapping avg conv with padding": (
        IMAGE,
        [lambda s: Pool("avg", s, (2, 2), (1, 1)), lambda s: conv(8, 3, s, padding=(1, 1))],
        DenseWeights,
    ),
    "scale conv": (IMAGE, [lambda s: Scale(np.full(s, [[[2.0]], [[0.5]]])), lambda s: conv(9, 3, s)], ConvWeights),
    "conv scale": (IMAGE, [lambda s: conv(9, 3, s), lambda s: Scale(np.full(s, 0.25))], ConvWeights),
    "uneven scale conv": (IMAGE, [lambda s: Scale(kernel(10, *s)), lambda s: conv(9, 3, s)], SparseWeights),
    "avg flatten dense": (IMAGE, [avg, Flatten, dense(11, 5)], DenseWeights),
    "conv flatten dense": (IMAGE, [lambda s: conv(12, 3, s), Flatten, dense(11, 5)], DenseWeights),
    "dense dense": ((6,), [dense(13, 4), dense(14, 3)], DenseWeights),
    "scale dense scale": (
        (6,),
        [lambda s: Scale(kernel(15, *s)), dense(14, 3), lambda s: Scale(kernel(16, *s))],
        DenseWeights,
    ),
    "scale": ((6,), [lambda s: Scale(np.arange(1.0, 7.0))], SparseWeights),
    "uneven scale": (IMAGE, [lambda s: Scale(np.arange(1.0, 85.0).reshape(s))], SparseWeights),
    "scale conv1d": ((2, 9), [lambda s: Scale(np.full(s, 0.5)), lambda s: conv(3, 3, s)], DenseWeights),
    "flatten": (IMAGE, [Flatten], SparseWeights),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_one_set_of_weights_with_the_same_sums(name: str) -> None:
    shape, makers, kind = CHAINS[name]
    chain = chained(*makers, shape=shape)
    weights = composed(chain, shape)
    assert isinstance(weights, kind)
    x = np.random.default_rng(0).integers(-3, 4, size=(5, *shape)).astype(float)
    expected = x
    for layer in chain:
        expected = apply(layer, expected)
    np.testing.assert_array_equal(sums(weights, x), expected.reshape(5, -1))
    np.testing.assert_array_equal(sums(as_sparse(weights, shape), x), expected.reshape(5, -1))


def test_biases_are_left_out() -> None:
    layer = Linear(kernel(1, 3, 4), np.ones(3))
    np.testing.assert_array_equal(composed([layer], (4,)).weight, layer.weight)


def test_unit_vectors_in_many_blocks_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, makers, _ = CHAINS["conv flatten dense"]
    chain = chained(*makers, shape=shape)
    whole = composed(chain, shape)
    monkeypatch.setattr(linear, "_BLOCK_NUMBERS", 300)
    np.testing.assert_array_equal(composed(chain, shape).weight, whole.weight)


def test_composed_weights_beyond_the_limit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    shape, makers, _ = CHAINS["conv flatten dense"]
    chain = chained(*makers, shape=shape)
    synapses = np.count_nonzero(composed(chain, shape).weight)
    monkeypatch.setattr(linear, "MAX_SYNAPSES", synapses)
    composed(chain, shape)
    monkeypatch.setattr(linear, "MAX_SYNAPSES", synapses - 1)
    with pytest.raises(CapacityError, match=f"more than {synapses - 1} synapses") as caught:
        composed(chain, shape)
    assert "neuron between" in caught.value.fix


@pytest.mark.parametrize("name", ["conv", "dense dense", "scale", "avg flatten dense"])
@pytest.mark.parametrize("even", [True, False])
def test_rows_are_scaled(name: str, even: bool) -> None:
    shape, makers, kind = CHAINS[name]
    weights = composed(chained(*makers, shape=shape), shape)
    x = kernel(3, 4, *shape)
    before = sums(weights, x)
    factor = np.full(before.shape[1], -1.0) if even else np.where(np.arange(before.shape[1]) % 2, 2.0, -1.0)
    scaled = with_rows_scaled(weights, factor, shape)
    np.testing.assert_array_equal(sums(scaled, x), before * factor)
    assert isinstance(scaled, kind) or not even
