"""Target `nir`: one file in the Neuromorphic Intermediate Representation."""

from .target import NirTarget

__all__ = ["NirTarget"]
