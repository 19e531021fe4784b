"""Rung 0: runs the torch model itself and records the spikes of every population, the outputs, the final states."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from norse_export.errors import ExportError, UnsupportedError, UsageError
from norse_export.frontend.builder import MEMBRANE, is_place_of
from norse_export.frontend.encoders import final_state, is_encoder
from norse_export.frontend.example import STATES
from norse_export.frontend.frameworks import norse
from norse_export.frontend.frameworks.step_functions import StepCall, watched
from norse_export.frontend.frameworks.table import Framework, loaded, tables
from norse_export.frontend.hidden import hidden_states, keeps_its_states
from norse_export.frontend.leaf import BATCH_AXIS
from norse_export.frontend.recording import same_state
from norse_export.frontend.returned import split_result
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Output
from norse_export.ir.rasters import model_dtype
from norse_export.ir.run import Run
from norse_export.ir.stages import ContinuousNode, NeuronModel

Array = NDArray[Any]


def call_model(model: torch.nn.Module, inputs: tuple[torch.Tensor, ...], state: Any) -> Any:
    """Call the model on its inputs; an exception of the user's code becomes an error with its place.

    state: what it returned a step before; populations that keep their states themselves need none.
    """
    if state is not None and not takes_state(model, len(inputs)):
        if not keeps_its_states(model):
            raise UsageError(
                "the model returns a state, but its forward takes none, so that it starts anew at every step",
                where=type(model).__name__,
                fix="use norse.torch.SequentialState in the place of torch.nn.Sequential, or give forward a second "
                "argument `state`",
                kind="state",
            )
        state = None
    try:
        return model(*inputs, *no_state(model, len(inputs))) if state is None else model(*inputs, state)
    except ExportError:
        raise
    except Exception as error:
        first = next(iter(str(error).splitlines()), "")
        why, fix = "", f"{BATCH_AXIS}; and say time='outside' or 'inside', whichever the model takes"
        if "tuple" in first and (found := _cell_without_state(model)) is not None:
            cell, framework = found
            why = f"; torch.nn.Sequential hands on the spikes and the state that {cell} gives as one tuple"
            fix = framework.sequence
        raise UsageError(
            f"the model raised {type(error).__name__}: {first}{why}",
            where=f"{type(model).__name__}, input of shape {', '.join(str(tuple(x.shape)) for x in inputs)}",
            fix=fix,
            kind="model_raised",
        ) from error


def _cell_without_state(model: torch.nn.Module) -> tuple[str, Framework] | None:
    """The class of a population in a torch.nn.Sequential, which does not know of states; None where there is none."""
    table = tables()
    plain = (module for module in model.modules() if type(module) is torch.nn.Sequential)
    layers = (layer for sequence in plain for layer in sequence if table.is_population(layer))
    return next(((type(layer).__name__, table.homes[type(layer)]) for layer in layers), None)


def takes_state(model: torch.nn.Module, inputs: int = 1) -> bool:
    """Whether the model's forward takes an argument behind its inputs; what does not tell its arguments may."""
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except ValueError:
        return True
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return len(positional) > inputs or any(p.kind is p.VAR_POSITIONAL for p in parameters)


