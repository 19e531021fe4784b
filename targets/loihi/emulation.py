"""Emulation under the laws of Loihi: a network as the vendor's simulator takes it, or as its file holds it.

Both build the fixed graph and run the emulator of fixed graphs on it; nothing here computes a step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import UsageError
from norse_export.files.limits import Limits
from norse_export.interpret import fixed
from norse_export.ir.fixed import MAX_INPUT, FixedInput
from norse_export.ir.graph import Graph
from norse_export.ir.run import Run
from norse_export.ir.stages import FixedNode

from .lava_graph import INPUT, lava_graph
from .law import SIGNED
from .layers import LavaLayer, as_array, read_layer
from .loihi1_graph import POPULATION, loihi1_graph
from .netx import load_net

Array = NDArray[Any]
States = dict[str, Array]


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A fixed graph, rasters for its input, and the names of the populations that a recording is wanted of."""

    graph: Graph[FixedNode]
    inputs: Mapping[str, Array]
    populations: tuple[str, ...]

    def states_of(self, run: Run) -> list[States]:
        """u, v and s of each population, as `emulate` gives them, from a run of the graph with its states."""
        found = []
        for name in self.populations:
            recorded = run.observables[name]
            spikes = recorded.get(SIGNED, run.spikes[name])
            states = {"u": (recorded["u"], np.int32), "v": (recorded["v"], np.int32), "s": (spikes, np.int8)}
            found.append({key: _as_in_lava(values).astype(dtype) for key, (values, dtype) in states.items()})
        return found


def emulate(
    layers: Sequence[Mapping[str, Any]], raster: Array, law: Literal["lava", "loihi1"] = "lava"
) -> list[States]:
    """Run a network of integers, described layer by layer, and give u, v and s of every layer after every step.

    raster: [T, N], or [T, W, H, C] of images: row t is what the source sends in step t; it arrives a step later.
    Result: one dict for each layer: u and v int32, s int8 (0, 1; -1 too for TernaryLIF), [T, *shape]; of a convolution
    [T, W, H, C].

    law "lava": a dict for each layer, in order, with the keys (defaults in brackets)
        syn [dense]: dense, sparse, delay or conv. W: weights as given to Lava: [N_out, N_in]; of a convolution the
        kernel (C_out, kx, ky, C_in). Behind images, a dense layer takes them in torch's order, (C, H, W). weight_exp
        [0], num_weight_bits [8], sign_mode [auto; mixed, excitatory, inhibitory], num_message_bits [0]: of W, and of R
        where it is there: recurrent weights [N, N]. delays: of each synapse, 0 to 63. stride [1], padding [0], dilation
        [1]: one number, or (x, y); groups [1].
        neuron [LIF]: LIF, LIFReset (reset_interval, reset_offset [0]) or TernaryLIF (vth_hi, vth_lo). du [0], dv [0],
        vth, bias_mant [0], bias_exp [0], u0 [0], v0 [0]: one number, or one for each neuron.
        Other keys of the goldens' description are known, and not read.
    law "loihi1": one dict with W [N, N_in] and perhaps R [N, N], in units of the states, decay_u, decay_v, vth, bias,
        refract_delay, vmin, vmax.

    Raises:
        UsageError: a key is missing or unknown; a raster of the wrong shape, or of no whole numbers.
        UnsupportedError: neurons that the law does not have (ATRLIF, LIFRefractory), parameters that are not whole.
        GraphError: shapes that do not belong together.
    """
    prepared = prepare(layers, raster, law)
    return prepared.states_of(fixed.emulate(prepared.graph, prepared.inputs, states=True))


