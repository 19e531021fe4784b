"""How often states leave their bits: counted, where it cannot be proved that they never do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.interpret.fixed import emulate
from norse_export.ir.bounds import all_ranges
from norse_export.ir.fixed import Population
from norse_export.ir.graph import Graph
from norse_export.ir.stages import FixedNode
from norse_export.passes.calibrate import by_emulator
from norse_export.passes.prices import NARROWING, held
from norse_export.program.operations import Instruction, Op
from norse_export.program.program import Program

Array = NDArray[Any]
_COUNTED = "kept by instruction "


def count_overflows(graph: Graph[FixedNode], rasters: Mapping[str, Array]) -> dict[str, int]:
    """For each population that may overflow, how many values a width changed on rasters [T, B, *shape]."""
    ranges = all_ranges(graph)
    populations = {name: node for name, node in graph.nodes.items() if isinstance(node, Population)}
    doubtful = [name for name, node in populations.items() if not held(node, ranges[name])[0]]
    if not doubtful:
        return {}
    if by_emulator(graph, rasters):
        nodes = {**graph.nodes, **{name: _telling(populations[name]) for name in doubtful}}
        observed = emulate(Graph(nodes, graph.edges, graph.metadata), rasters, states=True).observables
        return {name: sum(_lost(key, kept) for key, kept in observed[name].items()) for name in doubtful}
    from norse_export.engine.network import compile_network  # numba is loaded where it is used

    counted = compile_network(graph).run(rasters).activity.overflows
    return {name: sum(counted.get(name, {}).values()) for name in doubtful}


def _lost(key: str, kept: Array) -> int:
    return int(np.count_nonzero(~kept.astype(bool))) if key.startswith(_COUNTED) else 0


def _telling(population: Population) -> Population:
    """The population, observing for each narrowing instruction whether it kept its value."""
    program = population.program
    steps, observe = list(program.instructions), list(program.observe)
    for number, step in enumerate(program.instructions):
        if step.op in NARROWING:
            observe.append((f"{_COUNTED}{number}", len(steps)))
            steps.append(Instruction(Op.EQUAL, (step.operands[0], number)))
    told = Program(tuple(steps), program.state, program.spike, program.output, tuple(observe))
    return replace(population, program=told)
