"""Norse's LIF models can be saved with torch.save once they are mended."""

from __future__ import annotations

import subprocess
import sys

import pytest

from norse_export.frontend import torch_save

SAVE = """
import io, sys, torch
import norse.torch as norse
from norse.torch.utils import pytree
from norse_export.frontend.torch_save import enable_torch_save
model = norse.SequentialState(norse.LIFCell(), norse.LIFBoxCell())
try:
    torch.save(model, io.BytesIO())
except Exception as error:
    print("broken")
assert not hasattr(pytree, "LIFParameters") and not hasattr(pytree, "LIFBoxParameters")
enable_torch_save()
enable_torch_save()
torch.save(model, io.BytesIO())
names = set(vars(pytree))
norse.LIFParameters.__module__ = "norse.torch.functional.lif"
del pytree.LIFParameters
enable_torch_save()
print(sorted(names - set(vars(pytree))))
"""


def test_torch_save_is_mended_only_where_norse_is_broken() -> None:
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", SAVE], capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[:2] == ["broken", "['LIFParameters']"]


def test_another_package_that_norse_misses_is_not_called_norse(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise ModuleNotFoundError(f"{name} wants matplotlib", name="matplotlib")

    monkeypatch.setattr(torch_save, "import_module", fails)
    with pytest.raises(ModuleNotFoundError, match="matplotlib"):
        torch_save.enable_torch_save()
