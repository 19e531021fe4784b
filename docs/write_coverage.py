"""Writes docs/coverage.md: what becomes of every class of neurons, layer and structure on every target.

    python docs/write_coverage.py

Each row is a small model of Norse's (docs/coverage_rows.py), which is traced and given to the check of every target,
as `norse-export check` does. Weights are on a grid of powers of two, so that the document is the same on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from coverage_rows import SECTIONS, Row

from norse_export import registry
from norse_export.errors import ExportError, Finding
from norse_export.files.limits import Limits
from norse_export.frontend.trace import trace
from norse_export.pipeline.choices import IntegerChoice
from norse_export.pipeline.model import Model, Truth, graph_truth
from norse_export.pipeline.staging import Staged, stage
from norse_export.pipeline.tracing import check_trace
from norse_export.target import Stage

PAGE = Path(__file__).parent / "coverage.md"
TARGETS = registry.names()
HEAD = """# What goes where

Every class of Norse's neurons, every layer and every structure, on every target. This page is written by
`python docs/write_coverage.py`, which builds a small model for each row and asks each target, and a test keeps it true.

- **run**: tracing, the interpreter, and the model file of `norse_export.save`: `exact` where the graph does what the
  model does, spike for spike.
- **exact**: the target holds the numbers of the model themselves. **rounded**: it computes in whole numbers; beside it
  stand the spikes that the fixed network has elsewhere than the model, of all that the model has, on one short random
  raster. That is the price of rounding, and of a chip's own delays, in a model that nobody trained.
- **no**: refused, for the reason of that number below the table. Nothing is written, and nothing is approximated.
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of a model on a target: a word, and the reason where it is refused."""

    word: str
    reason: str = ""


def outcomes(row: Row) -> dict[str, Outcome]:
    """What becomes of a row: run, and each target."""
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            traced = trace(row.model(), row.raster(), time=row.time)
        check_trace(traced, row.name)
    except ExportError as error:
        refused = _refused(error.findings)
        return {"run": refused, **dict.fromkeys(TARGETS, refused)}
    stored = (traced.inputs, Truth(traced.reference, 0))
    truth = graph_truth(traced.graph)
    model = Model(row.name, "traced", "", traced.graph, truth, exact=False, stored=stored)
    return {"run": Outcome("exact"), **{name: _on(model, name) for name in TARGETS}}


def _on(model: Model, name: str) -> Outcome:
    target = registry.load(name)
    try:
        staged = stage(model, target, IntegerChoice(), None, Limits())
        findings = [finding for finding in target.check(staged.graph) if finding.severity == "error"]
    except ExportError as error:
        return _refused(error.findings)
    if findings:
        return _refused(findings)
    return _rounded(staged) if staged.stage is Stage.FIXED else Outcome("exact")


def _rounded(staged: Staged) -> Outcome:
    spiking = [price for price in staged.prices if price.spikes_before is not None]
    if not spiking:
        return Outcome("rounded")
    differing = sum(price.differing or 0 for price in spiking)
    return Outcome(f"rounded, {differing} of {sum(price.spikes_before or 0 for price in spiking)}")


def _refused(findings: Iterable[Finding]) -> Outcome:
    """The first finding in words: without its place, and without the name of the neurons, which the row says."""
    told = re.sub(r"^its neurons( \([^)]*\))?", "these neurons", next(iter(findings)).message)
    told = re.sub(r"^(Norse|snnTorch|SpikingJelly) \w+(?=:| whose)", "these neurons", told)  # the row names them
    told = told.replace("these neurons whose reset", "neurons whose reset")
    return Outcome("no", re.sub(r"^(these neurons: .*) its step$", r"\1 their step", told))  # of a class: of neurons


def table(rows: Sequence[Row]) -> Iterator[str]:
    """The lines of a section: a row each, then the reasons."""
    reasons: dict[str, int] = {}

    def cell(outcome: Outcome) -> str:
        if not outcome.reason:
            return outcome.word
        return f"{outcome.word} ({reasons.setdefault(outcome.reason, len(reasons) + 1)})"

    yield f"| | {' | '.join(('run', *TARGETS))} |"
    yield f"|{'---|' * (len(TARGETS) + 2)}"
    for row in rows:
        yield f"| {row.name} | {' | '.join(cell(outcome) for outcome in outcomes(row).values())} |"
    if reasons:
        yield ""
    for reason, number in reasons.items():
        yield f"{number}. {reason}"


def section(title: str) -> str:
    """One section of the page."""
    return "\n".join([f"## {title}", "", *table(SECTIONS[title]()), ""])


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *map(section, SECTIONS)])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
