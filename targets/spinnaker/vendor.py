"""The vendor's check: the real sPyNNaker maps an artefact onto a virtual board, and its memory image is compared.

sPyNNaker runs in a process, a home folder and a configuration of its own, with this version's own deploy.py: an
artefact is data, and a script that came with it is not run. Partitioning, placement, routing and the generation of what
is loaded are those of a run on a board; nothing is loaded, and nothing runs.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from norse_export.errors import (
    CapacityError,
    ExportError,
    Finding,
    MissingDependencyError,
    ParityError,
    UsageError,
)
from norse_export.formats import safetensors_file
from norse_export.target import VendorReport

from .compared import compare
from .predicted import Predicted, predict

Array = NDArray[Any]
NAME = "spynnaker"
PACKAGE, VERSION = "sPyNNaker", "1!7.4.1"  # whose code the law is
NETWORK, SCRIPT, RUNNER = "network.safetensors", "deploy.py", "virtual_board.py"
_INSTALL = "pip install 'norse-export[spinnaker]', or give an interpreter that has it: --vendor-python FILE"
CONFIGURATION = """[Machine]
virtual_board = True
version = 5
[Mode]
mode = Production
[Reports]
keep_dataspec_database = True
"""
_TOO_LARGE = ("PacmanPlaceException", "PacmanTooBigToPlace", "PacmanPartitionException", "MachineSizeException")
_SECONDS = 3600  # for one network; 2000 x 4000 synapses take about one minute
_ASKING_SECONDS = 60
_LINES = 12  # of its log, that a user is shown


def check(artefact: Path, inputs: Mapping[str, Array], *, python: Path | None = None) -> VendorReport:
    """Map an artefact with sPyNNaker, and compare what it would load with what the artefact says.

    inputs: rasters [T, B, *shape]; the first sample is handed to the sources. python: the interpreter that has
    sPyNNaker; None: this one.

    Raises:
        MissingDependencyError: it is not installed. UsageError: no such interpreter.
        CapacityError: sPyNNaker finds no room for the network. ParityError: it fails otherwise.
    """
    interpreter = _interpreter(python)
    found = _version(interpreter)
    network = predict(artefact, inputs)
    with tempfile.TemporaryDirectory(prefix="norse-export-spynnaker-") as name:
        board = mapped(artefact, network, Path(name), interpreter)
        try:
            compared, figures, findings = compare(network, board)
        except (KeyError, IndexError, TypeError, ValueError, sqlite3.Error) as error:
            message = (
                f"the memory image of sPyNNaker {found} is none that can be read ({type(error).__name__}: {error})"
            )
            raise ParityError(message, where=NAME, fix=f"pip install '{PACKAGE}=={VERSION}'") from error
    return VendorReport(NAME, found, compared, figures, None, (*_remarks(artefact, found), *findings))


def mapped(artefact: Path, network: Predicted, folder: Path, python: Path) -> dict[str, Any]:
    """What sPyNNaker tells of an artefact that it mapped in an empty folder, where its memory image stays: board.json.

    Raises:
        CapacityError: it finds no room for the network. ParityError: it fails otherwise.
    """
    _prepare(folder, artefact, network)
    _run(python, folder)
    board: dict[str, Any] = json.loads((folder / "board.json").read_text(encoding="utf-8"))
    return board


def _interpreter(python: Path | None) -> Path:
    if python is None:
        return Path(sys.executable)
    if not python.is_file() or not os.access(python, os.X_OK):
        fix = "give the python of the environment in which sPyNNaker is installed"
        raise UsageError(f"{python} is no program", where="--vendor-python", fix=fix)
    return python.absolute()


def _version(python: Path) -> str:
    """The version of sPyNNaker that an interpreter has.

    Raises:
        MissingDependencyError: none.
    """
    if python == Path(sys.executable):
        try:
            return version(PACKAGE)
        except PackageNotFoundError as error:
            raise _missing("this Python") from error
    program = f"from importlib.metadata import version; print(version({PACKAGE!r}))"
    try:
        asked = subprocess.run(  # noqa: S603  the user's own interpreter
            [python, "-c", program], capture_output=True, text=True, timeout=_ASKING_SECONDS, env=_environment(None)
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        fix = "give the python of the environment in which sPyNNaker is installed"
        raise UsageError(f"{python} does not run: {error}", where="--vendor-python", fix=fix) from error
    if asked.returncode:
        raise _missing(str(python))
    return asked.stdout.strip()


def _missing(where: str) -> ExportError:
    return MissingDependencyError(f"{PACKAGE} is not installed", where=where, fix=_INSTALL)


def _environment(home: Path | None) -> dict[str, str]:
    """Our own environment without what would lead its Python elsewhere; home: its home folder, None: the user's."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    kept["PYTHONUSERBASE"] = os.environ.get("PYTHONUSERBASE") or str(Path.home() / ".local")
    if home is None:
        return kept
    return kept | {"HOME": str(home), "MPLBACKEND": "Agg", "TMPDIR": str(home.parent)}


