"""The protocol of a target: what it takes, and that a run means the same to targets and interpreter."""

from __future__ import annotations

import numpy as np
import pytest

from norse_export import target
from norse_export.ir.run import Run
from norse_export.target import Limit, Stage


def test_the_stages_are_the_three_graphs() -> None:
    assert [str(stage) for stage in Stage] == ["continuous", "discrete", "fixed"]


def test_a_run_is_one_class_for_all() -> None:
    assert target.Run is Run


def test_a_run_cannot_be_changed() -> None:
    spikes = {"a": np.zeros((1, 1, 1), bool)}
    run = Run(spikes, {}, "test")
    spikes.clear()
    assert list(run.spikes) == ["a"]
    with pytest.raises(TypeError):
        run.spikes["b"] = run.spikes["a"]  # type: ignore[index]


def test_a_limit_says_where_its_number_comes_from() -> None:
    limit = Limit("cores", 3, 128, "datasheet, section 2")
    assert (limit.used, limit.maximum, limit.source) == (3, 128, "datasheet, section 2")
