"""How the neurons of a .nir file are stepped: what its metadata says, else what was asked for, else what Norse does."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from norse_export.errors import Finding, UsageError
from norse_export.ir.neurons import KINDS, SAME_DT
from norse_export.ir.schemes import Scheme
from norse_export.ir.step_choice import StepChoice, choices_of, fields_of
from norse_export.ir.step_words import CHOICES
from norse_export.program.families import Rule

from .notes import BY_NODE, Notes
from .presets import PRESETS, Preset

_DT = "dt"


@dataclass(frozen=True, slots=True)
class Step:
    """How a population is stepped. dt: in seconds.

    noted: the dt that the file's metadata was written for, if any. own: whether dt and scheme are the file's own, so
    that coefficients in its metadata are those of this step. preset: the framework as which its fields are read.
    """

    dt: float
    noted: float | None
    own: bool
    rule: Rule
    scheme: Scheme
    preset: Preset | None


class Steps:
    """Decides for every population of one file, and keeps what was not said and what was overridden.

    Raises:
        UsageError: a choice that is none.
    """

    def __init__(self, choice: StepChoice, graph: Notes) -> None:
        self._choice, self._graph = choice, graph
        if choice.dt is not None and not (math.isfinite(choice.dt) and choice.dt > 0):
            raise UsageError(f"dt = {choice.dt} s", where="--dt", fix="give a positive number of seconds", kind="dt")
        for name, word in choice.words.items():
            _check(f"--{name}", word, CHOICES[name])
        if choice.framework is not None:
            _check("--as", choice.framework, tuple(PRESETS))
        self.preset = None if choice.framework is None else PRESETS[choice.framework]
        self._asked: dict[str, str] = {**(self.preset.words if self.preset else {}), **choice.words}
        self._assumed: dict[str, str] = {}
        self._limits: dict[str, list[str]] = {}
        self._overridden: dict[str, dict[str, tuple[str, str]]] = {}  # choice -> node -> (what the file says, taken)

    def of(self, kind: str, notes: Notes, *, resets_to_zero: bool) -> Step:
        """The step of a population; `notes` are its own. resets_to_zero: its v_reset is 0, so that both words agree.

        Raises:
            UsageError: dt is said nowhere, or what was asked for contradicts the file and is not to override it.
        """
        dt, noted = self._dt(notes)
        known = choices_of(KINDS[kind]) if kind in KINDS else ()
        words = {name: self._word(name, notes, resets_to_zero=resets_to_zero) for name in known}
        if self.preset is not None and (limit := self.preset.limits.get(kind)) is not None:
            self._limits.setdefault(limit, []).append(notes.where)
        changed = any(notes.where in self._overridden.get(name, {}) for name in (_DT, "scheme"))
        fields: Any = fields_of(words)
        return Step(
            dt, noted, noted is not None and not changed, fields["rule"], fields.get("scheme", "euler"), self.preset
        )

    def assumptions(self, *, ours: bool) -> dict[str, str]:
        """What the file does not say, and was taken. ours: norse-export wrote it, and it says all but what it lost."""
        assumed = {_DT: self._assumed[_DT]} if _DT in self._assumed else {}
        if ours:
            return assumed
        said = {name for name in CHOICES if self._graph.text(name) is not None}
        taken = {name: self._asked.get(name, words[0]) for name, words in CHOICES.items() if name not in said}
        return {**assumed, **({} if self._choice.framework is None else {"as": self._choice.framework}), **taken}

    def overrides(self) -> dict[str, str]:
        """What was overridden, by choice: what the file says -> what was taken."""
        told = {}
        for name in (_DT, *CHOICES):
            if changes := self._overridden.get(name):
                was = ", ".join(dict.fromkeys(before for before, _ in changes.values()))
                told[name] = f"{was} -> {next(iter(changes.values()))[1]}"
        return told

    def warnings(self) -> Iterator[Finding]:
        """What was overridden, and what the framework does beyond one step of ours, as findings."""
        for limit, names in self._limits.items():
            title = "" if self.preset is None else self.preset.title
            fix = "compare with the framework itself on the inputs that count"
            yield Finding("as", "warning", ", ".join(names), f"{title}: {limit}", fix)
        for name, change in self.overrides().items():
            message = f"--override changed {name} ({change}): this is no longer what the file says"
            where = ", ".join(self._overridden[name])
            yield Finding(f"{name}_override", "warning", where, message, f"leave --{name} and --override out")

    def _dt(self, notes: Notes) -> tuple[float, float | None]:
        """The time step, and the one that the metadata was written for."""
        own, asked = notes.number("dt", positive=True), self._choice.dt
        by = "--dt"
        if asked is None and self.preset is not None:
            asked, by = self.preset.dt, f"--as {self._choice.framework}"
        if own is None:
            if asked is None:
                message = "the file does not say with which time step it is meant: NIR has no field for it"
                fix = "pass --dt SECONDS, for example --dt 1e-3"
                raise UsageError(message, where=notes.where, fix=fix, kind="dt_missing")
            self._assumed[_DT] = repr(asked)
            return asked, None
        if asked is None or abs(asked - own) <= SAME_DT * own:
            return own, own
        if not self._choice.override:
            message = f"the file says dt = {own:g} s, {by} says {asked:g} s"
            fix = f"leave {by.split()[0]} out, or add --override"
            raise UsageError(message, where=notes.where, fix=fix, kind="dt_conflict")
        self._overridden.setdefault(_DT, {})[notes.where] = (repr(own), repr(asked))
        return asked, own

    def _word(self, name: str, notes: Notes, *, resets_to_zero: bool) -> str:
        own = notes.choice(name, *CHOICES[name]) or self._graph.choice(name, *CHOICES[name], BY_NODE)
        own = None if own == BY_NODE else own
        asked = self._asked.get(name)
        if own is None:
            return asked or CHOICES[name][0]
        if asked is None or asked == own or (resets_to_zero and {own, asked} == {"value", "zero"}):
            return own
        if not self._choice.override:
            by = f"--{name}" if name in self._choice.words else "--as"
            says = f"says {asked}" if name in self._choice.words else f"{self._choice.framework} means {name} {asked}"
            message = f"the file says {name} {own}, {by} {says}"
            fix = f"leave {by} out, or add --override"
            raise UsageError(message, where=notes.where, fix=fix, kind=f"{name}_conflict")
        self._overridden.setdefault(name, {})[notes.where] = (own, asked)
        return asked


def unknown_words(notes: Notes) -> Iterator[Finding]:
    """The choices in metadata that have a word which is none."""
    for name, words in CHOICES.items():
        if (value := notes.text(name)) is not None and value not in (*words, BY_NODE):
            message = f"{name} {value!r} is not supported: known are {', '.join(words)}"
            yield Finding("rule", "error", notes.where, message, f"write the model with {name} {words[0]!r}")


def _check(option: str, word: str, known: tuple[str, ...]) -> None:
    if word not in known:
        raise UsageError(
            f"{option} {word}: unknown", where=option, fix=f"use one of: {', '.join(known)}", kind="choice"
        )
