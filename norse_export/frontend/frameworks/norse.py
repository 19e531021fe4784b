"""Norse modules -> populations. One rule for all families; coefficients are taken as Norse computes them.

Source of every update: norse 1.1.0, norse/torch/module and norse/torch/functional (see norse_families.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import MissingDependencyError, UnsupportedError
from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.frameworks.norse_checks import method_problem, parameter, problems, state_of
from norse_export.frontend.frameworks.norse_families import FAMILIES, Form, NorseFamily
from norse_export.frontend.frameworks.norse_steps import STEPS
from norse_export.frontend.frameworks.step_functions import StepFunction
from norse_export.frontend.frameworks.table import Advance, Framework, Outcome
from norse_export.frontend.leaf import Call, Rule, array, refused_axes
from norse_export.frontend.torch_save import import_norse
from norse_export.ir.layers import Linear
from norse_export.ir.neurons import NeuronModel
from norse_export.program.families import NORSE
from norse_export.program.families import Rule as StepRule

__all__ = ["FRAMEWORK", "foreign", "rules", "sequence_classes", "state_of", "step_rule"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class _Class:
    """A class of Norse's: its family and form, and the function of its step; None where its forward calls it."""

    family: NorseFamily
    form: Form
    activation: Any


def step_rule(function: StepFunction) -> Rule:
    """The rule for a step that the model calls by itself."""
    return partial(_rule, found=_Class(function.family, function.form, None))


def rules() -> dict[type, Rule]:
    """The table: module class -> rule; empty where Norse is not installed."""
    try:
        import_norse()
    except MissingDependencyError:
        return {}
    return {cls: partial(_rule, found=found) for cls, found in _classes().items()}


def sequence_classes() -> tuple[type, ...]:
    """Modules that take the whole raster, time first; empty where Norse is not installed."""
    try:
        import_norse()
    except MissingDependencyError:
        return ()
    return tuple(cls for cls, found in _classes().items() if found.form.lead == 2)


def _classes() -> dict[type, _Class]:
    found = {}
    for family in FAMILIES:
        module, functional = import_module(family.module), import_module(family.functional)
        for name, form in family.classes.items():
            step = family.step if form.weights else family.feed_forward
            activation = None if form.own_forward or step is None else getattr(functional, step)
            found[getattr(module, name)] = _Class(family, form, activation)
    return found


def _rule(call: Call, builder: Builder, *, found: _Class) -> Value:
    """What arrives through its weights, the population, and what it sends itself: (i + W_in x) + W_rec z.

    z are the spikes of the step before. Norse has no bias here.
    """
    form, path, module = found.form, call.path, call.module
    errors = [*problems(call, found.family, form, activation=found.activation)]
    for error in errors:
        builder.note(error)
    if errors:
        return Value(None, call.x.lead)
    if form.weights and len(call.features) != 1:
        return refused_axes(call, builder)
    make = partial(_population, call, found)
    if form.weights == "conductances":
        return _conductances(call, builder, make)
    x = call.x
    if form.weights:
        weights = module.input_weights
        x = builder.add(f"{path}.input_weights", lambda: Linear(call.array(weights)), form.lead, (x, "x"))
    out = builder.add(path, make, form.lead, (x, "x"))
    if form.weights == "recurrent":
        _feed_back(call, builder, out, "recurrent_weights", call.array(module.recurrent_weights), "r")
    return out


def _conductances(call: Call, builder: Builder, make: Any) -> Value:
    """Norse's CobaLIF leaves its input aside: its conductances jump by its own spikes alone (norse 1.1.0, and main)."""
    out = builder.add(call.path, make, call.x.lead)
    weights = call.array(call.module.recurrent_weights)
    _feed_back(call, builder, out, "recurrent_weights.excitatory", np.maximum(weights, 0), "e")
    _feed_back(call, builder, out, "recurrent_weights.inhibitory", np.maximum(-weights, 0), "i")
    return out


def _feed_back(call: Call, builder: Builder, out: Value, name: str, weights: Array, port: str) -> None:
    back = builder.add(f"{call.path}.{name}", lambda: Linear(weights), call.x.lead)
    if out.node is not None and not out.silent and back.node is not None:
        builder.connect(out.node, back.node, "x", delay_steps=1)
        builder.connect(back.node, out.node, port, delay_steps=0)


def _population(call: Call, found: _Class) -> NeuronModel:
    import torch

    family, form, module, p = found.family, found.form, call.module, call.module.p
    shape = tuple(call.result[0].shape[form.lead :])
    dtype, dt = call.x_dtype, float(module.dt)
    one = torch.ones(1, dtype=getattr(torch, dtype))
    values: dict[str, Any] = {}
    for coefficient, tau in family.kind.rates.items():
        product = family.rates[coefficient](family.inner(p), module.dt, one)
        values[coefficient] = parameter(product, len(shape)).astype(dtype)
        with np.errstate(divide="ignore"):  # a coefficient of exactly 0 is legal: nothing leaks
            values[tau] = np.float64(dt) / values[coefficient].astype(np.float64)
    for level in family.levels:
        values[level] = parameter(family.level(p, level), len(shape)).astype(dtype)
    for name, attribute in family.attributes.items():
        held = getattr(module, attribute)
        values[name] = call.array(held) if hasattr(held, "detach") else np.asarray(held, dtype)
    for state, value in _initial(call, found, len(shape)).items():
        values[f"{state}0"] = value.astype(dtype)
    recurrent = form.weights == "recurrent"
    return family.kind(shape=shape, dt=dt, dtype=dtype, recurrent=recurrent, rule=_choices(p), **values)


