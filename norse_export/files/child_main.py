"""The child process: calls one parser on the descriptor it was given, and leaves the result in the memory file.

Run by `norse_export.files.child` as `python -m norse_export.files.child_main`, with the request as JSON.
It opens no path: the input and the result are descriptors that it inherits. It ends like any program, so that what is
registered with atexit runs.
"""

from __future__ import annotations

import errno
import json
import sys
from dataclasses import asdict
from importlib import import_module
from typing import Any

from norse_export import errors
from norse_export.errors import ExportError
from norse_export.files import budget, exchange
from norse_export.files.limits import Limits


def main(request: dict[str, Any]) -> int:
    """Serve one request. The exit code is 0 whenever an answer was left, be it an error."""
    result: int = request["result"]
    budget.lift_file_size()
    try:
        exchange.write_stage(result, exchange.Stage.STARTED)
        exchange.write_result(result, *_answer(request))
    except OSError as error:
        if error.errno != errno.EFBIG:
            raise
        return exchange.NO_ROOM
    return 0


def _answer(request: dict[str, Any]) -> tuple[bytes, list[exchange.ArrayEntry], dict[str, Any]]:
    """The document to leave, and its arrays. The frames of a failed parse are gone when this returns."""
    try:
        content, arrays = _parse(request)
        entries = [exchange.entry_of(name, array) for name, array in arrays.items()]
        return _encoded({"status": "ok", "document": content, "arrays": entries}), entries, arrays
    except ExportError as error:
        return _encoded(_error_document(error)), [], {}
    except MemoryError:
        status = "memory"
    except RecursionError:
        status = "recursion"
    except Exception:  # whatever else a parser raises is our bug, and the parent says so
        return _encoded({"status": "bug", "traceback": _traceback()}), [], {}
    budget.release_reserve()
    return _encoded({"status": status}), [], {}


def _parse(request: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    module, _, function = request["parser"].partition(":")
    parser = getattr(import_module(module), function)
    limits = Limits(**request["limits"])
    budget.apply(budget.Budget(**request["budget"]))
    exchange.write_stage(request["result"], exchange.Stage.PARSING)
    with open(request["name"], "rb", opener=lambda _path, _flags: int(request["input"])) as file:
        file.seek(0)
        content, arrays = parser(file, limits, **request["options"])
    return content, dict(arrays)


def _error_document(error: ExportError) -> dict[str, Any]:
    """The nearest class that the parent knows, and all findings."""
    known = next(base for base in type(error).__mro__ if getattr(errors, base.__name__, None) is base)
    return {"status": "error", "class": known.__name__, "findings": [asdict(finding) for finding in error.findings]}


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document).encode("ascii")


def _traceback() -> str:
    import traceback  # only where it is needed: a start of the child should cost little

    return traceback.format_exc()


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
