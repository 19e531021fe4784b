"""Structures that Norse lets a user build, each as a small model that fires: all of them, by name. Not tests.

`STRUCTURES[name]` has a builder, an example input, and for a model that is refused the kind and words of the reason.
"""

from __future__ import annotations

from structure_functions import FUNCTIONS
from structure_loops import LOOPS
from structure_nets import CODED, CONTAINERS, MODELS
from structure_parts import Structure

__all__ = ["STRUCTURES", "Structure"]

_TABLES = {
    "loop": LOOPS, "container": CONTAINERS, "model": MODELS, "coded": CODED, "function": FUNCTIONS,
}  # fmt: skip
STRUCTURES: dict[str, Structure] = {
    f"{table}: {name}": structure for table, structures in _TABLES.items() for name, structure in structures.items()
}
