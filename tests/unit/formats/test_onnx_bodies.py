"""Programs as local functions: every operation of integers, at the ends of its range, and those of floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from norse_export.formats.onnx.bodies import DOMAIN, Body, float_body
from norse_export.formats.onnx.integer_bodies import integer_body
from norse_export.formats.onnx.philox import philox_body
from norse_export.program.evaluate import evaluate
from norse_export.program.families import FAMILIES
from norse_export.program.operations import (
    FLOOR,
    HALF_EVEN,
    STOCHASTIC,
    TOWARD_ZERO,
    Rounding,
    equal,
    maximum,
    minimum,
    mul_shift,
    saturate,
    shift_left,
    shift_right,
    where,
    wrap,
    wrap_once,
)
from norse_export.program.philox import random_words
from norse_export.program.program import Family, Step

Array = NDArray[Any]
RNG = np.random.default_rng(0)


def called(body: Body, given: dict[str, Array], *, runtime: bool = True) -> list[Array]:
    """What a function gives, on onnxruntime or on onnx's own evaluator."""
    infos = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(given[name].dtype), given[name].shape)
        for name in body.inputs
    ]
    kind = TensorProto.INT64 if next(iter(given.values())).dtype == np.int64 else infos[0].type.tensor_type.elem_type
    axes = [f"axis{axis}" for axis in range(max(value.ndim for value in given.values()))]
    outputs = [helper.make_tensor_value_info(name, kind, axes) for name in body.outputs]
    node = helper.make_node(body.function.name, list(body.inputs), list(body.outputs), domain=DOMAIN)
    model = helper.make_model(
        helper.make_graph([node], "one", infos, outputs),
        functions=[body.function],
        ir_version=10,
        opset_imports=[helper.make_opsetid("", 18), helper.make_opsetid(DOMAIN, 1)],
    )
    onnx.checker.check_model(model, full_check=True)
    if not runtime:
        return [np.asarray(value) for value in ReferenceEvaluator(model).run(None, given)]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return [np.asarray(value) for value in session.run(None, given)]


def words(bits: int, count: int = 400) -> Array:
    """Numbers of that many bits: random ones, and those at the ends and around 0."""
    edge = 2 ** (bits - 1)
    ends = [-edge, -edge + 1, -3, -2, -1, 0, 1, 2, 3, edge - 2, edge - 1]
    return np.concatenate([np.array(ends), RNG.integers(-edge, edge, count)])


def of(step: Any, *ports: str) -> Family:
    """A family without states that sends what a function of its ports gives."""
    names = ports or ("x",)
    body = {1: lambda x: Step((), output=step(x)), 2: lambda x, y: Step((), output=step(x, y))}[len(names)]
    return Family("tried", body, names, ())


UNARY: dict[str, Any] = {
    "negated": lambda x: -x,
    "size": abs,
    "saturated": lambda x: saturate(x, -100, 2**35),
    "wrapped": lambda x: wrap(x, 24),
    "wrapped once": lambda x: wrap_once(x, -(2**31), 2**31 - 1),
    "left": lambda x: shift_left(x, 7),
    "chosen": lambda x: where((x > 3) & ~(x >= 900) | equal(x, -5), x, x + 1),
    **{
        f"right by {bits}, {rounding}": lambda x, b=bits, r=rounding: shift_right(x, b, r)
        for bits in (0, 1, 12, 40)
        for rounding in (FLOOR, TOWARD_ZERO, HALF_EVEN)
    },
}
BINARY: dict[str, Any] = {
    "smaller": minimum,
    "larger": maximum,
    "difference": lambda x, y: x - y,
    "product": lambda x, y: mul_shift(x, y, 9, HALF_EVEN),
    "product toward zero": lambda x, y: mul_shift(x, y, 5, TOWARD_ZERO),
}


