"""A pipeline that answers as it is told, in place of the real one; run as a program, it is a command line on it.

    python stub_pipeline.py BEHAVIOUR ARGUMENTS...

Not tests. What it answers with stands in tests/unit/report/sample_results.py.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

COMMANDS = ("export", "check", "inspect", "run", "parity", "targets")
CHOICES = ("InputChoice", "LoadChoice", "IntegerChoice", "VendorChoice", "FormChoice")
NASTY = "naïve \N{SNOWMAN} \udcff\n\x1b[31m"


class Choice(SimpleNamespace):
    """Stands for each of `CHOICES`: keeps what it is given."""

    def __init__(self, name: str | None = None, python: Path | None = None, **given: Any) -> None:
        super().__init__(**given, **({} if name is None else {"name": name, "python": python}))


def samples() -> ModuleType:
    """The results to answer with."""
    folder = str(Path(__file__).parents[1] / "report")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return import_module("sample_results")


def pipeline_that(answer: Callable[..., Any]) -> ModuleType:
    """A pipeline in which every command calls `answer(command, positional, named)`."""
    module = ModuleType("norse_export.pipeline")
    for choice in CHOICES:
        setattr(module, choice, Choice)
    for command in COMMANDS:
        setattr(module, command, _calling(answer, command))
    return module


def _calling(answer: Callable[..., Any], command: str) -> Callable[..., Any]:
    return lambda *positional, **named: answer(command, positional, named)


def _sleep(*_: Any) -> None:
    """Like a stage that holds a temporary file: what is left behind shows whether it was cleaned up."""
    temporary = Path("temporary")
    try:
        temporary.touch()
        for _ in range(3000):  # not one long sleep: a signal just before it would be seen only after it
            time.sleep(0.01)
    finally:
        temporary.unlink()


def _swallow(*_: Any) -> None:
    """Like a library that turns a stop into an error of its own."""
    try:
        _sleep()
    except BaseException as error:
        raise RuntimeError("interrupted in the middle of an import") from error


def _import(*_: Any) -> None:
    """Like a factory: imports a module of the user, `slow_module` in the current folder, and goes on working."""
    sys.path.insert(0, str(Path.cwd()))
    import_module("slow_module")
    _sleep()


def _import_patiently(*_: Any) -> None:
    """The same where a stop would wait for the import as good as for ever."""
    from norse_export.cli import stop

    stop._IMPORT_PATIENCE = 3600.0
    _import()


def _bug(*_: Any) -> None:
    raise KeyError(NASTY)


def _answer(command: str, *_: Any) -> Any:
    return samples().OF_COMMAND[command][0]


def _nasty(*_: Any) -> Any:
    result = samples()
    layer = result.spiking(NASTY)
    return result.ExportResult(
        NASTY, result.INPUTS, (result.target_export("nir", (result.comparison(layers=(layer,), actual=NASTY),)),)
    )


def _nasty_error(*_: Any) -> None:
    from norse_export.errors import InputFileError

    raise InputFileError(NASTY, where=NASTY, fix=NASTY)


def _long(*_: Any) -> Any:
    result = samples()
    layers = tuple(result.spiking(f"{number}.lif") for number in range(20_000))
    return result.ParityResult("a", "b", None, (result.comparison(layers=layers),))


def _warn(command: str, *_: Any) -> Any:
    warnings.warn("meant for programmers", stacklevel=1)
    return _answer(command)


def _progress(command: str, _positional: Any, named: dict[str, Any]) -> Any:
    if named["progress"] is not None:
        named["progress"]("reading [m.pt]", 0.5)
        time.sleep(0.3)  # longer than the bar takes to be drawn again
    return _answer(command)


BEHAVIOURS: dict[str, Callable[..., Any]] = {
    "answer": _answer,
    "sleep": _sleep,
    "swallow": _swallow,
    "import": _import,
    "import_patiently": _import_patiently,
    "bug": _bug,
    "nasty": _nasty,
    "nasty_error": _nasty_error,
    "long": _long,
    "progress": _progress,
    "warn": _warn,
}

if __name__ == "__main__":
    sys.modules["norse_export.pipeline"] = pipeline_that(BEHAVIOURS[sys.argv.pop(1)])
    from norse_export.cli import main

    sys.exit(main())
