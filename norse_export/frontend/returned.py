"""What a model returns: one output or several, and the state beside them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from norse_export.frontend.builder import Value
from norse_export.frontend.recording import Recording, tensors_in


@dataclass(frozen=True, slots=True)
class Returned:
    """outputs: suffix of the output's name -> tensor; "" for the only one. state: what the next step is given."""

    outputs: Mapping[str, torch.Tensor]
    state: Any


def split_result(result: Any, outputs: int = 1) -> tuple[tuple[Any, ...], Any]:
    """Outputs and state of what a model returned: one value, (output, state), several outputs, or (outputs, state).

    Several outputs are a tuple, list or dict of tensors; behind the only one stand states. The output of a stateful
    Lift at the end of a SequentialState is (raster, state) again; its raster is the output.
    """
    if outputs > 1:
        pair = [result] if isinstance(result, tuple) and len(result) == 2 else []
        for sent, state in ((result, None), *pair):
            several = _tensors(sent)
            if several is not None and len(several) == outputs:
                return tuple(several.values()), state
        return (result,), None
    sent, state = result, None
    if isinstance(result, tuple) and not hasattr(result, "_asdict") and len(result) > 1:
        sent, state = result if len(result) == 2 else (result[0], result[1:])
    if isinstance(sent, list | dict) and len(sent) == 1:
        (sent,) = sent.values() if isinstance(sent, dict) else sent
    while isinstance(sent, tuple) and len(sent) == 2:
        sent = sent[0]
    return (sent,), state


def returned(recording: Recording, result: Any, *, stateful: bool) -> Returned | None:
    """The outputs among what a recorded model returned, and its state; None where it has another form.

    stateful: the model takes one step, and a state beside its inputs.
    """
    (sent,), state = split_result(result)
    beside = result[0][1:] if isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], tuple) else None
    alone = all(_of_population(recording, tensor) for tensor in tensors_in(beside))  # ((raster, state), states)
    alone = alone and not any(_is_sent(recording, one) for one in beside or ())  # ((spikes, readout), states)
    short = not isinstance(result, tuple) or len(result) <= 2  # of three, no one can tell what goes into the next step
    if isinstance(sent, torch.Tensor) and alone and short and _is_state(recording, state, sent, stateful=stateful):
        return Returned({"": sent}, state)
    if isinstance(result, tuple) and len(result) > 2 and isinstance(result[0], torch.Tensor):
        others = tensors_in(result[1:])  # the states of a population, one by one: (spikes, current, membrane)
        if len(others) == len(result) - 1 and all(_of_population(recording, tensor) for tensor in others):
            return Returned({"": result[0]}, result[1:])
    pair = [result] if isinstance(result, tuple) and len(result) == 2 else []
    for sent, beside in ((result, None), *pair):
        several = _tensors(sent)
        if several and len(several) > 1 and _is_state(recording, beside, None, stateful=stateful):
            return Returned({f".{key}": tensor for key, tensor in several.items()}, beside)
    return None


def recorded_states(recording: Recording, state: Any) -> tuple[str, ...]:
    """Populations of whose states a model returns something that it made itself: a record over the steps."""
    values = [recording.value(tensor) for tensor in tensors_in(state) if id(tensor) not in recording.states]
    return tuple(sorted({of for value in values if value is not None and (of := read_of(recording, value))}))


def read_of(recording: Recording, value: Value) -> str:
    """The population of whose states a value is made; "" for any other."""
    made_of = value.readout.node if value.readout is not None else value.node
    rows = {row.node for row in value.rows if not row.silent} or {made_of}
    paths = [path for path, membrane in recording.builder.membranes.items() if rows == {membrane}]
    return value.state_of or next(iter(paths), "")


def _is_state(recording: Recording, state: Any, output: Any, *, stateful: bool) -> bool:
    """Whether what stands beside an output is no further output.

    That is what populations gave as their states, and what is not traced; of a model that takes a state back, anything
    that is no single tensor of its own.
    """
    traced = [t for t in tensors_in(state) if t is not output and id(t) not in recording.states]
    if all((value := recording.value(tensor)) is None or read_of(recording, value) for tensor in traced):
        return True
    return stateful


def _is_sent(recording: Recording, one: Any) -> bool:
    """Whether it is what a layer sends, though it may be a state, too: the potential of Norse's LI is its output."""
    value = recording.value(one) if isinstance(one, torch.Tensor) else None
    return value is not None and value.node is not None and not value.state_of


def _of_population(recording: Recording, tensor: torch.Tensor) -> bool:
    value = recording.value(tensor)
    return id(tensor) in recording.states or (value is not None and bool(value.state_of))


def _tensors(sent: Any) -> dict[str, torch.Tensor] | None:
    """Several tensors, by key or number; None for anything else."""
    if isinstance(sent, torch.Tensor) or hasattr(sent, "_asdict"):
        return None
    items = sent.items() if isinstance(sent, dict) else enumerate(sent) if isinstance(sent, tuple | list) else ()
    found = {str(key): value for key, value in items}
    return found if found and all(isinstance(value, torch.Tensor) for value in found.values()) else None
