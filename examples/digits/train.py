"""Train a spiking convolutional network on handwritten digits, and save it for norse-export."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from norse.torch import LICell, LIFCell, LIFParameters, SequentialState
from torch import Tensor, nn

import norse_export

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from grid import to_grid
from rasters import Digits, encode, split_digits
from unroll import Activity, activity, unroll

HERE = Path(__file__).resolve().parent
# Norse's neurons take in a tenth of their current in a step: with torch's initial weights the deeper layers never fire.
INITIAL_GAIN = 6.0
EXAMPLE_IMAGES = 24  # saved with the model, and what its layers do on them
TEST_SEED = 1_000_000  # of the spikes of the test images; the training spikes are drawn from the training seed


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The share of images whose digit was found, and the activity of each spiking layer."""

    accuracy: float
    layers: dict[str, Activity]


def build(seed: int = 0) -> SequentialState:
    """The untrained network; one call takes one step [B, 1, 8, 8] to ten membrane potentials [B, 10]."""
    fast = LIFParameters(
        tau_syn_inv=torch.as_tensor(1 / 4e-3), tau_mem_inv=torch.as_tensor(1 / 6e-3), v_th=torch.as_tensor(0.75)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SequentialState(
            nn.Conv2d(1, 8, 3, padding=1, bias=False),
            LIFCell(),
            nn.AvgPool2d(2),
            nn.Conv2d(8, 16, 3, padding=1),
            LIFCell(fast),
            nn.Flatten(),
            nn.Linear(256, 64),
            LIFCell(),
            nn.Linear(64, 10, bias=False),
            LICell(),
        )
    with torch.no_grad():
        for layer in (model[0], model[3], model[6]):
            layer.weight.mul_(INITIAL_GAIN)
    return model


def readout(outputs: Tensor) -> Tensor:
    """Scores [B, 10] from the membrane potentials [T, B, 10] of the last layer: their mean over time."""
    return outputs.mean(0)


def train(model: SequentialState, digits: Digits, *, epochs: int, seed: int = 0, batch: int = 64) -> list[float]:
    """Train the model in place with surrogate gradients, on new spikes in each epoch; the mean loss of each epoch."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    losses = []
    for _ in range(epochs):
        total = 0.0
        for chosen in torch.randperm(len(digits.labels), generator=generator).split(batch):
            scores = readout(unroll(model, encode(digits.images[chosen], generator)))
            loss = nn.functional.cross_entropy(scores, digits.labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(chosen)
        schedule.step()
        losses.append(total / len(digits.labels))
    return losses


def evaluate(model: SequentialState, raster: Tensor, labels: Tensor) -> Evaluation:
    """Accuracy and activity on a raster [T, B, 1, 8, 8] and its labels [B]."""
    outputs, layers = activity(model, raster)
    found = readout(outputs).argmax(1) == labels
    return Evaluation(found.double().mean().item(), layers)


def main(arguments: list[str] | None = None) -> None:
    """Train, evaluate, and write the model, and beside it test.npz: the spikes and labels of the test images."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--images", type=int, help="train on the first so many images only")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and the training")
    parser.add_argument("--grid", type=int, metavar="BITS", help="round weights and biases to a power-of-two grid")
    parser.add_argument("--out", type=Path, default=HERE / "model.pt", help="where the model goes")
    parser.add_argument("--force", action="store_true", help="replace a model that is there")
    args = parser.parse_args(arguments)
    if args.out.exists() and not args.force:
        parser.error(f"{args.out} exists; give --force to replace it, or another --out")
    torch.set_num_threads(1)  # float sums depend on how they are split over threads
    torch.use_deterministic_algorithms(True)

    training, test = split_digits()
    raster = encode(test.images, torch.Generator().manual_seed(TEST_SEED))
    model = build(args.seed)
    start = time.perf_counter()
    losses = train(model, training.first(args.images), epochs=args.epochs, seed=args.seed)
    print(f"loss {losses[0]:.3f} in the first epoch, {losses[-1]:.3f} in the last; {time.perf_counter() - start:.0f} s")
    if args.grid is not None:
        model = to_grid(model, args.grid)
    result = evaluate(model, raster, test.labels)
    print(f"accuracy on {len(test.labels)} test images: {result.accuracy:.1%}")
    for name, layer in result.layers.items():
        print(f"layer {name}: {layer}")

    np.savez_compressed(args.out.with_name("test.npz"), input=raster.numpy().astype(bool), labels=test.labels.numpy())
    norse_export.save(model, args.out, raster[:, :EXAMPLE_IMAGES], force=args.force)


if __name__ == "__main__":
    main()
