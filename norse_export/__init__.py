"""Takes trained torch spiking networks (Norse first) to neuromorphic formats and chips, with proof.

    import norse_export
    norse_export.save(model, "model.pt", example_input)     # in the script that trained the model
    norse_export.export("model.pt", ["nir"])                # or: norse-export model.pt --target nir

Names are loaded on first use: `import norse_export` alone imports neither torch nor any other heavy package.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from norse_export.errors import ExportError, SilentLayerWarning
    from norse_export.frontend.torch_save import enable_torch_save
    from norse_export.pipeline import (
        FormChoice,
        InputChoice,
        IntegerChoice,
        LoadChoice,
        VendorChoice,
        check,
        export,
        inspect,
        load,
        parity,
        run,
        save,
        trace,
    )

_HOME = {
    "ExportError": "norse_export.errors",
    "InputChoice": "norse_export.pipeline",
    "FormChoice": "norse_export.pipeline",
    "IntegerChoice": "norse_export.pipeline",
    "LoadChoice": "norse_export.pipeline",
    "SilentLayerWarning": "norse_export.errors",
    "VendorChoice": "norse_export.pipeline",
    "check": "norse_export.pipeline",
    "enable_torch_save": "norse_export.frontend.torch_save",
    "export": "norse_export.pipeline",
    "inspect": "norse_export.pipeline",
    "load": "norse_export.pipeline",
    "parity": "norse_export.pipeline",
    "run": "norse_export.pipeline",
    "save": "norse_export.pipeline",
    "trace": "norse_export.pipeline",
}

__all__ = [
    "ExportError",
    "FormChoice",
    "InputChoice",
    "IntegerChoice",
    "LoadChoice",
    "SilentLayerWarning",
    "VendorChoice",
    "check",
    "enable_torch_save",
    "export",
    "inspect",
    "load",
    "parity",
    "run",
    "save",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("norse-export")
    if name not in _HOME:
        raise AttributeError(f"module 'norse_export' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
