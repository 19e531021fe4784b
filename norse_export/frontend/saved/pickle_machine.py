"""Stack, marks and memo of an inert pickle machine, and what each instruction leaves on them."""

from __future__ import annotations

from typing import Any, Literal

from norse_export.frontend.saved.records import Call, Global, PersistentId, corrupt, too_large

#: Names of Python 2, which pickles of protocol 2 still use.
_PRESENT_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}

#: The newest protocol that is read (PEP 574).
_NEWEST_PROTOCOL = 5


class Machine:
    """Stack, marks and memo of a pickle that is being read."""

    def __init__(self, *, max_objects: int, max_text_bytes: int) -> None:
        self._max_objects, self._max_text_bytes = max_objects, max_text_bytes
        self._objects = 0
        self._stack: list[Any] = []
        self._marks: list[int] = []
        self._memo: dict[int, Any] = {}
        self.globals: dict[Global, None] = {}
        self.calls: list[Call] = []
        self.writes: list[Any] = []

    def result(self, rest: int) -> Any:
        """The one value that is left at the end; `rest` bytes stand after it."""
        if rest:
            raise corrupt(f"{rest} bytes stand after its end")
        if self._marks or len(self._stack) != 1:
            raise corrupt("it does not leave exactly one value")
        return self._stack[0]

    def _push(self, value: Any) -> None:
        """Put a new object on the stack, and count it."""
        self._objects += 1
        if self._objects > self._max_objects:
            raise too_large("more objects", self._max_objects, "max_objects")
        self._stack.append(value)

    def _pop(self) -> Any:
        self._top()
        return self._stack.pop()

    def _top(self) -> Any:
        if len(self._stack) <= (self._marks[-1] if self._marks else 0):
            raise corrupt("its stack is empty")
        return self._stack[-1]

    def _pop_to_mark(self) -> list[Any]:
        if not self._marks:
            raise corrupt("a mark is missing")
        start = self._marks.pop()
        values = self._stack[start:]
        del self._stack[start:]
        return values

    # Plain values

    def literal(self, value: Any) -> None:
        """Put a plain value on the stack."""
        match value:
            case str():
                size = len(value.encode("utf-8", "surrogatepass"))
            case bytes() | bytearray():
                size = len(value)
            case int():
                size = value.bit_length() // 8
            case _:
                size = 0
        if size > self._max_text_bytes:
            raise too_large("a text or number longer", self._max_text_bytes, "max_name_bytes")
        self._push(value)

    def new_tuple(self, size: int) -> None:
        """Put a tuple of the topmost `size` values."""
        values = tuple(self._pop() for _ in range(size))
        self._push(values[::-1])

    def marked_tuple(self, _: Any) -> None:
        """TUPLE."""
        self._push(tuple(self._pop_to_mark()))

    def marked_list(self, _: Any) -> None:
        """LIST."""
        self._push(self._pop_to_mark())

    def marked_frozenset(self, _: Any) -> None:
        """FROZENSET."""
        self._push(frozenset(_key(value) for value in self._pop_to_mark()))

    def marked_dict(self, _: Any) -> None:
        """DICT."""
        self._push(dict(_pairs(self._pop_to_mark())))

    def empty(self, kind: type) -> None:
        """Put an empty list, dictionary or set."""
        self._push(kind())

    # Filling containers

    def set_items(self, pairs: list[tuple[Any, Any]]) -> None:
        """Fill a dictionary; a record only notes what would be set."""
        target = self._top()
        if isinstance(target, dict):
            target.update(pairs)
        elif isinstance(target, Call):
            target.items.extend(pairs)
        else:
            self.writes.append(target)

    def set_item(self, _: Any) -> None:
        """SETITEM."""
        value, key = self._pop(), self._pop()
        self.set_items([(_key(key), value)])

    def set_marked_items(self, _: Any) -> None:
        """SETITEMS."""
        self.set_items(_pairs(self._pop_to_mark()))

    def append(self, values: list[Any]) -> None:
        """Fill a list or set; a record only notes what would be appended."""
        target = self._top()
        if isinstance(target, list):
            target.extend(values)
        elif isinstance(target, set):
            target.update(_key(value) for value in values)
        elif isinstance(target, Call):
            target.appended.extend(values)
        else:
            self.writes.append(target)

    def append_one(self, _: Any) -> None:
        """APPEND."""
        self.append([self._pop()])

    def append_marked(self, _: Any) -> None:
        """APPENDS and ADDITEMS."""
        self.append(self._pop_to_mark())

    # Records

    def name(self, module: Any, name: Any) -> None:
        """A global, not imported."""
        if not isinstance(module, str) or not isinstance(name, str):
            raise corrupt("a global's name is not a text")
        found = Global(_PRESENT_NAMES.get(module, module), name)
        if len(found.path.encode("utf-8", "surrogatepass")) > 2 * self._max_text_bytes:
            raise too_large("a name longer", 2 * self._max_text_bytes, "max_name_bytes")
        self.globals[found] = None
        self._push(found)

    def written_name(self, argument: str) -> None:
        """GLOBAL."""
        self.name(*argument.split(" ", 1))

    def stacked_name(self, _: Any) -> None:
        """STACK_GLOBAL."""
        name, module = self._pop(), self._pop()
        self.name(module, name)

    def call(self, how: Literal["reduce", "new", "inst"], callable_: Any, args: Any, kwargs: Any = None) -> None:
        """A call, not made."""
        if not isinstance(args, tuple) or not isinstance(kwargs, dict | None):
            raise corrupt("a call's arguments are not a tuple")
        record = Call(how, callable_, args, kwargs, states=[], items=[], appended=[])
        self.calls.append(record)
        self._push(record)

    def reduce(self, _: Any) -> None:
        """REDUCE."""
        args, callable_ = self._pop(), self._pop()
        self.call("reduce", callable_, args)

    def new_object(self, _: Any) -> None:
        """NEWOBJ."""
        args, callable_ = self._pop(), self._pop()
        self.call("new", callable_, args)

    def new_object_with_names(self, _: Any) -> None:
        """NEWOBJ_EX."""
        kwargs, args, callable_ = self._pop(), self._pop(), self._pop()
        self.call("new", callable_, args, kwargs)

    def instance(self, argument: str) -> None:
        """INST."""
        args = tuple(self._pop_to_mark())
        self.written_name(argument)
        self.call("inst", self._pop(), args)

    def marked_object(self, _: Any) -> None:
        """OBJ."""
        values = self._pop_to_mark()
        if not values:
            raise corrupt("an object has no class")
        self.call("inst", values[0], tuple(values[1:]))

    def build(self, _: Any) -> None:
        """BUILD: a record only notes the state."""
        state, target = self._pop(), self._top()
        if isinstance(target, Call):
            target.states.append(state)
        else:
            self.writes.append(target)

    def persistent_id(self, _: Any) -> None:
        """BINPERSID."""
        self._push(PersistentId(self._pop()))

    # Stack and memo

    def mark(self, _: Any) -> None:
        """MARK."""
        self._marks.append(len(self._stack))

    def pop(self, _: Any) -> None:
        """POP."""
        if self._marks and self._marks[-1] == len(self._stack):
            self._marks.pop()
        else:
            self._pop()

    def pop_marked(self, _: Any) -> None:
        """POP_MARK."""
        self._pop_to_mark()

    def duplicate(self, _: Any) -> None:
        """DUP."""
        self._stack.append(self._top())

    def remember(self, index: int) -> None:
        """PUT, BINPUT and LONG_BINPUT."""
        self._memo[index] = self._top()

    def remember_next(self, _: Any) -> None:
        """MEMOIZE."""
        self.remember(len(self._memo))

    def recall(self, index: int) -> None:
        """GET, BINGET and LONG_BINGET."""
        if index not in self._memo:
            raise corrupt("it recalls a value that it never stored")
        self._stack.append(self._memo[index])

    def protocol(self, version: int) -> None:
        """PROTO."""
        if version > _NEWEST_PROTOCOL:
            raise corrupt(f"its protocol {version} is unknown")

    def ignore(self, _: Any) -> None:
        """FRAME, which only helps reading ahead."""


def _key(value: Any) -> Any:
    """A dictionary's key or a set's member. Tuples are refused: hashing nested ones takes time without bound."""
    if value is None or isinstance(value, str | bytes | int | float | Global | Call | PersistentId):
        return value
    raise corrupt(f"a {type(value).__name__} is used as the key of a dictionary or the member of a set")


def _pairs(values: list[Any]) -> list[tuple[Any, Any]]:
    if len(values) % 2:
        raise corrupt("a key has no value")
    return [(_key(key), value) for key, value in zip(values[::2], values[1::2], strict=True)]
