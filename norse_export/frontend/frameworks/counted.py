"""What the tables of frameworks that count time in steps have in common."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UnsupportedError
from norse_export.frontend.leaf import Call, array

Array = NDArray[Any]
#: Seconds. snnTorch (export_nir.py) and SpikingJelly (nir_exchange) take the same in the NIR files that they write.
ASSUMED_DT = 1e-4


def per_sample_batch(value: Array, call: Call) -> Array:
    """A parameter without leading axes of 1 beyond those of the features: [*shape], or one number."""
    while value.ndim > len(call.features) and value.shape[0] == 1:
        value = value[0]
    return value


def initial_states(call: Call, names: Sequence[str]) -> dict[str, Array]:
    """The states that the model starts from, [*shape], by name; "z" are the spikes of the step before.

    Empty where they are the neuron's own.

    Raises:
        UnsupportedError: they differ between samples, or there are spikes among them.
    """
    if call.start is None:
        return {}
    name, found = type(call.module).__name__, dict[str, Array]()
    for state, held in zip(names, call.start, strict=True):
        values = array(held) if hasattr(held, "detach") else np.asarray(held)
        if state == "z" and values.any():
            message, fix = f"{name} starts from a state that holds spikes", "start from a state without spikes"
            raise UnsupportedError(message, where=call.path, fix=fix, kind="initial_state")
        if values.ndim > len(call.features):
            if np.any(values != values[:1]):
                message = f"{name} starts from a state that differs between samples"
                fix = "reset the network before saving it, or start all samples from one state"
                raise UnsupportedError(message, where=call.path, fix=fix, kind="initial_state")
            values = values[0]
        if state != "z":
            found[state] = values
    return found


@contextmanager
def settings(owner: Any, name: str) -> Iterator[None]:
    """Inside, a list that is an attribute may grow; afterwards it is as it was."""
    before = list(getattr(owner, name))
    try:
        yield
    finally:
        getattr(owner, name)[:] = before
