"""A stub in place of the pipeline that keeps what it is called with, and what tests of the command line need.

Not tests.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema
import stub_pipeline

from norse_export.errors import (
    CapacityError,
    InputFileError,
    MissingDependencyError,
    OutputError,
    ParityError,
    UnsupportedError,
)
from norse_export.report.schema import schema

samples = stub_pipeline.samples()
VALIDATOR = jsonschema.Draft202012Validator(schema())
Call = tuple[str, tuple[Any, ...], dict[str, Any]]
ARGUMENTS = {
    "export": ["m.pt", "--target", "nir"],
    "check": ["m.pt"],
    "inspect": ["m.pt"],
    "run": ["m.pt"],
    "parity": ["a", "b"],
    "targets": [],
}


class Answering:
    """The stub in use: what it answers with, and what it was called with."""

    def __init__(self) -> None:
        self.answer: Any = None
        self.calls: list[Call] = []

    def __call__(self, command: str, positional: tuple[Any, ...], named: dict[str, Any]) -> Any:
        self.calls.append((command, positional, named))
        if isinstance(self.answer, BaseException):
            raise self.answer
        return samples.OF_COMMAND[command][0] if self.answer is None else self.answer


Run = Callable[..., tuple[int, str, str]]
ERRORS = [
    (ParityError("w", where="h", fix="f"), 1),
    (InputFileError("w", where="h", fix="f"), 2),
    (OutputError("w", where="h", fix="f"), 2),
    (UnsupportedError("w", where="h", fix="f"), 3),
    (CapacityError("w", where="h", fix="f"), 4),
    (MissingDependencyError("w", where="h", fix="f"), 5),
]
