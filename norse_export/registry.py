"""The table of targets: name -> "module:class", imported on demand. Other packages add theirs by entry point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import cast

from norse_export.errors import ExportError, MissingDependencyError, UnknownTargetError, UsageError
from norse_export.target import ReadableTarget, Stage, Target

GROUP = "norse_export.targets"
OWN = "norse-export"

_PROTOCOL = ("name", "stage", "suffix", "folder", "description", "check", "emit", "run", "runners")
_TARGETS = {
    "nir": "norse_export.targets.nir:NirTarget",
    "onnx": "norse_export.targets.onnx:OnnxTarget",
    "sim": "norse_export.targets.sim:SimTarget",
    "loihi": "norse_export.targets.loihi:LoihiTarget",
    "spinnaker": "norse_export.targets.spinnaker:SpinnakerTarget",
}


def names() -> tuple[str, ...]:
    """Names of all targets: ours in the order of the table, then those of other packages, sorted.

    Raises:
        UsageError: two packages offer a target of the same name.
    """
    return (*_TARGETS, *_plug_ins())


def origin(name: str) -> str:
    """The package that a target comes from.

    Raises:
        UnknownTargetError: no such target.
    """
    plug_in = _known(name)
    return OWN if plug_in is None else _package(plug_in)


def load(name: str) -> Target:
    """Import a target and make it.

    Raises:
        UnknownTargetError: no such target.
        MissingDependencyError: a target of another package that fails to import, or is no target.
    """
    plug_in = _known(name)
    if plug_in is None:
        module, _, attribute = _TARGETS[name].partition(":")
        own: Target = getattr(import_module(module), attribute)()
        return own
    with blaming(name, "cannot be loaded"):
        target: Target = plug_in.load()()
        _require_target(target, name)
    return target


def chosen(asked: Sequence[str]) -> dict[str, Target | MissingDependencyError]:
    """The targets of these names, each once, in the order of the table; "all" means every target.

    One that fails, and was not asked for by name, is given as its error.

    Raises:
        UnknownTargetError: no such target. MissingDependencyError: one that was asked for by name fails.
    """
    wanted = dict.fromkeys(name for name in asked if name != "all")
    return {
        name: load(name) if name in wanted else _loaded(name)
        for name in dict.fromkeys((*(names() if "all" in asked else ()), *wanted))
    }


def _loaded(name: str) -> Target | MissingDependencyError:
    """The target, or why it cannot be loaded."""
    try:
        return load(name)
    except MissingDependencyError as error:
        return error


def holder(path: Path) -> ReadableTarget | None:
    """The target that a file or folder is an artefact of, told by its content; None: it is nobody's.

    A target of another package that fails is passed over: the file need not be its own.
    """
    for name in names():
        target = _loaded(name)
        if isinstance(target, MissingDependencyError) or not hasattr(target, "holds"):
            continue
        try:
            with blaming(name):
                if cast(ReadableTarget, target).holds(path):
                    return cast(ReadableTarget, target)
        except MissingDependencyError:
            continue
    return None


@contextmanager
def blaming(name: str, trouble: str = "failed") -> Iterator[None]:
    """Within, code of a target is called: what it raises is an error of that target, and not our bug.

    Errors of ours pass, and so does everything that one of our own targets raises.

    Raises:
        MissingDependencyError: a target of another package raised something.
    """
    try:
        yield
    except (ExportError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # code of others: whatever is wrong with it, the remedy is theirs
        plug_in = _known(name)
        if plug_in is None:
            raise
        package = _package(plug_in)
        raise MissingDependencyError(
            f"target {name!r} of package {package} {trouble}: {type(error).__name__}: {error}",
            where=plug_in.value,
            fix=f"install what {package} needs, update it, or remove it",
        ) from error


def _require_target(target: Target, name: str) -> None:
    """Refuse what lacks a part of the protocol, before it is asked for anything."""
    if missing := [part for part in _PROTOCOL if not hasattr(target, part)]:
        raise AttributeError(f"it is no target: it has no {', '.join(missing)}")
    if target.name != name:
        raise ValueError(f"it calls itself {target.name!r}")
    Stage(target.stage)


def _known(name: str) -> EntryPoint | None:
    """The entry point of a target of another package; None for one of ours."""
    plug_ins = _plug_ins()
    if name in _TARGETS:
        return None
    if name not in plug_ins:
        raise UnknownTargetError(f"no target named {name!r}", where="--target", fix=f"use one of: {', '.join(names())}")
    return plug_ins[name]


def _plug_ins() -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for entry in sorted(entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        if entry.name in _TARGETS or entry.name in found:
            packages = (OWN if entry.name in _TARGETS else _package(found[entry.name]), _package(entry))
            raise UsageError(
                f"two targets named {entry.name!r}: of {packages[0]} and of {packages[1]}",
                where=entry.value,
                fix=f"uninstall {packages[1]}, or give its target another name",
                kind="target_clash",
            )
        found[entry.name] = entry
    return found


def _package(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist is not None else entry.module
