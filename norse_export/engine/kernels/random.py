"""Random numbers of program/philox.py: one for each neuron, in the order in which the engine holds them."""

# mypy: disallow-untyped-defs=False, disallow-untyped-calls=False, disallow-untyped-decorators=False
from __future__ import annotations

import numpy as np

from norse_export.engine.kernels.memory import jitted, view
from norse_export.program.philox import M0, M1, ROUNDS, W0, W1

_MASK = 0xFFFFFFFF


@jitted
def draw(t, sample, first_sample, low, high, counter, size, order, numbers):
    """Fill `numbers` (int64, below 2^32). low, high: the seed's words. counter: 256 node + stream."""
    drawn = view(numbers, size, np.uint64)
    places = view(order, size if order != 0 else 0, np.int32)
    mask, word = np.uint64(_MASK), np.uint64(32)
    for cell in range(size):
        c0 = np.uint64(places[cell] if order != 0 else cell)
        c1, c2, c3 = np.uint64(t), np.uint64(sample + first_sample), np.uint64(counter)
        k0, k1 = np.uint64(low), np.uint64(high)
        for _ in range(ROUNDS):
            p0, p1 = c0 * np.uint64(M0), c2 * np.uint64(M1)
            c0, c1, c2, c3 = (p1 >> word) ^ c1 ^ k0, p1 & mask, (p0 >> word) ^ c3 ^ k1, p0 & mask
            k0, k1 = (k0 + np.uint64(W0)) & mask, (k1 + np.uint64(W1)) & mask
        drawn[cell] = c0
