"""Makes Norse's parameter classes picklable, for those who want to keep whole modules with torch.save.

In norse 1.1.0 `LIFParameters` and `LIFBoxParameters` say that they live in `norse.torch.utils.pytree`, where they are
not, so torch.save fails for every model with a LIF neuron (norse issue 414).
"""

from __future__ import annotations

import warnings
from importlib import import_module
from types import ModuleType

from norse_export.errors import MissingDependencyError

_BROKEN = (
    ("norse.torch.functional.lif", "LIFParameters"),
    ("norse.torch.functional.lif_box", "LIFBoxParameters"),
)


def enable_torch_save() -> None:
    """Let torch.save write Norse's LIF models, by giving their parameter classes the names that they claim.

    Does nothing where Norse is not broken, or was mended before. Files written so are read by norse_export; torch.load
    needs this call too.

    Raises:
        MissingDependencyError: Norse is not installed.
    """
    import_norse()
    for module, name in _BROKEN:
        parameters = getattr(import_module(module), name)
        claimed = import_module(parameters.__module__)
        if getattr(claimed, name, None) is not parameters:
            setattr(claimed, name, parameters)


def import_norse() -> ModuleType:
    """The package `norse.torch`, without the deprecation warning that its import gives.

    Raises:
        MissingDependencyError: Norse is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return import_module("norse.torch")
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != "norse":
            raise
        raise MissingDependencyError(
            "Norse is not installed", where="import norse.torch", fix="pip install 'norse-export[norse]'"
        ) from error
