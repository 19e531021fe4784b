"""Errors: three parts, several findings, and copies that keep them."""

from __future__ import annotations

import copy
import pickle

import pytest

from norse_export.errors import ExportError, Finding, GraphError, UnsupportedError, locating

FINDINGS = (
    Finding("operation", "error", "block.0", "mul is not understood", "leave it out"),
    Finding("module", "error", "block.1", "ReLU is not supported", "use a neuron"),
)


def test_an_error_shows_all_its_findings() -> None:
    error = UnsupportedError.of(FINDINGS)
    assert str(error).count("where:") == str(error).count("fix:") == 2
    assert (error.what, error.where, error.fix) == ("mul is not understood", "block.0", "leave it out")
    assert error.exit_code == 3


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])  # noqa: S301
def test_a_copy_of_an_error_keeps_everything(copied: object) -> None:
    error = UnsupportedError.of(FINDINGS)
    again = copied(error)  # type: ignore[operator]
    assert type(again) is UnsupportedError
    assert again.findings == error.findings


def test_locating_names_the_place_in_the_model() -> None:
    def fails() -> None:
        raise GraphError("an empty layer", where="Linear", fix="remove it")

    with pytest.raises(ExportError) as caught, locating("encoder.0"):
        fails()
    assert caught.value.where == caught.value.findings[0].where == "encoder.0"
