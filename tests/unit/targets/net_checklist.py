"""The checklist of targets/loihi/NET.md, held against .net files: the table in the text is what is checked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import h5py

TEXT = Path(__file__).resolve().parents[3] / "targets" / "loihi" / "NET.md"
WITHOUT_NEURONS = ("input", "flatten")


@dataclass(frozen=True)
class Row:
    """A dataset of layers of some types: dtype, shapes that it may have (numbers or names of sizes), whether needed."""

    sorts: tuple[str, ...]
    dtype: str
    shapes: tuple[tuple[str, ...], ...]
    needed: bool


@cache
def checklist() -> dict[str, list[Row]]:
    """The rows by dataset."""
    found: dict[str, list[Row]] = {}
    for line in TEXT.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) < 6 or not cells[1].startswith("`"):
            continue
        sorts, name, dtype, shapes, needed = cells[:5]
        listed = tuple(tuple(re.findall(r"[^,\s]+", one)) for one in re.findall(r"\[(.*?)\]", shapes))
        row = Row(tuple(sorts.split(", ")), dtype, listed, needed == "needed")
        found.setdefault(name.strip("`"), []).append(row)
    return found


def faults(path: Path) -> list[str]:
    """What in a .net file is other than the checklist says."""
    found = []
    with h5py.File(path) as file:
        for number in range(len(file["layer"])):
            if str(number) not in file["layer"]:
                found.append(f"layer {number} is missing")
                continue
            found += [f"layer {number}: {fault}" for fault in _faults(file["layer"][str(number)])]
        found += [f"/{name}" for name in file if name not in ("layer", "additions")]
    return found


def _faults(layer: Any) -> list[str]:
    sort = layer["type"][0].decode()
    sizes = {"N" if sort.startswith("dense") else "C": layer["shape"][0]}
    datasets: dict[str, Any] = {}
    layer.visititems(lambda name, one: datasets.update({name: one}) if isinstance(one, h5py.Dataset) else None)
    found = [f"{name} is not read" for name in datasets if not _rows(name, sort)]
    for name in checklist():
        for row in _rows(name, sort):
            if name in datasets:
                found += _of_dataset(name, datasets[name], row, sizes)
            elif row.needed:
                found.append(f"{name} is missing")
    return found


def _rows(name: str, sort: str) -> list[Row]:
    return [row for row in checklist().get(name, []) if row.sorts == ("all",) or sort in row.sorts]


def _of_dataset(name: str, dataset: Any, row: Row, sizes: dict[str, int]) -> list[str]:
    text = h5py.check_string_dtype(dataset.dtype) is not None and dataset.dtype.kind == "O"
    dtype = "text" if text else dataset.dtype.str.lstrip("|") if dataset.dtype.kind == "S" else dataset.dtype.name
    found = [] if dtype in row.dtype.split(" or ") else [f"{name} is {dtype}, not {row.dtype}"]
    if list(dataset.attrs):
        found.append(f"{name} has attributes")
    if not any(_fits(dataset.shape, shape, sizes) for shape in row.shapes):
        found.append(f"{name} has shape {dataset.shape}, not {row.shapes}")
    return found


def _fits(shape: tuple[int, ...], wanted: tuple[str, ...], sizes: dict[str, int]) -> bool:
    if len(shape) != len(wanted):
        return False
    told = dict(sizes)
    for size, name in zip(shape, wanted, strict=True):
        if size != (int(name) if name.isdigit() else told.setdefault(name, size)):
            return False
    sizes |= told
    return True
