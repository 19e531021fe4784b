"""What may stand in a file for one class of modules, as plain data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from norse_export.frontend.saved.attribute_fields import Field


class Children(Enum):
    """Which children a module has; a tuple of names stands for exactly these."""

    NONE = "none"
    NAMED = "named"
    NUMBERED = "numbered 0, 1, 2 and so on"


@dataclass(frozen=True, slots=True)
class ModuleClass:
    """One class of modules: everything that may stand in the `__dict__` of its instances.

    arguments: attributes that rebuild the module. derived: attributes that the constructor computes from the
    arguments; they must be what it computes. parameters, buffers: names of which a file holds all. weights: names that
    stand among the parameters or, where the user gave plain tensors, among the attributes; the constructor takes them.
    afterwards: arguments that the constructor does not take under their own name; they are set behind it. bare: the
    constructor would draw weights and compute nothing, and is left out.
    """

    arguments: Mapping[str, Field] = field(default_factory=dict)
    derived: Mapping[str, Field] = field(default_factory=dict)
    parameters: tuple[str, ...] = ()
    buffers: tuple[str, ...] = ()
    weights: tuple[str, ...] = ()
    children: Children | tuple[str, ...] = Children.NONE
    afterwards: frozenset[str] = frozenset()
    bare: bool = False
