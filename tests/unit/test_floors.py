"""Who may import whom: the architecture, as a table. Every import statement counts, also those inside functions.

A module imports its own package and what stands on lower floors. On one floor only the pairs in BESIDE may import one
another, the first from the second. `__init__` files that hand names on lazily are exempt.
"""

from __future__ import annotations

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = {"norse_export": ROOT / "norse_export", "norse_export.targets": ROOT / "targets"}

FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "files"),
    ("program", "ir"),
    ("engine", "formats", "frontend", "metrics", "target"),
    ("interpret", "compare"),
    ("passes",),
    ("targets",),
    ("registry", "report"),
    ("pipeline",),
    ("cli", "__main__"),
)
BESIDE = {("files", "errors"), ("ir", "program"), ("__main__", "cli")}
EXEMPT = {"norse_export", "norse_export.pipeline", "norse_export.cli"}  # hand names on lazily

# Packages of others, and the modules that may import them. What stands nowhere here is the standard library or numpy.
OTHERS = {
    "numpy": ("*",),
    "torch": ("norse_export.frontend.*",),
    "norse": ("norse_export.frontend.*",),
    "snntorch": ("norse_export.frontend.frameworks.*",),
    "spikingjelly": ("norse_export.frontend.frameworks.*",),
    "nir": ("norse_export.formats.nir.*",),
    "h5py": ("norse_export.formats.*", "norse_export.targets.loihi.*"),
    "onnx": ("norse_export.formats.onnx.*",),
    "google": ("norse_export.formats.onnx.parse",),  # protobuf, which onnx's messages are of
    "onnxruntime": ("norse_export.targets.onnx.*",),
    "safetensors": ("norse_export.formats.*",),
    # Scripts that run where sPyNNaker is installed, from a folder of their own; nothing imports them.
    "pyNN": ("norse_export.targets.spinnaker.deploy", "norse_export.targets.spinnaker.virtual_board"),
    "spynnaker": ("norse_export.targets.spinnaker.virtual_board",),
    "deploy": ("norse_export.targets.spinnaker.virtual_board",),
    "numba": ("norse_export.engine.*",),
    "llvmlite": ("norse_export.engine.*",),
    "click": ("norse_export.cli.*",),
    "rich": ("norse_export.cli.*", "norse_export.report.*"),
    "lava": ("norse_export.targets.loihi.run_on_loihi",),  # copied into artefacts as text, and never imported here
    "scipy": ("norse_export.targets.loihi.run_on_loihi",),  # which Lava brings
}
HEAVY = (
    *("torch", "numpy", "h5py", "onnx", "numba", "llvmlite", "nir", "norse", "snntorch", "spikingjelly"),
    *("safetensors", "click", "rich"),
)
MAX_FILE, MAX_FUNCTION = 600, 80


@dataclass(frozen=True)
class Import:
    """One import of one module, in full; `names` are those that a `from` import takes out of it."""

    importer: str
    line: int
    module: str
    names: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.module}"


def modules() -> dict[str, Path]:
    """Every module of ours, by its name as it is imported."""
    found = {}
    for package, folder in FOLDERS.items():
        for path in sorted(folder.rglob("*.py")):
            parts = path.relative_to(folder).with_suffix("").parts
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            found[".".join((package, *parts))] = path
    return found


MODULES = modules()


