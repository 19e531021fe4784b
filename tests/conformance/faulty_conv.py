"""Wrong convolutions: each as the listed synapses that it would amount to."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np

from norse_export.ir.fixed import ConvSynapses, SparseSynapses

Pair = tuple[int, int]


@dataclass(frozen=True)
class Reading:
    """How a convolution is read: which tap stands at (i, j), and the options that are used in the place of its own."""

    tap: Callable[[Pair, Pair], Pair] = lambda at, kernel: at
    padding: Callable[[Pair], Pair] = lambda own: own
    stride: Callable[[Pair], Pair] = lambda own: own
    dilation: Callable[[Pair], Pair] = lambda own: own
    source: Callable[[int, int, int], int] = lambda group, channel, together: group * together + channel
    channel_last: bool = False


def listed(node: ConvSynapses, reading: Reading) -> SparseSynapses:
    """The convolution as a list of synapses, read wrongly; its sources and targets stay."""
    made, together, *kernel = node.weight.shape
    _, rows, columns = node.input_shape
    _, height, width = node.map_shape
    down, right = reading.padding(node.padding)
    stride, dilation = reading.stride(node.stride), reading.dilation(node.dilation)
    found: list[tuple[int, int, int]] = []
    for c, y, x, k, i, j in product(*map(range, (made, height, width, together, *kernel))):
        row, column = y * stride[0] + i * dilation[0] - down, x * stride[1] + j * dilation[1] - right
        if 0 <= row < rows and 0 <= column < columns:
            channel = reading.source(c // (made // node.groups), k, together)
            a, b = reading.tap((i, j), (kernel[0], kernel[1]))
            target = (y * width + x) * made + c if reading.channel_last else (c * height + y) * width + x
            found.append(((channel * rows + row) * columns + column, target, int(node.weight[c, k, a, b])))
    found.sort()
    sources, targets, weight = (np.array(column) for column in zip(*found, strict=True))
    starts = np.searchsorted(sources, np.arange(prod(node.input_shape) + 1))
    return SparseSynapses(
        starts, targets, weight.astype(node.weight.dtype), node.input_shape, node.output_shape, node.delivery
    )


def conv_faults() -> Iterator[tuple[str, Callable[[ConvSynapses], SparseSynapses]]]:
    """Names and changes; `right` is no fault, and shows that the others differ by the fault alone."""

    def wrong(reading: Reading) -> Callable[[ConvSynapses], SparseSynapses]:
        return lambda node: listed(node, reading)

    yield "conv_kernel_flipped", wrong(Reading(tap=lambda at, k: (k[0] - 1 - at[0], k[1] - 1 - at[1])))
    yield "conv_kernel_flipped_along_one_axis", wrong(Reading(tap=lambda at, k: (at[0], k[1] - 1 - at[1])))
    yield "conv_kernel_transposed", wrong(Reading(tap=lambda at, k: divmod(at[1] * k[0] + at[0], k[1])))
    yield "conv_padding_off_by_one", wrong(Reading(padding=lambda own: (own[0] - 1, own[1])))
    yield "conv_padding_dropped", wrong(Reading(padding=lambda own: (0, 0)))
    yield "conv_padding_exchanged", wrong(Reading(padding=lambda own: (own[1], own[0])))
    yield "conv_stride_exchanged", wrong(Reading(stride=lambda own: (own[1], own[0])))
    yield "conv_stride_dropped", wrong(Reading(stride=lambda own: (1, 1)))
    yield "conv_dilation_exchanged", wrong(Reading(dilation=lambda own: (own[1], own[0])))
    yield "conv_dilation_dropped", wrong(Reading(dilation=lambda own: (1, 1)))
    yield "conv_groups_mixed", wrong(Reading(source=lambda group, channel, together: channel))
    yield "conv_channels_last", wrong(Reading(channel_last=True))
