"""The table of frameworks: a file for each, which counts where its package is loaded; none is imported by us."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from traced_models import equal, spikes

from norse_export.errors import MissingDependencyError
from norse_export.frontend import frameworks
from norse_export.frontend.frameworks import table
from norse_export.frontend.frameworks.table import Framework, every, loaded, stepping, tables
from norse_export.frontend.trace import trace
from norse_export.program.families import FAMILIES, Rule, family

PACKAGES = ["norse", "snntorch", "spikingjelly"]


def test_each_framework_has_a_file_of_its_name() -> None:
    folder = Path(next(iter(frameworks.__path__)))
    assert [framework.package for framework in every()] == PACKAGES
    assert all((folder / f"{framework.package}.py").is_file() for framework in every())


def test_a_step_belongs_to_one_framework() -> None:
    steps = [name for framework in every() for name in framework.steps]
    assert len(steps) == len(set(steps))
    soft = family("if", rule=Rule(threshold="ge", reset="subtract")).name
    owners = {name: stepping(name) for name in ("cuba_lif", "leaky_subtract", "synaptic_zero_recurrent", soft)}
    assert [owner and owner.package for owner in owners.values()] == ["norse", "snntorch", "snntorch", "spikingjelly"]
    assert stepping("lif_share") is None
    known = {*FAMILIES, *(family(name, rule=Rule("ge", reset)).name for name in ("if", "lif_quotient",
        "lif_quotient_whole") for reset in ("value", "subtract")), "lif_subtract"}  # fmt: skip
    assert set(steps) <= known


SCRIPT = """
import sys
import torch
from torch import nn
{imports}
from norse_export.frontend.trace import trace
trace({model}, torch.ones(4, 2, 3))
print(*[name for name in {packages} if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("imports", "model", "expected"),
    [
        ("", "nn.Linear(3, 2)", []),
        ("import norse.torch", "norse.torch.SequentialState(nn.Linear(3, 2), norse.torch.LIFCell())", ["norse"]),
    ],
    ids=["torch alone", "norse"],
)
def test_a_framework_that_the_model_does_not_use_is_not_imported(imports: str, model: str, expected: list[str]) -> None:
    script = SCRIPT.format(imports=imports, model=model, packages=PACKAGES)
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == expected


def test_a_framework_that_is_not_installed_is_named() -> None:
    nothing = Framework(package="toy_framework_x", title="Toy", extra="toy", rules=dict, populations=frozenset,
        given=lambda *_: None)  # fmt: skip
    assert nothing.version == "of unknown version"
    with pytest.raises(MissingDependencyError, match="Toy is not installed") as caught:
        nothing.load()
    assert caught.value.where == "import toy_framework_x"
    assert "norse-export[toy]" in caught.value.fix


PACKAGE = """
import torch
from torch import nn

class Summing(nn.Module):
    def __init__(self):
        super().__init__()
        self.v = None
    def forward(self, x):
        self.v = x if self.v is None else 0.5 * self.v + x
        return (self.v > 1).float()
"""
TABLE = """
import sys
import numpy as np
from norse_export.frontend.frameworks.table import Framework, Outcome
from norse_export.ir.neurons import KINDS

def _classes():
    return frozenset({sys.modules["toy_framework"].Summing})

def _rule(call, builder):
    make = lambda: KINDS["LeakyNone"](shape=call.features, dt=1.0, decay_v=np.float32(0.5), v_th=np.float32(1))
    return builder.add(call.path, make, 1, (call.x, "x"))

FRAMEWORK = Framework(
    package="toy_framework",
    title="Toy",
    extra="toy",
    rules=lambda: dict.fromkeys(_classes(), _rule),
    populations=_classes,
    given=lambda module, args, kwargs, x: None if module.v is None else (module.v,),
    outcome=lambda module, result: Outcome(result, (module.v,)),
    variables=lambda module, result: {"v": module.v},
    hidden=lambda module: (vars(module), ("v",)) if type(module) in _classes() else None,
    library=("toy_framework.",),
)
"""


def test_adding_a_framework_is_adding_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toy_framework.py").write_text(PACKAGE, encoding="utf-8")
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "toy_framework.py").write_text(TABLE, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(frameworks, "__path__", [*frameworks.__path__, str(tmp_path / "tables")])
    for cached in (table._names, table._held):
        cached.cache_clear()
    try:
        assert "toy_framework" not in [framework.package for framework in loaded()]
        import toy_framework

        assert "toy_framework" in [framework.package for framework in loaded()]
        model = nn.Sequential(nn.Linear(3, 4), toy_framework.Summing())
        assert tables().is_population(model[1])
        with torch.no_grad():
            model[0].weight.fill_(0.4)
        traced = equal(model, spikes(30, 2, 3))
        assert traced.time == "outside"
        assert traced.reference.ran_by.startswith("toy_framework ")
        assert model[1].v is None
    finally:
        sys.modules.pop("toy_framework", None)
        sys.modules.pop("norse_export.frontend.frameworks.toy_framework", None)
        for cached in (table._names, table._held):
            cached.cache_clear()


def told(model: nn.Module, x: torch.Tensor) -> dict[str, str]:
    """The classes that the metadata of a model's graph name."""
    found = trace(model.eval(), x).graph.metadata.get("classes", "{}")
    return dict(json.loads(found))


def test_the_class_of_each_population_is_told_by_its_framework_and_name() -> None:
    snn = pytest.importorskip("norse.torch", reason="Norse is not installed")
    model = snn.SequentialState(nn.Linear(4, 4), snn.LIFCell(), snn.LSNNRecurrentCell(4, 4), snn.LICell())
    cells = {"1": "Norse LIFCell", "2": "Norse LSNNRecurrentCell", "3": "Norse LICell"}
    assert told(model, spikes(20, 2, 4)) == cells
    shown = nn.Sequential(snn.ConstantCurrentLIFEncoder(20), snn.Lift(nn.Linear(4, 4)))
    assert told(shown, torch.rand(3, 4)) == {"0": "Norse ConstantCurrentLIFEncoder"}


def test_a_model_that_is_one_population_is_told_too_and_layers_are_not() -> None:
    snn = pytest.importorskip("norse.torch", reason="Norse is not installed")
    assert told(snn.LIFCell(), spikes(20, 2, 4)) == {"LIFCell": "Norse LIFCell"}
    assert told(nn.Linear(4, 4), spikes(20, 2, 4)) == {}


def test_classes_of_frameworks_without_a_time_step_are_told() -> None:
    neuron = pytest.importorskip("spikingjelly.activation_based.neuron", reason="SpikingJelly is not installed")
    model = nn.Sequential(nn.Linear(4, 4), neuron.LIFNode(step_mode="m"), neuron.IFNode(step_mode="m"))
    assert told(model, spikes(20, 2, 4)) == {"1": "SpikingJelly LIFNode", "2": "SpikingJelly IFNode"}
