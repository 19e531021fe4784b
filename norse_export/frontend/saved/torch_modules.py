"""Builds torch modules from the document and the arrays that `torch_file.parse` gives.

No name is looked up because a file says it: only those of `known_classes` are. What a constructor computes itself must
be what the file says, else the file is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from norse_export.errors import Finding, InputFileError
from norse_export.frontend.saved import known_classes as known
from norse_export.frontend.saved.factory import from_factory
from norse_export.frontend.saved.records import shown
from norse_export.frontend.saved.torch_archive import SAVE, pickle_of
from norse_export.frontend.torch_save import import_norse

if TYPE_CHECKING:
    import torch

__all__ = ["from_factory", "load_state_dict", "named", "rebuild"]

# Names that may be looked up.
_NAMES = frozenset({*known.MODULES, *known.PARAMETERS, *known.FUNCTIONS, *known.DTYPES})

Arrays = Mapping[str, NDArray[Any]]
Node = Mapping[str, Any]


def rebuild(document: Mapping[str, Any], arrays: Arrays) -> torch.nn.Module:
    """The module that a file of torch.save holds: same classes, same tensors bit for bit, same training flags.

    Raises:
        InputFileError: the file holds a state_dict only, or modules that contradict themselves; with every finding.
        MissingDependencyError: the file holds modules of Norse, and Norse is not installed.
    """
    if document["kind"] != "module":
        raise InputFileError(
            "the file holds a state_dict: weights, but no architecture, and no parameters of neurons",
            where=pickle_of(document["file"]),
            fix=f"give the function that builds the model, --factory package.module:function; or better: {SAVE}",
            kind="state_dict",
        )
    builder = _Builder(document, arrays)
    module = builder.module(document["root"], "")
    if builder.findings or module is None:
        raise InputFileError.of(builder.findings)
    return module


def load_state_dict(document: Mapping[str, Any], arrays: Arrays) -> dict[str, torch.Tensor]:
    """The tensors of a file of torch.save that holds a state_dict, by name.

    Raises:
        InputFileError: the file holds a whole module.
    """
    if document["kind"] != "state_dict":
        raise InputFileError(
            "the file holds a whole module and no state_dict",
            where=pickle_of(document["file"]),
            fix="leave --factory out, or save model.state_dict()",
            kind="module",
        )
    tensors = _Tensors(document, arrays)
    return {name: tensors[reference["tensor"]].detach() for name, reference in document["tensors"].items()}


class _Tensors:
    """Tensors by key, each made once, so that what was shared in the file is shared again."""

    def __init__(self, document: Mapping[str, Any], arrays: Arrays) -> None:
        self._stored, self._arrays = document["stored"], arrays
        self._made: dict[str, torch.Tensor] = {}

    def __getitem__(self, key: str) -> torch.Tensor:
        import torch

        if key not in self._made:
            stored = self._stored[key]
            tensor = torch.from_numpy(self._arrays[key].copy())
            if stored["dtype"] == "bfloat16":
                tensor = tensor.to(torch.bfloat16)  # exact: it was widened from there
            requires_grad = stored["requires_grad"]
            made = torch.nn.Parameter(tensor, requires_grad) if stored["parameter"] else tensor
            self._made[key] = made.requires_grad_(requires_grad)
        return self._made[key]


class _WrongError(Exception):
    """A module contradicts itself; its path is added where it is caught."""


class _Builder:
    """Builds the modules of one document; `findings` holds what is wrong with them."""

    def __init__(self, document: Mapping[str, Any], arrays: Arrays) -> None:
        self._tensors, self._stored = _Tensors(document, arrays), document["stored"]
        self._file = pickle_of(document["file"])
        self._made: dict[str, torch.nn.Module] = {}
        self.findings: list[Finding] = []

    def module(self, node: Node, path: str) -> torch.nn.Module | None:
        """The module of a node; None, and a finding, for one that cannot be built."""
        if "same" in node:
            return self._made.get(node["same"])
        children = {
            name: self.module(child, f"{path}.{name}" if path else name) for name, child in node["children"].items()
        }
        built = {name: child for name, child in children.items() if child is not None}
        if len(built) < len(children):
            return None
        try:
            module = self._build(node, built)
            _check_derived(module, node)
            self._fill(module, node)
        except (_WrongError, TypeError, ValueError, RuntimeError, KeyError) as error:
            words = (str(error).splitlines() or [""])[0]
            what = f"{node['class']} cannot be built: {words}"
            self.findings.append(Finding("module", "error", shown(path) if path else self._file, what, SAVE))
            return None
        module.training = node["attributes"]["training"]
        self._made[path] = module
        return module

    def _build(self, node: Node, children: Mapping[str, torch.nn.Module]) -> torch.nn.Module:
        """A module of the node's class. Parameters and buffers of torch's own come later, see `_fill`."""
        attributes, spec = node["attributes"], known.MODULES[node["class"]]
        if spec.children is not known.Children.NONE:
            return self._container(node, children)
        if "dt" in spec.arguments:
            return self._neuron(node)
        arguments = {argument: _argument(attributes[argument]) for argument in spec.arguments}
        if "bias" in spec.parameters and attributes.get("affine", True) and attributes["_parameters"]["bias"] is None:
            arguments["bias"] = False  # of normalisations only newer torch has this argument
        module: torch.nn.Module = named(node["class"])(**arguments, **({"device": "meta"} if spec.parameters else {}))
        return module

    def _container(self, node: Node, children: Mapping[str, torch.nn.Module]) -> torch.nn.Module:
        """A module of others. One whose children have names of their own is made without its constructor."""
        make, spec, attributes = named(node["class"]), known.MODULES[node["class"]], node["attributes"]
        module: torch.nn.Module
        module = _bare(make) if isinstance(spec.children, tuple) else make()
        for name, child in children.items():
            module.add_module(name, child)
        for attribute in spec.arguments:
            value = attributes[attribute]
            setattr(module, attribute, value if isinstance(value, list) else self._value(value))
        _check_container(node)
        return module

    def _neuron(self, node: Node) -> torch.nn.Module:
        """Neurons, or an encoder. Constructors zero the diagonal of recurrent weights; the file's values come back."""
        import torch

        attributes, spec = node["attributes"], known.MODULES[node["class"]]
        values = {name: self._value(attributes[name]) for name in spec.arguments}
        weights = self._weights(node, values)
        if spec.bare:
            module = _bare(named(node["class"]))
            values |= weights
        else:
            kept = {name: (weight.detach().clone(), weight.requires_grad) for name, weight in weights.items()}
            passed = {name: value for name, value in values.items() if name not in spec.afterwards}
            module = named(node["class"])(**passed, **weights)
            for name, (value, requires_grad) in kept.items():
                with torch.no_grad():
                    weights[name].copy_(value)
                weights[name].requires_grad_(requires_grad)
        for name, value in values.items():
            setattr(module, name, value)
        return module

    def _weights(self, node: Node, values: Mapping[str, Any]) -> dict[str, torch.Tensor]:
        """The weights of recurrent neurons, which have the shapes that the sizes say."""
        attributes, spec = node["attributes"], known.MODULES[node["class"]]
        if not spec.weights:
            return {}
        sizes = {}
        for size in ("input_size", "hidden_size"):
            sizes[size] = found_size = values[size]
            if isinstance(found_size, int):
                continue
            if found_size.shape != () or found_size.is_floating_point():
                raise _WrongError(f"{size} is not a whole number")
            sizes[size] = found_size.item()
        sources, found = {**attributes["_parameters"], **attributes}, {}
        for name in spec.weights:
            weight = found[name] = self._value(sources[name])
            expected = (sizes["hidden_size"], sizes["input_size" if name == "input_weights" else "hidden_size"])
            if tuple(weight.shape) != expected or not weight.is_floating_point():
                raise _WrongError(f"{name} of shape {tuple(weight.shape)} and type {weight.dtype}, not {expected}")
        return found

    def _fill(self, module: torch.nn.Module, node: Node) -> None:
        """Put in the file's parameters and buffers, where shapes agree."""
        for part in ("_parameters", "_buffers"):
            for name, reference in node["attributes"][part].items():
                expected = getattr(module, name)
                if (expected is None) != (reference is None):
                    raise _WrongError(f"{name} is {'there' if expected is None else 'missing'}, against its attributes")
                if reference is None:
                    continue
                tensor = self._value(reference)
                if self._is_parameter(reference) != (part == "_parameters"):
                    raise _WrongError(f"{name} stands among the {part}, where it does not belong")
                if tensor.shape != expected.shape:
                    raise _WrongError(f"{name} has shape {tuple(tensor.shape)} instead of {tuple(expected.shape)}")
                if tensor is not expected:
                    setattr(module, name, tensor)

    def _is_parameter(self, reference: Mapping[str, str]) -> bool:
        return bool(self._stored[reference["tensor"]]["parameter"])

    def _value(self, value: Any) -> Any:
        """A value of the document as torch and Norse have it."""
        match value:
            case {"tensor": key}:
                return self._tensors[key]
            case {"function": name}:
                return named(name)
            case {"dtype": name}:
                return named(f"torch.{name}")
            case {"class": name, "fields": fields}:
                return named(name)(**{field: self._value(inner) for field, inner in fields.items()})
        return _argument(value)


