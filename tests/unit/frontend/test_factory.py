"""Models that a function of the user's builds: loaded exactly, and every failure told in one line."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path

import pytest
import torch

from norse_export.errors import UsageError
from norse_export.frontend.saved.torch_modules import from_factory

FACTORY = """
import sys, torch
def model(): return torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.Dropout())
def double(): return model().double()
def raises(): raise KeyError("no data")
def leaves(): sys.exit(3)
def takes(x): return model()
def number(): return 7
constant = 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    package = tmp_path / "my_package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "nets.py").write_text(textwrap.dedent(FACTORY))
    (package / "broken.py").write_text("import missing_package_of_mine\n")
    (package / "syntax.py").write_text("def model(:\n")
    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.split(".")[0] == "my_package"]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


@pytest.mark.usefixtures("folder")
def test_a_factory_builds_the_model_and_gets_the_tensors() -> None:
    tensors = {"0.weight": torch.randn(2, 3), "0.bias": torch.randn(2)}
    path = list(sys.path)
    model = from_factory("my_package.nets:model", tensors)
    assert torch.equal(model.state_dict()["0.weight"], tensors["0.weight"])
    assert not any(module.training for module in model.modules())
    assert sys.path == path


@pytest.mark.usefixtures("folder")
def test_a_factory_may_be_wider_than_the_file() -> None:
    tensors = {"0.weight": torch.randn(2, 3).half(), "0.bias": torch.randn(2).bfloat16()}
    model = from_factory("my_package.nets:model", tensors)
    assert torch.equal(model.state_dict()["0.weight"], tensors["0.weight"].float())


GOOD = {"0.weight": torch.ones(2, 3), "0.bias": torch.ones(2)}

FAILURES: dict[str, tuple[str, str, dict[str, torch.Tensor]]] = {
    "no colon": ("my_package.nets", "does not name a function", GOOD),
    "no name": ("my_package.nets:", "does not name a function", GOOD),
    "not a name": ("my_package.nets:a-b", "does not name a function", GOOD),
    "a path": ("../nets.py:model", "does not name a function", GOOD),
    "no module": ("my_package.netz:model", "no module my_package.netz", GOOD),
    "no package": ("your_package.nets:model", "no module your_package.nets", GOOD),
    "an import inside fails": ("my_package.broken:model", "missing_package_of_mine", GOOD),
    "a syntax error": ("my_package.syntax:model", "SyntaxError", GOOD),
    "no attribute": ("my_package.nets:modell", "has no modell", GOOD),
    "not callable": ("my_package.nets:constant", "is a int", GOOD),
    "raises": ("my_package.nets:raises", "KeyError: 'no data'", GOOD),
    "exits": ("my_package.nets:leaves", "SystemExit: 3", GOOD),
    "wants an argument": ("my_package.nets:takes", "missing 1 required positional argument", GOOD),
    "returns a number": ("my_package.nets:number", "returned a value of type int", GOOD),
    "a missing key": ("my_package.nets:model", "the file has no 0.bias", {"0.weight": GOOD["0.weight"]}),
    "an unexpected key": (
        "my_package.nets:model",
        "the file has 1.x, which the model has not",
        {**GOOD, "1.x": GOOD["0.bias"]},
    ),
    "another shape": ("my_package.nets:model", "0.bias is (1,) in the file", {**GOOD, "0.bias": torch.ones(1)}),
    "a narrower type": ("my_package.nets:model", "0.bias is torch.float64", {**GOOD, "0.bias": torch.ones(2).double()}),
    "another kind of type": (
        "my_package.nets:model",
        "0.bias is torch.int64",
        {**GOOD, "0.bias": torch.ones(2).long()},
    ),
}


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("case", FAILURES)
def test_every_failure_of_a_factory_says_what_where_and_how_to_mend_it(case: str) -> None:
    spec, words, tensors = FAILURES[case]
    with pytest.raises(UsageError) as caught:
        from_factory(spec, tensors)
    assert words in caught.value.what
    assert "\n" not in caught.value.what
    assert spec in caught.value.where + caught.value.what
    assert caught.value.fix
    assert caught.value.exit_code == 2


@pytest.mark.usefixtures("folder")
def test_all_misfits_of_a_state_dict_are_listed() -> None:
    with pytest.raises(UsageError) as caught:
        from_factory("my_package.nets:model", {"0.weight": torch.ones(1), "2.bias": torch.ones(1)})
    assert [finding.message.split(",")[0] for finding in caught.value.findings] == [
        "the file has no 0.bias",
        "the file has 2.bias",
        "0.weight is (1",
    ]
