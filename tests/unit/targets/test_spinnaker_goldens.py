"""The laws of SpiNNaker against recordings of sPyNNaker's own binaries: bit for bit, and each fault seeded is seen."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from spinnaker_faults import faults

from norse_export.engine.network import compile_network
from norse_export.ir.fixed import Population
from norse_export.program.operations import Op
from norse_export.program.program import Program
from norse_export.targets.spinnaker import emulate, emulate_network
from norse_export.targets.spinnaker.emulation import steps
from norse_export.targets.spinnaker.law import population
from norse_export.targets.spinnaker.network import network

Arrays = Mapping[str, NDArray[Any]]
GOLDENS = Path(__file__).parents[2] / "goldens" / "spinnaker"
POPULATIONS = sorted(path.stem for path in (GOLDENS / "populations").iterdir())
NETWORKS = sorted(path.stem for path in (GOLDENS / "networks").iterdir())
RECORDED = ("v_rec", "exc", "inh", "spike", "v_post", "refr")
READ = ("model", "dt", "sdram_words", "w_u16__", "delay__", "shifts__", "slices__", "log_max_delay__", "spike__inp")


@cache
def golden(kind: str, name: str) -> Arrays:
    with np.load(GOLDENS / kind / f"{name}.npz") as file:
        return dict(file)


def differing(expected: Arrays, actual: Arrays) -> list[str]:
    """Names of arrays that are not the same, bit for bit and type for type."""
    return [
        name
        for name, values in expected.items()
        if name not in actual or actual[name].dtype != values.dtype or not np.array_equal(actual[name], values)
    ]


def sent(held: Arrays) -> Arrays:
    """What a network's populations did: all recordings but the input."""
    kinds = ("spike__", "v_rec__", "exc__", "inh__")
    return {name: values for name, values in held.items() if name.startswith(kinds) and name != "spike__inp"}


def test_all_recordings_are_there() -> None:
    assert (len(POPULATIONS), len(NETWORKS)) == (40, 12)


@pytest.mark.parametrize("name", POPULATIONS)
def test_a_population_is_the_binary_bit_for_bit(name: str) -> None:
    held = golden("populations", name)
    expected = {key: values for key, values in held.items() if key in RECORDED or key.startswith("d_")}
    actual = emulate(held["model"], held["sdram_words"], held["shifts"], held["ring"])  # as a file of arrays has them
    assert differing(expected, actual) == []
    assert set(actual) == set(expected)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_the_binaries_bit_for_bit(name: str) -> None:
    held = golden("networks", name)
    read = {key: values for key, values in held.items() if key.startswith(READ)}
    actual = emulate_network(read)
    assert differing(sent(held), actual) == []
    assert set(actual) == set(sent(held))


@pytest.mark.parametrize("name", NETWORKS)
def test_the_engine_is_the_binaries_bit_for_bit(name: str) -> None:
    held = golden("networks", name)
    rasters = {"inp": held["spike__inp"][:, np.newaxis].astype(np.int64)}
    run = compile_network(network(held)).run(rasters, states=True).run
    expected = sent(held)
    for population_, spikes in run.spikes.items():
        assert np.array_equal(spikes[:, 0], expected[f"spike__{population_}"])
        for key in ("v_rec", "exc", "inh"):
            assert np.array_equal(run.observables[population_][key][:, 0], expected[f"{key}__{population_}"])
    assert len(run.spikes) * 4 == len(expected)


def population_of(held: Arrays) -> Population:
    words = held["sdram_words"]
    return population(str(held["model"]), words, tuple(held["shifts"].tolist()), shape=(len(words),), dt=1e-3)


def of_the_membrane(program: Program) -> set[str]:
    """The faults from the product with R on; before it no recording is negative, or wraps."""
    first = next(number for number, step in enumerate(program.instructions) if step.op is Op.GREATER)
    return {fault for fault in faults(program) if int(fault[1:].split()[0]) > first + 4}


@pytest.mark.parametrize("model", ["IF_curr_exp", "IF_curr_delta"])
def test_the_recordings_show_every_fault_of_the_membrane(model: str) -> None:
    """Those of the currents too are seen in test_spinnaker_law."""
    shown = ("overflow_wrap", "reset_above", "defaults", "norse_unit")
    names = [name for part in shown for name in POPULATIONS if part in name and model in name]
    unseen = of_the_membrane(population_of(golden("populations", names[0])).program)
    assert len(unseen) > 5
    for name in names:
        held = golden("populations", name)
        neurons = population_of(held)
        for fault, program in faults(neurons.program).items():
            if fault in unseen:
                given = steps(replace(neurons, program=program), held["ring"].astype(np.int64))
                if differing({key: held[key] for key in RECORDED}, given):
                    unseen.remove(fault)
    assert unseen == set()
