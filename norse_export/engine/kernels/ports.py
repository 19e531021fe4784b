"""From the sums of a projection to a port, and from a population to what a run gives."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np

from norse_export.engine.kernels.memory import jitted, view


@jitted
def deliver(t, sample, own, own_size, order, size, port, up, left, right, own_type, port_type):
    """Add each sum, wrapped to 64 - up bits and shifted, to the port; `order` says where each port's sum stands."""
    total = view(port, size, port_type)
    places = view(order, size, np.int32)
    sums = view(own, own_size, own_type)
    for cell in range(size):
        value = np.int64(sums[places[cell]])
        value = (value << up) >> up
        total[cell] += port_type((value << left) >> right)


@jitted
def deliver_rows(t, sample, own, rows, run, pitch, port, own_type, port_type):
    """Add sums that stand in the port's own order, in rows with gaps between them."""
    item, port_item = view(own, 1, own_type).itemsize, view(port, 1, port_type).itemsize
    for row in range(rows):
        sums = view(own + item * row * pitch, run, own_type)
        total = view(port + port_item * row * run, run, port_type)
        for cell in range(run):
            total[cell] += port_type(sums[cell])


@jitted
def clear(t, sample, address, words):
    """Set memory to 0."""
    memory = view(address, words, np.int64)
    for word in range(words):
        memory[word] = 0


@jitted
def saturate(t, sample, sums, size, top, counter, sum_type):
    """Let sums stop at the largest, and count those that were larger."""
    total = view(sums, size, sum_type)
    largest, saturated = sum_type(top), 0
    for cell in range(size):
        saturated += total[cell] > largest
        total[cell] = min(total[cell], largest)
    view(counter, 1, np.int64)[0] += saturated


@jitted
def record(t, sample, samples, source, size, order, target, source_type, target_type):
    """Copy values to row (t, sample) of a recording; `order` gives the place of each in the graph's order, 0 none."""
    values = view(source, size, source_type)
    item = view(target, 1, target_type).itemsize
    row = view(target + item * (t * samples + sample) * size, size, target_type)
    if order == 0:
        for cell in range(size):
            row[cell] = target_type(values[cell])
    else:
        places = view(order, size, np.int32)
        for cell in range(size):
            row[places[cell]] = target_type(values[cell])


@jitted
def restore(t, sample, address, fresh, words):
    """Set memory to what it is before the first step."""
    memory, initial = view(address, words, np.int64), view(fresh, words, np.int64)
    for word in range(words):
        memory[word] = initial[word]
