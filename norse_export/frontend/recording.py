"""What has been seen of one run of a model: which tensor stands for what, and the states of the populations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from norse_export.frontend.builder import Builder, Value
from norse_export.frontend.frameworks.table import Tables
from norse_export.frontend.undisturbed import Weights

if TYPE_CHECKING:
    from norse_export.frontend.encoders import Encoded
    from norse_export.frontend.time_loop import TimeLoop


@dataclass(slots=True)
class Recording:
    """What has been seen so far of one run.

    carried: path -> state that the population returned a step ago; None at step 0. calls: the same of this step.
    root: path that stands for the model itself. failed: path of the module in which the run raised.
    loop: the model takes its raster apart itself, and this is the step that it is at.
    """

    builder: Builder
    paths: dict[int, str]
    tables: Tables
    carried: dict[str, Any] | None = None
    calls: dict[str, Any] = field(default_factory=dict)
    values: dict[int, Value] = field(default_factory=dict)
    kept: list[Any] = field(default_factory=list)  # keeps the ids in `values` from being used again
    stack: list[str] = field(default_factory=list)
    paused: int = 0
    weights: Weights = field(default_factory=Weights)
    states: dict[int, str] = field(default_factory=dict)  # id of a tensor -> path of the population whose state it is
    over_time: list[str] = field(default_factory=list)  # Linear layers that took a whole raster at once
    loop: TimeLoop | None = None
    starts: dict[str, Any] = field(default_factory=dict)  # path -> state that the model passed in at the first step
    encoded: dict[str, Encoded] = field(default_factory=dict)  # name of an input -> the encoder that makes it
    showing: set[str] = field(default_factory=set)  # populations that are encoders, and show an image
    encoders: bool = True  # encoders that are populations are a part of the graph
    images: dict[str, int] = field(default_factory=dict)  # name of an input that is one image -> steps that it is shown
    shown: int = 0  # steps at which the model itself shows its inputs, which are images; 0: it is given rasters
    begins: bool = False  # a step of a loop begins where its part of the raster is taken, and not where it is used
    functional: list[str] = field(default_factory=list)  # populations that are steps called by themselves, in order
    stepped: bool = False  # whether the model called a step by itself
    stacks: dict[int, tuple[Value, ...]] = field(default_factory=dict)  # id of a tensor -> what was stacked into it
    root: str = ""
    failed: str = ""

    def __post_init__(self) -> None:
        for path, state in (self.carried or {}).items():
            self.track_state(state, path)

    def track(self, tensor: Any, value: Value) -> None:
        """From now on `tensor` stands for `value`."""
        self.kept.append(tensor)
        self.values[id(tensor)] = value

    def track_state(self, state: Any, path: str) -> None:
        """From now on the tensors in `state` stand for the state of the population at `path`."""
        for tensor in tensors_in(state):
            self.states[id(tensor)] = path
            self.track(tensor, Value(None, 0, state_of=path))

    def track_sent(self, state: Any, before: Recording) -> None:
        """What nodes sent in the step before, and the model hands over to this one, stands for just that."""
        for tensor in tensors_in(state):
            value = before.value(tensor)
            if value is not None and value.node is not None and not value.state_of and value.time is not None:
                self.track(tensor, replace(value, silent=False))

    def sound(self) -> None:
        """From now on what nodes made of silence in step 0 stands for what they sent."""
        for key, value in self.values.items():
            if value.silent and value.node is not None:
                self.values[key] = replace(value, silent=False)

    def value(self, tensor: Any) -> Value | None:
        """What a tensor stands for; None if it does not depend on the input."""
        return self.values.get(id(tensor))

    def is_silence(self, tensor: Any) -> bool:
        """Whether a tensor is zeros in step 0, or ahead of it, and so stands for what came before it."""
        ahead = bool(self.shown) and self.loop is None
        return (
            (self.builder.now == 0 or ahead)
            and isinstance(tensor, torch.Tensor)
            and self.value(tensor) is None
            and tensor.ndim > 1
            and not bool(tensor.any())
        )

    def shares_memory(self, tensor: Any) -> bool:
        """Whether another traced tensor, or a state, lies in the same memory."""
        memory = tensor.untyped_storage().data_ptr()
        others = (other for other in self.kept if other is not tensor)
        return id(tensor) in self.states or any(other.untyped_storage().data_ptr() == memory for other in others)

    @property
    def where(self) -> str:
        """Path of the innermost module that is running."""
        return (self.stack[-1] if self.stack else self.root) or "the model"

    @contextmanager
    def pause(self) -> Iterator[None]:
        """Inside, calls go through unseen."""
        self.paused += 1
        try:
            yield
        finally:
            self.paused -= 1

    @contextmanager
    def aside(self, carried: dict[str, Any] | None) -> Iterator[Recording]:
        """Inside, what runs is recorded into a copy of the builder that is thrown away, but for its findings."""
        own = {
            name: getattr(self, name)
            for name in ("builder", "carried", "calls", "values", "states", "over_time", "functional")
        }
        self.builder = self.builder.copy()
        self.carried, self.calls, self.over_time, self.functional = carried, {}, [], []
        self.values, self.states = dict(self.values), dict(self.states)
        self.__post_init__()
        try:
            yield self
        finally:
            aside = self.builder
            for name, held in own.items():
                setattr(self, name, held)
            self.builder.merge(aside)


def tensors_in(tree: Any) -> list[Any]:
    """All tensors in nested tuples, lists and dicts, in order."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, tuple | list):
        return []
    return [tensor for part in tree for tensor in tensors_in(part)]


def same_state(given: Any, returned: Any) -> bool:
    """Whether a state is the one that was returned: itself, or its tensors in another tuple."""
    if given is returned:
        return True
    a, b = tensors_in(given), tensors_in(returned)
    return len(a) == len(b) > 0 and all(x is y for x, y in zip(a, b, strict=True))
