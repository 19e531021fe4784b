"""An inert pickle machine: it reads what a pickle says, and does none of it.

A pickle is a program. Here each of its instructions leaves data: plain values stay plain values, and whatever a real
unpickler would import, call or change becomes a record that names it. Nothing is imported, called or compared, so
the result can be looked at, and judged, in safety. `pickletools.genops`, on which this stands, executes nothing.

Source of the meaning of each instruction: CPython, Lib/pickle.py (`_Unpickler`) and Lib/pickletools.py.
"""

from __future__ import annotations

import codecs
from collections import deque
from collections.abc import Callable, Iterator
from io import BytesIO
from pickletools import genops
from typing import Any

from norse_export.errors import InputFileError
from norse_export.frontend.saved.pickle_machine import Machine
from norse_export.frontend.saved.records import Pickle, contents, corrupt, too_large

codecs.lookup("raw-unicode-escape")  # of texts in protocol 0; looked up here so that reading a file imports nothing

#: Instructions allowed for one object; a pickler needs about three.
_OPERATIONS_PER_OBJECT = 10


def unpickle(data: bytes, *, max_objects: int, max_depth: int, max_text_bytes: int) -> Pickle:
    """What the pickle `data` says, as plain values and inert records; protocols 0 to 5.

    max_objects: containers, texts and records; max_depth: how deep they may stand in each other (a value on top
    has depth 1); max_text_bytes: length of one text, byte string or integer.

    Raises:
        InputFileError: truncated or corrupt, or an instruction that no `torch.save` writes.
        LimitError: beyond one of the limits.
    """
    machine = Machine(max_objects=max_objects, max_text_bytes=max_text_bytes)
    root = _run(machine, data, max_operations=max_objects * _OPERATIONS_PER_OBJECT)
    _check_depth(root, max_depth)
    return Pickle(root, tuple(machine.globals), tuple(machine.calls), tuple(machine.writes))


def _instructions(data: bytes) -> Iterator[tuple[str, Any, int]]:
    """Each instruction's name, argument and position."""
    try:
        for instruction, argument, position in genops(BytesIO(data)):
            yield instruction.name, argument, position or 0
    except ValueError as error:
        raise corrupt(str(error)) from error


def _run(machine: Machine, data: bytes, *, max_operations: int) -> Any:
    """Follow all instructions; gives the value that is left at the end."""
    for count, (name, argument, position) in enumerate(_instructions(data), start=1):
        if count > max_operations:
            raise too_large("more instructions", max_operations, "max_objects")
        if name == "STOP":
            return machine.result(rest=len(data) - position - 1)
        action = _ACTIONS.get(name)
        if action is None:
            raise InputFileError(
                f"the pickle instruction {name} is not allowed: torch.save never writes it",
                where="data.pkl",
                fix="save the model with norse_export.save(model, path, example_input)",
                kind="instruction",
            )
        action(machine, argument)
    raise corrupt("it has no end")


def _check_depth(root: Any, max_depth: int) -> None:
    """Refuse what stands deeper than `max_depth`, by the shortest way to it; cycles are followed once."""
    seen = {id(root)}
    waiting = deque([(root, 1)])
    while waiting:
        value, depth = waiting.popleft()
        if depth > max_depth:
            raise too_large("objects nested deeper", max_depth, "max_depth")
        for inner in contents(value):
            if id(inner) not in seen:
                seen.add(id(inner))
                waiting.append((inner, depth + 1))


_Action = Callable[[Machine, Any], None]

_NUMBERS = ("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT")
_TEXTS = (
    "UNICODE",
    "SHORT_BINUNICODE",
    "BINUNICODE",
    "BINUNICODE8",
    "SHORT_BINBYTES",
    "BINBYTES",
    "BINBYTES8",
    "BYTEARRAY8",
)

#: What each instruction does. One that is not listed is refused: the extension registry (EXT1, EXT2, EXT4), buffers
#: that stand outside (NEXT_BUFFER, READONLY_BUFFER), persistent ids as text, and the byte strings of Python 2.
_ACTIONS: dict[str, _Action] = {
    **dict.fromkeys((*_NUMBERS, *_TEXTS), Machine.literal),
    "NONE": lambda machine, _: machine.literal(None),
    "NEWTRUE": lambda machine, _: machine.literal(True),
    "NEWFALSE": lambda machine, _: machine.literal(False),
    "EMPTY_TUPLE": lambda machine, _: machine.new_tuple(0),
    "TUPLE1": lambda machine, _: machine.new_tuple(1),
    "TUPLE2": lambda machine, _: machine.new_tuple(2),
    "TUPLE3": lambda machine, _: machine.new_tuple(3),
    "TUPLE": Machine.marked_tuple,
    "EMPTY_LIST": lambda machine, _: machine.empty(list),
    "EMPTY_DICT": lambda machine, _: machine.empty(dict),
    "EMPTY_SET": lambda machine, _: machine.empty(set),
    "LIST": Machine.marked_list,
    "DICT": Machine.marked_dict,
    "FROZENSET": Machine.marked_frozenset,
    "SETITEM": Machine.set_item,
    "SETITEMS": Machine.set_marked_items,
    "APPEND": Machine.append_one,
    "APPENDS": Machine.append_marked,
    "ADDITEMS": Machine.append_marked,
    "GLOBAL": Machine.written_name,
    "STACK_GLOBAL": Machine.stacked_name,
    "REDUCE": Machine.reduce,
    "NEWOBJ": Machine.new_object,
    "NEWOBJ_EX": Machine.new_object_with_names,
    "INST": Machine.instance,
    "OBJ": Machine.marked_object,
    "BUILD": Machine.build,
    "BINPERSID": Machine.persistent_id,
    "MARK": Machine.mark,
    "POP": Machine.pop,
    "POP_MARK": Machine.pop_marked,
    "DUP": Machine.duplicate,
    "PUT": Machine.remember,
    "BINPUT": Machine.remember,
    "LONG_BINPUT": Machine.remember,
    "MEMOIZE": Machine.remember_next,
    "GET": Machine.recall,
    "BINGET": Machine.recall,
    "LONG_BINGET": Machine.recall,
    "PROTO": Machine.protocol,
    "FRAME": Machine.ignore,
}
