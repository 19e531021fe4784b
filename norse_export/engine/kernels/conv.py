"""Convolutions: each event adds its kernel to the sums, which lie channel-last [row, column, channel]."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np

from norse_export.engine.kernels.memory import jitted, slot_of, view


@jitted
def scatter(
    t, sample, slots, mask, delay, places, kernels, rows, run, pitch, sums, fan, operations, weight_type, sum_type
):
    """Stride 1: sums are those of the full convolution, so that a kernel is `rows` contiguous runs and nothing is cut.

    places [N_in, 2]: of each cell where its kernel begins and where in the sums. pitch: from one row of sums to the
    next. The run is as long as the packer made it; what it has beyond the kernel is zeros.
    """
    entry = slot_of(slots, (t - delay) & mask)
    count = entry[1]
    cells = view(entry[0], count, np.int32)
    done = 0
    item = view(kernels, 1, weight_type).itemsize
    for number in range(count):
        place = view(places + 8 * cells[number], 2, np.int32)
        first, start = np.int64(place[0]), np.int64(place[1])
        for row in range(rows):
            weight = view(kernels + item * (first + row * run), run, weight_type)
            total = view(sums + view(sums, 1, sum_type).itemsize * (start + row * pitch), run, sum_type)
            for target in range(run):
                total[target] += sum_type(weight[target])
        done += view(fan + 4 * cells[number], 1, np.int32)[0]
    view(operations, 1, np.int64)[0] += done


@jitted
def strided(
    t, sample, slots, mask, delay, cells_at, weights, shape, sums, fan, operations, graded, weight_type, sum_type
):
    """Any stride, padding, dilation and groups.

    cells_at [N_in, 3]: channel, row, column of each cell. weights [C_in, kH, kW, C_out / groups]; sums
    [H_out, W_out, C_out]. shape: kH, kW, stride, padding, dilation (two each), H_out, W_out, C_out, groups, C_in.
    """
    entry = slot_of(slots, (t - delay) & mask)
    count = entry[1]
    cells = view(entry[0], count, np.int32)
    s = view(shape, 13, np.int64)
    kernel_rows, kernel_columns, rows, columns, channels = s[0], s[1], s[8], s[9], s[10]
    run, taken = channels // s[11], s[12] // s[11]
    weight = view(weights, s[12] * kernel_rows * kernel_columns * run, weight_type)
    total = view(sums, rows * columns * channels, sum_type)
    done = 0
    for number in range(count):
        value = sum_type(1)
        if graded != 0:
            value = sum_type(view(entry[2], count, np.int32)[number])
        place = view(cells_at + 12 * cells[number], 3, np.int32)
        channel = np.int64(place[0])
        for ky in range(kernel_rows):
            y = place[1] + s[4] - ky * s[6]
            if y < 0 or y % s[2] != 0 or y // s[2] >= rows:
                continue
            for kx in range(kernel_columns):
                x = place[2] + s[5] - kx * s[7]
                if x < 0 or x % s[3] != 0 or x // s[3] >= columns:
                    continue
                first = ((channel * kernel_rows + ky) * kernel_columns + kx) * run
                start = ((y // s[2]) * columns + x // s[3]) * channels + (channel // taken) * run
                for target in range(run):
                    total[start + target] += sum_type(value * sum_type(weight[first + target]))
        done += view(fan + 4 * cells[number], 1, np.int32)[0]
    view(operations, 1, np.int64)[0] += done
