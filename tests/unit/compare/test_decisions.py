"""What a run decides, and how often it is right."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from norse_export.compare import compare, decisions
from norse_export.errors import UsageError
from norse_export.ir.run import Run

Array = NDArray[Any]


def readout(*rows: list[list[float]]) -> Run:
    """An output [T, B, classes] from its samples' rows over time."""
    return Run({}, {"output": np.array(rows).swapaxes(0, 1)}, "reference")


def test_a_decision_is_the_argmax_of_the_summed_readout_ties_to_the_lowest() -> None:
    run = readout([[1, 0, 5], [1, 3, 0]], [[2, 2, 1], [1, 1, 1]], [[0, -1, 0], [0, -1, 0]])
    chosen = decisions(run)
    assert chosen is not None
    assert chosen.tolist() == [2, 0, 0]
    other = readout([[9, 0, 5], [1, 3, 0]], [[2, 2, 1], [1, 1, 1]], [[0, -1, 0], [0, -1, 0]])
    assert compare(run, other, rung=1).decisions_equal == (2, 3)


def test_the_accuracy_of_both_runs_needs_one_label_for_each_sample() -> None:
    run, other = readout([[1, 0]], [[0, 1]], [[0, 1]]), readout([[1, 0]], [[1, 0]], [[0, 1]])
    assert compare(run, other, rung=1, labels=np.array([0, 1, 0])).accuracy == pytest.approx((2 / 3, 1 / 3))
    assert compare(run, other, rung=1).accuracy is None
    for labels in (np.array([0, 1]), np.array([[0, 1, 0]])):
        with pytest.raises(UsageError, match="labels have shape") as caught:
            compare(run, other, rung=1, labels=labels)
        assert caught.value.where == "labels"


@pytest.mark.parametrize(
    "outputs", [{}, {"a": np.zeros((1, 1, 2)), "b": np.zeros((1, 1, 2))}, {"a": np.zeros((1, 1, 2, 2))}]
)
def test_without_one_vector_as_readout_there_is_no_decision(outputs: dict[str, Array]) -> None:
    run = Run({"p": np.ones((1, 1, 1), bool)}, outputs, "reference")
    assert decisions(run) is None
    got = compare(run, run, rung=1, labels=np.zeros(1))
    assert got.decisions_equal is None
    assert got.accuracy is None
