"""Counter-based random numbers: a number for each (seed, node, sample, neuron, step, stream), in no order.

Philox 4x32-10 of J. Salmon, M. Moraes, R. Dror, D. Shaw, Parallel random numbers: as easy as 1, 2, 3, SC 2011. The key
is the seed (low word, high word); the counter is (neuron, step, sample, 256 node + stream); the number is the first of
the four words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

M0, M1 = 0xD2511F53, 0xCD9E8D57
W0, W1 = 0x9E3779B9, 0xBB67AE85
ROUNDS = 10
MAX_STREAMS = 256
_MASK, _WORD = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox4x32(counter: tuple[Any, Any, Any, Any], key: tuple[int, int]) -> tuple[NDArray[np.uint64], ...]:
    """The four words for a counter of four words (arrays that broadcast) and a key of two; each below 2^32."""
    c0, c1, c2, c3 = (np.asarray(word, np.uint64) for word in counter)
    k0, k1 = key
    for _ in range(ROUNDS):
        p0, p1 = c0 * np.uint64(M0), c2 * np.uint64(M1)
        c0, c1, c2, c3 = (p1 >> _WORD) ^ c1 ^ np.uint64(k0), p1 & _MASK, (p0 >> _WORD) ^ c3 ^ np.uint64(k1), p0 & _MASK
        k0, k1 = (k0 + W0) & 0xFFFFFFFF, (k1 + W1) & 0xFFFFFFFF
    return c0, c1, c2, c3


def random_words(seed: int, *, node: int, stream: int, sample: Any, neuron: Any, step: int) -> NDArray[np.int64]:
    """Random numbers of 32 bits as int64; sample and neuron are arrays of indices that broadcast.

    Raises:
        ValueError: a seed of more than 64 bits, or a node or stream beyond what the counter holds.
    """
    if not (0 <= seed < 2**64 and 0 <= node < 2**24 and 0 <= stream < MAX_STREAMS):
        raise ValueError(f"seed {seed}, node {node}, stream {stream}: beyond the counter")
    counter = (neuron, step, sample, MAX_STREAMS * node + stream)
    return philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))[0].astype(np.int64)
