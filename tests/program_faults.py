"""Programs with one instruction replaced by what a careless author would have written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode
from norse_export.program.operations import Op
from norse_export.program.program import Program

Changes = Mapping[Op, tuple[dict[str, Any], ...]]


def faults(program: Program, changes: Changes) -> Iterator[tuple[str, Program]]:
    """Each program with one fault, with a text that names it."""
    for number, step in enumerate(program.instructions):
        for change in changes.get(step.op, ()):
            instructions = list(program.instructions)
            instructions[number] = replace(step, **change)
            text = " ".join(f"{key}={value}" for key, value in change.items())
            yield f"%{number} {step.op} {text}", replace(program, instructions=tuple(instructions))


def programs_of(graph: Graph[FixedNode]) -> set[Program]:
    """The programs of a graph's populations."""
    return {node.program for node in graph.nodes.values() if isinstance(node, Population)}


def with_program(graph: Graph[FixedNode], correct: Program, wrong: Program) -> Graph[FixedNode]:
    """The graph with one program in place of another."""

    def rule(_name: str, node: FixedNode) -> FixedNode:
        return replace(node, program=wrong) if isinstance(node, Population) and node.program == correct else node

    return graph.map(rule)
