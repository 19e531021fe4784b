"""Which neurons stand on which core of a rectangular mesh: data only, checked when it is made."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from norse_export.errors import Finding, GraphError
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph

MAX_SIDE = 2**15  # of the mesh: a core's number fits 32 bits
_FIX = "place the graph again"


@dataclass(frozen=True, slots=True)
class Part:
    """Neurons start to stop - 1 of a population, in C order, on a core; core = y * width + x."""

    population: str
    start: int
    stop: int
    core: int

    @property
    def neurons(self) -> int:
        """How many neurons."""
        return self.stop - self.start


@dataclass(frozen=True)
class Placement:
    """Parts of populations on the cores of a mesh of width x height; a core may hold several parts.

    The parts of one population stand in the order of their neurons; on a core, parts stand in the order of `parts`.

    Raises:
        GraphError: a mesh or a core that does not exist, a population that its parts do not cover exactly once; every
            violation is a finding.
    """

    width: int
    height: int
    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        if not (1 <= self.width <= MAX_SIDE and 1 <= self.height <= MAX_SIDE):
            message = f"a mesh of {self.width} x {self.height} cores"
            raise GraphError(message, where="placement", fix=f"use 1 to {MAX_SIDE} columns and rows", kind="placement")
        if findings := [*self._misplaced(), *self._uncovered()]:
            raise GraphError.of(findings)

    @property
    def cores(self) -> int:
        """How many cores the mesh has."""
        return self.width * self.height

    @cached_property
    def sizes(self) -> Mapping[str, int]:
        """Number of neurons of each population."""
        return {name: parts[-1].stop for name, parts in self.by_population.items()}

    @cached_property
    def by_population(self) -> Mapping[str, tuple[Part, ...]]:
        """The parts of each population, in the order of its neurons."""
        found: dict[str, list[Part]] = {}
        for part in self.parts:
            found.setdefault(part.population, []).append(part)
        return {name: tuple(parts) for name, parts in found.items()}

    @cached_property
    def by_core(self) -> Mapping[int, tuple[Part, ...]]:
        """The parts on each core that holds any, cores rising."""
        found: dict[int, list[Part]] = {}
        for part in self.parts:
            found.setdefault(part.core, []).append(part)
        return {core: tuple(found[core]) for core in sorted(found)}

    def _misplaced(self) -> Iterator[Finding]:
        for part in self.parts:
            if not 0 <= part.core < self.cores:
                yield _finding(part.population, f"neurons {part.start} to {part.stop - 1} stand on core {part.core}")

    def _uncovered(self) -> Iterator[Finding]:
        for name, parts in self.by_population.items():
            expected = 0
            for part in parts:
                if part.start != expected or part.stop <= part.start:
                    yield _finding(name, f"behind neuron {expected - 1} stand neurons {part.start} to {part.stop - 1}")
                    break
                expected = part.stop


def check_placement(placement: Placement, graph: Graph[Any]) -> None:
    """Refuse a placement that is not one of the populations of this fixed graph.

    Raises:
        GraphError: a population without a place, a place without its population, another number of neurons; every
            violation is a finding.
    """
    wanted = {name: math.prod(node.shape) for name, node in graph.nodes.items() if isinstance(node, Population)}
    findings = []
    for name in (*wanted, *(name for name in placement.sizes if name not in wanted)):
        placed, there = placement.sizes.get(name, 0), wanted.get(name, 0)
        if placed != there:
            findings.append(_finding(name, f"{placed} neurons are placed, the graph has {there}"))
    if findings:
        raise GraphError.of(findings)


def _finding(population: str, message: str) -> Finding:
    return Finding("placement", "error", population, message, _FIX)
