"""How many cores and chips a chain takes, and which limit binds: as findings, and as limits for the report."""

from __future__ import annotations

from typing import Literal

from norse_export.errors import CapacityError, Finding
from norse_export.target import Limit

from .chain import Chain
from .limits import CHIPS, CORES, LOIHI2, NAMES, ChipLimits
from .placing import Fit, Placed, place_on


def capacity_findings(chain: Chain, wanted: str | None = None) -> tuple[Finding, ...]:
    """An error for each layer that no core of the wanted chip can hold a neuron of; else notes of cores and chips.

    Of the other kind of chip it is told whether the model would fit, too.
    """
    first = NAMES.get(wanted or "", LOIHI2)
    found: list[Finding] = []
    for chip in sorted(CHIPS, key=lambda chip: chip is not first):
        try:
            found.append(_cores_note(place_on(chain, chip)))
        except CapacityError as error:
            if chip is first:
                return error.findings
            found += [_elsewhere(finding, chip, first) for finding in error.findings]
    return tuple(found)


def fitted_limits(chain: Chain, wanted: str | None = None) -> tuple[Limit, ...]:
    """The limits of the wanted chip and what the chain uses of them; none where no core can hold a layer."""
    try:
        return limits_of(place_on(chain, NAMES.get(wanted or "", LOIHI2)))
    except CapacityError:
        return ()


def limits_of(placed: Placed) -> tuple[Limit, ...]:
    """Every limit of the chip: what the core that uses most of it uses, and what all chips together use of a chip's."""
    needs = {name: max(fit.needs[name] for fit in placed.fits) for name in placed.chip.core}
    of_core = [
        Limit(f"{name} of a core", needs[name], figure.value, figure.source)
        for name, figure in placed.chip.core.items()
    ]
    of_chips = [
        Limit(f"{name} of a chip", placed.used[name], figure.value, figure.source)
        for name, figure in placed.chip.chip.items()
    ]
    return (*of_core, *of_chips)


def _cores_note(placed: Placed) -> Finding:
    chip, most = placed.chip, max(placed.fits, key=lambda fit: fit.cores)
    message = (
        f"{chip.name}: {placed.cores} {_plural('core', placed.cores)} of {chip.cores}, {placed.chips}"
        f" {_plural('chip', placed.chips)}; layer {most.layer!r} takes {most.cores}, bound by {_bound(most, chip)}"
    )
    if placed.chips > 1:
        message += f"; the number of chips is bound by the {placed.binding} of one"
    if chip.unknown:
        message += f"; unknown: {', '.join(chip.unknown)} of a core"
    severity: Literal["note", "warning"] = "note" if placed.chips == 1 else "warning"
    sources = dict.fromkeys((chip.core[most.binding].source, chip.chip[CORES].source))
    return Finding("cores", severity, "chip", message, f"figures: {'; '.join(sources)}")


def _bound(fit: Fit, chip: ChipLimits) -> str:
    return f"{fit.binding} (at most {fit.needs[fit.binding]} of {chip.core[fit.binding].value} on a core)"


def _elsewhere(finding: Finding, chip: ChipLimits, first: ChipLimits) -> Finding:
    """What does not fit on a chip that was not asked for is no error."""
    fix = f"this is of no matter on {first.name}; {finding.fix}"
    return Finding("other_chip", "warning", finding.where, f"not on {chip.name}: {finding.message}", fix)


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}s"