def _initial(call: Call, found: _Class, rank: int) -> dict[str, Array]:
    """The state before the first step: that which was passed in, or as the module itself makes it for one sample; empty
    where a state of zeros and of the leak is built into its forward. [*shape] or one number.
    """
    import torch

    if call.start is not None:
        return _passed_in(call, rank)
    start = getattr(call.module, "initial_state", None)
    if start is None:
        return {}
    shape = (*(1 for _ in range(found.form.lead)), *call.features)
    x = torch.zeros(shape, dtype=getattr(torch, call.x_dtype))
    state = start(x)
    values = state_of((None, state))
    if found.activation is not None and any(value.dtype != x.dtype for value in values.values()):
        _check_first_step(call, found, x[0] if found.form.lead == 2 else x, state)
    return {name: parameter(value, rank) for name, value in values.items()}


def _passed_in(call: Call, rank: int) -> dict[str, Array]:
    """A state that the model made itself.

    Raises:
        UnsupportedError: it differs between samples, or holds spikes.
    """
    found = {name: array(value) for name, value in state_of((None, call.start)).items()}
    spikes = getattr(getattr(call.start, "lif", getattr(call.start, "lif_adex", call.start)), "z", None)
    if spikes is not None and bool(spikes.any()):
        message, fix = "starts from a state that holds spikes", "start from a state without spikes: z = 0"
        raise UnsupportedError(f"{_name(call)} {message}", where=call.path, fix=fix, kind="initial_state")
    for name, value in found.items():
        if value.ndim > rank:
            if np.any(value != value[:1]):
                message, fix = "starts from a state that differs between samples", "start all samples from one state"
                raise UnsupportedError(f"{_name(call)} {message}", where=call.path, fix=fix, kind="initial_state")
            found[name] = value[0]
    return found


def _name(call: Call) -> str:
    return type(call.module).__name__


def _check_first_step(call: Call, found: _Class, x: Any, state: Any) -> None:
    """Refuse a step from a state of another float type, where that changes what it gives.

    A state of one number, without axes, does not take the type of what it is added to, before it meets an array.
    """
    module, weights = call.module, tuple[Any, ...]()
    if found.form.weights:
        weights = (module.input_weights, module.recurrent_weights)
    steps = [found.activation(x, start, *weights, module.p, module.dt)[1] for start in (state, _typed(state, x.dtype))]
    own, typed = (state_of((None, step)) for step in steps)
    if any(not np.array_equal(array(own[name]), array(typed[name])) for name in own):
        leak = ", and a v_leak that is a float32 number" if "v_leak" in found.family.levels else ""
        raise UnsupportedError(
            f"{type(module).__name__} computes its first step partly in another float type than {call.x_dtype}",
            where=call.path,
            fix=f"give its parameters as {call.x_dtype}{leak}",
            kind="dtype",
        )


def _typed(state: Any, dtype: Any) -> Any:
    """The tuple with all tensors in one float type."""
    made = {n: _typed(v, dtype) if hasattr(v, "_asdict") else v.to(dtype) for n, v in state._asdict().items()}
    return type(state)(**made)


def _choices(p: Any) -> StepRule:
    """The choices that a tuple of parameters makes: how the neuron is reset."""
    from norse.torch.functional.reset import reset_subtract

    return StepRule(reset="subtract") if getattr(p, "reset_method", None) is reset_subtract else NORSE


def foreign(state: Any) -> str | None:
    """Why a state that was passed in is none of Norse's, whose states are named tuples."""
    if state is None or hasattr(state, "_asdict"):
        return None
    return f"a {type(state).__name__}, which is no state of Norse's"


def _given(_: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], __: Any) -> Any:
    return args[1] if len(args) > 1 else kwargs.get("state")


def _outcome(_: Any, result: Any) -> Outcome:
    return Outcome(*result)


def _variables(module: Any, result: Any) -> Mapping[str, Any]:
    found = state_of(result)
    recorded = getattr(module, "record_states", False)  # then of every step
    return {name: value[-1] if recorded else value for name, value in found.items()}


def _step(advance: Advance) -> Advance:
    import_norse()
    return advance


FRAMEWORK = Framework(
    package="norse",
    title="Norse",
    extra="norse",
    rules=rules,
    populations=lambda: frozenset(rules()),
    given=_given,
    carry="return the state from forward and pass it on unchanged, as norse.torch.SequentialState does",
    sequence="use norse.torch.SequentialState in the place of torch.nn.Sequential: it carries the state",
    foreign=foreign,
    outcome=_outcome,
    variables=_variables,
    whole=lambda module: type(module) in sequence_classes() or type(module).__name__ == "LConv2d",
    problem=method_problem,
    library=("norse.torch.",),
    inside=("norse.torch.module.sequential", "norse.torch.models."),
    steps={family: partial(_step, advance) for family, advance in STEPS.items()},
)
