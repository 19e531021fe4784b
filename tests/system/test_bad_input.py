"""Bad input of every kind: one clear error, the right exit code, nothing lost or left; the same under python -O."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

DIGITS = Path(__file__).resolve().parents[2] / "examples" / "digits" / "model.pt"
SEVERAL = Path(__file__).with_name("several_commands.py")
NIR = ("--target", "nir", "-o", "out.nir")


def write_nir(path: Path, *, weight: Any = None, tau: float = 0.01, n: int = 3) -> None:
    """A small file as another tool writes it: no time step, no metadata."""
    ones = np.ones(n)
    nodes = {
        "input": nir.Input({"input": np.array([2])}),
        "fc": nir.Affine(np.ones((n, 2)) if weight is None else weight, np.zeros(n)),
        "lif": nir.LIF(tau=tau * ones, r=ones, v_leak=0 * ones, v_threshold=0.1 * ones, v_reset=0 * ones),
        "output": nir.Output({"output": np.array([n])}),
    }
    graph = nir.NIRGraph(nodes, [("input", "fc"), ("fc", "lif"), ("lif", "output")], type_check=False)
    nir.write(path, graph)


def save_with_max_pool(path: Path) -> None:
    import norse.torch as snn
    import torch

    import norse_export

    torch.manual_seed(0)
    model = snn.SequentialState(torch.nn.Conv2d(1, 2, 3), snn.LIFCell(), torch.nn.MaxPool2d(2)).eval()
    norse_export.save(model, path, 30 * torch.rand(20, 2, 1, 8, 8))


def _foreign(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: write_nir(folder / "in.nir", **changes)


def _bytes(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: folder.joinpath(name).write_bytes(content)


def _zip(folder: Path) -> None:
    with zipfile.ZipFile(folder / "in.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"a": [1, 2]}, protocol=2))


def _arrays(folder: Path) -> None:
    np.savez(folder / "x.npz", input=np.zeros((5, 2, 7), np.float32))


def _silent(folder: Path) -> None:
    write_nir(folder / "in.nir")
    np.savez(folder / "x.npz", input=np.zeros((5, 2, 2), np.float32))


def _taken(folder: Path) -> None:
    folder.joinpath("out.nir").write_bytes(b"OLD")


@dataclass(frozen=True)
class Bad:
    """One row: what is prepared, the call, the exit code, and words of the message (any of them)."""

    name: str
    prepare: Callable[[Path], Any]
    arguments: tuple[object, ...]
    code: int
    words: tuple[str, ...]


def _nothing(folder: Path) -> None:
    """No file is prepared."""


TABLE = (
    Bad("missing", _nothing, ("no.pt", *NIR), 2, ("no such file",)),
    Bad("directory", lambda folder: folder.joinpath("in.pt").mkdir(), ("in.pt", *NIR), 2, ("directory",)),
    Bad("fifo", lambda folder: os.mkfifo(folder / "in.pt"), ("in.pt", *NIR), 2, ("regular",)),
    Bad("empty", _bytes("in.pt", b""), ("in.pt", *NIR), 2, ("empty",)),
    Bad("rubbish", _bytes("in.pt", b"rubbish" * 99), ("in.pt", *NIR), 2, ("not a model",)),
    Bad(
        "truncated",
        lambda f: _bytes("in.pt", DIGITS.read_bytes()[:9000])(f),
        ("in.pt", *NIR),
        2,
        ("truncated", "corrupt"),
    ),
    Bad("a changed byte", lambda f: _bytes("in.pt", _flipped())(f), ("in.pt", *NIR), 2, ("corrupt",)),
    Bad("a plain pickle", _bytes("in.pt", pickle.dumps({"a": 1}, 2)), ("in.pt", *NIR), 2, ("pickle",)),
    Bad("a zip of something else", _zip, ("in.pt", *NIR), 2, ("format version",)),
    Bad("onnx", _bytes("in.pt", b"\x08\x0a\x12\x04test\x3a\x02\x12\x00"), ("in.pt", *NIR), 2, ("operator set",)),
    Bad("beyond a limit", _nothing, (DIGITS, *NIR, "--max-bytes", "1000"), 2, ("limit",)),
    Bad("nan weight", _foreign(weight=np.full((3, 2), np.nan)), ("in.nir", "--dt", "1e-3", *NIR), 2, ("nan", "finite")),
    Bad("infinite weight", _foreign(weight=np.full((3, 2), np.inf)), ("in.nir", "--dt", "1e-3", *NIR), 2, ("finite",)),
    Bad("negative tau", _foreign(tau=-1.0), ("in.nir", "--dt", "1e-3", *NIR), 2, ("tau",)),
    Bad("dt of 2 tau", _foreign(), ("in.nir", "--dt", "0.02", *NIR), 2, ("tau",)),
    Bad("no dt", _foreign(), ("in.nir", *NIR), 2, ("--dt",)),
    Bad("dt 0", _foreign(), ("in.nir", "--dt", "0", *NIR), 2, ("dt",)),
    Bad("another dt", _nothing, (DIGITS, *NIR, "--dt", "1e-4"), 2, ("contradicts",)),
    Bad(
        "shapes that differ",
        _foreign(weight=np.ones((4, 2))),
        ("in.nir", "--dt", "1e-3", *NIR),
        2,
        ("shape", "mismatch"),
    ),
    Bad("wrong input shape", _arrays, (DIGITS, *NIR, "--inputs", "x.npz"), 2, ("shape",)),
    Bad("missing inputs", _nothing, (DIGITS, *NIR, "--inputs", "x.npz"), 2, ("no such file",)),
    Bad("silent inputs", _silent, ("in.nir", "--dt", "1e-3", *NIR, "--inputs", "x.npz"), 1, ("vacuous",)),
    Bad("output exists", _taken, (DIGITS, *NIR), 2, ("exists",)),
    Bad(
        "output is a link",
        lambda f: f.joinpath("out.nir").symlink_to("victim"),
        (DIGITS, *NIR, "--force"),
        2,
        ("link",),
    ),
    Bad(
        "output is the input",
        _foreign(),
        ("in.nir", "--dt", "1e-3", "--target", "nir", "-o", "in.nir", "--force"),
        2,
        ("same",),
    ),
    Bad("device full", _nothing, (DIGITS, "--target", "nir", "-o", "/dev/full"), 2, ("regular",)),
    Bad("no such folder", _nothing, (DIGITS, "--target", "nir", "-o", "no/out.nir"), 2, ("no such", "folder")),
    Bad("unknown target", _nothing, (DIGITS, "--target", "abacus"), 2, ("abacus",)),
    Bad("no target", _nothing, (DIGITS,), 2, ("--target",)),
    Bad("unknown option", _nothing, (DIGITS, *NIR, "--colour"), 2, ("--colour",)),
    Bad("max pooling", lambda f: save_with_max_pool(f / "in.pt"), ("in.pt", *NIR), 3, ("max",)),
    Bad("a factory that is none", _nothing, (DIGITS, *NIR, "--factory", "nowhere:build"), 2, ("factory",)),
)


def _flipped() -> bytes:
    content = bytearray(DIGITS.read_bytes())
    content[len(content) // 2] ^= 1
    return bytes(content)


def _tree(folder: Path) -> dict[str, bytes | None]:
    return {path.name: path.read_bytes() if path.is_file() else None for path in folder.iterdir()}


@dataclass(frozen=True)
class Refused:
    """How a row ended, and what lay in its folder before and after."""

    code: int
    err: str
    before: dict[str, bytes | None]
    after: dict[str, bytes | None]


@pytest.fixture(scope="module", params=[False, True], ids=["python", "python -O"])
def refused(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Refused]:
    """Every row of the table, in one process."""
    folders = {bad.name: tmp_path_factory.mktemp("bad") for bad in TABLE}
    for bad in TABLE:
        bad.prepare(folders[bad.name])
    before = {name: _tree(folder) for name, folder in folders.items()}
    command = [sys.executable, *(["-O"] if request.param else []), str(SEVERAL)]
    lines = json.dumps([[str(folders[bad.name]), list(map(str, bad.arguments))] for bad in TABLE])
    done = subprocess.run(command, input=lines, capture_output=True, text=True, timeout=300, check=True)
    told = json.loads(done.stdout)
    assert told["optimised"] is request.param
    return {
        bad.name: Refused(ended["code"], ended["err"], before[bad.name], _tree(folders[bad.name]))
        for bad, ended in zip(TABLE, told["ended"], strict=True)
    }


@pytest.mark.parametrize("bad", TABLE, ids=lambda bad: bad.name)
def test_bad_input_ends_in_one_clear_error(bad: Bad, refused: dict[str, Refused]) -> None:
    ended = refused[bad.name]
    assert ended.code == bad.code, ended.err
    assert any(word in ended.err.lower() for word in bad.words), ended.err
    assert "where:" in ended.err
    assert "fix:" in ended.err
    assert "Traceback" not in ended.err
    assert len(ended.err.splitlines()) <= 5, ended.err
    assert ended.after == ended.before


@pytest.mark.parametrize("refused", [False], ids=["python"], indirect=True)
@pytest.mark.parametrize("name", ["truncated", "max pooling", "unknown option"])
def test_a_process_of_its_own_ends_alike(
    name: str, refused: dict[str, Refused], cli: Callable[..., Any], tmp_path: Path
) -> None:
    (bad,) = (row for row in TABLE if row.name == name)
    bad.prepare(tmp_path)
    ended = cli(*bad.arguments)
    assert (ended.code, ended.err) == (refused[name].code, refused[name].err)


@pytest.mark.parametrize("bad", TABLE[:1], ids=lambda bad: bad.name)
def test_an_error_is_an_object_under_json(bad: Bad, cli: Callable[..., Any]) -> None:
    document = json.loads(cli(*bad.arguments, "--json").out)
    assert (document["status"], document["exit_code"]) == ("failed", bad.code)
    assert all(document["findings"][0][part] for part in ("kind", "where", "message", "fix"))
