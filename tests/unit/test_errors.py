"""Every deliberate error says what, where and how to fix it, and has the exit code of its kind."""

from __future__ import annotations

import copy

import pytest

from norse_export import errors
from norse_export.errors import ExportError, Finding, GraphError, UnsupportedError, locating

EXIT_CODES = {
    "UsageError": 2,
    "InputFileError": 2,
    "UnsafeFileError": 2,
    "LimitError": 2,
    "OutputError": 2,
    "GraphError": 2,
    "UnknownTargetError": 2,
    "UnsupportedError": 3,
    "CapacityError": 4,
    "MissingDependencyError": 5,
    "TargetUnavailableError": 5,
    "ParityError": 1,
}


def test_every_error_has_the_exit_code_of_the_table() -> None:
    found = {
        name: value.exit_code
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, ExportError) and value is not ExportError
    }
    assert found == EXIT_CODES


def test_kinds_are_different_words() -> None:
    kinds = [getattr(errors, name).kind for name in EXIT_CODES]
    assert len(set(kinds)) == len(kinds)


def test_an_error_shows_its_three_parts() -> None:
    error = GraphError("tau is 0", where="1.lif", fix="give tau in seconds")
    assert str(error) == "tau is 0\n  where: 1.lif\n  fix:   give tau in seconds"
    assert (error.what, error.where, error.fix) == ("tau is 0", "1.lif", "give tau in seconds")
    assert error.findings == (Finding("graph", "error", "1.lif", "tau is 0", "give tau in seconds"),)
    assert str(error.findings[0]) == str(error)


def test_a_kind_of_its_own_stands_in_the_finding() -> None:
    assert GraphError("x", where="y", fix="z", kind="tau").findings[0].kind == "tau"


def test_one_error_carries_several_findings_and_shows_the_first() -> None:
    findings = [Finding("a", "error", "1", "first", "fix 1"), Finding("b", "error", "2", "second", "fix 2")]
    error = UnsupportedError.of(findings)
    assert isinstance(error, UnsupportedError)
    assert error.findings == tuple(findings)
    assert (error.what, error.where, error.fix) == ("first", "1", "fix 1")


def test_several_findings_are_all_shown() -> None:
    findings = [Finding("a", "error", "1", "first", "fix 1"), Finding("b", "error", "2", "second", "fix 2")]
    shown = str(UnsupportedError.of(findings))
    assert shown == f"{findings[0]}\n{findings[1]}"


def test_an_error_comes_out_of_another_process_as_it_was() -> None:
    findings = [Finding("a", "error", "1", "first", "fix 1"), Finding("b", "error", "2", "second", "fix 2")]
    error = copy.copy(UnsupportedError.of(findings))
    assert type(error) is UnsupportedError
    assert error.findings == tuple(findings)
    assert (error.what, error.where, error.fix) == ("first", "1", "fix 1")


def test_locating_gives_an_error_its_place_in_the_users_model() -> None:
    with pytest.raises(GraphError) as caught, locating("0.conv"):
        raise GraphError("x", where="Conv", fix="z", kind="shape")
    assert caught.value.where == "0.conv"
    assert [finding.where for finding in caught.value.findings] == ["0.conv"]
    assert caught.value.findings[0].kind == "shape"


def test_locating_leaves_other_exceptions_alone() -> None:
    with pytest.raises(ValueError, match=r"^x$"), locating("0.conv"):
        raise ValueError("x")
