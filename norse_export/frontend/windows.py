"""Windows and sides of maps, as torch's modules and functions give them: adaptive pooling, padding with zeros."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

Shape = tuple[int, ...]
ADAPTIVE_FIX = "pool to a size that divides that of the maps, or give the model larger maps"


def adaptive_kernel(size: Shape, wanted: Any) -> Shape | None:
    """Kernel, and stride, of an adaptive pooling to the size `wanted`; None where its windows differ or overlap.

    Source: torch.nn.AdaptiveAvgPool2d: window i goes from floor(i n / m) to ceil((i + 1) n / m).
    """
    target = adaptive_size(size, wanted)
    if any(n % m for n, m in zip(size, target, strict=True)):
        return None
    return tuple(n // m for n, m in zip(size, target, strict=True))


def adaptive_size(size: Shape, wanted: Any) -> Shape:
    """The size that an adaptive pooling is asked for: one number for all axes, or one each; None keeps an axis."""
    given = wanted if isinstance(wanted, tuple | list) else (wanted,) * len(size)
    return tuple(n if m is None else int(m) for n, m in zip(size, given, strict=True))


def adaptive_message(name: str, size: Shape, wanted: Any) -> str:
    """Why an adaptive pooling is refused."""
    return f"{name} from {size} to {adaptive_size(size, wanted)}: its windows are not all of one size side by side"


def pad_sides(shape: Shape, pad: Sequence[int]) -> tuple[Shape, Shape] | None:
    """Cells before and after each axis of features, from torch's pairs, last axis first; None where axes are missing.

    A negative number would cut cells off.
    """
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    if len(pairs) > len(shape) or min(pad, default=0) < 0:
        return None
    pairs += [(0, 0)] * (len(shape) - len(pairs))
    before, after = zip(*reversed(pairs), strict=True)
    return tuple(map(int, before)), tuple(map(int, after))
