"""What a comparison means for an export and for parity, and a remedy that the target takes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from norse_export.compare import Comparison, compare
from norse_export.errors import ParityError
from norse_export.ir.run import Run
from norse_export.pipeline.comparing import _parity_error
from norse_export.pipeline.verdict import require_equal


def compared(first: int, second: int, rung: int) -> Comparison:
    """Two runs of a layer "n" that fire so many spikes."""

    def run(spikes: int) -> Run:
        raster = np.zeros((10, 1, 1), bool)
        raster[:spikes] = True
        return Run({"n": raster}, {"output": raster}, "a run")

    return compare(run(first), run(second), rung=rung, spikes_first=True)


@pytest.mark.parametrize(("own_law", "advice"), [(False, "--weight-bits"), (True, "the chip has its own widths")])
def test_the_remedy_for_a_layer_that_integers_silence_is_one_that_the_target_takes(own_law: bool, advice: str) -> None:
    chosen: Any = None
    with pytest.raises(ParityError, match="in whole numbers the layer never fires") as caught:
        require_equal((compared(0, 0, 3), compared(3, 0, 2)), chosen, own_law=own_law)
    assert advice in caught.value.fix
    assert ("--weight-bits" in caught.value.fix) is not own_law
    assert "--calib" in caught.value.fix


def test_parity_says_that_what_whole_numbers_cost_is_no_fault() -> None:
    priced, broken = compared(3, 2, 2), compared(3, 2, 1)
    error = cast(ParityError, _parity_error(priced, searched=False))
    assert "price of whole numbers" in error.fix
    assert "unless --no-verify" in error.fix  # nobody knows of an artefact how it was written
    assert "proved" not in error.fix
    assert error.exit_code == 1
    assert "price" not in cast(ParityError, _parity_error(broken, searched=False)).fix
    assert _parity_error(replace(priced, equal=True), searched=False) is None