def emulate_net(
    path: str | Path, raster: Array, *, limits: Limits | None = None, additions: bool = True
) -> list[States]:
    """Run a lava-dl `.net` file as netx.hdf5.Network would load it, and give u, v and s of each block with neurons.

    raster and result: see `emulate`. The file is read in a limited child process; netx.py says what loading does.
    additions: with what an export of ours adds to it beside what netx reads (additions.py); False: as netx alone.

    Raises:
        InputFileError, UnsafeFileError, LimitError: the file cannot be read, or not safely.
        UnsupportedError: netx cannot load it: a type of layer or of neuron, or one of its defects; named.
        GraphError, UsageError: shapes that do not belong together, among the blocks or to the raster.
    """
    prepared = prepare_net(Path(path), raster, limits or Limits(), additions=additions)
    return prepared.states_of(fixed.emulate(prepared.graph, prepared.inputs, states=True))


def prepare(layers: Sequence[Mapping[str, Any]], raster: Array, law: str) -> Prepared:
    """What `emulate` runs: the graph and its input.

    Raises:
        UsageError, UnsupportedError, GraphError: see `emulate`.
    """
    given, source = _source(raster)
    if not isinstance(layers, list | tuple) or not all(isinstance(layer, Mapping) for layer in layers):
        message = f"layers are a {type(layers).__name__}, not a list of dicts"
        raise UsageError(message, where="layers", fix="give a list with one dict for each layer")
    match str(law):
        case "lava":
            return _of_lava([read_layer(str(number), layer) for number, layer in enumerate(layers)], given, source)
        case "loihi1":
            if len(layers) != 1:
                raise UsageError(f"{len(layers)} layers", where="layers", fix="give one dict under law loihi1")
            return Prepared(loihi1_graph(layers[0], source), {INPUT: given}, (POPULATION,))
        case _:
            raise UsageError(f"no law named {law!r}", where="law", fix="use lava or loihi1")


def prepare_net(path: Path, raster: Array, limits: Limits, *, additions: bool = True) -> Prepared:
    """What `emulate_net` runs.

    Raises:
        ExportError: see `emulate_net`.
    """
    net = load_net(path, limits, additions=additions)
    given, source = _source(raster)
    images = net.layers[0].forward.sort == "conv"
    expected = net.input_shape if images and net.input_shape else source.shape
    if images is not (len(source.shape) == 3) or source.shape != expected:
        message = f"wrong input shape {np.shape(raster)[1:]}, the file takes {'images' if images else 'vectors'}"
        fix = f"give [T, W, H, C]{f' with {expected[::-1]}' if net.input_shape else ''}" if images else "give [T, N]"
        raise UsageError(message, where="raster", fix=fix, kind="input_shape")
    return _of_lava(net.layers, given, source)


def _of_lava(layers: Sequence[LavaLayer], raster: Array, source: FixedInput) -> Prepared:
    if not layers:
        raise UsageError("a network without layers", where="layers", fix="give at least one")
    if not layers[0].forward.graded:
        raster, source = raster != 0, FixedInput(source.shape)
    return Prepared(lava_graph(layers, source), {INPUT: raster}, tuple(layer.name for layer in layers))


def _source(raster: Array) -> tuple[Array, FixedInput]:
    """The raster as [T, 1, *shape], images as [C, H, W], and the input that takes it."""
    given = as_array(raster, name="the raster", where="raster")
    if given.ndim not in (2, 4) or not given.size:
        message = f"wrong input shape {given.shape}"
        raise UsageError(message, where="raster", fix="give [T, N] or [T, W, H, C]", kind="input_shape")
    if given.dtype.kind not in "biuf" or not -MAX_INPUT <= float(given.min()) <= float(given.max()) <= MAX_INPUT:
        message = f"the raster (dtype {given.dtype}) does not hold numbers of 32 bits"
        raise UsageError(message, where="raster", fix="give spikes as whole numbers", kind="input_values")
    ordered = given.transpose(0, 3, 2, 1) if given.ndim == 4 else given
    low, high = min(0, int(given.min())), max(1, int(given.max()))
    return ordered[:, np.newaxis], FixedInput(ordered.shape[1:], low, high)


def _as_in_lava(values: Array) -> Array:
    """[T, 1, *shape] without the batch; images as (W, H, C)."""
    return values[:, 0].transpose(0, 3, 2, 1) if values.ndim == 5 else values[:, 0]
