"""The README: its Python runs, its command lines run, its tables name what is there."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from norse_export.cli import main
from norse_export.errors import UnsupportedError

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()


def blocks() -> list[str]:
    """The Python of the page: the way of a model, and the complete example."""
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.usefixtures("parsed_here")
def test_the_way_of_a_model_runs_as_the_readme_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import norse.torch as snn
    import torch

    torch.manual_seed(0)
    model = snn.SequentialState(torch.nn.Linear(12, 20), snn.LIFCell(), torch.nn.Linear(20, 3), snn.LICell())
    with torch.no_grad():
        model[0].weight *= 8
    block, _ = blocks()
    monkeypatch.chdir(tmp_path)
    exec(block, {"model": model, "example_input": (torch.rand(50, 4, 12) < 0.5).float()})  # noqa: S102
    rng = np.random.default_rng(0)
    for name in ("calib", "test"):
        np.savez(tmp_path / f"{name}.npz", input=(rng.random((50, 4, 12)) < 0.5).astype(np.float32))
    lines = re.findall(r"^    norse-export (.*)$", README, re.MULTILINE)
    assert len(lines) >= 10
    for line in lines:
        wanted = (0, 5) if "--vendor" in line else (0,)  # 5: that software is not installed here
        assert main(shlex.split(line)) in wanted, (line, capsys.readouterr().err)
    for written in (
        "model.nir",
        "model.sim",
        "model.loihi/model.net",
        "model.spinnaker/network.safetensors",
        "model.onnx/model.onnx",
    ):
        assert (tmp_path / written).stat().st_size > 0


def test_the_names_of_the_python_api_are_those_of_the_readme() -> None:
    import norse_export

    (told,) = re.findall(r"^The Python API .*?\n\n", README, re.MULTILINE | re.DOTALL)
    named = set(re.findall(r"`(?:norse_export\.)?(\w+)(?:\(\))?`", told))
    assert named >= set(norse_export.__all__) - {"SilentLayerWarning"}
    assert all(hasattr(norse_export, name) for name in named)


def test_the_complete_example_trains_exports_and_is_equal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import nir

    _, block = blocks()
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102
    (target,) = names["result"].targets
    (comparison,) = target.parity
    assert comparison.equal
    assert comparison.spikes > 0
    assert not comparison.vacuous
    decided = names["torch"].stack(names["outputs"]).mean(0).argmax(1)
    assert (decided == names["labels"]).all(), "the model has not learned what the page says"
    assert set(nir.read(tmp_path / "trained.nir").nodes) == {"input", "0", "1", "2", "3", "output"}


def test_what_the_readme_calls_refused_is(tmp_path: Path) -> None:
    import norse.torch as snn
    import torch

    import norse_export

    class Model(torch.nn.Module):
        def __init__(self, change: Callable[..., Any], answer: Callable[..., Any]) -> None:
            super().__init__()
            self.linear, self.lif, self.change, self.answer = torch.nn.Linear(4, 5), snn.LIFCell(), change, answer

        def forward(self, x: Any, state: Any = None) -> Any:
            current = self.change(self.linear(x))
            spikes, state = self.lif(current, state)
            return self.answer(spikes, current, state)

    def same(x: Any) -> Any:
        return x

    def as_it_should(spikes: Any, _current: Any, state: Any) -> Any:
        return spikes, state

    def save(change: Callable[..., Any], answer: Callable[..., Any]) -> None:
        model = Model(change, answer).eval()
        norse_export.save(model, tmp_path / "model.pt", (torch.rand(20, 2, 4) < 0.5).float(), force=True)

    torch.manual_seed(0)
    save(same, as_it_should)
    with pytest.raises(UnsupportedError, match="sigmoid"):
        save(torch.sigmoid, as_it_should)
    with pytest.raises(UnsupportedError, match="add"):
        save(lambda x: x + torch.rand(len(x), 1), as_it_should)
    with pytest.raises(UnsupportedError, match="state of 'lif'"):
        save(same, lambda _spikes, _current, state: (state.v, state))
    with pytest.raises(UnsupportedError, match="state"):
        save(same, lambda spikes, _current, _state: spikes)


def test_every_command_of_the_readme_is_one(cli: Callable[..., Any]) -> None:
    named = set(re.findall(r"^\| `norse-export ([a-z]+)", README, re.MULTILINE))
    assert named == {"check", "inspect", "run", "parity", "targets", "schema"}
    for command in named:
        assert cli(command, "--help").code == 0


def test_every_neuron_of_the_readme_is_supported_and_no_other() -> None:
    from norse_export.frontend.frameworks import norse, torch_nn

    (neurons,) = re.findall(r"^\| neurons \| (.*) \|$", README, re.MULTILINE)
    named = {name for name in re.findall(r"`(\w+)`", neurons) if name != "Norse"}
    assert named == {kind.__name__ for kind in norse.rules()}
    rows = re.findall(r"^\| (?:layers|folded, elided) \| (.*) \|$", README, re.MULTILINE)
    layers = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    assert layers == {kind.__name__ for kind in torch_nn.rules()}


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/*.md"),
        *ROOT.glob("examples/*/*.md"),
        *ROOT.glob("targets/*/*.md"),
    ]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"
