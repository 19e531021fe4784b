"""Build the network of Norse's introduction, train it a few steps, make it fire, and save it for norse-export."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from norse.torch import LIFCell, SequentialState
from norse.torch.functional.encode import poisson_encode
from torch import Tensor, nn

import norse_export

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grid import to_grid
from unroll import activity, unroll

HERE = Path(__file__).resolve().parent
STEPS = 32
IMAGE_SHAPE = (8, 3, 28, 28)  # batch, channels, height, width
SPIKE_PROBABILITY = 0.1  # of each input in each step
LEARNING_RATE = 1e-3
# Convolution weights are multiplied by these after the training; without, the second LIF layer never fires.
GAINS = {"0": 12.0, "2": 8.0}


def build(seed: int = 0) -> SequentialState:
    """The untrained network of the introduction; one call takes one step [B, 3, 28, 28] to scores [B, 10]."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return SequentialState(
            nn.Conv2d(3, 6, 7, 1),
            LIFCell(),
            nn.Conv2d(6, 12, 7, 1),
            LIFCell(),
            nn.Flatten(1),
            nn.Linear(3072, 10, bias=False),
        )


def train(model: SequentialState, *, updates: int, seed: int = 0) -> list[float]:
    """Train the model in place with RMSprop on random images and labels; the loss before each update.

    As in the introduction, an image of normally distributed numbers is shown for 32 steps, and the output of the
    last step counts.
    """
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(IMAGE_SHAPE, generator=generator)
    labels = torch.randint(10, IMAGE_SHAPE[:1], generator=generator)
    optimizer = torch.optim.RMSprop(model.parameters(), lr=LEARNING_RATE)
    losses = []
    for _ in range(updates):
        outputs = unroll(model, images.expand(STEPS, *IMAGE_SHAPE))
        loss = nn.functional.cross_entropy(outputs[-1], labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@torch.no_grad()
def amplify(model: SequentialState) -> None:
    """Multiply the weights of the convolutions in place, so that both LIF layers fire."""
    for name, gain in GAINS.items():
        model.get_submodule(name).weight.mul_(gain)


def spikes(seed: int = 0) -> Tensor:
    """The raster [32, 8, 3, 28, 28] of Poisson spikes, zeros and ones in float32."""
    generator = torch.Generator().manual_seed(seed)
    brightness = torch.full(IMAGE_SHAPE, SPIKE_PROBABILITY)
    return poisson_encode(brightness, STEPS, f_max=1000.0, dt=1e-3, generator=generator)


def main(arguments: list[str] | None = None) -> None:
    """Build, train, amplify, and write the model with its raster."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--updates", type=int, default=10, help="training steps")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--grid", type=int, metavar="BITS", help="round weights and biases to a power-of-two grid")
    parser.add_argument("--out", type=Path, default=HERE / "model.pt", help="where the model goes")
    parser.add_argument("--force", action="store_true", help="replace a model that is there")
    args = parser.parse_args(arguments)
    if args.out.exists() and not args.force:
        parser.error(f"{args.out} exists; give --force to replace it, or another --out")
    torch.set_num_threads(1)  # float sums depend on how they are split over threads
    torch.use_deterministic_algorithms(True)

    model, raster = build(args.seed), spikes(args.seed)
    losses = train(model, updates=args.updates, seed=args.seed)
    print("loss before each update: " + ", ".join(f"{loss:.3f}" for loss in losses))
    amplify(model)
    if args.grid is not None:
        model = to_grid(model, args.grid)
    for name, layer in activity(model, raster)[1].items():
        print(f"layer {name}: {layer}")
    norse_export.save(model, args.out, raster, force=args.force)


if __name__ == "__main__":
    main()
