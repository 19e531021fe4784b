"""Builds torch modules from the document and the arrays that `torch_file.parse` gives.

No name is taken from the file: classes and functions come from the tables below, whose keys are those of
`known_classes`. What a constructor computes itself must be what the file says, else the file is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
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

__all__ = ["from_factory", "load_state_dict", "rebuild"]

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
        self._classes: dict[str, Any] = {}
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

    def _class(self, name: str) -> Any:
        if not self._classes:
            self._classes = _torch_classes()
        if name not in self._classes:
            self._classes |= _norse_classes()
        return self._classes[name]

    def _build(self, node: Node, children: Mapping[str, torch.nn.Module]) -> torch.nn.Module:
        """A module of the node's class. Parameters and buffers of torch's own come later, see `_fill`."""
        name, attributes = node["class"], node["attributes"]
        make, spec = self._class(name), known.MODULES[name]
        module: torch.nn.Module
        if spec.children is not known.Children.NONE:
            module = make() if spec.children is known.Children.NAMED else make(*children.values())
            for child_name, child in children.items():
                module.add_module(child_name, child)
            for attribute in spec.arguments:
                setattr(module, attribute, attributes[attribute])
            if len(attributes.get("stateful_layers", children)) != len(children):
                raise _WrongError("stateful_layers does not have an entry for each child")
        elif name in known.RECURRENT:
            module = self._recurrent(node)
        elif "p" in spec.arguments and "dt" in spec.arguments:
            parameters = self._value(attributes["p"])
            module = make(p=parameters, dt=self._value(attributes["dt"]))
            module.p = parameters
        else:
            arguments = {argument: _argument(attributes[argument]) for argument in spec.arguments}
            if (
                "bias" in spec.parameters
                and attributes.get("affine", True)
                and attributes["_parameters"]["bias"] is None
            ):
                arguments["bias"] = False  # of normalisations only newer torch has this argument
            module = make(**arguments, **({"device": "meta"} if spec.parameters else {}))
        if "record_states" in attributes:
            module.record_states = attributes["record_states"]
        return module

    def _recurrent(self, node: Node) -> torch.nn.Module:
        """A recurrent cell. Its constructor zeroes the diagonal of the weights; the file's values come back after."""
        import torch

        attributes = node["attributes"]
        sources = {**attributes["_parameters"], **attributes}
        weights, sizes = [], []
        for weight, size in zip(known.WEIGHTS, ("input_size", "hidden_size"), strict=True):
            weights.append(self._value(sources[weight]))
            sizes.append(self._value(attributes[size]))
            if sizes[-1].shape != () or sizes[-1].is_floating_point():
                raise _WrongError(f"{size} is not a whole number")
        shape = tuple(size.item() for size in sizes)
        for weight, expected in zip(weights, (shape[::-1], (shape[1], shape[1])), strict=True):
            if tuple(weight.shape) != expected or not weight.is_floating_point():
                raise _WrongError(f"weights of shape {tuple(weight.shape)} and type {weight.dtype}, not {expected}")
        values, requires_grad = weights[1].detach().clone(), weights[1].requires_grad
        module: torch.nn.Module = self._class(node["class"])(
            *shape,
            p=(parameters := self._value(attributes["p"])),
            dt=self._value(attributes["dt"]),
            autapses=attributes["autapses"],
            input_weights=weights[0],
            recurrent_weights=weights[1],
        )
        with torch.no_grad():
            weights[1].copy_(values)
        weights[1].requires_grad_(requires_grad)
        module.p = parameters
        module.input_size, module.hidden_size = sizes
        return module

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
                return self._class(name)
            case {"class": name, "fields": fields}:
                return self._class(name)(**{field: self._value(inner) for field, inner in fields.items()})
        return _argument(value)


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


def _words(value: Any) -> str:
    return str(next(iter(value.values()))) if isinstance(value, dict) else repr(value)


def _torch_classes() -> dict[str, Any]:
    from torch import nn

    modules = "torch.nn.modules"
    return {
        f"{modules}.container.Sequential": nn.Sequential,
        f"{modules}.linear.Linear": nn.Linear,
        f"{modules}.linear.Identity": nn.Identity,
        f"{modules}.conv.Conv1d": nn.Conv1d,
        f"{modules}.conv.Conv2d": nn.Conv2d,
        f"{modules}.flatten.Flatten": nn.Flatten,
        f"{modules}.pooling.AvgPool2d": nn.AvgPool2d,
        f"{modules}.pooling.MaxPool2d": nn.MaxPool2d,
        f"{modules}.pooling.LPPool2d": nn.LPPool2d,
        f"{modules}.batchnorm.BatchNorm1d": nn.BatchNorm1d,
        f"{modules}.batchnorm.BatchNorm2d": nn.BatchNorm2d,
        f"{modules}.dropout.Dropout": nn.Dropout,
        f"{modules}.dropout.Dropout2d": nn.Dropout2d,
    }


def _norse_classes() -> dict[str, Any]:
    """Classes of modules and parameters, and the reset functions; activations come with their modules."""
    norse = import_norse()
    modules, functional = "norse.torch.module", "norse.torch.functional"
    return {
        f"{modules}.sequential.SequentialState": norse.SequentialState,
        f"{modules}.lift.Lift": norse.Lift,
        f"{modules}.lif.LIFCell": norse.LIFCell,
        f"{modules}.lif.LIF": norse.LIF,
        f"{modules}.lif.LIFRecurrentCell": norse.LIFRecurrentCell,
        f"{modules}.lif.LIFRecurrent": norse.LIFRecurrent,
        f"{modules}.lif_box.LIFBoxCell": norse.LIFBoxCell,
        f"{modules}.leaky_integrator.LICell": norse.LICell,
        f"{modules}.leaky_integrator.LI": norse.LI,
        f"{modules}.leaky_integrator_box.LIBoxCell": norse.LIBoxCell,
        f"{modules}.iaf.IAFCell": norse.IAFCell,
        f"{modules}.iaf.IAF": norse.IAF,
        f"{functional}.lif.LIFParameters": norse.LIFParameters,
        f"{functional}.lif_box.LIFBoxParameters": norse.LIFBoxParameters,
        f"{functional}.leaky_integrator.LIParameters": norse.LIParameters,
        f"{functional}.leaky_integrator_box.LIBoxParameters": norse.LIBoxParameters,
        f"{functional}.iaf.IAFParameters": norse.IAFParameters,
        f"{functional}.reset.reset_value": norse.reset_value,
        f"{functional}.reset.reset_subtract": norse.reset_subtract,
    }