def _prepare(folder: Path, artefact: Path, network: Predicted) -> None:
    """Home, configuration, scripts, network and raster."""
    home = folder / "home"
    home.mkdir()
    (home / ".spynnaker.cfg").write_text(CONFIGURATION, encoding="utf-8")
    for script in (SCRIPT, RUNNER):
        shutil.copyfile(Path(__file__).with_name(script), folder / script)
    shutil.copyfile(artefact / NETWORK, folder / NETWORK)
    with (folder / "raster.safetensors").open("wb") as file:
        arrays = {f"input.{label}": raster for label, raster in network.rasters.items()}
        safetensors_file.write(file, arrays, {"format": "1"})


def _run(python: Path, folder: Path) -> None:
    """Run the vendor's software to its end.

    Raises:
        CapacityError, ParityError: it fails.
    """
    log = folder / "log.txt"
    with log.open("wb") as file:
        process = subprocess.Popen(  # noqa: S603  the user's own interpreter
            [python, RUNNER],
            cwd=folder,
            env=_environment(folder / "home"),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )
        try:
            code = process.wait(_SECONDS)
        except subprocess.TimeoutExpired as error:
            message = f"sPyNNaker was not done after {_SECONDS} seconds"
            raise ParityError(message, where=NAME, fix="use a smaller network") from error
        finally:
            process.kill()
            process.wait()
    if code:
        raise _failure(code, log.read_text(encoding="utf-8", errors="replace"))


def _failure(code: int, log: str) -> ExportError:
    lines = [line for line in log.splitlines() if line.strip()]
    shown = "\n".join(f"    {line[:200]}" for line in lines[-_LINES:])
    message = f"sPyNNaker failed (exit code {code}):\n{shown}"
    if any(name in (lines or [""])[-1] for name in _TOO_LARGE):
        return CapacityError(message, where=NAME, fix="make the network smaller, or split it over several boards")
    fix = f"see whether {PACKAGE} {VERSION} runs a script of its own in that Python; if it does, report this"
    return ParityError(message, where=NAME, fix=fix)


@dataclass(frozen=True, slots=True)
class _Remark:
    kind: str
    message: str
    fix: str


def _remarks(artefact: Path, found: str) -> list[Finding]:
    """What a user should know of the check."""
    remarks = []
    if found != VERSION:
        message = f"sPyNNaker {found}: the law is that of {VERSION}"
        remarks.append(_Remark("version", message, f"pip install '{PACKAGE}=={VERSION}'"))
    script, own = artefact / SCRIPT, Path(__file__).with_name(SCRIPT)
    if not script.is_file() or script.read_bytes() != own.read_bytes():
        message = f"{SCRIPT} of the artefact is not the one that this version writes, which was run in its place"
        remarks.append(_Remark("script", message, "export again"))
    return [Finding(one.kind, "warning", NAME, one.message, one.fix) for one in remarks]


__all__ = ["CONFIGURATION", "NAME", "check", "mapped"]
