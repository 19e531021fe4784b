"""What a comparison means for an export: an error, a warning, or nothing."""

from __future__ import annotations

from norse_export.compare import Comparison
from norse_export.errors import Finding, ParityError
from norse_export.pipeline.rasters import Chosen


def require_equal(comparisons: tuple[Comparison, ...], chosen: Chosen, *, own_law: bool = False) -> None:
    """Raise for a difference of the first, and for a vacuous comparison on rasters that the user chose.

    Of integers the second is against the model itself: its differences are their price, and no error. own_law: the
    target chose the widths, so that no option changes them.
    """
    comparison, *prices = comparisons
    for price in prices:
        _require_alive(price, own_law=own_law)
    found = comparison.first_divergence
    if not comparison.equal:
        at = "more explained flips than the rule allows" if found is None else _place(comparison)
        raise ParityError(
            f"the artefact differs from the model: {at}",
            where=comparison.layers[0].node if found is None else found.node,
            fix="this is a fault of the export: please report it with the model file; no artefact was written",
        )
    if comparison.vacuous and not chosen.searched:
        what = (
            f"the layer never fires: {', '.join(comparison.silent)}" if comparison.silent else "the output is constant"
        )
        raise ParityError(
            f"the comparison proves nothing (vacuous): {what}",
            where=comparison.silent[0] if comparison.silent else "output",
            fix="give inputs on which every layer fires (--inputs, or --random T --rate P); if none does, "
            "the layer is dead: train it, scale its weights, or lower its threshold",
            kind="vacuous",
        )


def _require_alive(price: Comparison, *, own_law: bool) -> None:
    """Raise where integers silenced a layer that fires in the model."""
    silenced = [layer.node for layer in price.layers if layer.spikes_expected and not layer.spikes_actual]
    if silenced:
        raise ParityError(
            f"in whole numbers the layer never fires, and in the model it does: {', '.join(silenced)}",
            where=silenced[0],
            fix="give calibration inputs like those that it will see (--calib), or train it with larger weights for "
            "its threshold: the chip has its own widths"
            if own_law
            else "give it more bits (--weight-bits, --bits LAYER=N, --state-bits N), a scale for each channel "
            "(--per-channel), or calibration inputs like those that it will see (--calib)",
            kind="vacuous",
        )


def _place(comparison: Comparison) -> str:
    found = comparison.first_divergence
    if found is None:
        return "nowhere"
    return (
        f"step {found.step}, sample {found.sample}, {found.quantity}{list(found.index)}: "
        f"expected {found.expected:g}, got {found.actual:g}"
    )


def vacuous_warning(comparison: Comparison) -> Finding:
    """That random rasters left something silent."""
    silent_layers = ", ".join(comparison.silent) or "the output"
    return Finding(
        "vacuous",
        "warning",
        silent_layers,
        "vacuous: random input at every rate left it silent, so its equality proves nothing",
        "give inputs on which it fires (--inputs)",
    )
