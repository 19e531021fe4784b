"""Random models of Norse's: traced and interpreted, they do what the model does; nothing crashes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from bulk import numbers
from hypothesis import given, settings
from hypothesis import strategies as st
from norse_battery import CLASSES
from numpy.typing import NDArray
from random_models import FORMS, random_model

from norse_export.compare import compare
from norse_export.frontend.trace import trace
from norse_export.interpret import interpret, interpret_bounded
from norse_export.ir.rasters import model_dtype
from norse_export.ir.run import Bounds
from norse_export.passes.discretise import discretise

Array = NDArray[Any]
CHUNKS, TOGETHER = 40, 50  # 2,000 in all


@pytest.mark.parametrize("chunk", numbers(CHUNKS, shown=1))
def test_a_random_model_is_equal_to_norse_in_every_spike(chunk: int) -> None:
    """The margin rule explains what differs: a flip in a million, but at least one of a model. Most of it fires."""
    explained, rates = 0, list[float]()

    @settings(max_examples=TOGETHER)
    @given(depth=st.integers(1, 6), seed=st.integers(chunk * 2**32, (chunk + 1) * 2**32 - 1))
    def equal(depth: int, seed: int) -> None:
        nonlocal explained
        flips, fired = compared(seed, depth)
        explained += flips
        rates.extend(fired)

    equal()
    assert explained <= 1
    assert np.mean([0 < rate < 1 for rate in rates]) > 0.75


def compared(seed: int, depth: int) -> tuple[int, list[float]]:
    """Compare a model with its graph: the number of flips that rounding explains, and the rate of each population."""
    model = random_model(seed, depth)
    traced = trace(model.module, model.raster, time=model.time)
    graph = discretise(traced.graph)

    def bounds(samples: Array, spikes: Mapping[str, Array]) -> Bounds:
        taken = {name: values[:, samples] for name, values in traced.inputs.items()}
        return interpret_bounded(graph, taken, spikes, dtype=model_dtype(graph))

    result = compare(traced.reference, interpret(graph, traced.inputs), rung=1, bounds=bounds)
    assert result.equal, result.first_divergence
    return result.explained_flips, [float(raster.mean()) for raster in traced.reference.spikes.values()]


def test_random_models_hold_everything() -> None:
    """Every class of neurons and every form is in them."""
    models = [random_model(seed, 1 + seed % 6) for seed in range(150)]
    assert {name for model in models for name in model.classes} == set(CLASSES)
    assert Counter(model.form for model in models).keys() == set(FORMS)
    assert {str(model.raster.dtype) for model in models} == {"torch.float32", "torch.float64"}
