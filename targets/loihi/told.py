"""What the metadata of a lowered graph say for the report: mode, chip, and what every layer cost."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite
from typing import Any

from norse_export.passes.prices import LayerPrice

PRECISION_KEY, CHIP_KEY, PRICES_KEY = "precision", "chip", "prices"


def prices_text(table: Sequence[LayerPrice]) -> str:
    """The prices of all layers as JSON."""
    return json.dumps([_finite(asdict(price)) for price in table], allow_nan=False)


def _finite(value: Any) -> Any:
    """The same without numbers that JSON does not have: None in their place."""
    match value:
        case dict():
            return {key: _finite(each) for key, each in value.items()}
        case list() | tuple():
            return [_finite(each) for each in value]
        case float() if not isfinite(value):
            return None
        case _:
            return value
