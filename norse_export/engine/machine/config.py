"""The parameters of the reference machine, and the TOML file that holds them."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from norse_export.errors import Finding, InputFileError, UsageError
from norse_export.files.checked import open_input

MAX_SIDE = 64  # of the mesh: 6 bits of a flit for each coordinate
MAX_AXONS = 2**19  # entries of an axon table, cells that the host reads: 19 bits of a flit
MAX_WORDS = 2**20 - 1  # of one row: 20 bits of an axon entry
MAX_CONFIG_BYTES = 2**20


def _parameter(default: int, low: int, high: int, reason: str) -> Any:
    return field(default=default, metadata={"low": low, "high": high, "reason": reason})


@dataclass(frozen=True, slots=True, kw_only=True)
class MachineConfig:
    """Every parameter of the machine but the size of its mesh, which the placement gives.

    Times in cycles, depths in entries. The names are those of docs/reference_machine.md.

    Raises:
        UsageError: a parameter that is not a whole number in its range, or a word too narrow for its lanes; every
            violation is a finding.
    """

    lanes: int = _parameter(8, 1, 64, "synapses added in a cycle; 8 banks of accumulators are cheap in any technology")
    word_bits: int = _parameter(256, 8, 4096, "width of the synapse memory: 8 lanes of 28 bits and a delay")
    weight_bits: int = _parameter(16, 2, 32, "of a weight in a word; laws have up to 16")
    index_bits: int = _parameter(12, 1, 20, "of a row of accumulators: 8 lanes x 4096 rows = 32768 a core")
    delay_slots: int = _parameter(16, 1, 2**16, "accumulators in the ring; the greatest delay is one less")
    axon_cycles: int = _parameter(2, 1, 1000, "take a flit, read its axon entry")
    synapse_latency: int = _parameter(3, 1, 1000, "read a word, multiply, add and write")
    neuron_interval: int = _parameter(1, 1, 1000, "from one neuron to the next: a full pipeline")
    neuron_depth: int = _parameter(8, 1, 10_000, "stages: read states, two products of 24 bits, threshold, write")
    send_cycles: int = _parameter(1, 1, 1000, "take a record, find its list of destinations")
    router_cycles: int = _parameter(1, 1, 1000, "from a router's input into the queue of a link")
    link_cycles: int = _parameter(1, 1, 1000, "over a wire to the neighbour")
    host_interval: int = _parameter(1, 1, 10**6, "from one flit of the host to the next: a port as fast as a link")
    barrier_cycles: int = _parameter(2, 1, 10**6, "decide in the corner")
    barrier_hop_cycles: int = _parameter(1, 0, 1000, "of the barrier network, one hop")
    step_cycles: int = _parameter(1, 0, 10**6, "from the last release of a step to the next step: the ring moves on")
    input_queue_depth: int = _parameter(256, 1, 2**31, "flits that wait for the synapse unit, the slowest of all units")
    output_queue_depth: int = _parameter(64, 1, 2**31, "records that wait for the sender")
    link_queue_depth: int = _parameter(16, 1, 2**31, "flits that wait for a link")

    def __post_init__(self) -> None:
        if findings := [*_out_of_range(self)] or [*_too_narrow(self)]:
            raise UsageError.of(findings)

    @property
    def delay_bits(self) -> int:
        """Of the delay in a word."""
        return (self.delay_slots - 1).bit_length()

    @property
    def accumulators(self) -> int:
        """Cells of a slot of a core."""
        return self.lanes << self.index_bits


def read_config(path: Path) -> MachineConfig:
    """Read a TOML file of parameters; those that it does not name keep their defaults.

    Raises:
        InputFileError: the file is missing, unreadable, too long or not TOML.
        UsageError: a name that is no parameter, or what `MachineConfig` refuses.
    """
    with open_input(path) as file:
        content = file.read(MAX_CONFIG_BYTES + 1)
    if len(content) > MAX_CONFIG_BYTES:
        raise InputFileError(
            f"the file has more than {MAX_CONFIG_BYTES} bytes", where=str(path), fix="give a file of parameters"
        )
    try:
        values = tomllib.loads(content.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InputFileError(f"not TOML: {error}", where=str(path), fix="write lines such as lanes = 8") from error
    return config_from(values, where=str(path))


def config_from(values: Mapping[str, Any], *, where: str) -> MachineConfig:
    """Parameters by name; those that are not named keep their defaults.

    Raises:
        UsageError: a name that is no parameter, or what `MachineConfig` refuses; every violation is a finding.
    """
    known = {one.name for one in fields(MachineConfig)}
    findings = [
        Finding("machine", "error", f"{where}: {name}", f"no parameter of the machine is called {name!r}", _names())
        for name in values
        if name not in known
    ]
    if findings:
        raise UsageError.of(findings)
    try:
        return MachineConfig(**values)
    except UsageError as error:
        raise UsageError.of([_within(finding, where) for finding in error.findings]) from None


def config_text(config: MachineConfig) -> str:
    """The parameters as a TOML file, each with its reason; reading it gives them back."""
    lines = [f"{f'{one.name} = {getattr(config, one.name)}':32}# {one.metadata['reason']}" for one in fields(config)]
    return "\n".join(["# The reference machine; times in cycles, depths in entries.", *lines, ""])


def _out_of_range(config: MachineConfig) -> list[Finding]:
    findings = []
    for one in fields(config):
        value, low, high = getattr(config, one.name), one.metadata["low"], one.metadata["high"]
        if type(value) is not int or not low <= value <= high:
            findings.append(_finding(one, f"{one.name} = {value!r}", f"use a whole number from {low} to {high}"))
    return findings


def _too_narrow(config: MachineConfig) -> list[Finding]:
    needed = config.delay_bits + config.lanes * (config.index_bits + config.weight_bits)
    if needed <= config.word_bits:
        return []
    message = f"a word of {config.word_bits} bits; {config.lanes} lanes and a delay need {needed}"
    where = "word_bits"
    fix = f"use word_bits = {needed} or more, fewer lanes, or smaller weight_bits, index_bits or delay_slots"
    return [Finding("machine", "error", where, message, fix)]


def _finding(one: Field[Any], message: str, fix: str) -> Finding:
    return Finding("machine", "error", one.name, message, fix)


def _within(finding: Finding, where: str) -> Finding:
    return Finding(finding.kind, finding.severity, f"{where}: {finding.where}", finding.message, finding.fix)


def _names() -> str:
    return f"use one of: {', '.join(one.name for one in fields(MachineConfig))}"