def no_state(model: torch.nn.Module, inputs: int) -> tuple[None, ...]:
    """What stands for the state where there is none yet: None, where forward has no default of its own."""
    try:
        parameters = [*inspect.signature(model.forward).parameters.values()][inputs : inputs + 1]
    except ValueError:
        return ()
    named = [p for p in parameters if p.name in STATES and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return tuple(None for p in named if p.default is p.empty)


def reference_run(
    model: torch.nn.Module,
    rasters: tuple[torch.Tensor, ...],
    time: str,
    graph: Graph[ContinuousNode],
    steps: tuple[tuple[str, ...], ...] = (),
    extent: tuple[int, ...] | None = None,
    read: Mapping[str, torch.Tensor] = MappingProxyType({}),
) -> Run:
    """Run the model on rasters [T, B, ...] and give what every population of the graph did.

    steps: populations that are functions which the model calls by itself: those of each loop. extent: [T, B] of
    what the network takes, where an encoder stands before it. read: rasters of outputs of which the model itself gives
    something made of all steps.

    Raises:
        UnsupportedError: the model does something else than the graph at some step.
        UsageError: the model raises, or computes NaN or infinity.
    """
    called = {name: _Seen(False, norse.FRAMEWORK) for loop in steps for name in loop}
    records, hooks = _hooked(model, graph, frozenset(called))
    rasters = tuple(raster.to(getattr(torch, model_dtype(graph))) for raster in rasters)
    extent = tuple(extent or rasters[0].shape[:2])
    order = itertools.chain.from_iterable(loop * int(extent[0]) for loop in steps)

    def end(_: StepCall, result: Any) -> None:
        if result is not None and (name := next(order, None)) is not None:
            called[name](None, None, result)

    names = [name for name, node in graph.nodes.items() if isinstance(node, Output)]
    try:
        seeing = watched(lambda _: None, end) if called else nullcontext()  # every call of the model is slower inside
        with torch.no_grad(), hidden_states(model), seeing:
            outputs = dict(zip(names, _run(model, rasters, time, len(names)), strict=True))
    finally:
        for hook in hooks:
            hook.remove()
    records |= called
    spikes, final = _recorded(graph, records, extent)
    outputs |= {name: _array(raster) for name, raster in read.items()}
    for name, output in outputs.items():
        _check_shape(name, output.shape, (*extent, *graph.nodes[name].output_shape))
    for name, values in (*outputs.items(), *((name, one) for name, held in final.items() for one in held.values())):
        _check_finite(name, values)
    ran_by = describe(rasters[0], extent[1], {record.home for record in records.values()})
    return Run(spikes=spikes, outputs=outputs, ran_by=ran_by, final_state=final)


def _hooked(
    model: torch.nn.Module, graph: Graph[ContinuousNode], called: frozenset[str]
) -> tuple[dict[str, _Seen], list[Any]]:
    """Records of the populations that are modules of the model, by name, and the hooks that fill them.

    called: those that are functions.
    """
    table, records, hooks = tables(), dict[str, _Seen](), list[Any]()
    neurons = [name for name, node in graph.nodes.items() if isinstance(node, NeuronModel) and name not in called]
    for path, module in model.named_modules():
        name = path or type(module).__name__
        if is_encoder(module) and name in graph.nodes:
            record = _Seen(True, norse.FRAMEWORK, encoder=True)
        elif table.is_population(module):
            record = _Seen(table.whole(module), table.homes[type(module)])
        else:
            continue
        places = _places(neurons, name, record)
        hooks.append(module.register_forward_hook(places, with_kwargs=True))
        records |= places.records
    return records, hooks


def _recorded(
    graph: Graph[ContinuousNode], records: Mapping[str, _Seen], extent: tuple[int, ...]
) -> tuple[dict[str, Array], dict[str, dict[str, Array]]]:
    """Spikes and final states of the populations of a graph; one that sends a membrane was recorded with its spikes."""
    spikes, final = dict[str, Array](), dict[str, dict[str, Array]]()
    for name in graph.order:
        node, record = graph.nodes[name], records.get(name, records.get(name.removesuffix(MEMBRANE)))
        if record is None or not isinstance(node, NeuronModel):
            continue
        sent = record.joined(name, (*extent, *node.output_shape))
        if node.spikes:
            spikes[name] = sent != 0
        shape = (extent[1], *node.output_shape)
        final[name] = {key: np.array(np.broadcast_to(value, shape)) for key, value in record.state.items()}
    return spikes, final


def describe(raster: torch.Tensor, samples: int | None = None, frameworks: Collection[Framework] = ()) -> str:
    """What ran, with all that decides the order of float sums: versions, float type, batch, threads.

    frameworks: those that had a part in it.
    """
    named = "".join(f"{one.package} {one.version}, " for one in loaded() if one in frameworks)
    dtype = str(raster.dtype).removeprefix("torch.")
    threads = torch.get_num_threads()
    return f"{named}torch {torch.__version__}, {dtype}, batch {samples or raster.shape[1]}, {threads} threads"


@dataclass(slots=True)
class _Seen:
    """What one population returned, call by call: a forward hook."""

    sequence: bool  # whether one call gives the whole raster
    home: Framework
    encoder: bool = False  # which gives its spikes alone
    sent: list[Array] = field(default_factory=list)
    state: dict[str, Array] = field(default_factory=dict)

    def __call__(self, module: Any, args: Any, result: Any) -> None:
        if self.encoder:
            self.sent.append(_array(result))
            self.state = {name: _array(value) for name, value in final_state(module, args, result).items()}
            return
        self.sent.append(_array(self.home.outcome(module, result).sent))
        self.state = {name: _array(value) for name, value in self.home.variables(module, result).items()}

    def joined(self, name: str, shape: tuple[int, ...]) -> Array:
        """The raster, which must have the given shape [T, B, ...]."""
        calls = 1 if self.sequence else shape[0]
        if len(self.sent) != calls:
            raise _irregular(name, f"it was called {len(self.sent)} times in {shape[0]} steps, and not {calls}")
        for sent in self.sent:
            _check_shape(name, sent.shape, shape if self.sequence else shape[1:])
        return self.sent[0] if self.sequence else np.stack(self.sent)


@dataclass(slots=True)
class _Places:
    """The populations that one module is, at one place or several: a forward hook, which tells them by their states."""

    records: dict[str, _Seen]
    states: dict[str, Any] = field(default_factory=dict)  # by name: what it returned last

    def __call__(self, module: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any) -> None:
        first, names = next(iter(self.records.values())), [*self.records]
        home, encoder = first.home, first.encoder
        if len(names) > 1:
            given = None if encoder else home.given(module, args, kwargs, args[0] if args else None)
            fresh = [name for name in names if name not in self.states]
            going_on = (name for name, state in self.states.items() if given is not None and same_state(given, state))
            names = [next(going_on, (fresh or names)[0])]
            self.states[names[0]] = None if encoder else home.outcome(module, result).state
        self.records[names[0]](module, args, result)


def _places(neurons: Sequence[str], name: str, record: _Seen) -> _Places:
    others = (other for other in neurons if other != name and is_place_of(other, name))
    return _Places({name: record} | {node: replace(record, sent=[], state={}) for node in others})


def _check_shape(name: str, given: tuple[int, ...], expected: tuple[int, ...]) -> None:
    if given != expected:
        raise _irregular(name, f"it gave shape {given} in place of {expected}")


def _check_finite(name: str, values: Array) -> None:
    if not np.isfinite(values).all():
        raise UsageError(
            "the model computes NaN or infinity on this input",
            where=name,
            fix="give an input of the size that the model was trained for",
            kind="not_finite",
        )


def _irregular(name: str, how: str) -> UnsupportedError:
    return UnsupportedError(
        f"the model does not do the same at every step: {how}",
        where=name,
        fix="make every time step the same",
        kind="control_flow",
    )


def _run(model: torch.nn.Module, rasters: tuple[torch.Tensor, ...], time: str, outputs: int) -> list[Array]:
    if time == "inside":
        result = call_model(model, tuple(raster.clone() for raster in rasters), None)
        return [_array(sent) for sent in split_result(result, outputs)[0]]
    steps, state = list[list[Array]](), None
    for xs in zip(*rasters, strict=True):
        sent, state = split_result(call_model(model, tuple(x.clone() for x in xs), state), outputs)
        steps.append([_array(one) for one in sent])
    for number, step in enumerate(steps):
        given, first = ([one.shape for one in sent] for sent in (step, steps[0]))
        if given != first:
            raise _irregular("output", f"at step {number} it gives shape {given[0]}, at step 0 {first[0]}")
    return [np.stack(sent) for sent in zip(*steps, strict=True)]


def _array(tensor: Any) -> Array:
    if not isinstance(tensor, torch.Tensor):
        raise _irregular("output", f"it gives a {type(tensor).__name__}")
    return np.array(tensor.detach().cpu().numpy())
