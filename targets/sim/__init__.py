"""Target `sim`: the reference simulator, and the machine on which it counts cycles."""

from .target import SimTarget

__all__ = ["SimTarget"]
