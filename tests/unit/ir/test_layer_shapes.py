"""Shapes of the stateless nodes, and what they refuse. That shapes are torch's is tested with the arithmetic."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from norse_export.errors import GraphError
from norse_export.ir.layers import Conv, Flatten, Input, Linear, Output, Pool, Scale, Sum
from norse_export.ir.shaping import Reorder


def zeros(*shape: int) -> Any:
    return np.zeros(shape, np.float32)


@pytest.mark.parametrize(
    ("node", "taken", "sent"),
    [
        (Input((2, 3)), (2, 3), (2, 3)),
        (Input(()), (), ()),
        (Output((2, 3)), (2, 3), (2, 3)),
        (Sum((4,)), (4,), (4,)),
        (Scale(zeros(2, 3)), (2, 3), (2, 3)),
        (Linear(zeros(5, 3)), (3,), (5,)),
        (Conv(zeros(4, 3, 5), (10,), stride=(2,), padding=(1,), dilation=(2,)), (3, 10), (4, 2)),
        (Conv(zeros(4, 3, 3, 1), (10, 6), padding=(1, 0)), (3, 10, 6), (4, 10, 6)),
        (Conv(zeros(4, 3, 3, 3), (10, 6), groups=2), (6, 10, 6), (4, 8, 4)),
        (Pool("avg", (2, 7, 5), (2, 3), (2, 1), (1, 0)), (2, 7, 5), (2, 4, 3)),
        (Flatten((2, 3, 4)), (2, 3, 4), (24,)),
        (Flatten((2, 3, 4), 1, 2), (2, 3, 4), (2, 12)),
        (Flatten((2, 3, 4), 0, 1), (2, 3, 4), (6, 4)),
        (Flatten((2, 3, 4), -2, -1), (2, 3, 4), (2, 12)),
        (Flatten((2, 3, 4), 1, 1), (2, 3, 4), (2, 3, 4)),
    ],
)
def test_a_layer_knows_the_shapes_it_takes_and_sends(node: Any, taken: Any, sent: Any) -> None:
    assert node.input_shape == taken
    assert node.output_shape == sent
    assert node.ports == (() if isinstance(node, Input) else ("x",))


@pytest.mark.parametrize(
    ("make", "kind", "what"),
    [
        (lambda: Input((0,)), "shape", "a signal of shape (0,) is empty"),
        (lambda: Input((2, -1)), "shape", "a signal of shape (2, -1) is empty"),
        (lambda: Input((2,), "float16"), "dtype", "dtype float16"),  # type: ignore[arg-type]
        (lambda: Output((0, 2)), "shape", "is empty"),
        (lambda: Sum((0,)), "shape", "is empty"),
        (lambda: Scale(zeros(0)), "shape", "scale is empty"),
        (lambda: Scale(np.array([1, np.nan])), "nan", "scale[1] is nan"),
        (lambda: Linear(zeros(3)), "shape", "weight has shape (3,), 2 axes are needed"),
        (lambda: Linear(zeros(3, 0)), "shape", "weight is empty"),
        (lambda: Linear(zeros(3, 2), zeros(2)), "shape", "bias has 2 values, weight gives 3 outputs"),
        (lambda: Linear(zeros(3, 2), zeros(3, 1)), "shape", "bias has shape (3, 1), 1 axes are needed"),
        (lambda: Linear(zeros(3, 2), zeros(3), zeros(2)), "shape", "folded has 2 values"),
        (lambda: Linear(zeros(3, 2), np.array([0, 1, np.inf])), "nan", "bias[2] is inf"),
        (lambda: Linear(np.zeros((3, 2), np.int8)), "dtype", "weight has dtype int8"),  # type: ignore[arg-type]
        (lambda: Conv(zeros(1, 1, 1, 1), ()), "shape", "a convolution over 0 axes"),
        (lambda: Conv(zeros(1, 1, 1, 1), (3, 3, 3)), "shape", "a convolution over 3 axes"),
        (lambda: Conv(zeros(1, 1, 1, 1), (3, 0)), "shape", "(3, 0) is empty"),
        (lambda: Conv(zeros(1, 1, 1), (3, 3)), "shape", "4 axes are needed"),
        (lambda: Conv(zeros(1, 1, 3, 3), (2, 4)), "shape", "the output would have shape (1, 0, 2)"),
        (lambda: Conv(zeros(1, 1, 3, 3), (4, 4), dilation=(2, 2)), "shape", "the output would have shape"),
        (lambda: Conv(zeros(1, 1, 2, 2), (4, 4), stride=(0, 1)), "conv_stride", "conv stride = (0, 1)"),
        (lambda: Conv(zeros(1, 1, 2, 2), (4, 4), stride=(1,)), "conv_stride", "conv stride = (1,): 2 numbers"),
        (lambda: Conv(zeros(1, 1, 2, 2), (4, 4), dilation=(1, -1)), "conv_dilation", "conv dilation = (1, -1)"),
        (lambda: Conv(zeros(1, 1, 2, 2), (4, 4), padding=(-1, 0)), "conv_padding", "conv padding = (-1, 0)"),
        (lambda: Conv(zeros(1, 1, 2, 2), (4, 4), padding=(1,)), "conv_padding", "2 numbers of at least 0"),
        (lambda: Conv(zeros(3, 1, 2, 2), (4, 4), groups=2), "conv_groups", "conv groups = 2 does not divide 3"),
        (lambda: Conv(zeros(3, 1, 2, 2), (4, 4), groups=0), "conv_groups", "conv groups = 0"),
        (lambda: Conv(zeros(3, 1, 2, 2), (4, 4), groups=-3), "conv_groups", "conv groups = -3"),
        (lambda: Pool("avg", (4, 4), (2, 2), (2, 2)), "shape", "pooling needs (channels, height, width), got (4, 4)"),
        (lambda: Pool("avg", (0, 4, 4), (2, 2), (2, 2)), "shape", "is empty"),
        (lambda: Pool("lp", (1, 4, 4), (2, 2), (2, 2)), "pool_kind", "pooling of kind 'lp'"),  # type: ignore[arg-type]
        (lambda: Pool("avg", (1, 4, 4), (0, 2), (2, 2)), "pool_kernel", "pool kernel = (0, 2)"),
        (lambda: Pool("avg", (1, 4, 4), (2, 2), (2, 0)), "pool_stride", "pool stride = (2, 0)"),
        (lambda: Pool("avg", (1, 4, 4), (2, 2), (2, 2), (-1, 0)), "pool_padding", "pool padding = (-1, 0)"),
        (lambda: Pool("max", (1, 4, 4), (2, 2), (2, 2), (0, 2)), "pool_padding", "more than half of the kernel"),
        (lambda: Pool("sum", (1, 4, 4), (5, 2), (2, 2)), "shape", "the output would have shape"),
        (lambda: Flatten((2, 3), 0, 2), "shape", "flatten from axis 0 to 2 of shape (2, 3)"),
        (lambda: Flatten((2, 3), 1, 0), "shape", "flatten from axis 1 to 0"),
        (lambda: Flatten((2, 3), -3, -1), "shape", "flatten from axis -3"),
        (lambda: Flatten(()), "shape", "flatten from axis 0 to -1 of shape ()"),
        (lambda: Flatten((2, 0)), "shape", "is empty"),
        (lambda: Reorder((2, 3), (0, 0), (6,)), "shape", "the axes (0, 0) of a signal of shape (2, 3)"),
        (lambda: Reorder((2, 3), (1,), (6,)), "shape", "the axes (1,)"),
        (lambda: Reorder((2, 3), (1, 0), (5,)), "shape", "the shape (5,) for the 6 cells"),
        (lambda: Reorder((2, 0), (1, 0), (0,)), "shape", "is empty"),
    ],
)
def test_an_impossible_layer_is_refused(make: Any, kind: str, what: str) -> None:
    with pytest.raises(GraphError) as caught:
        make()
    (finding,) = caught.value.findings
    assert finding.kind == kind
    assert what in finding.message
    assert finding.where in ("Input", "Output", "Sum", "Scale", "Linear", "Conv", "Pool", "Flatten", "Reorder")
    assert finding.fix


def test_a_window_may_stand_wholly_in_the_padding_where_zeros_are_summed() -> None:
    assert Pool("sum", (1, 4, 4), (2, 2), (2, 2), (2, 2)).output_shape == (1, 4, 4)
