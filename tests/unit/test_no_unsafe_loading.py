"""No code that loads files in a way that can run something from them stands in the package or in the targets."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDERS = ("norse_export", "targets")

FORBIDDEN = frozenset(
    {
        "torch.load",
        "torch.serialization.load",
        "torch.jit.load",
        "torch.export.load",
        "torch.package.PackageImporter",
        "pickle.load",
        "pickle.loads",
        "pickle.Unpickler",
        "_pickle.load",
        "_pickle.loads",
        "_pickle.Unpickler",
        "marshal.load",
        "marshal.loads",
        "shelve.open",
        "dill.load",
        "dill.loads",
        "cloudpickle.load",
        "cloudpickle.loads",
        "joblib.load",
        "yaml.load",
        "yaml.unsafe_load",
        "sympy.sympify",
        "sympy.parse_expr",
        "nir.read",
        "nir.serialization.read",
        "eval",
        "exec",
        "builtins.eval",
        "builtins.exec",
    }
)

#: The one place that runs text: kernels made of checked programs, out of a closed set of operations and whole numbers.
GENERATED = {"norse_export/engine/cache.py": ["exec"]}

#: Last parts of a name that nothing of ours is called, so that no way of importing hides them.
FORBIDDEN_ANYWHERE = frozenset({"sympify", "Unpickler", "PackageImporter", "unsafe_load"})


def imported_names(tree: ast.AST) -> dict[str, str]:
    """What each name in a file stands for, in full."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def full_name(node: ast.expr, names: dict[str, str]) -> str:
    """`torch.load` for `t.load` after `import torch as t`; "" for what is no dotted name."""
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        inner = full_name(node.value, names)
        return f"{inner}.{node.attr}" if inner else ""
    return ""


def unsafe_uses(source: str) -> Iterator[str]:
    """Every mention of a forbidden function, called or handed on, and numpy.load without its safe switch."""
    tree = ast.parse(source)
    names = imported_names(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name | ast.Attribute):
            name = full_name(node, names)
            if name in FORBIDDEN or name.rpartition(".")[2] in FORBIDDEN_ANYWHERE:
                yield f"line {node.lineno}: {name}"
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if f"{node.module}.{alias.name}" in FORBIDDEN or alias.name in FORBIDDEN_ANYWHERE:
                    yield f"line {node.lineno}: {node.module}.{alias.name}"
        if isinstance(node, ast.Call) and full_name(node.func, names) == "numpy.load":
            switches = [keyword for keyword in node.keywords if keyword.arg == "allow_pickle"]
            if not all(isinstance(each.value, ast.Constant) and each.value.value is False for each in switches):
                yield f"line {node.lineno}: numpy.load with pickles"


def sources() -> list[Path]:
    return sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_nothing_loads_unsafely(path: Path) -> None:
    uses = [use.rpartition(" ")[2] for use in unsafe_uses(path.read_text(encoding="utf-8"))]
    assert uses == GENERATED.get(path.relative_to(ROOT).as_posix(), [])


def test_all_sources_are_looked_at() -> None:
    assert len(sources()) > 20
    assert {path.relative_to(ROOT).parts[0] for path in sources()} == set(FOLDERS)


@pytest.mark.parametrize(
    "source",
    [
        "import torch\ntorch.load('x')",
        "import torch as t\nt.load('x')",
        "from torch import load\nload('x')",
        "from torch import load as read\nread('x')",
        "import torch.jit\ntorch.jit.load('x')",
        "from torch import export\nexport.load('x')",
        "import pickle\npickle.loads(b'')",
        "import pickle\nreader = pickle.load",
        "from pickle import Unpickler",
        "def f():\n    import pickle as p\n    return p.loads(b'')",
        "eval('1')",
        "import builtins\nbuiltins.exec('1')",
        "from sympy import sympify\nsympify('1')",
        "import sympy as s\ns.sympify('1')",
        "import nir\nnir.read('x')",
        "from nir import read\nread('x')",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "import numpy as np\nnp.load('x', allow_pickle=flag)",
    ],
)
def test_the_search_finds_what_is_forbidden(source: str) -> None:
    assert list(unsafe_uses(source))


@pytest.mark.parametrize(
    "source",
    [
        "import json\njson.load(file)",
        "model.eval()",
        "import re\nre.compile('x')",
        "import numpy as np\nnp.load('x', allow_pickle=False)",
        "import numpy as np\nnp.load('x')",
        "import pickletools\npickletools.genops(b'')",
        "registry.load('nir')",
        "file.read()",
    ],
)
def test_the_search_lets_other_things_be(source: str) -> None:
    assert not list(unsafe_uses(source))
