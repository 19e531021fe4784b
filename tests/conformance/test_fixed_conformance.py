"""Every case by every executor of fixed graphs, bit for bit; and the suite against deliberately wrong executors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import fixed_oracle
import pytest
from faulty_conv import Reading, listed
from faulty_machinery import emulated
from faulty_programs import inserted
from fixed_builder import Case
from fixed_cases import CASES
from fixed_comparison import as_run, first_difference
from fixed_faults import OF_CONVOLUTIONS, OF_GRAPHS, OF_MACHINERY, OF_PROGRAMS, GraphFault, MachineryFault
from translated_cases import TRANSLATED

from norse_export import registry
from norse_export.engine.network import compile_network
from norse_export.ir.fixed import ConvSynapses, Population
from norse_export.ir.run import Run
from norse_export.program.operations import Instruction, Op
from norse_export.target import Stage

BY_NAME = {case.__name__: case for case in (*CASES, *TRANSLATED)}


@cache
def made(name: str) -> Case:
    return BY_NAME[name]()


@cache
def expected(name: str) -> Run:
    case = made(name)
    return as_run(case.graph, fixed_oracle.run(case.graph, case.inputs))


def by_engine(case: Case) -> Run:
    return compile_network(case.graph).run(case.inputs, states=True).run


def by_own_kernels(case: Case) -> Run:
    """By the engine, with a kernel for each population in the narrowest arithmetic that is proved enough."""
    return compile_network(case.graph, general_below=0).run(case.inputs, states=True).run


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("executor", [emulated, by_engine, by_own_kernels])
def test_an_executor_gives_what_the_oracle_gives(executor: Callable[[Case], Run], name: str) -> None:
    assert first_difference(expected(name), executor(made(name))) is None


FIXED = tuple(name for name in registry.names() if registry.load(name).stage is Stage.FIXED)
OWN_LAW = tuple(name for name in FIXED if hasattr(registry.load(name), "lower"))  # they take no graph of another law
ANY_LAW = tuple(name for name in FIXED if name not in OWN_LAW)
KNOWN_GAPS: dict[tuple[str, str], str] = {}  # (target, case): why. Strict: delete when fixed.


@pytest.mark.usefixtures("parsed_here")
@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("target_name", ANY_LAW)
def test_a_target_of_fixed_graphs_runs_what_it_wrote(
    target_name: str, name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Emitted, run from the file alone, and compared; states too where the target can record them."""
    if reason := KNOWN_GAPS.get((target_name, name)):
        request.applymarker(pytest.mark.xfail(reason=reason, strict=True))
    target: Any = registry.load(target_name)
    if hasattr(target, "states"):
        target = replace(target, states=True)
    assert target.check(made(name).graph) == ()
    artefact = tmp_path / f"net{target.suffix}"
    target.emit(made(name).graph, artefact)
    actual = target.run(artefact, made(name).inputs)
    reference = expected(name) if actual.observables else replace(expected(name), observables={})
    assert first_difference(reference, actual) is None


@pytest.mark.parametrize("name", BY_NAME)
@pytest.mark.parametrize("target_name", OWN_LAW)
def test_a_target_of_its_own_law_refuses_a_graph_of_another(target_name: str, name: str) -> None:
    """None of the cases is of such a law; each is refused, with a place and a remedy."""
    found = [finding for finding in registry.load(target_name).check(made(name).graph) if finding.severity == "error"]
    assert found
    assert all(finding.where and finding.fix for finding in found)


@pytest.mark.parametrize("name", BY_NAME)
def test_a_case_is_not_empty(name: str) -> None:
    """Every population that can fires somewhere, and some state or output changes."""
    reference = expected(name)
    assert all(spikes.any() for spikes in reference.spikes.values())
    seen = [values for observed in reference.observables.values() for values in observed.values()]
    assert any((values != values[:1]).any() for values in (*seen, *reference.outputs.values()))


EXECUTORS = {"emulator": emulated, "engine": by_engine}
BY_EMULATOR = (*OF_PROGRAMS, *OF_CONVOLUTIONS)  # the engine would compile a kernel for each
WRONG_GRAPHS = (*((fault, "emulator") for fault in BY_EMULATOR), *product(OF_GRAPHS, EXECUTORS))


def must_differ(name: str, actual: Run) -> None:
    found = first_difference(expected(name), actual)
    assert found is not None
    assert " expected, " in found  # a value, not a name or a shape


@pytest.mark.parametrize(("fault", "executor"), WRONG_GRAPHS, ids=lambda value: getattr(value, "name", value))
def test_the_suite_catches_a_wrong_graph(fault: GraphFault, executor: str) -> None:
    case = made(fault.exposed_by)
    must_differ(fault.exposed_by, EXECUTORS[executor](Case(fault.change(case.graph), case.inputs)))


@pytest.mark.parametrize("fault", OF_MACHINERY, ids=lambda fault: fault.name)
def test_the_suite_catches_wrong_machinery(fault: MachineryFault, monkeypatch: pytest.MonkeyPatch) -> None:
    must_differ(fault.exposed_by, fault.execute(made(fault.exposed_by), monkeypatch))


def test_the_faults_have_names_of_their_own() -> None:
    names = [fault.name for fault in (*BY_EMULATOR, *OF_GRAPHS, *OF_MACHINERY)]
    assert len(set(names)) == len(names)
    assert {"not_strict", "rounds_toward_zero", "never_saturates", "subtracts_threshold"} <= set(names)


def test_what_the_faults_are_made_with_is_no_fault_itself() -> None:
    """A convolution as a list, read rightly, and a program with an instruction that nobody reads, change nothing."""

    def change(_: str, node: object) -> object:
        if isinstance(node, ConvSynapses):
            return listed(node, Reading())
        if isinstance(node, Population):
            at = sum(step.op in _GIVEN for step in node.program.instructions)
            return replace(node, program=inserted(node.program, at, Instruction(Op.NEG, (0,))))
        return node

    for name in BY_NAME:
        case = made(name)
        assert first_difference(expected(name), emulated(Case(case.graph.map(change), case.inputs))) is None  # type: ignore[arg-type]


_GIVEN = (Op.PORT, Op.STATE, Op.CLOCK, Op.RANDOM, Op.PARAMETER)
