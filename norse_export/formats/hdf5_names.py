"""Names that an HDF5 file can hold and give back: of nodes, fields, metadata, observables."""

from __future__ import annotations


def name_fault(name: str) -> str | None:
    """Tell what is wrong with a name, or None. Quotes, newlines and code are data and pass."""
    if not name:
        return "the name is empty"
    if name == ".":
        return "the name is '.', which HDF5 takes for the group itself"
    if "/" in name:
        return "the name holds '/', which HDF5 takes for a path"
    if "\0" in name:
        return "the name holds a zero byte"
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return "the name is not UTF-8"
    return None