def imports_of(source: str, importer: str, *, package: bool) -> Iterator[Import]:
    """Every import in a source, relative ones spelled out; also `import_module("...")` with a plain string."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (Import(importer, node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                parts = importer.split(".")
                base = parts[: len(parts) - level + package] if level else []
                full = ".".join((*base, *([module] if module else [])))
                taken = tuple(alias.name for alias in names)
                inside = [f"{full}.{name}" for name in taken if f"{full}.{name}" in MODULES]
                yield from (Import(importer, node.lineno, name) for name in inside)
                if len(inside) < len(taken):
                    yield Import(importer, node.lineno, full, taken)
            case ast.Call(func=ast.Name(id="import_module" | "__import__"), args=[ast.Constant(value=str(name)), *_]):
                yield Import(importer, node.lineno, name)
            case ast.Call(func=ast.Attribute(attr="import_module"), args=[ast.Constant(value=str(name)), *_]):
                yield Import(importer, node.lineno, name)
            case _:
                pass


@cache
def all_imports() -> tuple[Import, ...]:
    found: list[Import] = []
    for name, path in MODULES.items():
        found += imports_of(path.read_text(encoding="utf-8"), name, package=path.name == "__init__.py")
    return tuple(found)


def package_of(module: str) -> str:
    """The package on some floor that a module of ours belongs to: the part behind norse_export."""
    return module.split(".")[1] if "." in module else ""


def floor_of(package: str) -> int:
    return next(number for number, packages in enumerate(FLOORS) if package in packages)


def is_ours(module: str) -> bool:
    return module.split(".")[0] == "norse_export"


def allowed(found: Import) -> bool:
    """Whether an import of one of our modules keeps to the floors."""
    if found.importer in EXEMPT:
        return True
    importer, module = package_of(found.importer), package_of(found.module)
    if not module:
        return found.names == ("pipeline",) or floor_of(importer) > floor_of("pipeline")  # the lazy API
    if importer == module == "targets":
        return found.importer.split(".")[2:3] == found.module.split(".")[2:3]
    return importer == module or (importer, module) in BESIDE or floor_of(module) < floor_of(importer)


def test_every_module_stands_on_a_floor() -> None:
    known = {package for packages in FLOORS for package in packages}
    assert {package_of(name) for name in MODULES} - {""} <= known


def test_a_module_imports_lower_floors_and_its_own_package() -> None:
    assert [str(found) for found in all_imports() if is_ours(found.module) and not allowed(found)] == []


def test_every_import_of_ours_names_a_module_that_exists() -> None:
    assert [str(found) for found in all_imports() if is_ours(found.module) and found.module not in MODULES] == []


def test_packages_of_others_are_imported_only_where_they_are_allowed() -> None:
    wrong = []
    for found in all_imports():
        top = found.module.split(".")[0]
        places = OTHERS.get(top, ())
        own = is_ours(found.module) or top in sys.stdlib_module_names
        if not own and not any(fnmatch(found.importer, place) for place in places):
            wrong.append(str(found))
    assert wrong == []


def test_nothing_imports_the_targets_by_statement() -> None:
    """They are reached by name through the registry; static tools do not follow the map of the folder."""
    wrong = [
        str(found)
        for found in all_imports()
        if found.module.split(".")[0] == "targets"
        or (found.module.startswith("norse_export.targets") and not found.importer.startswith("norse_export.targets"))
        or (found.module == "norse_export" and "targets" in found.names)
    ]
    assert wrong == []


def test_targets_import_their_own_files_relatively() -> None:
    """`norse_export.targets` cannot be followed by mypy, so no statement spells it."""
    wrong = []
    for name, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            spelled = [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            spelled += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            wrong += [f"{name}:{text}" for text in spelled if text.startswith("norse_export.targets")]
    assert wrong == []


def test_the_project_lists_the_packages_that_exist() -> None:
    with (ROOT / "pyproject.toml").open("rb") as file:
        setuptools = tomllib.load(file)["tool"]["setuptools"]
    existing = {name for name, path in MODULES.items() if path.name == "__init__.py"}
    folders = {name.rpartition(".")[0] for name, path in MODULES.items() if path.name != "__init__.py"}
    assert sorted(setuptools["packages"]) == sorted(existing)
    assert folders <= existing, "a folder without __init__.py is in no wheel"
    assert setuptools["package-dir"] == {"norse_export": "norse_export", "norse_export.targets": "targets"}


def python_files() -> list[Path]:
    places = ("norse_export", "targets", "tests", "examples", "benchmarks")
    return sorted(path for place in places for path in (ROOT / place).rglob("*.py"))


def test_no_file_is_longer_than_600_lines() -> None:
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in python_files()}
    assert [f"{path.relative_to(ROOT)}: {length}" for path, length in lengths.items() if length > MAX_FILE] == []


def test_no_function_is_longer_than_80_lines() -> None:
    wrong = []
    for path in python_files():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
                length = node.end_lineno - node.lineno + 1
                if length > MAX_FUNCTION:
                    wrong.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}: {length}")
    assert wrong == []


@pytest.mark.parametrize("statement", ["import norse_export", "import norse_export; norse_export.ExportError"])
def test_importing_the_package_loads_nothing_heavy(statement: str) -> None:
    code = f"import sys; {statement}; print(*sorted(set(sys.modules) & set({HEAVY!r})))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def allowed_in(source: str, importer: str) -> bool:
    return all(allowed(found) for found in imports_of(source, importer, package=False))


@pytest.mark.parametrize(
    ("importer", "source", "ok"),
    [
        ("norse_export.compare.judge", "from norse_export.interpret import Bounds", False),
        ("norse_export.compare.judge", "from norse_export.ir.run import Bounds", True),
        ("norse_export.compare.judge", "from norse_export import interpret", False),
        ("norse_export.compare.judge", "from norse_export import metrics", True),
        ("norse_export.frontend.replay", "def f():\n    from norse_export.passes.discretise import discretise", False),
        ("norse_export.frontend.replay", "import importlib\nimportlib.import_module('norse_export.passes')", False),
        ("norse_export.ir.stages", "from norse_export.program.families import FAMILIES", True),
        ("norse_export.program.families", "from norse_export.ir.stages import Neuron", False),
        ("norse_export.ir.graph", "from . import layers", True),
        ("norse_export.ir.graph", "from ..engine import layers", False),
        ("norse_export.ir.graph", "from .. import errors", True),
        ("norse_export.targets.nir.target", "from ..onnx import target", False),
        ("norse_export.targets.nir.target", "from .limits import X", True),
        ("norse_export.targets.nir.target", "from norse_export.passes.discretise import discretise", True),
        ("norse_export.targets.nir.target", "from norse_export.registry import load", False),
        ("norse_export.files.checked", "from norse_export.errors import InputFileError", True),
        ("norse_export.errors", "import norse_export.files", False),
        ("norse_export.pipeline.saving", "from norse_export.cli import main", False),
        ("norse_export.cli.commands", "from norse_export import pipeline", True),
        ("norse_export.report.text", "from norse_export import pipeline", False),
        ("norse_export.report.text", "import norse_export", False),
    ],
)
def test_the_rule_itself_tells_right_from_wrong(importer: str, source: str, ok: bool) -> None:
    assert allowed_in(source, importer) is ok
