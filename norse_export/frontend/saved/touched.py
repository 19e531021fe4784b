"""Judges all that a pickle would have imported, called or written into, whether or not it ended up in the result."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Any

from norse_export.errors import Finding, UnsafeFileError
from norse_export.frontend.saved import known_classes as known
from norse_export.frontend.saved.records import Call, Global, Pickle, shown
from norse_export.frontend.saved.torch_archive import PICKLE, SAVE
from norse_export.frontend.saved.torch_tensors import REBUILD_PARAMETER, REBUILD_TENSOR, STORAGES, UNSUPPORTED_STORAGES

GETATTR = Global("builtins", "getattr")
ORDERED_DICT = Global("collections", "OrderedDict")
SET = Global("builtins", "set")

#: Another way for a class of the user's own: its weights, and the code that builds it.
FACTORY = "; or torch.save its state_dict() alone, and pass --factory module:function that builds the model"
_LIBRARIES = ("torch.", "norse.")  # their classes are no code of the user's

#: Every name that may stand in a file; each only where it belongs.
ALLOWED = frozenset(
    {
        *known.MODULES,
        *known.PARAMETERS,
        *known.ALIASES,
        *known.FUNCTIONS,
        *known.DTYPES,
        *STORAGES,
        *UNSUPPORTED_STORAGES,  # refused later, as a dtype and not as code
        REBUILD_TENSOR,
        REBUILD_PARAMETER,
        *(name.path for name in (GETATTR, ORDERED_DICT, SET)),
    }
)


def judge(pickle: Pickle, places: Mapping[str, str]) -> Iterator[Finding]:
    """Each name that is not allowed, each write into something foreign, each getattr but the one of Norse.

    places: the module path of a class that is not allowed, by its name, where it is known.
    """
    written = _objects(pickle)
    for name in pickle.globals:
        if name.path not in ALLOWED or "." in name.name:
            what = f"{shown(name.path)} is not allowed: loading it is unsafe, as it can run any code"
            fix = f"{SAVE}{FACTORY}" if name.path in written and not name.path.startswith(_LIBRARIES) else SAVE
            yield _unsafe(what, places.get(name.path) or PICKLE, fix)
    for target in pickle.writes:
        what = shown(target.path) if isinstance(target, Global) else f"a {type(target).__name__}"
        yield _unsafe(f"the file writes into {what}: not allowed, unsafe")
    for call in pickle.calls:
        if call.callable == GETATTR and not gets_initial_state(call):
            yield _unsafe("builtins.getattr is not allowed, but for a module's own initial_state: unsafe")


def left_over(pickle: Pickle, accounted: AbstractSet[int]) -> Iterator[Finding]:
    """Calls that belong to nothing that was read, such as one whose result is thrown away.

    accounted: the ids of the records of those that were understood.
    """
    for call in pickle.calls:
        if id(call) not in accounted:
            name = call.callable.path if isinstance(call.callable, Global) else "the result of a call"
            yield _unsafe(f"{shown(name)} is called where torch.save never does: not allowed, unsafe")


def class_of(record: Any) -> str:
    """The full name of what a call makes, aliases resolved; "" for all else."""
    if isinstance(record, Call) and isinstance(record.callable, Global):
        return known.ALIASES.get(record.callable.path, record.callable.path)
    return ""


def gets_initial_state(call: Call) -> bool:
    """Whether a call is getattr(<a known module>, "initial_state"), and its result left alone."""
    match call:
        case Call(how="reduce", args=(target, "initial_state"), states=[], items=[], appended=[]):
            return call.callable == GETATTR and class_of(target) in known.MODULES
    return False


def _objects(pickle: Pickle) -> set[str]:
    """Names of classes of which the file holds objects with attributes of their own, as a user's modules are."""
    return {
        call.callable.path
        for call in pickle.calls
        if call.how == "new" and call.states and isinstance(call.callable, Global)
    }


def _unsafe(what: str, where: str = PICKLE, fix: str = SAVE) -> Finding:
    return Finding(UnsafeFileError.kind, "error", where, what, fix)
