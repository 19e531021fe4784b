"""Functions of torch.nn.functional that are layers: pooling, zero padding, dropout."""

from __future__ import annotations

from norse_export.frontend.builder import Value
from norse_export.frontend.functions.operation import Operation, Rule
from norse_export.frontend.leaf import pair
from norse_export.frontend.windows import ADAPTIVE_FIX, adaptive_kernel, adaptive_message, pad_sides
from norse_export.ir.layers import Pool
from norse_export.ir.shaping import Pad

_ZERO = (None, 0, 0.0)
_EVAL = "call model.eval() before saving: a trained model is exported as it is used, not as it is trained"


def _dropout(op: Operation) -> Value | None:
    given, found = op.given("p", "training", "inplace"), op.first()
    if found is None or given is None:
        return None
    value = found[1]
    if given.get("training", True) and given.get("p", 0.5) != 0:
        message = f"{op.function} in training mode is random"
        op.recording.builder.refuse("training", op.name, message, f"{_EVAL}, and pass training=self.training")
        return Value(None, value.lead)
    return value


def _pool(op: Operation, kind: str, *names: str) -> Value | None:
    given, found = op.given("kernel_size", "stride", "padding", *names), op.first()
    if given is None or found is None or found[1].lead != 1 or found[0].ndim != 4:
        return None
    x, value = found
    plain = {"dilation": 1, "ceil_mode": False, "return_indices": False, "divisor_override": None}
    if any(given.get(name, default) not in (default, (default, default)) for name, default in plain.items()):
        return None
    kernel, padding = pair(given["kernel_size"], 2), pair(given.get("padding", 0), 2)
    stride = given.get("stride") or kernel
    if kind == "avg" and not given.get("count_include_pad", True) and any(padding):
        return None
    shape = op.features(x, value)
    return op.add(lambda: Pool(kind, shape, kernel, pair(stride, 2), padding), value)  # type: ignore[arg-type]  # literal


def _max_pool(op: Operation) -> Value | None:
    return _pool(op, "max", "dilation", "ceil_mode", "return_indices")


def _avg_pool(op: Operation) -> Value | None:
    return _pool(op, "avg", "ceil_mode", "count_include_pad", "divisor_override")


def _adaptive(op: Operation, kind: str) -> Value | None:
    given, found = op.given("output_size", "return_indices"), op.first()
    if given is None or found is None or given.get("return_indices") or found[1].lead != 1 or found[0].ndim != 4:
        return None
    x, value = found
    shape = op.features(x, value)
    kernel = adaptive_kernel(shape[1:], given.get("output_size"))
    if kernel is None:
        message = adaptive_message(op.function, shape[1:], given.get("output_size"))
        op.recording.builder.refuse("pool_adaptive", op.name, message, ADAPTIVE_FIX)
        return Value(None, value.lead)
    return op.add(lambda: Pool(kind, shape, kernel, kernel), value)  # type: ignore[arg-type]  # literal


def _pad(op: Operation) -> Value | None:
    """torch.nn.functional.pad with zeros, of features alone."""
    given, found = op.given("pad", "mode", "value"), op.first()
    if given is None or found is None or given.get("mode", "constant") != "constant" or given.get("value") not in _ZERO:
        return None
    x, value = found
    sides = pad_sides(op.features(x, value), given.get("pad", ()))
    return None if sides is None else op.add(lambda: Pad(op.features(x, value), *sides), value)


LAYERS: dict[str, Rule] = {
    **dict.fromkeys(("dropout", "dropout2d", "feature_dropout"), _dropout),
    **dict.fromkeys(("max_pool2d", "_max_pool2d", "boolean_dispatch"), _max_pool),
    "avg_pool2d": _avg_pool,
    "adaptive_avg_pool2d": lambda op: _adaptive(op, "avg"),
    **dict.fromkeys(("adaptive_max_pool2d", "_adaptive_max_pool2d"), lambda op: _adaptive(op, "max")),
    "pad": _pad,
}
