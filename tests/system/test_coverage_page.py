"""docs/coverage.md is what docs/write_coverage.py writes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from bulk import some

from norse_export.errors import Finding

DOCS = Path(__file__).parents[2] / "docs"
AGAIN = "run `python docs/write_coverage.py`, and read the difference"
PACKAGES = {"snnTorch": "snntorch", "SpikingJelly": "spikingjelly"}  # of titles: what has to be installed
TITLES = ("Neurons", "Layers", "Functions", "Structures", *PACKAGES)


@pytest.fixture(scope="module")
def coverage() -> Iterator[ModuleType]:
    sys.path.insert(0, str(DOCS))  # as the script itself has it
    spec = importlib.util.spec_from_file_location("coverage_page", DOCS / "write_coverage.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(DOCS))
    del sys.modules[spec.name]


@pytest.mark.parametrize("title", some(TITLES, ("Functions",)))
def test_a_section_of_the_page_is_what_the_code_does(title: str, coverage: ModuleType) -> None:
    if title in PACKAGES:
        pytest.importorskip(PACKAGES[title])
    written = (DOCS / "coverage.md").read_text(encoding="utf-8")
    assert coverage.section(title) in written, AGAIN


def there(coverage: ModuleType) -> dict[str, list[Any]]:
    """The rows of every section whose framework is installed."""
    absent = [title for title, package in PACKAGES.items() if importlib.util.find_spec(package) is None]
    return {title: rows() for title, rows in coverage.SECTIONS.items() if title not in absent}


def test_the_page_has_every_section_row_and_target(coverage: ModuleType) -> None:
    written = (DOCS / "coverage.md").read_text(encoding="utf-8")
    assert tuple(coverage.SECTIONS) == TITLES
    assert written.startswith(coverage.HEAD)
    found = dict(part.split("\n", 1) for part in written.split("## ")[1:])
    assert tuple(found) == TITLES
    for title, rows in there(coverage).items():
        head, _, *lines = (line for line in found[title].splitlines() if line.startswith("|"))
        assert head == f"| | {' | '.join(('run', *coverage.TARGETS))} |", AGAIN
        assert [line.split(" | ")[0].removeprefix("| ") for line in lines] == [row.name for row in rows], AGAIN


def test_every_layer_that_has_a_rule_has_a_row(coverage: ModuleType) -> None:
    from norse_export.frontend.frameworks import torch_nn

    names = " ".join(row.name for row in coverage.SECTIONS["Layers"]())
    assert [cls.__name__ for cls in torch_nn.rules() if f"`{cls.__name__}`" not in names] == []


def test_reasons_speak_of_these_neurons_whatever_class_they_were_made_of(coverage: ModuleType) -> None:
    def told(message: str) -> str:
        return str(coverage._refused([Finding("family", "error", "1", message, "-")]).reason)

    nir = "NIR has no primitive that takes"
    assert told(f"Norse LSNN: {nir} its step") == f"these neurons: {nir} their step"
    assert told("its neurons (snnTorch Leaky) have no reset") == "these neurons have no reset"
    assert told("SpikingJelly IFNode whose reset subtracts") == "neurons whose reset subtracts"
    assert (
        told("a ReLU between layers: NIR has no primitive for it")
        == "a ReLU between layers: NIR has no primitive for it"
    )


def test_a_row_of_membranes_is_refused_for_the_membranes_alone(coverage: ModuleType) -> None:
    """The layer in front of them is one that every target takes."""
    pytest.importorskip("snntorch")
    written = (DOCS / "coverage.md").read_text(encoding="utf-8").split("## snnTorch")[1].split("## ")[0].splitlines()
    columns = [name.strip(" |") for name in next(line for line in written if line.startswith("| |")).split("|")[2:-1]]
    rows = {line.split(" | ")[0]: line.strip(" |").split(" | ")[1:] for line in written if "its membrane as" in line}
    read, reset = (
        dict(zip(columns, next(cells for name, cells in rows.items() if word in name), strict=True))
        for word in ('"none"', '"subtract"')
    )
    assert [read[chip].split(",")[0] for chip in ("loihi", "spinnaker")] == ["rounded", "rounded"]
    for chip in ("loihi", "spinnaker"):
        number = reset[chip].removeprefix("no (").removesuffix(")")
        assert any(line.startswith(f"{number}. these neurons have a membrane that is read, and") for line in written)


@pytest.mark.bulk
def test_every_row_fires(coverage: ModuleType) -> None:
    """A population that no spike ever leaves would be a row that says nothing."""
    from norse_export.frontend.trace import trace

    for row in (row for rows in there(coverage).values() for row in rows):
        for name, raster in trace(row.model(), row.raster(), time=row.time).reference.spikes.items():
            assert 0.005 < raster.mean() < 1, (row.name, name)
