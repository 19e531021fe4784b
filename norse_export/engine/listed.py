"""Who sent something in a run, as lists."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """The cells of each input and of each population that spikes which were not 0, step by step.

    names: of these nodes; sizes: how many cells each has. Those of node n in step t of sample b are
    cells[starts[n, b, t] : starts[n, b, t + 1]], rising numbers in C order. starts [nodes, B, T + 1], int64; cells,
    int32: the lists of a sample stand one behind the other, between those of two nodes or samples there may be gaps.
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    starts: NDArray[np.int64]
    cells: NDArray[np.int32]

    @property
    def shapes(self) -> dict[str, tuple[int, int, int]]:
        """Shape [T, B, cells] of the raster of each node."""
        samples, steps = self.starts.shape[1], self.starts.shape[2] - 1
        return {name: (steps, samples, size) for name, size in zip(self.names, self.sizes, strict=True)}
