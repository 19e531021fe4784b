"""A table of bad inputs and outputs, run in this process or in another one: `python [-O] refusals.py FOLDER`.

Validation must not hang on `assert`, so a process under -O has to refuse the same things in the same words.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from norse_export.errors import ExportError
from norse_export.files import strict_json
from norse_export.files.atomic import check_output
from norse_export.files.checked import open_input
from norse_export.files.child import parse_in_child
from norse_export.files.limits import Limits
from norse_export.formats import safetensors_file


def container(**metadata: str) -> bytes:
    buffer = io.BytesIO()
    arrays = {"w": np.arange(6.0).reshape(2, 3), "b": np.array([True, False])}
    safetensors_file.write(buffer, arrays, {"graph": "{}", **metadata})
    return buffer.getvalue()


def read(content: bytes, limits: Limits | None = None) -> dict[str, Any]:
    file = io.BytesIO(content)
    header, _ = safetensors_file.parse_header(file, limits or Limits())
    return safetensors_file.read_tensors(file, header)


def parse(path: Path, parser: str, **options: Any) -> None:
    with open_input(path) as file:
        parse_in_child(f"hostile_parsers:{parser}", file, name="model.pt", limits=Limits(), options=options)


def prepare(folder: Path) -> None:
    (folder / "file").write_bytes(b"content")
    (folder / "link").symlink_to("file")
    os.mkfifo(folder / "fifo")


def table(folder: Path) -> dict[str, Callable[[], object]]:
    whole, file = container(), folder / "file"
    return {
        "limit": lambda: Limits(max_depth=3).check("max_depth", 4, where="x"),
        "limit of zero": lambda: Limits(max_bytes=0),
        "missing": lambda: open_input(folder / "missing"),
        "directory": lambda: open_input(folder),
        "fifo": lambda: open_input(folder / "fifo"),
        "duplicate key": lambda: strict_json.loads('{"a": 1, "a": 2}', where="x", limits=None),
        "too deep": lambda: strict_json.loads("[[]]", where="x", limits=Limits(max_depth=1)),
        "output exists": lambda: check_output(file, force=False),
        "output is a link": lambda: check_output(folder / "link", force=True),
        "output is the input": lambda: check_output(file, force=True, inputs=[file]),
        "output is a directory": lambda: check_output(folder, force=True),
        "output is a device": lambda: check_output(Path("/dev/full"), force=True),
        "output without folder": lambda: check_output(folder / "no" / "out", force=False),
        "parser refuses": lambda: parse(file, "refuses"),
        "parser crashes": lambda: parse(file, "segfaults"),
        "parser is killed": lambda: parse(file, "kills_itself"),
        "parser allocates": lambda: parse(file, "allocates", megabytes=600),
        "parser answers garbage": lambda: parse(file, "answers_garbage", garbage="00"),
        "container truncated": lambda: read(whole[:-1]),
        "container extended": lambda: read(whole + b"\0"),
        "container with a changed byte": lambda: read(whole[:-1] + b"\7"),
        "container with a changed header": lambda: read(whole.replace(b'"graph":"{}"', b'"graph":"[]"')),
        "container empty": lambda: read(b""),
        "container too large": lambda: read(whole, Limits(max_bytes=49)),
    }


def outcomes(folder: Path) -> dict[str, list[Any]]:
    """Class, exit code, kind and text of each refusal."""
    prepare(folder)
    found: dict[str, list[Any]] = {}
    for name, attempt in table(folder).items():
        try:
            attempt()
        except ExportError as error:
            found[name] = [type(error).__name__, error.exit_code, error.findings[0].kind, str(error)]
        else:
            found[name] = ["accepted"]
    return found


if __name__ == "__main__":
    print(json.dumps({"optimize": sys.flags.optimize, "outcomes": outcomes(Path(sys.argv[1]))}))
