"""Every parser gives the same in the limited child, where the product runs it, as in this process, where tests do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import norse.torch as snn
import numpy as np
import pytest
import torch
from parsing import parse_here, replace_parsing

import norse_export
from norse_export.cli import main
from norse_export.files.child import parse_in_child
from norse_export.frontend.torch_save import enable_torch_save

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*(ROOT / "norse_export").rglob("*.py"), *(ROOT / "targets").rglob("*.py")]
PARSERS = {name for path in SOURCES for name in re.findall(r'"(norse_export\.[\w.]+:[a-z]\w*)"', path.read_text())}


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The parsers that ran in a child, each of them once, and gave there what they give here."""
    seen: set[str] = set()

    def parse(parser: str, file: Any, **more: Any) -> Any:
        here = parse_here(parser, file, **more)
        if parser not in seen:
            child = parse_in_child(parser, file, **more)
            assert child.document == here.document
            assert list(child.arrays) == list(here.arrays)
            for name, array in child.arrays.items():
                assert array.dtype == here.arrays[name].dtype
                np.testing.assert_array_equal(array, here.arrays[name], err_msg=name)
            seen.add(parser)
        return here

    replace_parsing(monkeypatch, parse)
    return seen


def test_every_parser_gives_in_the_child_what_it_gives_here(
    compared: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    enable_torch_save()
    torch.manual_seed(0)
    model = snn.SequentialState(torch.nn.Linear(6, 8, bias=False), snn.LIFCell(), torch.nn.Linear(8, 3, bias=False))
    with torch.no_grad():
        model[0].weight.mul_(8)
    raster = (torch.rand(40, 2, 6, generator=torch.Generator().manual_seed(0)) < 0.4).float()
    norse_export.save(model.eval(), "m.pt", raster)
    torch.save(model, "whole.pt")
    np.savez("x.npz", input=raster.numpy())
    for line in (
        "export m.pt --target all --inputs x.npz -o out -q",
        "run out/m.nir -o trace.h5 --inputs x.npz -q",
        "parity trace.h5 out/m.nir -q",
        "inspect out/m.loihi/model.net -q",
        "inspect whole.pt --input-shape 6 -q",
    ):
        assert main(line.split()) == 0, line
    assert PARSERS - compared == set()
    assert len(PARSERS) >= 10
