"""What a comparison of two runs gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first cell in which two runs differ: by step, then by layer depth, then by index."""

    node: str
    step: int
    sample: int
    index: tuple[int, ...]
    quantity: str
    expected: float
    actual: float


@dataclass(frozen=True, slots=True)
class LayerParity:
    """How one layer of two runs compares. `differing` counts cells; `explained` of them are the margin rule's.

    values_max_abs, values_mean_abs: of an output of values, how far the two are apart, in the model's units.
    """

    node: str
    kind: Literal["spikes", "values"]
    spikes_expected: int
    spikes_actual: int
    differing: int
    explained: int
    consequences: int
    jaccard: float
    van_rossum: float
    victor_purpura: float
    states_equal: bool | None
    states_max_abs: float | None
    values_max_abs: float | None = None
    values_mean_abs: float | None = None

    @property
    def equal(self) -> bool:
        """Whether no difference is left unexplained."""
        return self.differing == self.explained + self.consequences and self.states_equal is not False


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two runs on the same input, compared cell by cell.

    rung: of the ladder of proof, that of the actual run; None where a recorded trace does not say what made it.
    explained_flips: first differences of samples that the margin rule explains, or, if these are more, by how many
    cells of those samples the actual run needs the bound more often than the reference; more than `allowed_flips` are
    too many.
    """

    reference: str
    actual: str
    rung: int | None
    steps: int
    samples: int
    equal: bool
    vacuous: bool
    silent: tuple[str, ...]
    first_divergence: Divergence | None
    layers: tuple[LayerParity, ...]
    explained_flips: int
    allowed_flips: int
    decisions_equal: tuple[int, int] | None
    accuracy: tuple[float, float] | None
    skew_steps: int = 0

    @property
    def spikes(self) -> int:
        """Spikes of the reference that were compared."""
        return sum(layer.spikes_expected for layer in self.layers)
