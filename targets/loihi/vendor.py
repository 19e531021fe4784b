"""Intel's Lava on an artefact: lava-dl's netx loads the net, Lava's bit-accurate models run it, both are compared.

Lava needs Python 3.10, so it runs in an interpreter of its own, in a process, a home and a temporary folder of its own:
`run_on_loihi.py` of this package, never the copy that lies in the artefact.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from norse_export.errors import Finding, MissingDependencyError, UsageError
from norse_export.files.limits import Limits
from norse_export.formats.traces import TraceNode, write
from norse_export.ir.fixed import FixedInput, Population
from norse_export.ir.graph import Graph
from norse_export.ir.layers import Output
from norse_export.ir.run import Run
from norse_export.ir.stages import FixedNode
from norse_export.target import Compared, VendorReport

from . import law
from .layers import LavaLayer, Projection, as_channels_first, as_correlation
from .netx import LoadedNet, load_net
from .recording import KEY, MAX_SAMPLES
from .replay import NET, replayed_graph, takes_images

Array = NDArray[Any]
LAVA = "lava"
PACKAGES = ("lava-nc", "lava-dl")
PROBE_SECONDS, RUN_SECONDS = 300, 3600  # Lava waits for ever where one of its processes dies
SCRIPT = Path(__file__).with_name("run_on_loihi.py")
INSTALL = (
    "make an environment of Python 3.10 (python3.10 -m venv lava), install into it (lava/bin/pip install lava-nc"
    " lava-dl), and name its interpreter: --vendor-python lava/bin/python"
)
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS")
_PROBE = """
import importlib, importlib.metadata, json, sys
for name in ("lava.magma.core.run_configs", "lava.lib.dl.netx.hdf5"):
    importlib.import_module(name)
