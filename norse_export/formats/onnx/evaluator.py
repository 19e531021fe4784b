"""onnx's own reference evaluator: numpy, operator by operator. Slow, and independent of every runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx.reference import ReferenceEvaluator

Array = NDArray[Any]
Session = Callable[[Sequence[str], Mapping[str, Array]], list[Array]]


def reference_session(model: Path | bytes, folder: Path) -> Session:
    """A session of a model, in a file or as bytes; folder: where data beside it lie."""
    loaded = (
        onnx.load_from_string(model) if isinstance(model, bytes) else onnx.load(str(model), load_external_data=False)
    )
    onnx.load_external_data_for_model(loaded, str(folder))
    session = ReferenceEvaluator(loaded)
    return lambda names, feeds: [np.asarray(value) for value in session.run(list(names), dict(feeds))]


def version() -> str:
    """Version of onnx."""
    return str(onnx.__version__)
