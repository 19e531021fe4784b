"""How many bits a trace of norse-export recalls: by the readout in the period of RECALL, over held-out sequences."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import nir
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))

from task import asked, recalled


def recalled_share(trace: Path, sequences: Path) -> float:
    """The share of bits that the outputs in a trace recall, of the sequences in a raster file."""
    with np.load(sequences) as stored:
        given = asked(torch.from_numpy(stored["input"]))
    outputs = nir.read_data(trace).nodes["output"].observables["output"].data  # [B, T, 2]
    readout = torch.from_numpy(np.ascontiguousarray(outputs.swapaxes(0, 1)))
    return (recalled(readout, given.recall).argmax(1) == given.bits).double().mean().item()


def main(arguments: list[str] | None = None) -> None:
    """Print the share for a trace that `norse-export run ... --inputs test.npz -o trace.nir` wrote."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trace", type=Path)
    parser.add_argument("sequences", type=Path, nargs="?", default=Path(__file__).with_name("test.npz"))
    args = parser.parse_args(arguments)
    print(f"recalled in time: {recalled_share(args.trace, args.sequences):.2%}")


if __name__ == "__main__":
    main()
