"""Turns the records of known classes in a pickle of torch.save into a document, and refuses all others.

Every attribute of a module is used, known to change nothing, or refused by name. All findings are kept, not only the
first.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice
from math import isfinite
from typing import Any

from norse_export.errors import Finding, InputFileError, UnsafeFileError
from norse_export.files.limits import Limits
from norse_export.frontend.saved import known_classes as known
from norse_export.frontend.saved.attribute_fields import TENSOR, Field
from norse_export.frontend.saved.known_classes import Children, ModuleClass
from norse_export.frontend.saved.records import Call, Global, Pickle, contents, described, shown
from norse_export.frontend.saved.torch_archive import PICKLE, SAVE
from norse_export.frontend.saved.torch_tensors import TensorReader, is_empty_mapping, is_tensor
from norse_export.frontend.saved.touched import (
    ALLOWED,
    ORDERED_DICT,
    SET,
    class_of,
    gets_initial_state,
    judge,
    left_over,
)

_LARGEST = 2**63  # whole numbers beyond do not occur in a module
_LISTED = 8  # names in one message


class RecordReader:
    """Reads one pickle; `findings` holds everything that is refused."""

    def __init__(self, pickle: Pickle, tensors: TensorReader, limits: Limits) -> None:
        self._pickle, self._tensors, self._limits = pickle, tensors, limits
        self._accounted: set[int] = set()
        self._paths: dict[int, str] = {}  # of modules met, by id of their record
        self._open: set[int] = set()  # modules around the one being read
        self._places: dict[str, str] = {}  # where a class that is not allowed stands, by its name
        self._findings: list[Finding] = []

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is refused, unsafe ones first, each once."""
        found = [*judge(self._pickle, self._places), *self._findings, *self._tensors.findings]
        found = found or list(left_over(self._pickle, self._accounted | self._tensors.accounted))
        return tuple(sorted(dict.fromkeys(found), key=lambda finding: finding.kind != UnsafeFileError.kind))

    def document(self) -> dict[str, Any]:
        """What the file holds, as far as it is understood; valid only when there are no findings afterwards."""
        root = self._pickle.root
        if class_of(root) in known.MODULES:
            return {"kind": "module", "root": self._module(root, path="", depth=1), "stored": self._tensors.stored}
        entries = self._mapping(root)
        if entries is not None and all(is_tensor(value) for value in entries.values()):
            return {"kind": "state_dict", "tensors": self._tensors_of(entries), "stored": self._tensors.stored}
        self._refuse_root(root, entries)
        return {}

    def _refuse(self, where: str, what: str, *, kind: str = InputFileError.kind, fix: str = SAVE) -> None:
        self._findings.append(Finding(kind, "error", shown(where or PICKLE), what, fix))

    def _refuse_root(self, root: Any, entries: dict[Any, Any] | None) -> None:
        if class_of(root) not in ("", *ALLOWED):
            return  # named among the globals
        if entries is not None and self._refuse_checkpoint(entries):
            return
        if entries is not None:
            self._refuse(
                "", f"the file holds a dictionary ({_listed(entries)}), which is neither a module nor a state_dict"
            )
        elif is_tensor(root):
            self._refuse("", "the file holds a single tensor, which is neither a module nor a state_dict")
        else:
            self._refuse("", f"the file holds {described(root)}, which is neither a module nor a state_dict")

    def _refuse_checkpoint(self, entries: dict[Any, Any]) -> bool:
        """Whether a dictionary is a training checkpoint, one entry of which is the model; says so."""
        for name, entry in entries.items():
            module, tensors = class_of(entry) in known.MODULES, self._mapping(entry)
            if not module and not (tensors and all(is_tensor(value) for value in tensors.values())):
                continue
            what, key = "module" if module else "state_dict", ascii(name) if isinstance(name, str) else shown(name)
            beside = _listed([other for other in entries if other is not name]) or "nothing else"
            self._refuse(
                "",
                f"the file is a training checkpoint: the model's {what} is one entry of it, {key}, beside {beside}",
                kind="checkpoint",
                fix=f"take it out, torch.load(file)[{key}], give it to the model, and {SAVE}"
                + ("" if module else "; or torch.save that state_dict alone, and pass --factory module:function"),
            )
            return True
        return False

    # Modules

    def _module(self, record: Call, path: str, depth: int) -> dict[str, Any]:
        """The node of a module; one that stands elsewhere already is only named again (see `torch_file`)."""
        self._limits.check("max_depth", depth, where=shown(path or PICKLE))
        if id(record) in self._paths:
            if id(record) in self._open:
                self._refuse(path, "a module that contains itself cannot be read")
            return {"class": class_of(record), "attributes": {}, "children": {}, "same": self._paths[id(record)]}
        self._paths[id(record)] = path
        self._open.add(id(record))
        name = class_of(record)
        state = self._state(record, path)
        spec = known.MODULES[name]
        attributes = self._attributes(record, spec, state, path)
        tensors = {part: self._named_tensors(state, part, path) for part in ("_parameters", "_buffers")}
        self._check_names(name, attributes, tensors, path)
        children = self._children(spec, state, path, depth)
        self._open.discard(id(record))
        return {"class": name, "attributes": {**attributes, **tensors}, "children": children}

    def _state(self, record: Call, path: str) -> dict[str, Any]:
        """The `__dict__` of a module."""
        self._accounted.add(id(record))
        match record:
            case Call(how="new", args=(), kwargs=None, states=[dict() as state], items=[], appended=[]):
                if all(isinstance(key, str) for key in state):
                    return state
        self._refuse(path, f"corrupt: a {class_of(record)} is stored as torch.save never does")
        return {}

    def _attributes(self, record: Call, spec: ModuleClass, state: dict[str, Any], path: str) -> dict[str, Any]:
        """Every attribute that matters, checked against the table; each of the others is refused by name."""
        fields = {"training": known.TRAINING, **spec.arguments, **spec.derived}
        fields |= {name: known.WEIGHT for name in spec.weights if name in state}
        for name in fields.keys() - state.keys():
            self._refuse(path, f"corrupt: {class_of(record)} has no attribute {name!r}")
        values: dict[str, Any] = {}
        for name, value in state.items():
            if name in known.HOOKS:
                self._check_hooks(name, value, path)
            elif name in known.IRRELEVANT:
                self._account_plain(value)
            elif name in fields:
                before = len(self._findings)
                values[name] = self._value(value, path, name, fields[name], owner=record)
                if len(self._findings) == before and not fields[name].accepts(values[name]):
                    expected = fields[name].expected
                    self._refuse(path, f"{class_of(record)}.{name} is {described(value)} and not {expected}")
            elif name not in known.STRUCTURE:
                self._refuse(path, f"{class_of(record)} has an attribute {shown(name)} that is not known")
        return values

    def _check_hooks(self, name: str, value: Any, path: str) -> None:
        if is_empty_mapping(value) or (isinstance(value, list) and not value):
            self._accounted.add(id(value))
        else:
            self._refuse(path, f"{name} holds a hook: not allowed, unsafe to run", kind=UnsafeFileError.kind)

    def _named_tensors(self, state: dict[str, Any], part: str, path: str) -> dict[str, Any]:
        """Parameters or buffers by name; None for those that the module does without."""
        named = self._mapping(state.get(part))
        if named is None:
            self._refuse(path, f"corrupt: {part} is no dictionary")
            return {}
        found: dict[str, Any] = {}
        for name, value in named.items():
            found[name if isinstance(name, str) else shown(name)] = (
                None if value is None else self._value(value, path, shown(name), TENSOR)
            )
            if value is not None and not is_tensor(value):
                self._refuse(path, f"corrupt: {part} holds {described(value)} for {shown(name)}")
        return found

    def _children(self, spec: ModuleClass, state: dict[str, Any], path: str, depth: int) -> dict[str, Any]:
        modules = self._mapping(state.get("_modules"))
        if modules is None:
            self._refuse(path, "corrupt: _modules is no dictionary")
            return {}
        if not _fits(spec.children, list(modules)):
            names = _listed(modules) or "none"
            wanted = ", ".join(spec.children) if isinstance(spec.children, tuple) else spec.children.value
            self._refuse(path, f"the children are {names}, and should be {wanted}")
            return {}
        nodes = {}
        for name, record in modules.items():
            inner = f"{path}.{name}" if path else name
            if class_of(record) in known.MODULES:
                nodes[name] = self._module(record, inner, depth + 1)
            elif class_of(record) not in ("", *ALLOWED):
                self._places.setdefault(class_of(record), shown(inner))
            else:
                self._refuse(inner, f"{described(record)} stands where a module should")
        return nodes

    def _check_names(self, name: str, attributes: dict[str, Any], tensors: dict[str, Any], path: str) -> None:
        """Parameters and buffers are exactly those of the class; recurrent weights may be attributes instead."""
        spec = known.MODULES[name]
        weights = set(spec.weights) - attributes.keys()
        for part, names in (("_parameters", weights | set(spec.parameters)), ("_buffers", set(spec.buffers))):
            for odd in sorted(names ^ tensors[part].keys()):
                state = "no" if odd in names else "an unknown"
                self._refuse(path, f"{name} has {state} {odd!a} among its {part}")

    # Values

    def _value(self, value: Any, path: str, name: str, field: Field, owner: Call | None = None) -> Any:
        """The value called `name` in its form for the document; None, and a finding, for what has none.

        A tuple of parameters is looked into only where the field wants it: they might stand in one another without end.
        """
        match value:
            case None | bool() | str():
                return value
            case int() if abs(value) < _LARGEST:
                return value
            case float() if isfinite(value):
                return value
            case tuple() | list() if all(type(item) in (bool, int) and abs(item) < _LARGEST for item in value):
                return list(value)
            case Global() if value.path in known.FUNCTIONS:
                return {"function": value.path}
            case Global() if value.path in known.DTYPES:
                return {"dtype": value.name}
            case Call() if gets_initial_state(value) and value.args[0] is owner:
                self._accounted.add(id(value))
                return {"method": "initial_state"}
            case Call() if is_tensor(value):
                return {"tensor": self._tensors.key(value, shown(path or PICKLE))}
            case Call(how="new", kwargs=None, states=[], items=[], appended=[]) if class_of(value) in known.PARAMETERS:
                if class_of(value) == field.holds:
                    return self._neuron_parameters(value, path, name)
                return {"class": class_of(value)}
        unsafe = isinstance(value, Call | Global)
        kind = UnsafeFileError.kind if unsafe else InputFileError.kind
        self._refuse(path, f"{name} is {described(value)}: not allowed" + (", unsafe" if unsafe else ""), kind=kind)
        return None

    def _neuron_parameters(self, record: Call, path: str, within: str) -> dict[str, Any]:
        """A tuple of parameters, which is the value called `within`."""
        self._accounted.add(id(record))
        name = class_of(record)
        fields = known.PARAMETERS[name]
        if len(record.args) != len(fields):
            self._refuse(path, f"corrupt: {name} has {len(record.args)} values instead of {len(fields)}")
        values: dict[str, Any] = {}
        for (field, expected), value in zip(fields.items(), record.args, strict=False):
            before = len(self._findings)
            values[field] = self._value(value, path, f"{within}.{field}", expected)
            if len(self._findings) == before and not expected.accepts(values[field]):
                self._refuse(path, f"{name}.{field} is {described(value)} and not {expected.expected}")
        return {"class": name, "fields": values}

    def _mapping(self, value: Any) -> dict[Any, Any] | None:
        """A dictionary, or an OrderedDict with the attributes that torch gives to a state_dict."""
        if isinstance(value, dict):
            return value
        match value:
            case Call(how="reduce", callable=name, args=(), kwargs=None, appended=[]) if name == ORDERED_DICT:
                self._accounted.add(id(value))
                for state in value.states:
                    self._account_plain(state)
                return dict(value.items)
        return None

    def _account_plain(self, value: Any) -> None:
        """Note the containers inside a value as understood; any other call in it stays, and is refused."""
        waiting, seen = [value], {id(value)}
        while waiting:
            inner = waiting.pop()
            if isinstance(inner, Call) and inner.callable in (ORDERED_DICT, SET) and not inner.states:
                self._accounted.add(id(inner))
            for each in contents(inner):
                if id(each) not in seen:
                    seen.add(id(each))
                    waiting.append(each)

    def _tensors_of(self, entries: dict[Any, Any]) -> dict[str, Any]:
        found = {}
        for name, value in entries.items():
            if isinstance(name, str):
                found[name] = {"tensor": self._tensors.key(value, shown(name))}
            else:
                self._refuse("", f"corrupt: a state_dict has the key {described(name)}")
        return found


def _listed(names: Collection[Any]) -> str:
    more = len(names) - _LISTED
    return ", ".join(shown(name) for name in islice(names, _LISTED)) + (f" and {more} more" if more > 0 else "")


def _fits(children: Children | tuple[str, ...], names: list[Any]) -> bool:
    match children:
        case Children.NONE:
            return not names
        case Children.NUMBERED:
            return names == [str(index) for index in range(len(names))]
        case tuple():
            return names == list(children)
        case Children.NAMED:  # as torch.nn.Module.add_module wants them
            return all(isinstance(name, str) and name and "." not in name for name in names)
