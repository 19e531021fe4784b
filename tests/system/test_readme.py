"""The README: its Python runs, its command lines run, its tables name what is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def test_the_way_of_a_model_runs_as_the_readme_shows_it(
    cli: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import norse.torch as snn
    import torch

    torch.manual_seed(0)
    model = snn.SequentialState(torch.nn.Linear(12, 20), snn.LIFCell(), torch.nn.Linear(20, 3), snn.LICell())
    with torch.no_grad():
        model[0].weight *= 8
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(block, {"model": model, "example_input": (torch.rand(50, 4, 12) < 0.5).float()})  # noqa: S102
    (line,) = re.findall(r"^    norse-export (model\.pt .*)$", README, re.MULTILINE)
    ended = cli(*shlex.split(line))
    assert ended.code == 0, ended.err
    assert (tmp_path / "model.nir").stat().st_size > 0


def test_every_command_of_the_readme_is_one(cli: Callable[..., Any]) -> None:
    named = set(re.findall(r"^\| `norse-export ([a-z]+)", README, re.MULTILINE))
    assert named == {"check", "inspect", "run", "parity", "targets", "schema"}
    for command in named:
        assert cli(command, "--help").code == 0


def test_every_neuron_of_the_readme_is_supported_and_no_other() -> None:
    from norse_export.frontend import norse, torch_nn

    (neurons,) = re.findall(r"^\| neurons \| (.*) \|$", README, re.MULTILINE)
    named = {name for name in re.findall(r"`(\w+)`", neurons) if name != "Norse"}
    assert named == {kind.__name__ for kind in norse.rules()}
    rows = re.findall(r"^\| (?:layers|folded, elided) \| (.*) \|$", README, re.MULTILINE)
    layers = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert layers | {"Dropout2d"} == {kind.__name__ for kind in torch_nn.rules()} | {"Dropout2d"}


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("examples/*/*.md"),
        *ROOT.glob("targets/*/*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"
