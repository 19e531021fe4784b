"""Whether a model takes one step or the whole raster a call, found from what is in it."""

from __future__ import annotations

from typing import Literal

import torch

from norse_export.errors import UsageError
from norse_export.frontend.encoders import is_encoder
from norse_export.frontend.frameworks import norse
from norse_export.frontend.frameworks.step_functions import StepCall, watched
from norse_export.frontend.lifted import is_lift
from norse_export.frontend.reference import takes_state
from norse_export.frontend.undisturbed import undisturbed

Rasters = tuple[torch.Tensor, ...]


def find_time(model: torch.nn.Module, rasters: Rasters = ()) -> Literal["outside", "inside"]:
    """Whether the model takes one step or the whole raster a call, found from the modules inside.

    Sequence modules (LIF, LI, ...) and Lift take whole rasters; cells outside of a Lift take one step. Cells in a model
    whose forward takes no state are "inside": the model has to loop over time itself. A model with neither, which has
    no state at all, takes one step.

    Raises:
        UsageError: both could be meant.
    """
    table, sequences, inputs = norse.rules(), norse.sequence_classes(), max(1, len(rasters))
    lifted = {id(inner) for lift in model.modules() if is_lift(lift) for inner in lift.modules()}
    takers = (is_lift(m) or is_encoder(m) or type(m) in sequences for m in model.modules())
    inside = any(takers)
    cells = [m for m in model.modules() if type(m) in table and type(m) not in sequences and id(m) not in lifted]
    if inside and cells:
        raise UsageError(
            f"the model holds {type(cells[0]).__name__}, which takes one step, beside modules that take whole rasters",
            where="time",
            fix="say time='outside' or time='inside'",
            kind="time",
        )
    if inside:
        return "inside"
    own = bool(cells) or _calls_steps(model, rasters)
    loops = own and not takes_state(model, inputs) and not isinstance(model, torch.nn.Sequential)
    return "inside" if loops else "outside"


def _calls_steps(model: torch.nn.Module, rasters: Rasters) -> bool:
    """Whether a model calls steps of norse.torch.functional by itself; False where it raises."""
    called: list[StepCall] = []
    try:
        with torch.no_grad(), undisturbed(model), watched(called.append, lambda *_: None):
            model(*(raster[:2].clone() for raster in rasters))
    except Exception:  # whatever the model raises is told when it is recorded
        return bool(called)
    return bool(called)
