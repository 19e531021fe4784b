"""The table of frameworks: each is a file of this folder that is named after its package, and holds a FRAMEWORK.

A framework counts where its package is loaded, as it is when a model has modules of it: one that is not installed, or
that the model does not use, is never imported. Adding a framework is adding its file.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from pkgutil import iter_modules
from typing import Any

from norse_export.errors import ExportError, MissingDependencyError
from norse_export.frontend.builder import MEMBRANE, is_place_of
from norse_export.frontend.leaf import Rule
from norse_export.ir.doubts import COUNTED
from norse_export.ir.graph import Graph
from norse_export.ir.neurons import NeuronModel
from norse_export.ir.notes import CLASSES
from norse_export.ir.stages import ContinuousNode

Ports = tuple[Any, ...]
States = tuple[Any, ...]
Parameters = Mapping[str, Any]
Advance = Callable[[Ports, States, Parameters], tuple[Any, States]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a population gave: `sent` goes on to the next layer, `state` is what it starts its next step from.

    state: None for a layer without a state; else a tree of tensors (or whatever the framework keeps), in the form in
    which a model hands it back. membrane: the tensor of the state that may be read: as what a population of
    its own sends, which the rule adds (`Builder.add_membrane`).
    """

    sent: Any
    state: Any = None
    membrane: Any = None


def _outcome(module: Any, result: Any) -> Outcome:
    """That of a layer, which has no state."""
    return Outcome(result)


def _nothing(*_: Any) -> Any:
    return None


@dataclass(frozen=True, slots=True, eq=False)
class Framework:
    """What tracing has to know of a framework. Only `package`, `title`, `extra` and `steps` are looked at unloaded.

    package: the name by which it is imported, and that of its file here. title: as its users call it. extra: of
    norse-export, that installs it. rules: module class -> rule. populations: those of the classes that have a state.

    given(module, args, kwargs, x): the state that a call starts from, as `outcome` gave it a step before; None: the
    population's own. foreign(state): why a state that a model passed in at the first step is none of the framework's.
    outcome(module, result): see Outcome. variables(module, result): the state after a call, by the names of the state
    variables of its dynamics, [B, *shape]. whole(module): whether one call takes a whole raster, time first.
    problem(module, path): why a population raises, where the framework knows no better. hidden(module): the dict and
    the names in it that a module keeps its state in from call to call; None where it keeps none.

    counted: time is counted in steps, and dt is assumed. carry: what to do where a state is not passed on as it was
    returned. sequence: what to do where torch.nn.Sequential hands on spikes and state as one tuple.

    library: modules of these packages are not looked into, but for those in `inside`, which are handled like a user's.
    special: class -> what is called in the place of a rule, as (recording, original, module, path, args, kwargs).
    steps: name of a family -> how to make its step (replay.py), for the families whose steps the framework has.
    """

    package: str
    title: str
    extra: str
    rules: Callable[[], Mapping[type, Rule]]
    populations: Callable[[], frozenset[type]]
    given: Callable[[Any, tuple[Any, ...], Mapping[str, Any], Any], Any]
    counted: bool = False
    carry: str = ""
    sequence: str = ""
    foreign: Callable[[Any], str | None] = _nothing
    outcome: Callable[[Any, Any], Outcome] = _outcome
    variables: Callable[[Any, Any], Mapping[str, Any]] = lambda module, result: {}
    whole: Callable[[Any], bool] = lambda module: False
    problem: Callable[[Any, str], ExportError | None] = _nothing
    hidden: Callable[[Any], tuple[dict[str, Any], tuple[str, ...]] | None] = _nothing
    library: tuple[str, ...] = ()
    inside: tuple[str, ...] = ()
    special: Callable[[], Mapping[type, Callable[..., Any]]] = dict
    steps: Mapping[str, Callable[[], Advance]] = field(default_factory=dict)

    @property
    def version(self) -> str:
        """Of the package that is loaded."""
        try:
            return version(self.package)
        except PackageNotFoundError:
            return "of unknown version"

    def load(self) -> None:
        """Import the package.

        Raises:
            MissingDependencyError: it is not installed.
        """
        try:
            import_module(self.package)
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != self.package:
                raise
            fix = f"pip install 'norse-export[{self.extra}]'"
            where = f"import {self.package}"
            raise MissingDependencyError(f"{self.title} is not installed", where=where, fix=fix) from error


