"""Run with NUMBA_DISABLE_JIT=1: the engine's kernels as plain Python, against the emulator, on random fixed nets."""

from __future__ import annotations

import sys

import numba
from fixed_comparison import first_difference
from random_fixed_nets import random_fixed_net

from norse_export.engine.network import compile_network
from norse_export.interpret.fixed import emulate


def compare(first: int, count: int) -> int:
    """How many nets were the same; stops at the first that is not."""
    if not numba.config.DISABLE_JIT:
        raise SystemExit("the JIT is not disabled")
    for seed in range(first, first + count):
        net = random_fixed_net(seed)
        done = compile_network(net.graph, general_below=32 * (seed % 2)).run(net.inputs, states=True)
        difference = first_difference(emulate(net.graph, net.inputs, states=True), done.run)
        if difference is not None:
            raise SystemExit(f"net {seed}: {difference}")
    return count


if __name__ == "__main__":
    print(compare(int(sys.argv[1]), int(sys.argv[2])), "equal")
