"""On weights that are multiples of a power of two every order of summation is exact: no difference, no explanation."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import norse_export

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def _imported(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"example_{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("example", "script"), [("digits", "train.py"), ("tutorial", "build.py")])
def test_an_example_on_a_grid_is_equal_in_every_bit(
    example: str, script: str, here: Callable[..., Any], tmp_path: Path
) -> None:
    import torch

    module = _imported(EXAMPLES / example / script)
    trained = norse_export.load(EXAMPLES / example / "model.pt")
    assert trained.stored is not None
    model = module.build()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            node, field = name.rsplit(".", 1)
            parameter.copy_(torch.tensor(getattr(trained.graph.nodes[node], field)))
    rounded = module.to_grid(model, 16).eval()
    raster = torch.tensor(trained.stored[0]["input"])
    norse_export.save(rounded, tmp_path / "grid.pt", raster)
    ended = here("grid.pt", "--target", "nir", "--json")
    assert ended.code == 0, ended.err
    parity = json.loads(ended.out)["result"]["parity"][0]
    assert sum(layer["spikes_expected"] for layer in parity["layers"]) >= 100_000
    assert all(
        layer["spikes_expected"] > 0 for layer in parity["layers"] if not layer["node"].startswith(("output", "9"))
    )
    assert sum(layer["differing"] for layer in parity["layers"]) == 0
    assert parity["explained_flips"] == 0
    assert all(layer["states_max_abs"] in (0, None) for layer in parity["layers"])
