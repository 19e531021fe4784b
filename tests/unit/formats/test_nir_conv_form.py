"""Convolutions as they are written for nir.read: exactly equal, judged rightly, and given back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from norse_export.engine.layers import apply
from norse_export.errors import GraphError
from norse_export.formats.nir.conv_form import original_form, written_form
from norse_export.ir.layers import Conv


def integers(*shape: int, seed: int = 0) -> np.ndarray:
    """Small integers: their sums are exact in float32, in every order."""
    return np.random.default_rng(seed).integers(-8, 9, shape).astype(np.float32)


@st.composite
def convs(draw: Any) -> Conv:
    axes = draw(st.sampled_from((1, 2, 2, 2)))

    def each(low: int, high: int) -> tuple[int, ...]:
        return tuple(draw(st.integers(low, high)) for _ in range(axes))

    kernel, dilation, padding, groups = each(1, 5), each(1, 4), each(0, 3), draw(st.integers(1, 3))
    least = [max(1, d * (k - 1) + 1 - 2 * p) for d, k, p in zip(dilation, kernel, padding, strict=True)]
    size = tuple(n + extra for n, extra in zip(least, each(0, 6), strict=True))
    inputs, outputs = draw(st.integers(1, 2)), draw(st.integers(1, 2)) * groups
    weight = integers(outputs, inputs, *kernel, seed=draw(st.integers(0, 9)))
    bias = integers(outputs, seed=1) if draw(st.booleans()) else None
    return Conv(weight, size, bias, each(1, 4), padding, dilation, groups)


def judged(conv: Conv) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Input and output shape as nir's own class finds them."""
    bias = np.zeros(len(conv.weight), np.float32)
    window: list[Any] = [conv.stride, conv.padding, conv.dilation]
    if len(conv.size) == 1:
        node = nir.Conv1d(conv.size[0], conv.weight, *(w[0] for w in window), conv.groups, bias)
    else:
        node = nir.Conv2d(conv.size, conv.weight, *map(np.array, window), conv.groups, bias)
    taken, given_ = node.input_type["input"], node.output_type["output"]
    return tuple(int(k) for k in taken), tuple(int(k) for k in given_)


@settings(max_examples=300, deadline=None)
@given(convs())
def test_the_written_form_is_equal_and_judged_rightly(conv: Conv) -> None:
    form = written_form(conv)
    x = integers(2, *conv.input_shape, seed=7)
    y = apply(form.conv, x)
    if form.crop is not None:
        y = apply(form.crop, y)
        assert judged(form.crop) == (form.crop.input_shape, form.crop.output_shape)
    assert judged(form.conv) == (form.conv.input_shape, form.conv.output_shape)
    assert y.shape == (2, *conv.output_shape)
    assert np.array_equal(y, apply(conv, x))


@settings(max_examples=200, deadline=None)
@given(convs())
def test_the_original_is_given_back(conv: Conv) -> None:
    form = written_form(conv)
    if form.original is None:
        assert form.conv is conv
        assert judged(conv) == (conv.input_shape, conv.output_shape)
        return
    back = original_form(form.conv, form.crop, dict(form.original))
    assert back is not None
    assert back.weight.tobytes() == conv.weight.tobytes()
    fields = ("size", "stride", "padding", "dilation", "groups")
    assert [getattr(back, f) for f in fields] == [getattr(conv, f) for f in fields]


def conv(kernel: tuple[int, ...], size: tuple[int, ...] = (9, 9), channels: int = 1, **window: Any) -> Conv:
    return Conv(integers(2, channels, *kernel, seed=3) + np.float32(0.5), size, **window)


def test_an_odd_kernel_gets_zero_taps_on_both_sides() -> None:
    form = written_form(conv((1, 3)))
    assert (form.conv.kernel, form.conv.padding, form.crop) == ((3, 3), (1, 0), None)
    assert not form.conv.weight[:, :, [0, 2]].any()
    assert form.conv.weight[:, :, 1].all()


def test_the_stride_absorbs_a_tap_on_the_side_where_there_is_room() -> None:
    behind, front = (written_form(conv((2, 3), (n, 9), stride=(2, 1))).conv for n in (8, 9))
    assert not front.weight[:, :, 2].any()
    assert front.padding == (0, 0)
    assert not behind.weight[:, :, 0].any()
    assert behind.padding == (1, 0)


def test_an_even_dilation_is_halved() -> None:
    form = written_form(conv((3, 2), dilation=(1, 2)))
    assert (form.conv.kernel, form.conv.dilation, form.crop) == ((3, 3), (1, 1), None)


def test_even_by_odd_with_stride_one_needs_a_crop() -> None:
    form = written_form(conv((1, 2)))
    assert form.crop is not None
    assert form.crop.kernel == (2, 2)
    assert form.crop.weight.sum() == 2  # one tap of 1 for each channel


def test_groups_become_a_block_diagonal_kernel() -> None:
    grouped = Conv(integers(4, 1, 3, 3) + np.float32(0.5), (5, 5), groups=2)
    form = written_form(grouped)
    assert form.conv.weight.shape == (4, 2, 3, 3)
    assert not form.conv.weight[:2, 1].any()
    assert not form.conv.weight[2:, 0].any()


def test_a_square_kernel_without_groups_is_written_as_it_is() -> None:
    square = conv((3, 3), stride=(2, 1), dilation=(1, 2))
    assert written_form(square).conv is square


FORM = written_form(Conv(integers(4, 1, 1, 3), (5, 5), groups=2))


@pytest.mark.parametrize(
    "change",
    [
        {"kernel": [3, 1]},
        {"kernel": [1]},
        {"kernel": [1, 10**12]},
        {"first": [0, 0]},
        {"first": [-1, 0]},
        {"first": [3, 0]},
        {"step": [0, 1]},
        {"padding": [0, 10**12]},
        {"dilation": [1, 10**12]},
        {"dilation": ["1", 1]},
        {"dilation": 1},
        {"groups": 3},
        {"groups": True},
        {"more": 1},
    ],
    ids=str,
)
def test_an_original_that_is_none_is_not_believed(change: dict[str, Any]) -> None:
    assert original_form(FORM.conv, None, {**(FORM.original or {}), **change}) is None


def test_a_changed_weight_is_not_taken_for_the_original() -> None:
    weight = FORM.conv.weight.copy()
    weight[0, 1, 0, 0] = 1  # was zero, between the blocks
    assert original_form(replace(FORM.conv, weight=weight), None, dict(FORM.original or {})) is None
    assert original_form(FORM.conv, None, dict(FORM.original or {})) is not None


def test_an_original_that_is_no_object_is_not_believed() -> None:
    assert original_form(FORM.conv, None, [1, 2]) is None


def test_an_original_that_no_convolution_can_be_is_not_believed() -> None:
    original = {**(FORM.original or {}), "dilation": [9, 9]}
    with pytest.raises(GraphError):
        Conv(integers(4, 1, 1, 3), (5, 5), dilation=(9, 9), groups=2)
    assert original_form(FORM.conv, None, original) is None
