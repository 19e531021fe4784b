"""docs/laws.md: its programs are those that the laws leave, its Python runs, its tables name what there is."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from norse_export.passes.translate import Units, translated
from norse_export.program.check import _SIGNATURES
from norse_export.program.families import family
from norse_export.program.laws import NAMES, Law, integer_family
from norse_export.program.operations import Rounding
from norse_export.program.program import Program

PAGE = Path(__file__).resolve().parents[3] / "docs" / "laws.md"
LISTING = re.compile(r"<!-- program ([^\n]+) -->\n```text\n(.*?)```\n", re.DOTALL)
CHOICES = Law(
    state_bits=16,
    decay_bits=10,
    rounding=Rounding.STOCHASTIC,
    overflow="wrap",
    strict=False,
    reset="subtract",
    refractory_steps=2,
    max_spikes=2,
)


def python() -> dict[str, Any]:
    """The names that the Python of the page leaves."""
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL):
        exec(block, names)  # noqa: S102
    return names


def programs() -> dict[str, Program]:
    found = {name: integer_family(name, Law(), 0).trace() for name in NAMES}
    found["cuba_lif choices"] = integer_family("cuba_lif", CHOICES, 6).trace()
    for name in ("lsnn", "lif_refrac"):
        bits = {"v": 6, "i": 4} | ({"b": 6} if name == "lsnn" else {})
        values = {key: np.asarray(0.3) for key in family(name).parameters} | {"rho_reset": np.asarray(5.0)}
        found[name] = translated(family(name).trace(), values, {}, Law(), Units(np.ones(()), bits)).program
    return found | {"lava_lif": python()["LAVA_LIF"].trace()}


def test_the_listings_are_the_programs(request: pytest.FixtureRequest) -> None:
    expected = programs()
    page = PAGE.read_text(encoding="utf-8")
    if request.config.getoption("--update-golden"):
        page = LISTING.sub(lambda m: f"<!-- program {m[1]} -->\n```text\n{expected[m[1]]}\n```\n", page)
        PAGE.write_text(page, encoding="utf-8")
    listed = dict(LISTING.findall(page))
    assert listed == {name: f"{program}\n" for name, program in expected.items()}, "run pytest with --update-golden"


def test_the_table_of_operations_has_each_once() -> None:
    page = PAGE.read_text(encoding="utf-8")
    table = page.split("| operation | gives |")[1].split("\n\n")[0]
    first = [row.split("|")[1] for row in table.splitlines()[2:]]
    assert sorted(re.findall(r"`(\w+)`", " ".join(first))) == sorted(op.value for op in _SIGNATURES)  # of whole numbers
    roundings = page.split("A rounding is one of four.")[1].split("\n\n")[0]
    assert re.findall(r"`(\w+)`:", roundings) == [rounding.value for rounding in Rounding]


def rows() -> dict[str, tuple[str, str]]:
    """Default and possible values of each field, as the page has them."""
    table = PAGE.read_text(encoding="utf-8").split("| field | default | possible |")[1].split("\n\n")[0]
    cells = [[cell.strip() for cell in row.split("|")[1:4]] for row in table.splitlines()[2:]]
    return {name.strip("`"): (default, possible) for name, default, possible in cells}


def test_the_table_of_the_generic_law_has_its_fields_and_defaults() -> None:
    assert {name: default for name, (default, _) in rows().items()} == {f.name: str(f.default) for f in fields(Law)}


@pytest.mark.parametrize("name", [f.name for f in fields(Law)])
def test_the_table_says_what_is_possible(name: str) -> None:
    _, possible = rows()[name]
    if " to " in possible:
        low, high = map(int, possible.split(" to "))
        good: list[Any] = [low, high]
        bad: list[Any] = [low - 1, high + 1]
    else:
        good, bad = [{"True": True, "False": False}.get(word, word) for word in possible.split(", ")], ["other"]
    for value in good:
        assert getattr(Law(**{name: value}), name) == value
    for value in bad:
        with pytest.raises(ValueError, match=name if " to " in possible or name != "rounding" else "other"):
            Law(**{name: value})