@pytest.mark.parametrize("runtime", [True, False], ids=["onnxruntime", "reference evaluator"])
@pytest.mark.parametrize("name", UNARY)
def test_an_operation_of_one_integer_is_the_programs(name: str, runtime: bool) -> None:
    family = of(UNARY[name])
    for bits in (8, 25, 33, 36, 48):
        x = words(bits)
        (sent,) = called(integer_body(family.trace(), "tried", 18), {"x": x}, runtime=runtime)
        np.testing.assert_array_equal(sent, np.asarray(evaluate(family.trace(), {"x": x}).output, np.int64))


@pytest.mark.parametrize("runtime", [True, False], ids=["onnxruntime", "reference evaluator"])
@pytest.mark.parametrize("name", BINARY)
def test_an_operation_of_two_integers_is_the_programs(name: str, runtime: bool) -> None:
    """Of 33 bits and more, too, where Min and Max of onnxruntime 1.31 give the wrong one."""
    family = of(BINARY[name], "x", "y")
    for bits in (8, 25, 31, 34, 40) if name in ("smaller", "larger", "difference") else (8, 25, 30):
        x, y = words(bits), RNG.permutation(words(bits))
        (sent,) = called(integer_body(family.trace(), "tried", 18), {"x": x, "y": y}, runtime=runtime)
        np.testing.assert_array_equal(sent, evaluate(family.trace(), {"x": x, "y": y}).output)


def test_stochastic_rounding_takes_its_random_words() -> None:
    family = Family("tried", lambda x, r: Step((), output=shift_right(x, 11, STOCHASTIC, r)), ("x",), (), random=("r",))
    x = words(40)
    noise = RNG.integers(0, 2**32, x.size)
    (sent,) = called(integer_body(family.trace(), "tried", 18), {"x": x, "r": noise})
    np.testing.assert_array_equal(sent, shift_right(x, 11, Rounding.STOCHASTIC, noise))


def test_philox_is_the_generator_of_the_engine() -> None:
    neuron, sample = np.arange(50)[np.newaxis], np.arange(7)[:, np.newaxis]
    seed, node, stream = 2**63 + 987_654_321, 77, 3
    expected = random_words(seed, node=node, stream=stream, sample=sample, neuron=neuron, step=2**31)
    given = {
        "neuron": neuron,
        "step": np.array(2**31),
        "sample": sample,
        "stream": np.array(256 * node + stream),
        "key0": np.array(seed & 0xFFFFFFFF),
        "key1": np.array(seed >> 32),
    }
    for runtime in (True, False):
        (word,) = called(philox_body(18), given, runtime=runtime)
        np.testing.assert_array_equal(word, expected)


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_familys_function_is_its_step(name: str, dtype: str) -> None:
    """On values between -1 and 1 every sum is the same in any order; the last bit of an exponential is not."""
    family, rng = FAMILIES[name], np.random.default_rng(0)
    neurons = 5
    values: dict[str, Array] = {}
    for key in (*family.ports, *family.state, *family.parameters):
        drawn = rng.integers(-64, 65, (neurons, neurons) if key in family.matrices else (3, neurons)) / 64
        values[key] = np.asarray(drawn if key in family.ports + family.state + family.matrices else drawn[0], dtype)
    values |= {key: np.full(neurons, 0.5, dtype) for key in ("delta_t", "tau_steps") if key in values}  # divisors
    ports, states = ([values[key] for key in names] for names in (family.ports, family.state))
    expected = family.step(*ports, *states, **{key: values[key] for key in family.parameters})
    sent, *after = called(float_body(family, dtype, 18), values)
    wanted = expected.spike if expected.output is None else expected.output
    within = 1e-6 if "delta_t" in values else 0.0
    for actual, value in zip((sent, *after), (wanted, *expected.state), strict=True):
        assert actual.dtype == dtype
        np.testing.assert_allclose(actual, np.broadcast_to(value, actual.shape).astype(dtype), rtol=within, atol=within)


def test_a_program_of_integers_has_no_float_function() -> None:
    with pytest.raises(TypeError, match="wrap is no operation of floats"):
        float_body(of(lambda x: wrap(x, 8)), "float32", 18)
    with pytest.raises(TypeError, match=r"(exp|div) is no operation of integers"):
        integer_body(FAMILIES["lif_ex"].trace(), "tried", 18)
