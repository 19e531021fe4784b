"""A memory image of sPyNNaker as a file: what was foretold of a network, and what was made of it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.targets.spinnaker import image
from norse_export.targets.spinnaker.limits import Use
from norse_export.targets.spinnaker.predicted import Neurons, Predicted, Projection

RECORDED = Path(__file__).parent / "goldens/spinnaker_board/small.npz"
_CELLS = ("source_cells", "target_cells", "weights")


def store(path: Path, network: Predicted, board: Mapping[str, Any]) -> None:
    """Write a network and its board, without the names of folders."""
    arrays: dict[str, NDArray[Any]] = {}
    use: dict[str, Any] = {label: asdict(one) for label, one in network.use.items()}
    neurons: dict[str, Any] = {}
    for label, one in network.neurons.items():
        arrays[f"words.{label}"] = np.asarray(one.words)
        onto = []
        for number, part in enumerate(one.onto):
            arrays |= {f"{name}.{label}.{number}": np.asarray(getattr(part, name)) for name in _CELLS}
            onto.append([part.source, part.sources, part.kind, part.delay_steps])
        neurons[label] = {"model": one.model, "shifts": one.shifts, "onto": onto}
    for core in board["cores"]:
        for number, words in image.regions(Path(board["database"]), tuple(core["place"])).items():
            arrays["region." + ".".join(map(str, (number, *core["place"])))] = words
    kept = {key: value for key, value in board.items() if key != "database"}
    document = json.dumps({"use": use, "neurons": neurons, "board": kept})
    np.savez_compressed(path, document=np.array(document), **arrays)


def stored(path: Path, folder: Path) -> tuple[Predicted, dict[str, Any]]:
    """Read them again; the memory image is made anew in a folder."""
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    document = json.loads(str(arrays.pop("document")))
    neurons = {}
    for label, one in document["neurons"].items():
        onto = [
            Projection(*part, **{name: arrays[f"{name}.{label}.{number}"] for name in _CELLS})
            for number, part in enumerate(one["onto"])
        ]
        neurons[label] = Neurons(one["model"], arrays[f"words.{label}"], tuple(one["shifts"]), tuple(onto))
    use = {label: Use(**one) for label, one in document["use"].items()}
    rows = []
    for name, words in arrays.items():
        if name.startswith("region."):
            rows.append((*map(int, name.split(".")[1:]), words.astype("<u4").tobytes()))
    database = folder / "ds.sqlite3"
    write_database(database, rows)
    return Predicted(use, neurons, {}), {**document["board"], "database": str(database)}


def write_database(path: Path, rows: list[tuple[Any, ...]]) -> None:
    """A memory image of regions: number, place, bytes."""
    database = sqlite3.connect(path)
    with database:
        database.execute("CREATE TABLE region (region_num INTEGER, x INTEGER, y INTEGER, p INTEGER, content BLOB)")
        database.executemany("INSERT INTO region VALUES (?, ?, ?, ?, ?)", rows)
    database.close()
