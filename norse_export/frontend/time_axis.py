"""Whether a model takes one step or the whole raster a call, found from what is in it."""

from __future__ import annotations

from collections import Counter
from typing import Literal

import torch

from norse_export.errors import UsageError
from norse_export.frontend.encoders import is_encoder
from norse_export.frontend.frameworks.step_functions import StepCall, watched
from norse_export.frontend.frameworks.table import Tables, tables
from norse_export.frontend.hidden import keeps_its_states
from norse_export.frontend.lifted import is_lift
from norse_export.frontend.reference import no_state, takes_state
from norse_export.frontend.undisturbed import undisturbed

Rasters = tuple[torch.Tensor, ...]
_SEEN_STEPS = 5  # of a raster: enough to tell a loop over time from a module that is used at several places


def find_time(model: torch.nn.Module, rasters: Rasters = ()) -> Literal["outside", "inside"]:
    """Whether the model takes one step or the whole raster a call, found from the modules inside.

    Sequence modules (LIF, LI, ...) and Lift take whole rasters, and encoders give them; cells outside of a Lift take
    one step. Cells in a model whose forward takes no state, or that holds an encoder, are "inside": the model has to
    loop over time itself, but where the cells keep their states themselves: then it is tried whether it does. A model
    with neither, without any state, takes one step.

    Raises:
        UsageError: both could be meant.
    """
    table, inputs = tables(), max(1, len(rasters))
    takers = [m for m in model.modules() if is_lift(m) or is_encoder(m) or table.whole(m)]
    within = {id(inner) for taker in takers for inner in taker.modules()}
    cells = [m for m in model.modules() if table.is_population(m) and not table.whole(m) and id(m) not in within]
    if takers and cells and takes_state(model, inputs) and not any(map(is_encoder, takers)):
        raise UsageError(
            f"the model holds {type(cells[0]).__name__}, which takes one step, beside modules that take whole rasters",
            where="time",
            fix="say time='outside' or time='inside'",
            kind="time",
        )
    if takers:
        return "inside"
    if cells and keeps_its_states(model) and rasters:
        return "inside" if _loops(model, rasters, table) else "outside"
    if takes_state(model, inputs):
        return "inside" if rasters and _loops_itself(model, rasters, table) else "outside"
    own = bool(cells) or _calls_steps(model, rasters)
    return "inside" if own and not isinstance(model, torch.nn.Sequential) else "outside"


class _Often(Exception):  # noqa: N818  # no error: it ends a run of which enough was seen
    """A population was called as often in one run of the model as was asked."""


def _loops_itself(model: torch.nn.Module, rasters: Rasters, table: Tables) -> bool:
    """Whether a model whose forward takes a state steps through a raster by itself, and goes on from that state.

    Then it calls a population as often as the raster has steps. Containers of Norse's take one step, and so does a
    model for which that is no more than it calls them in a step.
    """
    if type(model).__module__.startswith(("norse.", "torch.")):
        return False
    few = tuple(raster[:_SEEN_STEPS] for raster in rasters)
    once = tuple(raster[:1] for raster in rasters)
    return len(few[0]) > 1 and _loops(model, few, table, len(few[0])) and not _loops(model, once, table)


def _loops(model: torch.nn.Module, rasters: Rasters, table: Tables, often: int = 2) -> bool:
    """Whether a model, called with whole rasters, calls one of its populations often; False if it raises before."""
    calls: Counter[int] = Counter()

    def count(module: torch.nn.Module, _: object, __: object) -> None:
        calls[id(module)] += 1
        if calls[id(module)] >= often:
            raise _Often

    hooks = [module.register_forward_hook(count) for module in model.modules() if table.is_population(module)]
    try:
        with torch.no_grad(), undisturbed(model):
            model(*(raster.clone() for raster in rasters), *no_state(model, len(rasters)))
    except _Often:
        return True
    except Exception:  # whatever the model raises is told when it is recorded
        return False
    finally:
        for hook in hooks:
            hook.remove()
    return False


def _calls_steps(model: torch.nn.Module, rasters: Rasters) -> bool:
    """Whether a model calls steps of norse.torch.functional by itself; False where it raises."""
    called: list[StepCall] = []
    try:
        with torch.no_grad(), undisturbed(model), watched(called.append, lambda *_: None):
            model(*(raster[:2].clone() for raster in rasters), *no_state(model, len(rasters)))
    except Exception:  # whatever the model raises is told when it is recorded
        return bool(called)
    return bool(called)
