"""Layers compute what torch computes: exactly on integers, in every shape that torch takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch.nn import functional

from norse_export.engine import layers
from norse_export.errors import GraphError
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum

Array = NDArray[Any]
sizes = st.integers(1, 3)
seeds = st.integers(0, 2**32 - 1)


def integers(seed: int, *shape: int, dtype: str = "float32") -> Array:
    return np.random.default_rng(seed).integers(-8, 9, size=shape).astype(dtype)


def same(ours: Array, theirs: torch.Tensor) -> None:
    assert ours.dtype == theirs.numpy().dtype
    assert ours.shape == tuple(theirs.shape)
    np.testing.assert_array_equal(ours, theirs.numpy())


@given(seeds, sizes, sizes, sizes, st.booleans(), st.sampled_from(["float32", "float64"]))
@settings(max_examples=40)
def test_linear(seed: int, samples: int, n_in: int, n_out: int, bias: bool, dtype: str) -> None:
    weight, shift = integers(seed, n_out, n_in), integers(seed + 1, n_out) if bias else None
    x = integers(seed + 2, samples, n_in, dtype=dtype)
    tensor = torch.tensor
    expected = functional.linear(
        tensor(x), tensor(weight.astype(dtype)), None if shift is None else tensor(shift.astype(dtype))
    )
    same(layers.apply(Linear(weight, shift), x), expected)


@st.composite
def convolutions(draw: Any) -> tuple[Conv, Array]:
    axes, groups = draw(st.integers(1, 2)), draw(st.integers(1, 3))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    seed, kernel = draw(seeds), each(1, 3)
    weight = integers(seed, groups * draw(sizes), draw(sizes), *kernel)
    bias = integers(seed + 1, weight.shape[0]) if draw(st.booleans()) else None
    window = {"stride": each(1, 3), "padding": each(0, 4), "dilation": each(1, 3)}
    try:
        conv = Conv(weight, each(1, 9), bias, groups=groups, **window)
    except GraphError as error:
        assume("the output would have shape" not in error.what)
        raise
    return conv, integers(seed + 2, draw(st.integers(1, 3)), *conv.input_shape)


def torchs(conv: Conv, x: Array) -> torch.Tensor:
    convolve: Any = functional.conv1d if len(conv.size) == 1 else functional.conv2d
    bias = None if conv.bias is None else torch.tensor(conv.bias)
    window = (conv.stride, conv.padding, conv.dilation, conv.groups)
    return convolve(torch.tensor(x), torch.tensor(conv.weight), bias, *window)


@given(convolutions())
@settings(max_examples=150)
def test_convolution(drawn: tuple[Conv, Array]) -> None:
    conv, x = drawn
    same(layers.apply(conv, x), torchs(conv, x))


@pytest.mark.parametrize("patch", [1, 500, 5000])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolution_in_pieces_is_the_same(patch: int, groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers, "_PATCH_BYTES", patch)
    for size in ((9,), (9, 7)):
        axes = len(size)
        conv = Conv(
            integers(0, 4, 3, *(3,) * axes),
            size,
            integers(1, 4),
            stride=(2,) * axes,
            padding=(1,) * axes,
            dilation=(1,) * axes,
            groups=groups,
        )
        x = integers(2, 5, *conv.input_shape)
        same(layers.apply(conv, x), torchs(conv, x))


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 500))
def test_a_convolution_is_cut_into_pieces_that_fit(samples: int, rows: int, row_bytes: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(layers, "_PATCH_BYTES", 1000)
        pieces = list(layers._tiles(samples, rows, row_bytes))
    done = np.zeros((samples, rows), int)
    for piece in pieces:
        done[piece] += 1
        assert done[piece].size * row_bytes <= 1000
    assert (done == 1).all()
    whole = max(1, 1000 // (rows * row_bytes)) if rows * row_bytes <= 1000 else 1
    assert len(pieces) == -(-samples // whole) * -(-rows * row_bytes // (1000 // row_bytes * row_bytes))


@st.composite
def pools(draw: Any) -> tuple[Pool, Array]:
    def both(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    kernel = both(1, 4)
    padding = (draw(st.integers(0, kernel[0] // 2)), draw(st.integers(0, kernel[1] // 2)))
    kind = draw(st.sampled_from(["avg", "sum", "max"]))
    try:
        pool = Pool(kind, (draw(sizes), *both(1, 9)), kernel, both(1, 4), padding if kind != "sum" else (0, 0))
    except GraphError as error:
        assume("the output would have shape" not in error.what)
        raise
    return pool, integers(draw(seeds), draw(sizes), *pool.shape)


@given(pools())
@settings(max_examples=150)
def test_pooling(drawn: tuple[Pool, Array]) -> None:
    """A mean of integers is one division, which rounds once."""
    pool, x = drawn
    tensor, window = torch.tensor(x), (pool.kernel, pool.stride)
    match pool.kind:
        case "avg":
            same(layers.apply(pool, x), functional.avg_pool2d(tensor, *window, pool.padding))
        case "max":
            same(layers.apply(pool, x), functional.max_pool2d(tensor, *window, pool.padding))
        case "sum":
            ones = torch.ones(pool.shape[0], 1, *pool.kernel)
            same(layers.apply(pool, x), functional.conv2d(tensor, ones, stride=pool.stride, groups=pool.shape[0]))


def test_sum_pooling_is_torchs_lp_pooling_with_p_1() -> None:
    pool, x = Pool("sum", (3, 8, 6), (2, 4), (2, 2)), np.abs(integers(0, 4, 3, 8, 6))
    same(layers.apply(pool, x), torch.nn.LPPool2d(1, (2, 4), (2, 2))(torch.tensor(x)))


def test_zero_padding_of_sums_counts_nothing() -> None:
    pool = Pool("sum", (1, 2, 2), (2, 2), (1, 1), (2, 2))
    expected = np.zeros((1, 1, 5, 5), np.float32)
    expected[0, 0, 1:4, 1:4] = [[1, 2, 1], [2, 4, 2], [1, 2, 1]]
    np.testing.assert_array_equal(layers.apply(pool, np.ones((1, 1, 2, 2), np.float32)), expected)


@given(st.lists(sizes, min_size=1, max_size=4), st.data())
@settings(max_examples=40)
def test_flatten(shape: list[int], data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(shape) - 1))
    end = data.draw(st.integers(start, len(shape) - 1))
    negative = data.draw(st.booleans())
    flatten = Flatten(tuple(shape), start, end - len(shape) if negative else end)
    x = integers(0, 2, *shape)
    same(layers.apply(flatten, x), torch.flatten(torch.tensor(x), start + 1, end + 1))


def test_scale_multiplies_and_the_others_pass_on() -> None:
    x, scale = integers(0, 4, 2, 3), integers(1, 2, 3)
    np.testing.assert_array_equal(layers.apply(Scale(scale), x), x * scale)
    for node in (Input((2, 3)), Output((2, 3)), Sum((2, 3))):
        assert layers.apply(node, x) is x


def test_arithmetic_is_in_the_type_of_the_signal() -> None:
    """A float64 run of float32 weights uses the weights' values, and rounds nothing to float32."""
    weight = np.float32([[0.1, 0.2]])
    x = np.array([[1 / 3, 1 / 7]])
    assert layers.apply(Linear(weight), x)[0, 0] == pytest.approx(float(weight[0] @ x[0]), rel=1e-15)
    assert layers.apply(Linear(weight.astype(np.float64)), x.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    "node",
    [
        Scale(np.array([0.1, 0.2])),
        Linear(np.array([[0.1, 0.2]]), np.array([0.3]), np.array([0.4])),
        Linear(np.array([[0.1, 0.2]])),
        Conv(np.full((1, 1, 1), 0.1), (2,), np.array([0.3]), (1,), (0,), (1,)),
    ],
)
def test_rounded_weights_are_those_of_a_run_in_that_type(node: Any) -> None:
    narrow = layers.rounded(node, "float32")
    for name in ("scale", "weight", "bias", "folded"):
        if (array := getattr(node, name, None)) is not None:
            assert getattr(narrow, name).dtype == np.float32
            np.testing.assert_array_equal(getattr(narrow, name), array.astype(np.float32))
    assert layers.rounded(narrow, "float32") is narrow
    assert layers.rounded(node, "float64") is node
    assert type(narrow) is type(node)


def test_layers_without_weights_are_their_own_rounded_form() -> None:
    for node in (Input((2,)), Sum((2,)), Pool("max", (1, 2, 2), (2, 2), (2, 2)), Flatten((2, 2))):
        assert layers.rounded(node, "float32") is node
