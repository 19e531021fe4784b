"""The scales of all populations, chosen on calibration inputs: first each by itself, then all together.

By itself a population hears what its sources send in the float model, and a search (calibrate.py) finds the scale with
which it answers most like the model. Together the network runs in whole numbers alone: each population in turn then
tries a few other scales, and keeps one that brings the whole network nearer to the model. Without the first the search
would take too many runs; without the second a layer could not make up for what those before it lost, as at few bits.

Where states are narrow, scales with which they may overflow compete with those that are safe: what they cost is
measured, too, and overflow is counted whenever the network runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding, UnsupportedError
from norse_export.interpret import interpret
from norse_export.ir.graph import Graph
from norse_export.ir.stages import DiscreteNode
from norse_export.passes.agreement import apart, cells, rank, silenced, surely_nearer
from norse_export.passes.calibrate import response, search, smaller, some, work_of
from norse_export.passes.integers import PROVEN_ENOUGH
from norse_export.passes.lowered import is_between
from norse_export.passes.plans import (
    MAX_STATE_BITS,
    Built,
    Plan,
    built,
    is_translated,
    least_error,
    observed_of,
    points_of,
    unclipped,
    weight_errors,
)
from norse_export.passes.prices import Measured
from norse_export.passes.steps import ENOUGH

Array = NDArray[Any]
Floats = NDArray[np.float64]
SEARCH_WORK = 1 << 31  # of one measure of a search, in products of a dense computation
MOST_LOOSENED = 5  # bits by which narrow states may be risked
NEIGHBOURS = (0.85, 1.15)  # of the scale that is best by itself: tried in the whole network
JOINTLY = 0.99  # a network is nearer to the model when its distance is so much less
Measure = Callable[[Mapping[str, Built]], Measured]


@dataclass(frozen=True, slots=True, eq=False)
class Setting:
    """Factors of the scales, [channels], and by how many bits the states are risked."""

    factor: Floats
    loosened: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Judge:
    """A population by itself on what its sources sent.

    plan: with what was observed of it. truth: what it is to send.
    """

    plan: Plan
    sent: Mapping[str, Array]
    truth: Array

    def measured(self, setting: Setting) -> Floats:
        """Counts [channels, 4] of a population that spikes; else the squared errors [channels]."""
        made = built(self.plan, setting.factor, loosened=setting.loosened, priced=False)
        got = response(made.population, list(made.links.values()), self.sent)
        if self.plan.node.spikes:
            return cells(self.truth, got, self.plan.channels)
        errors = np.square(got - self.truth).sum(axis=(0, 1), dtype=np.float64)
        return np.asarray(errors.reshape(self.plan.channels, -1).sum(axis=1))

    def best(self) -> Setting:
        """The best setting; one that risks the states only where it is surely better."""
        chosen = Setting(self._searched(0))
        if not _narrow(self.plan, chosen):
            return chosen
        found = self.measured(chosen).sum(axis=0)
        for loosened in range(1, MOST_LOOSENED + 1):
            setting = Setting(self._searched(loosened), loosened)
            risked = self.measured(setting).sum(axis=0)
            if (surely_nearer if self.plan.node.spikes else smaller)(risked, found):
                chosen, found = setting, risked
        return chosen

    def silences(self, setting: Setting) -> bool:
        """Whether nothing is left of the layer: no weight, or no spike of a layer that fires."""
        if built(self.plan, setting.factor, loosened=setting.loosened, priced=False).mute:
            return True
        return self.plan.node.spikes and silenced(self.measured(setting).sum(axis=0))

    def _searched(self, loosened: int) -> Floats:
        plan, spikes = self.plan, self.plan.node.spikes

        def measure(factor: Floats) -> Floats:
            return self.measured(Setting(factor, loosened))

        return search(
            plan.scales.factors,
            plan.channels,
            partial(weight_errors, plan),
            measure,
            points=points_of(plan),
            surely=surely_nearer if spikes else smaller,
            rank=rank if spikes else float,
        )


def chosen(
    graph: Graph[DiscreteNode],
    plans: Sequence[Plan],
    calibration: Mapping[str, Array],
    measure_on: Callable[[Mapping[str, Array]], Measure],
    *,
    searching: bool,
) -> dict[str, Built]:
    """Every population in whole numbers.

    measure_on: for rasters, what runs the network of such populations on them, beside the float model.

    Raises:
        UnsupportedError: states are too narrow for a layer to be heard; the fix names the bits that it takes.
    """
    first = {plan.name: _roomy(plan) for plan in plans}
    work = {name: work_of(one.population, list(one.links.values())) for name, one in first.items()}
    few = some(calibration, max(work.values()), SEARCH_WORK)
    judges = _judges(graph, plans, few, first)
    seen = {plan.name: judges[plan.name].plan if plan.name in judges else plan for plan in plans}
    taken = all_heard(plans, judges, searching=searching)
    if searching and len(judges) > 1:
        taken = _together(seen, taken, measure_on(some(few, sum(work.values()), SEARCH_WORK // 4)))
    made = {name: built(plan, taken[name].factor, loosened=taken[name].loosened) for name, plan in seen.items()}
    unreached = [plan for plan in plans if plan.name not in judges and not is_between(plan.node)]
    return made | {plan.name: _unreached(made[plan.name], plan.name) for plan in unreached}


def _roomy(plan: Plan) -> Built:
    """The population in states of all bits that there are."""
    return built(replace(plan, law=replace(plan.law, state_bits=MAX_STATE_BITS)), unclipped(plan), priced=False)


def _judges(
    graph: Graph[DiscreteNode], plans: Sequence[Plan], few: Mapping[str, Array], first: Mapping[str, Built]
) -> dict[str, Judge]:
    """Of each population that anything reaches on the calibration inputs; pools and functions left out."""
    float_run = interpret(graph, few, states=True)
    sent: dict[str, Array] = {**few, **float_run.spikes}
    for plan in plans:
        if is_between(plan.node):
            sent[plan.name] = response(first[plan.name].population, list(first[plan.name].links.values()), sent)
    found = {}
    for plan in plans:
        if is_between(plan.node) or not any(sent[p.source].any() for p in plan.projections):
            continue
        states = dict(float_run.observables[plan.name])
        seen = replace(plan, observed=observed_of(plan.node, states))
        found[plan.name] = Judge(seen, sent, sent[plan.name] if plan.node.spikes else states["v"])
    return found


def _others(plan: Plan, best: Setting) -> list[Setting]:
    """What else a population tries in the whole network."""
    if plan.scales.exact:
        return []
    factors = [least_error(plan), unclipped(plan), *(best.factor * near for near in NEIGHBOURS)]
    kept: list[Floats] = [best.factor]
    for factor in factors:
        if not any(np.allclose(factor, other) for other in kept):
            kept.append(factor)
    return [Setting(factor, best.loosened) for factor in kept[1:]]


def _together(plans: Mapping[str, Plan], alone: Mapping[str, Setting], measure: Measure) -> dict[str, Setting]:
    """The settings with which the whole network is nearest, tried for one population after the other."""

    def make(name: str, setting: Setting) -> Built:
        return built(plans[name], setting.factor, loosened=setting.loosened, priced=False)

    taken = dict(alone)
    made = {name: make(name, setting) for name, setting in taken.items()}
    least = distance(measure(made))
    for name, plan in plans.items():
        for setting in _others(plan, alone[name]):
            tried = {**made, name: make(name, setting)}
            away = distance(measure(tried))
            if away[0] < least[0] or (away[0] == least[0] and away[1] < JOINTLY * least[1]):
                taken[name], made, least = setting, tried, away
    return taken


def distance(measured: Measured) -> tuple[int, float]:
    """How far a network is from the model: layers that are silenced, then the sum over all layers.

    A layer that spikes counts with 1 - kappa, one that does not with its rms error, relative to its rms.
    """
    total, silent = 0.0, 0
    for name, before in measured.before.spikes.items():
        late = measured.skew.get(name, 0)
        counts = cells(before[: len(before) - late], measured.after.spikes[name][late:], 1)[0]
        total += apart(counts)
        silent += silenced(counts)
    for name, (truth, values) in measured.values.items():
        late = measured.skew.get(name, 0)
        size, wrong = np.square(truth[: len(truth) - late]).sum(), np.square(values[late:] - truth[: len(truth) - late])
        total += float(np.sqrt(wrong.sum() / size)) if size else 0.0
    return silent, total


def all_heard(plans: Sequence[Plan], judges: Mapping[str, Judge] | None, *, searching: bool) -> dict[str, Setting]:
    """The best settings of populations, each by itself; those without a judge clip no weight.

    judges: None without calibration inputs: all take the scales with the least error of their weights.

    Raises:
        UnsupportedError: states so narrow that nothing is left of a layer; every one is a finding.
    """
    taken: dict[str, Setting] = {}
    findings: list[Finding] = []
    for plan in plans:
        judge = None if judges is None else judges.get(plan.name)
        try:
            taken[plan.name] = heard(plan, judge, searching=searching and (judges is None or judge is not None))
        except UnsupportedError as error:
            findings += error.findings
    if findings:
        raise UnsupportedError.of(findings)
    return taken


def heard(plan: Plan, judge: Judge | None, *, searching: bool) -> Setting:
    """The best setting of a population by itself; without a judge that with the least error of the weights.

    Raises:
        UnsupportedError: states so narrow that nothing is left of the layer; the fix names the fewest bits that do.
    """
    setting = _tried(plan, judge, searching=searching)
    if setting is not None:
        return setting
    for bits in range(plan.law.state_bits + 1, MAX_STATE_BITS + 1):
        wider = replace(plan, law=replace(plan.law, state_bits=bits))
        other = None if judge is None else replace(judge, plan=replace(judge.plan, law=wider.law))
        if _tried(wider, other, searching=searching) is not None:
            raise UnsupportedError(
                f"states of {plan.law.state_bits} bits are too narrow for the layer: no weight or no spike is left",
                where=plan.name,
                fix=f"use --state-bits {bits} or more",
            )
    built(plan, unclipped(plan), priced=False)  # raises, where a threshold is the reason
    return Setting(unclipped(plan))


def _tried(plan: Plan, judge: Judge | None, *, searching: bool) -> Setting | None:
    """The best setting; None where narrow states leave nothing of the layer."""
    plan = plan if judge is None else judge.plan
    try:
        if not searching or plan.scales.exact:
            setting = Setting(unclipped(plan))
        else:
            setting = Setting(least_error(plan)) if judge is None else judge.best()
        return None if _narrow(plan, setting) and _lost(plan, judge, setting) else setting
    except UnsupportedError:
        return None


def _narrow(plan: Plan, setting: Setting) -> bool:
    """Whether the widths of the states cost the weights bits, or the decays their precision.

    States of a translated step have units of their own, and use all their bits for what is usual.
    """
    if is_translated(plan.node):
        return plan.law.state_bits < ENOUGH
    made = built(plan, setting.factor, priced=False)
    return made.coarser > 0 or made.shift < PROVEN_ENOUGH


def _lost(plan: Plan, judge: Judge | None, setting: Setting) -> bool:
    if judge is not None:
        return judge.silences(setting)
    return built(plan, setting.factor, priced=False).mute


def _unreached(one: Built, name: str) -> Built:
    """With its largest weight for the largest number: on the calibration inputs nothing reached it."""
    message = "no spike reached it on the calibration inputs, so nothing was measured for its scale"
    fix = "calibrate on inputs on which every layer before it fires (--calib)"
    return replace(one, findings=(*one.findings, Finding("calibration_silent", "warning", name, message, fix)))
