"""Start-up: the wall time of `norse-export --help` divided by that of `python -c 'import torch'`, in one run.

python benchmarks/startup.py
"""

from __future__ import annotations

import json
import sys

from measure import command, machine, timed

REPEATS = 7


def main() -> None:
    """Interleave the two commands, take the minimum of each, and print one JSON object."""
    ours, torch = [], []
    for _ in range(REPEATS):
        ours.append(timed([command(), "--help"]))
        torch.append(timed([sys.executable, "-c", "import torch"]))
    record = {
        "name": "startup",
        "ratio": round(min(ours) / min(torch), 4),
        "goal": 0.15,
        "help_seconds": ours,
        "import_torch_seconds": torch,
        "machine": machine(),
    }
    print(json.dumps(record, indent=1))


if __name__ == "__main__":
    main()