found = {name: importlib.metadata.version(name) for name in sys.argv[1:]}
print(json.dumps({"python": sys.version.split()[0], **found}))
"""


def lava_report(artefact: Path, inputs: Mapping[str, Array], python: Path | None) -> VendorReport:
    """What Lava made of an artefact: weights and registers that netx loaded, and a run of the first samples.

    artefact: a folder, or a `.net` file. inputs: rasters [T, B, *shape].

    Raises:
        UsageError: there is no such interpreter. MissingDependencyError: Lava is not installed in it.
        ExportError: the artefact is damaged.
    """
    interpreter = _interpreter(python)
    limits = Limits()
    graph = replayed_graph(artefact, limits)
    net_file = (artefact / NET if artefact.is_dir() else artefact).absolute()
    net = load_net(net_file, limits)
    with tempfile.TemporaryDirectory(prefix="norse-export-lava-") as home:
        version = _version(interpreter, Path(home))
        samples = _write_rasters(Path(home) / "raster.nir", graph, net, inputs)
        ended = _run(interpreter, Path(home), "-W", "ignore", str(SCRIPT), *_arguments(net_file, Path(home)))
        if ended.code != 0:
            return VendorReport(LAVA, version, findings=(_failed(ended),))
        with np.load(Path(home) / "found.npz", allow_pickle=False) as found:
            read = {name: found[name] for name in found.files}
    figures = {"layers": len(net.layers), "steps": len(next(iter(inputs.values()))), "samples": samples}
    return VendorReport(LAVA, version, _compared(net, read), figures, _run_of(graph, net, read, version))


def _interpreter(python: Path | None) -> str:
    if python is None:
        return sys.executable
    if not (python.is_file() and os.access(python, os.X_OK)):
        message = f"{str(python)!r} is no interpreter: there is no such file, or it cannot be run"
        raise UsageError(message, where="--vendor-python", fix="name the python of the environment that has Lava")
    return str(python.absolute())


@dataclass(frozen=True, slots=True)
class _Ended:
    """How a process ended; code None: its time was over."""

    code: int | None
    out: str
    told: str


def _run(interpreter: str, home: Path, *arguments: str, seconds: float = RUN_SECONDS) -> _Ended:
    """Run the interpreter in a home of its own; all that it started is gone afterwards."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    users = os.environ.get("PYTHONUSERBASE", str(Path.home() / ".local"))  # where pip install --user puts packages
    environment = {**kept, "HOME": str(home), "TMPDIR": str(home), "PYTHONUSERBASE": users}
    process = subprocess.Popen(  # noqa: S603 - the interpreter that the user named, on a script of ours
        [interpreter, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=home,
        env=environment,
        start_new_session=True,
    )
    try:
        out, told = process.communicate(timeout=seconds)
        code: int | None = process.returncode
    except subprocess.TimeoutExpired:
        code, out, told = None, b"", b""
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # Lava's own processes too, should they still be there
        process.wait()
    return _Ended(code, out.decode("utf-8", "replace"), told.decode("utf-8", "replace"))


def _version(interpreter: str, home: Path) -> str:
    """Versions of Lava and of Python.

    Raises:
        MissingDependencyError: Lava cannot be imported there.
    """
    ended = _run(interpreter, home, "-W", "ignore", "-c", _PROBE, *PACKAGES, seconds=PROBE_SECONDS)
    try:
        found = json.loads(ended.out.strip().splitlines()[-1]) if ended.code == 0 else None
    except (ValueError, IndexError):
        found = None
    if not isinstance(found, dict):
        reason = (ended.told.strip().splitlines() or ["it did not answer"])[-1][:200]
        message = f"Lava cannot be imported by {interpreter}: {reason}"
        raise MissingDependencyError(message, where="--vendor lava", fix=INSTALL)
    return ", ".join(f"{name} {found.get(name)}" for name in (*PACKAGES, "python"))


def _write_rasters(path: Path, graph: Graph[FixedNode], net: LoadedNet, inputs: Mapping[str, Array]) -> int:
    """Write the first samples as the script reads them; how many."""
    name = next(name for name, node in graph.nodes.items() if isinstance(node, FixedInput))
    raster = np.asarray(inputs[name])[:, :MAX_SAMPLES]
    shape = raster.shape[2:] if takes_images(net) else (int(np.prod(raster.shape[2:])),)
    layers = [str(number) for number in range(len(net.layers))]
    told = {"input": "input", "input_shape": [int(size) for size in shape], "layers": layers}
    nodes = {"input": TraceNode({"input": (raster != 0).astype(np.bool_)}, 1.0)}
    write(path, nodes, {KEY: json.dumps(told)})
    return int(raster.shape[1])


def _arguments(net_file: Path, home: Path) -> tuple[str, ...]:
    return ("--net", str(net_file), "--recording", str(home / "raster.nir"), "--save", str(home / "found.npz"))


def _failed(ended: _Ended) -> Finding:
    reason = f"it did not end within {RUN_SECONDS} s" if ended.code is None else _last_words(ended.told)
    fix = "please report it with the artefact; without --vendor the artefact is written all the same"
    return Finding("vendor", "error", NET, f"Lava could not run the net: {reason}", fix)


def _last_words(told: str) -> str:
    lines = [line for line in told.splitlines() if line.startswith("could not run: ")]
    return (lines or told.strip().splitlines() or ["it said nothing"])[-1][:300]


def _compared(net: LoadedNet, read: Mapping[str, Array]) -> dict[str, Compared]:
    """Weights and registers that netx loaded, against those that we foretold."""
    weights = [pair for n, layer in enumerate(net.layers) for pair in _weights(layer, n, read)]
    registers = [pair for n, layer in enumerate(net.layers) for pair in _registers(layer, n, read)]
    return {
        what: Compared(sum(one.size for one, _ in pairs), sum(_differing(*pair) for pair in pairs))
        for what, pairs in (("weights", weights), ("registers", registers))
    }


def _differing(foretold: Array, loaded: Array | None) -> int:
    if loaded is None or loaded.shape != foretold.shape:
        return int(foretold.size)
    return int(np.count_nonzero(foretold != loaded))


def _weights(layer: LavaLayer, number: int, read: Mapping[str, Array]) -> Iterator[tuple[Array, Array | None]]:
    for part, name in ((layer.forward, "synapse"), (layer.recurrent, "recurrent")):
        if part is not None:
            loaded = read.get(f"{name}.weight_{number}")
            is_kernel = part.sort == "conv" and loaded is not None and loaded.ndim == 4
            yield part.weight, as_correlation(loaded) if is_kernel and loaded is not None else loaded
            if part.sort != "conv":
                yield from _exponents(part, name, number, read)


def _exponents(
    part: Projection, name: str, number: int, read: Mapping[str, Array]
) -> Iterator[tuple[Array, Array | None]]:
    for key, value in (("weight_exp", part.weight_exp), ("num_weight_bits", part.num_weight_bits)):
        loaded = read.get(f"{name}.{key}_{number}")
        yield np.asarray([value]), None if loaded is None else loaded.reshape(-1)


def _registers(layer: LavaLayer, number: int, read: Mapping[str, Array]) -> Iterator[tuple[Array, Array | None]]:
    """Of each register what the law makes of it, so that one number and many equal ones are the same."""
    spatial = layer.forward.sort == "conv"

    def register(key: str) -> Array | None:
        value = read.get(f"{key}_{number}")
        if value is None:
            return None
        whole = value.astype(np.int64)
        return as_channels_first(whole.reshape(()) if whole.size == 1 else whole, spatial=spatial)

    du, dv, threshold = register("du"), register("dv"), register("vth")
    mantissa, exponent = register("bias_mant"), register("bias_exp")
    loaded = {
        "u_keep": None if du is None else law.current_keep(du),
        "v_keep": None if dv is None else law.voltage_keep(dv),
        "v_th": None if threshold is None else law.aligned_threshold(threshold),
        "bias": None if mantissa is None or exponent is None else law.lava_bias(mantissa, exponent),
    }
    for name, value in loaded.items():
        foretold = np.asarray(layer.neurons.parameters[name])
        if value is None:
            yield foretold.reshape(-1), None
            continue
        try:
            spread = np.broadcast_arrays(foretold, value)
        except ValueError:
            yield foretold.reshape(-1), value
            continue
        yield spread[0].reshape(-1), spread[1].reshape(-1)


def _run_of(graph: Graph[FixedNode], net: LoadedNet, read: Mapping[str, Array], version: str) -> Run:
    """Spikes and states of every layer, under the names of the graph; outputs that a layer sends as it stands."""
    names = [name for name in graph.order if isinstance(graph.nodes[name], Population)]
    spikes: dict[str, Array] = {}
    states: dict[str, dict[str, Array]] = {}
    for number, name in enumerate(names[: len(net.layers)]):
        node = graph.nodes[name]
        shape = node.output_shape
        found = {key: _shaped(read[f"{key}_{number}"], shape) for key in ("spikes", "u", "v")}
        states[name] = {key: found[key] for key in ("u", "v")}
        if isinstance(node, Population) and node.spikes:
            spikes[name] = found["spikes"] != 0
    sent = {name: spikes.get(name, states[name]["v"] * _unit(graph, name)) for name in states}
    outputs = {}
    for name, node in graph.nodes.items():
        sources = [edge.source for edge in graph.incoming(name)]
        if isinstance(node, Output) and len(sources) == 1 and sources[0] in sent:
            outputs[name] = sent[sources[0]].astype(np.float64)
    return Run(spikes, outputs, f"{version}, on the CPU", states)


def _unit(graph: Graph[FixedNode], name: str) -> Any:
    node = graph.nodes[name]
    return node.unit.get("v", np.float64(1)) if isinstance(node, Population) else np.float64(1)


def _shaped(values: Array, shape: tuple[int, ...]) -> Array:
    """[T, B, n] as [T, B, *shape]."""
    return values.reshape(*values.shape[:2], *shape).astype(np.int64)
