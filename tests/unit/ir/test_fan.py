"""Synapses are counted as plain loops count them."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from norse_export.ir.fan import fan_in, fan_out
from norse_export.ir.fixed import ConvSynapses, DenseSynapses, SparseSynapses, Synapses


def conv_counts(node: ConvSynapses, *, zeros: bool) -> tuple[list[int], list[int]]:
    """Into each target and out of each source, tap by tap."""
    (c_in, height, width), (c_out, rows, columns) = node.input_shape, node.map_shape
    into, out = np.zeros(node.map_shape, int), np.zeros(node.input_shape, int)
    for k, y, x, c, ky, kx in product(*map(range, (c_out, rows, columns, *node.weight.shape[1:]))):
        source = k // (c_out // node.groups) * (c_in // node.groups) + c
        sy = y * node.stride[0] - node.padding[0] + ky * node.dilation[0]
        sx = x * node.stride[1] - node.padding[1] + kx * node.dilation[1]
        if 0 <= sy < height and 0 <= sx < width and (zeros or node.weight[k, c, ky, kx]):
            into[k, y, x] += 1
            out[source, sy, sx] += 1
    return into.reshape(-1).tolist(), out.reshape(-1).tolist()


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))


@given(st.integers(0, 10**6), pairs, st.tuples(st.integers(0, 2), st.integers(0, 2)), pairs, pairs, st.integers(1, 2))
def test_convolutions(seed: int, stride, padding, dilation, kernel, groups) -> None:  # type: ignore[no-untyped-def]
    random = np.random.default_rng(seed)
    weight = random.integers(-1, 2, (2 * groups, 2, *kernel)).astype(np.int8)
    size = [d * (k - 1) + 1 + int(random.integers(0, 4)) for d, k in zip(dilation, kernel, strict=True)]
    out = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in zip(size, padding, dilation, kernel, stride)]  # noqa: B905
    node = ConvSynapses(weight, (2 * groups, *size), (2 * groups, *out), stride, padding, dilation, groups)
    for zeros in (False, True):
        into, outof = conv_counts(node, zeros=zeros)
        assert fan_in(node, zeros=zeros).tolist() == into
        assert fan_out(node, zeros=zeros).tolist() == outof


WEIGHT = np.array([[1, 0, 2], [0, 0, -3]], np.int8)
SPARSE = SparseSynapses(
    np.array([0, 2, 2, 5]), np.array([0, 1, 1, 1, 0]), np.array([1, 0, 2, 3, 0], np.int8), (3,), (2,)
)


@pytest.mark.parametrize(
    ("node", "into", "out", "all_in", "all_out"),
    [
        (DenseSynapses(WEIGHT, (3,), (2,)), [2, 1], [1, 0, 2], [3, 3], [2, 2, 2]),
        (SPARSE, [1, 2], [1, 0, 2], [2, 3], [2, 0, 3]),
    ],
)
def test_dense_and_sparse(
    node: Synapses, into: list[int], out: list[int], all_in: list[int], all_out: list[int]
) -> None:
    assert (fan_in(node).tolist(), fan_out(node).tolist()) == (into, out)
    assert (fan_in(node, zeros=True).tolist(), fan_out(node, zeros=True).tolist()) == (all_in, all_out)
