"""Steps of norse.torch.functional that a model calls by itself: each call is a population, as a module's is.

The functions are seen by the interpreter's profile hook, whatever name the model calls them by: at the call their
arguments are taken and the recording is paused, at the return what they gave is recorded. Calls from within Norse
itself (its modules, one step from another) belong to what called them.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from types import CodeType, FrameType
from typing import Any

from norse_export.errors import MissingDependencyError
from norse_export.frontend.frameworks.norse_families import FAMILIES, Form, NorseFamily
from norse_export.frontend.torch_save import import_norse

_LIFT = "norse.torch.functional.lift"  # calls the step that the model gives it: as the model itself would
_OWN = ("norse.torch.module", "norse.torch.functional")
_OTHER_STEPS = ("lif_mc_feed_forward_step", "coba_lif_feed_forward_step")  # other equations than the family's


@dataclass(frozen=True, slots=True)
class StepFunction:
    """A function of Norse's that is the step of a family."""

    name: str
    family: NorseFamily
    form: Form


@dataclass(frozen=True, slots=True)
class StepCall:
    """One call: the function, its arguments by name, and the name of the first, the input."""

    function: StepFunction
    arguments: Mapping[str, Any]
    first: str

    @property
    def x(self) -> Any:
        """The input."""
        return self.arguments[self.first]

    @property
    def state(self) -> Any:
        """The state that the step starts from."""
        return self.arguments["state"] if "state" in self.arguments else self.arguments["s"]

    def as_module(self) -> Any:
        """Something that has what a module of the family has."""
        own = {**self.arguments, "activation": None}
        return type(self.function.name, (), own)()


def step_functions() -> Mapping[CodeType, StepFunction]:
    """By their code; empty where Norse is not loaded, or not whole."""
    return _step_functions() if "norse" in sys.modules else {}


@cache
def _step_functions() -> Mapping[CodeType, StepFunction]:
    try:
        import_norse()
    except MissingDependencyError:
        return {}
    found: dict[CodeType, StepFunction] = {}
    for family in FAMILIES:
        functional = import_module(family.functional)
        weights = next((form.weights for form in family.classes.values() if form.weights), "recurrent")
        for name, form in ((family.feed_forward, Form(1)), (family.step, Form(1, weights))):
            function = None if name is None or name in _OTHER_STEPS else getattr(functional, name, None)
            if name is not None and function is not None:
                found[function.__code__] = StepFunction(name, family, form)
    return found


@contextmanager
def watched(begin: Callable[[StepCall], None], end: Callable[[StepCall, Any], None]) -> Iterator[None]:
    """Inside, `begin` is told of each step that the model calls, and `end` of its result; None where it raised."""
    table, running = step_functions(), list[tuple[FrameType, StepCall]]()
    before = sys.getprofile()

    def hook(frame: FrameType, event: str, result: Any) -> None:
        if event == "call" and not running and frame.f_code in table and not _from_norse(frame):
            code = frame.f_code
            names = code.co_varnames[: code.co_argcount]
            call = StepCall(table[code], {name: frame.f_locals[name] for name in names}, names[0])
            running.append((frame, call))
            begin(call)
        elif event == "return" and running and running[-1][0] is frame:
            end(running.pop()[1], result)

    if not table:
        yield
        return
    sys.setprofile(hook)
    try:
        yield
    finally:
        _profile_again(before)


def _profile_again(before: Any) -> None:
    """Put back what was profiling: a function, or a profiler in C such as cProfile's, which starts itself."""
    if before is None or callable(before):
        sys.setprofile(before)
        return
    sys.setprofile(None)
    if callable(enable := getattr(before, "enable", None)):
        enable()


def _from_norse(frame: FrameType) -> bool:
    caller = frame.f_back
    home = "" if caller is None else str(caller.f_globals.get("__name__", ""))
    return home.startswith(_OWN) and home != _LIFT


def in_loops(calls: Sequence[str], length: int) -> tuple[tuple[str, ...], ...]:
    """Functions by the loops over time that call them: in each loop of `length` steps all of them once a step.

    length 1: the model takes one step a call, and calls all of them in each.
    """
    if length == 1:
        return (tuple(dict.fromkeys(calls)),)
    loops, left = list[tuple[str, ...]](), tuple(calls)
    while left:
        names = tuple(dict.fromkeys(left))
        count = next((n for n in range(1, len(names) + 1) if left[: n * length] == names[:n] * length), len(names))
        loops.append(names[:count])
        left = left[count * length :]
    return tuple(loops)
