"""Faults of the machinery: the emulator with a part exchanged while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from fixed_builder import Case
from numpy.typing import NDArray

from norse_export.interpret import fixed
from norse_export.ir.fixed import Delivery, Population
from norse_export.ir.run import Run
from norse_export.program import operations
from norse_export.program.operations import FLOOR, Rounding

Array = NDArray[Any]
Execution = Callable[[Case, pytest.MonkeyPatch], Run]
Patch = Callable[[pytest.MonkeyPatch], None]


def emulated(case: Case) -> Run:
    return fixed.emulate(case.graph, case.inputs, states=True)


def patched(change: Patch) -> Execution:
    def execute(case: Case, patch: pytest.MonkeyPatch) -> Run:
        with patch.context() as undone:
            change(undone)
            return emulated(case)

    return execute


def shifted_then_wrapped(patch: pytest.MonkeyPatch) -> None:
    right = fixed.delivered

    def wrong(delivery: Delivery, total: Array) -> Array:
        shifted = right(replace(delivery, wrap_bits=None), total)
        return right(replace(delivery, shift=0), shifted)

    patch.setattr(fixed, "delivered", wrong)


def delivered_toward_zero(patch: pytest.MonkeyPatch) -> None:
    def wrong(a: Array, bits: int, rounding: Rounding) -> Any:
        return operations.shift_right(a, bits, operations.TOWARD_ZERO if rounding is FLOOR else rounding)

    patch.setattr(fixed, "shift_right", wrong)


# Events and sums


def of_events(change: Callable[[Array], Array]) -> Execution:
    right = fixed.summed
    return patched(lambda patch: patch.setattr(fixed, "summed", lambda name, node, x: right(name, node, change(x))))


def of_sums(change: Callable[[Array], Array]) -> Execution:
    right = fixed.summed
    return patched(lambda patch: patch.setattr(fixed, "summed", lambda name, node, x: change(right(name, node, x))))


def narrow_sums(total: Array) -> Array:
    return total.astype(np.int16).astype(np.int64)


def each_projection_saturates(patch: pytest.MonkeyPatch) -> None:
    """The sum over projections does not, only each of them."""
    tops = {"exc": 50, "inh": 20}
    right = fixed.summed

    def wrong(name: str, node: Any, x: Array) -> Array:
        top = next((top for port, top in tops.items() if f".{port}." in name), None)
        total = right(name, node, x)
        return total if top is None else np.minimum(total, top)

    patch.setattr(fixed, "summed", wrong)
    population = fixed._Integers.population

    def unsaturated(self: Any, name: str, node: Population, ports: Any) -> Array:
        return population(self, name, replace(node, saturated={}), ports)

    patch.setattr(fixed._Integers, "population", unsaturated)


def state_kept_between_samples(case: Case, patch: pytest.MonkeyPatch) -> Run:
    """Each sample begins with the state that the one before it left."""
    graph, runs = case.graph, []
    for sample in range(next(iter(case.inputs.values())).shape[1]):
        raster = {name: values[:, sample : sample + 1] for name, values in case.inputs.items()}
        runs.append(fixed.emulate(graph, raster, states=True, first_sample=sample))
        left = runs[-1].final_state
        graph = graph.map(
            lambda name, node, left=left: (
                replace(node, initial_state={key: value[0] for key, value in left[name].items()})
                if isinstance(node, Population)
                else node
            )
        )
    return _joined(runs)


def _joined(runs: list[Run]) -> Run:
    def joined(each: list[Mapping[str, Array]], axis: int) -> dict[str, Array]:
        return {name: np.concatenate([arrays[name] for arrays in each], axis) for name in each[0]}

    return Run(
        spikes=joined([r.spikes for r in runs], 1),
        outputs=joined([r.outputs for r in runs], 1),
        ran_by="emulation",
        observables={n: joined([r.observables[n] for r in runs], 1) for n in runs[0].observables},
        final_state={n: joined([r.final_state[n] for r in runs], 0) for n in runs[0].final_state},
    )


# Time, random numbers, rounding


def clock_from_1(patch: pytest.MonkeyPatch) -> None:
    right = fixed.evaluate
    patch.setattr(fixed, "evaluate", lambda program, values, t: right(program, values, t + 1))


def of_random(**constant: Any) -> Execution:
    """Random numbers that do not depend on something they should depend on."""
    right = fixed.random_words

    def change(patch: pytest.MonkeyPatch) -> None:
        def wrong(seed: int, **counter: Any) -> Any:
            given = {"seed": seed, **counter}
            kept = {key: (make(given[key]) if callable(make) else make) for key, make in constant.items()}
            given |= kept
            return right(given.pop("seed"), **given)

        patch.setattr(fixed, "random_words", wrong)

    return patched(change)


def divided(wrong: Callable[..., Any]) -> Execution:
    right = operations._divided
    return patched(lambda patch: patch.setattr(operations, "_divided", lambda *args: wrong(right, *args)))


def half_up(right: Any, a: Any, bits: int, rounding: Rounding, noise: Any) -> Any:
    if rounding is not Rounding.HALF_EVEN or not bits:
        return right(a, bits, rounding, noise)
    return (a + (1 << (bits - 1))) >> bits


def half_away(right: Any, a: Any, bits: int, rounding: Rounding, noise: Any) -> Any:
    size = half_up(right, np.abs(a), bits, rounding, noise)
    return np.where(a < 0, -size, size) if rounding is Rounding.HALF_EVEN else right(a, bits, rounding, noise)


def lowest_noise(right: Any, a: Any, bits: int, rounding: Rounding, noise: Any) -> Any:
    if noise is None:
        return right(a, bits, rounding, noise)
    return (a + (np.asarray(noise) & ((1 << bits) - 1))) >> bits


def products_of_32_bits(right: Any, a: Any, bits: int, rounding: Rounding, noise: Any) -> Any:
    return right(np.asarray(a).astype(np.int32).astype(np.int64), bits, rounding, noise)
