"""What somebody says about how physics becomes steps: words of the command line and of files, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from norse_export.ir.neurons import Kind, NeuronModel
from norse_export.ir.step_words import CHOICES
from norse_export.program.families import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class StepChoice:
    """A choice of discretisation, as far as it is said; None: not said.

    dt: step in seconds. scheme, order, threshold, reset: words of `CHOICES`. framework: one whose reading of a .nir
    file is meant, where nothing else is said (formats/nir/presets.py). override: what is said here counts where a file
    says something else.
    """

    dt: float | None = None
    scheme: str | None = None
    order: str | None = None
    threshold: str | None = None
    reset: str | None = None
    framework: str | None = None
    override: bool = False

    @property
    def words(self) -> Mapping[str, str]:
        """The choices that are said, by name."""
        said = {name: getattr(self, name) for name in CHOICES}
        return {name: word for name, word in said.items() if word is not None}


def words_of(node: NeuronModel) -> dict[str, str]:
    """The word for each choice that a population has."""
    found = {"scheme": node.scheme, **{name: getattr(node.rule, name) for name in ("order", "threshold", "reset")}}
    return {name: found[name].replace("_", "-") for name in choices_of(node.kind)}


def choices_of(kind: Kind) -> tuple[str, ...]:
    """The choices that populations of a kind have: what makes no difference to them is none."""
    known = {*kind.dynamics.choices, *(("scheme",) if kind.linear and kind.rates else ())}
    return tuple(name for name in CHOICES if name in known)


def fields_of(words: Mapping[str, str]) -> dict[str, Any]:
    """The fields `rule` and `scheme` of a population, of words for some of its choices."""
    rule: dict[str, Any] = {name: word.replace("-", "_") for name, word in words.items() if name != "scheme"}
    made: dict[str, Any] = {"rule": replace(Rule(), **rule)}
    return made | ({"scheme": words["scheme"]} if "scheme" in words else {})