@cache
def _names() -> tuple[str, ...]:
    folder = import_module(__package__)
    return tuple(sorted(module.name for module in iter_modules(folder.__path__)))


@cache
def _held(name: str) -> Framework | None:
    found = getattr(import_module(f"{__package__}.{name}"), "FRAMEWORK", None)
    return found if isinstance(found, Framework) else None


def every() -> Iterator[Framework]:
    """Every framework that there is a table of; none of them is imported."""
    yield from (found for name in _names() if (found := _held(name)) is not None)


def loaded() -> Iterator[Framework]:
    """The frameworks whose packages are loaded: those that a model in this process can be made of."""
    for name in _names():
        if name in sys.modules and (found := _held(name)) is not None:
            yield found


@dataclass(frozen=True, slots=True, eq=False)
class Tables:
    """What the loaded frameworks know, by class of module."""

    frameworks: tuple[Framework, ...]
    rules: Mapping[type, Rule]
    homes: Mapping[type, Framework]  # of every class in the rules of a framework
    populations: frozenset[type]
    special: Mapping[type, Callable[..., Any]]

    def home(self, module: Any) -> Framework | None:
        """The framework in whose table the class of a module is; None for layers of torch, and for what is unknown."""
        return self.homes.get(type(module))

    def is_population(self, module: Any) -> bool:
        """Whether a module has a state."""
        return type(module) in self.populations

    def whole(self, module: Any) -> bool:
        """Whether a module takes a whole raster in one call."""
        return any(framework.whole(module) for framework in self.frameworks)


def tables(layers: Mapping[type, Rule] | None = None) -> Tables:
    """What the loaded frameworks know. layers: rules of torch's own layers, to be among the rules."""
    frameworks = tuple(loaded())
    rules: dict[type, Rule] = dict(layers or {})
    homes: dict[type, Framework] = {}
    special: dict[type, Callable[..., Any]] = {}
    populations: set[type] = set()
    for framework in frameworks:
        own = framework.rules()
        rules |= own
        homes |= dict.fromkeys(own, framework)
        populations |= framework.populations()
        special |= framework.special()
    return Tables(frameworks, rules, homes, frozenset(populations), special)


def assumed_dt(model: Any, found: Tables) -> dict[str, str]:
    """What the metadata of a model's graph say of its dt, where its frameworks have none."""
    used = [found.homes[type(module)] for module in model.modules() if found.is_population(module)]
    titles = sorted({framework.title for framework in used if framework.counted})
    return {COUNTED: ", ".join(titles)} if titles else {}


def classes(model: Any, graph: Graph[ContinuousNode], found: Tables) -> dict[str, str]:
    """What the metadata of a model's graph say of its populations: the class of each, encoders' too, for messages."""
    titles = {framework.package: framework.title for framework in found.frameworks}
    populations = [name for name, node in graph.nodes.items() if isinstance(node, NeuronModel)]
    made: dict[str, str] = {}
    for path, module in model.named_modules():
        if (title := titles.get(type(module).__module__.partition(".")[0])) is not None:
            own = type(module).__name__
            held = [name for name in populations if is_place_of(name.removesuffix(MEMBRANE), path or own)]
            made |= dict.fromkeys(held, f"{title} {own}")
    return {CLASSES: json.dumps({name: made[name] for name in graph.nodes if name in made})} if made else {}


def stepping(family: str) -> Framework | None:
    """The framework that has the step of a family by its name; None where none has."""
    return next((framework for framework in every() if family in framework.steps), None)
