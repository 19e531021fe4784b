"""norse.torch.Lift, which applies its module step by step: a few steps of it are recorded, and must be alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.functions.operations import ASK
from norse_export.frontend.likeness import first_difference
from norse_export.frontend.recording import Recording

_PROBE_STEPS = 3


def is_lift(module: Any) -> bool:
    """Whether a module is Norse's Lift."""
    return type(module).__name__ == "Lift" and type(module).__module__.startswith("norse.torch.")


def lifted(
    recording: Recording,
    original: Callable[..., Any],
    module: Any,
    path: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> Any:
    """Call a Lift: the whole raster goes through unseen, then steps of it through the module inside, recorded.

    What a stateful Lift gives, (raster, state), may go into the next Lift, which leaves the state aside when the
    module in it has none; Norse would let a stateful one start from that foreign state, which is refused.
    """
    given = args[0] if args else next(iter(kwargs.values()), None)
    raster = given[0] if isinstance(given, tuple) and given else given
    x = recording.value(raster) if isinstance(raster, torch.Tensor) else None
    with recording.pause():
        result = original(module, *args, **kwargs)
    value = Value(None, 0)
    if x is None or x.lead != 2:
        if x is None or x.lead:
            message = "Lift is applied to something that is no raster with a time axis"
            fix = "save with time='inside', or take the module out of Lift"
            recording.builder.refuse("time_axis", path, message, fix)
    elif isinstance(given, tuple) and module.is_stateful:
        message = "Lift starts from a state that was passed in: that of the Lift before it"
        fix = "pass on the raster alone: Lift gives (raster, state)"
        recording.builder.refuse("initial_state", path, message, fix)
    else:
        value = _recorded(recording, module, path, raster, x)
    sent = result[0] if isinstance(result, tuple) else result
    if isinstance(result, tuple):
        recording.track_state(result[1], path)
    recording.track(sent, value)
    return result


def _recorded(recording: Recording, module: Any, path: str, raster: Any, x: Value) -> Value:
    """Record one step, after a few have shown that the steps are alike."""
    carried, state, seen, sent = None, None, list[Builder](), list[Value | None]()
    for number in range(_PROBE_STEPS):
        with recording.aside(carried) as aside:
            gave, state = _step(aside, module, raster, number, x, state)
            carried = aside.calls
            seen.append(aside.builder)
            sent.append(gave)
    if not recording.builder.findings:
        for number, (later, gave) in enumerate(zip(seen[1:], sent[1:], strict=True), 1):
            if (difference := first_difference(seen[0], later) or _another(sent[0], gave)) is not None:
                message = f"the module in Lift does something else at step {number} than at step 0: {difference}"
                recording.builder.refuse("control_flow", path, message, "make every time step the same")
    last = _step(recording, module, raster, 0, x, None)[0]
    if last is None:
        recording.builder.refuse("constant_output", path, "the result does not depend on the input", ASK)
    elif last.state_of:
        message = f"the result is the state of {last.state_of!r}"
        recording.builder.refuse("output", path, message, "return what a layer gives: an LI gives its potential")
    return Value(None, 2) if last is None else Value(last.node, 2, number=last.number)


def _another(first: Value | None, later: Value | None) -> str | None:
    """That a step gave what another layer sends, in words."""
    one, other = (None if value is None else value.node for value in (first, later))
    return None if one == other else f"it gives what {other!r} sends, and not {one!r}"


def _step(
    recording: Recording, module: Any, raster: Any, number: int, x: Value, state: Any
) -> tuple[Value | None, Any]:
    """One step through the module: what its result stands for, and the state."""
    with recording.pause():
        step = raster[number % len(raster)].clone()
    recording.track(step, Value(x.node, 1, number=x.number))
    inner = module.lifted_module(step, state) if module.is_stateful else module.lifted_module(step)
    sent, after = inner if isinstance(inner, tuple) else (inner, None)
    return recording.value(sent), after