def _bare(make: Any) -> torch.nn.Module:
    """A module of the class as it is before its constructor."""
    import torch

    module: torch.nn.Module = make.__new__(make)
    torch.nn.Module.__init__(module)
    return module


def _argument(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _check_derived(module: torch.nn.Module, node: Node) -> None:
    """What the constructor computed must be what the file says."""
    for name in known.MODULES[node["class"]].derived:
        found = getattr(module, name)
        if callable(found):
            named = f"{found.__module__}.{found.__qualname__}"
            own = getattr(found, "__self__", None) is module
            found = {"method": found.__name__} if own else {"function": named}
        elif isinstance(found, tuple):
            found = list(found)
        if found != node["attributes"][name]:
            raise _WrongError(f"{name} is {_words(node['attributes'][name])}, and should be {_words(found)}")


def _check_container(node: Node) -> None:
    """What a container says of its children must fit them."""
    attributes, children = node["attributes"], node["children"]
    if len(attributes.get("stateful_layers", children)) != len(children):
        raise _WrongError("stateful_layers does not have an entry for each child")
    if "output_modules" not in attributes:
        return
    inner = children["module"]
    if not inner["class"].endswith(".SequentialState") or not inner["attributes"].get("return_hidden", True):
        raise _WrongError("its module is no SequentialState that returns what is hidden")
    named, count = attributes["output_modules"], len(inner["children"])
    if "same" not in inner and any(
        not -count <= one < count for one in (named if isinstance(named, list) else [named])
    ):
        raise _WrongError(f"output_modules is {named}, and there are {count} layers")


def _words(value: Any) -> str:
    return str(next(iter(value.values()))) if isinstance(value, dict) else repr(value)


def named(name: str) -> Any:
    """The class, function or type of a name of the tables; no other name is ever looked up.

    Raises:
        KeyError: the name stands in no table.
        MissingDependencyError: it is one of Norse's, and Norse is not installed.
    """
    if name not in _NAMES:
        raise KeyError(name)
    if name.startswith("norse."):
        import_norse()
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)
