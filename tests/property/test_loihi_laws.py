"""The laws of Loihi against scalar Python integers written from their formulas, on random networks.

The oracle, the emulation and the engine agree on every u, v and s; and the networks show every fault of one instruction
that some recording of the vendors' simulators does not (tests/unit/targets/test_loihi_goldens.py).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import loihi_oracle
import numpy as np
import pytest
from bulk import numbers
from loihi_faults import LOIHI_FAULTS
from program_faults import faults, programs_of, with_program
from random_loihi_nets import Net, lava_net, loihi1_net

from norse_export.engine.network import compile_network
from norse_export.interpret import fixed
from norse_export.program.program import Program
from norse_export.targets.loihi.emulation import Prepared, prepare
from norse_export.targets.loihi.law import (
    LAVA_LIF,
    LAVA_LIF_RESET,
    LAVA_TERNARY,
    LAVA_TERNARY_UNSIGNED,
    loihi1_lif,
)

BLOCKS, EACH = 10, 25
SEARCHED = 400


def expected(law: str, net: Net) -> list[dict[str, Any]]:
    layers, raster = net
    return loihi_oracle.lava(layers, raster) if law == "lava" else [loihi_oracle.loihi1(layers[0], raster)]


def nets(law: str) -> Callable[[int], Net]:
    return lava_net if law == "lava" else loihi1_net


@pytest.mark.parametrize("law", ["lava", "loihi1"])
@pytest.mark.parametrize("block", numbers(BLOCKS, shown=1))
def test_emulation_and_engine_are_the_scalar_law(law: str, block: int) -> None:
    for seed in range(block * EACH, (block + 1) * EACH):
        layers, raster = nets(law)(seed)
        given = prepare(layers, raster, law)
        runs = {
            "emulation": fixed.emulate(given.graph, given.inputs, states=True),
            "engine": compile_network(given.graph).run(given.inputs, states=True).run,
        }
        wanted = expected(law, (layers, raster))
        for by, run in runs.items():
            for number, (states, truth) in enumerate(zip(given.states_of(run), wanted, strict=True)):
                for key, values in truth.items():
                    assert np.array_equal(states[key], values), f"{by} of net {seed}, layer {number}, {key}"


@cache
def emulated(law: str, seed: int) -> tuple[Prepared, list[dict[str, Any]]]:
    layers, raster = nets(law)(seed)
    given = prepare(layers, raster, law)
    return given, given.states_of(fixed.emulate(given.graph, given.inputs, states=True))


def shown(law: str, correct: Program, number: int) -> bool:
    """Whether some random network differs where the program has one fault."""
    for seed in range(SEARCHED):
        given, right = emulated(law, seed)
        for program in programs_of(given.graph):
            if program.structure == correct.structure:
                wrong = [p for _, p in faults(program, LOIHI_FAULTS)][number]
                run = fixed.emulate(with_program(given.graph, program, wrong), given.inputs, states=True)
                states = given.states_of(run)
                if any(not np.array_equal(a[k], b[k]) for a, b in zip(right, states, strict=True) for k in "uvs"):
                    return True
    return False


@pytest.mark.parametrize(
    ("law", "program"),
    [
        ("lava", LAVA_LIF.trace()),
        ("lava", LAVA_LIF_RESET.trace()),
        ("lava", LAVA_TERNARY.trace()),
        ("lava", LAVA_TERNARY_UNSIGNED.trace()),
        ("loihi1", loihi1_lif(0, 1).trace()),
    ],
    ids=["lif", "lif_reset", "ternary", "ternary_unsigned", "loihi1"],
)
def test_the_networks_show_every_fault_of_one_instruction(law: str, program: Program) -> None:
    named = [fault for fault, _ in faults(program, LOIHI_FAULTS)]
    assert [fault for number, fault in enumerate(named) if not shown(law, program, number)] == []
