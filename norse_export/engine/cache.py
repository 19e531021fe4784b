"""Compiled kernels, kept for the next process: source text in a folder of the user's own, numba's files beside it.

The folder is $NORSE_EXPORT_CACHE/norse-export, else $XDG_CACHE_HOME/norse-export, else ~/.cache/norse-export. numba
reads its files there with pickle, so that a folder that others can write to, or that is not the user's, is not used.
Without a usable folder kernels are compiled anew in each process.
"""

from __future__ import annotations

import contextlib
import hashlib
import linecache
import os
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from norse_export.engine import kernels

_loaded: dict[str, ModuleType] = {}


def loaded(source: str) -> ModuleType:
    """The module of a source text, compiled at most once in a process.

    The text sees CACHE, whether numba is to keep what it compiles. Its name is the digest of the text and of all
    kernels that it may call, so that a file never stands for another text.
    """
    text = f"# with kernels {_digest_of_kernels()}\n{source}"
    name = hashlib.sha256(text.encode()).hexdigest()
    if name not in _loaded:
        _loaded[name] = _executed(name, text)
    return _loaded[name]


def _executed(name: str, text: str) -> ModuleType:
    path = _kept(name, text)
    if path is not None:
        try:
            return _module(name, text, str(path), cache=True)
        except Exception:  # noqa: S110  # numba's files are damaged or locked away; a fault of ours comes again
            pass
    filename = f"<norse-export kernel {name[:12]}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    return _module(name, text, filename, cache=False)


def _module(name: str, text: str, filename: str, *, cache: bool) -> ModuleType:
    module = ModuleType(f"norse_export_kernel_{name}")
    module.__dict__.update(CACHE=cache, __file__=filename)
    sys.modules[module.__name__] = module  # where numba looks for the globals of what it has kept
    exec(compile(text, filename, "exec"), module.__dict__)  # noqa: S102  # text made by this package alone
    return module


def _kept(name: str, text: str) -> Path | None:
    """The file with that text, written if there is none; None where it cannot be kept."""
    folder = kernel_folder()
    if folder is None:
        return None
    path = folder / f"{name}.py"
    try:
        if path.is_symlink() or not path.is_file() or path.read_bytes() != text.encode():
            _write(path, text)
    except OSError:
        return None
    return path


def _write(path: Path, text: str) -> None:
    number, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    try:
        with os.fdopen(number, "wb") as file:
            file.write(text.encode())
        os.replace(temporary, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def kernel_folder() -> Path | None:
    """The user's own folder, made if there is none; None where it cannot be trusted or written to."""
    base = os.environ.get("NORSE_EXPORT_CACHE") or os.environ.get("XDG_CACHE_HOME")
    try:
        folder = (Path(base) if base else Path.home() / ".cache") / "norse-export"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except (OSError, RuntimeError):
        return None
    own = stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
    return folder if own and os.access(folder, os.W_OK | os.X_OK) else None


@cache
def _digest_of_kernels() -> str:
    """Digest of the sources of all kernels: numba looks only at the file in which a function stands."""
    digest: Any = hashlib.sha256()
    for path in sorted(Path(str(kernels.__file__)).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return str(digest.hexdigest())
