"""The words for how physics becomes steps, on the command line and in files. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

#: Each choice with its words; the first is what Norse computes, and what is taken where nobody says anything.
CHOICES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "scheme": ("euler", "exponential"),
        "order": ("synapse-first", "membrane-first"),
        "threshold": ("gt", "ge"),
        "reset": ("value", "zero", "subtract"),
    }
)
#: Frameworks whose reading of .nir files is known: keys of `PRESETS` (formats/nir/presets.py).
FRAMEWORKS = ("norse", "snntorch", "spikingjelly", "sinabs", "lava")
