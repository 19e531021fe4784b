"""Train a recurrent network of adaptive neurons (LSNN) to store a bit and to recall it; save it for norse-export."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
from norse.torch import LILinearCell, LSNNParameters, LSNNRecurrentCell, SequentialState
from torch import Tensor, nn

import norse_export

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from task import INPUTS, Sequences, recalled, sequences
from unroll import unroll

HERE = Path(__file__).resolve().parent
NEURONS = 40
INPUT_GAIN, FEEDBACK_GAIN = 4.0, 0.3  # of Norse's initial weights: the input wakes the network, feedback only tints it
# Short sequences first: what remembers over one period is a good start for remembering over five.
LESSONS = {2: 40, 4: 150, 6: 200}  # periods of a sequence -> steps of training
TRAINING_SEQUENCES, TEST_SEQUENCES, EXAMPLE_SEQUENCES = 2048, 512, 24
TRAINING_SEED, TEST_SEED = 1, 1_000_000
SHARPNESS, MOST_SPIKES = 3.0, 0.05  # of the loss: how sharp the answer is; how often a neuron may fire in a step

# Norse's defaults would hinder: there a spike raises the threshold by 1.8, nearly twice the threshold itself, and
# tau_adapt is 800 seconds, so that nothing is ever forgotten. Here a spike raises it by a tenth of the threshold, which
# decays with 300 ms, more than twice the length of a sequence. The surrogate gradient is that of Bellec et al.
PARAMETERS = LSNNParameters(
    tau_adapt_inv=torch.as_tensor(1 / 0.3),
    v_th=torch.as_tensor(1.0),
    beta=torch.as_tensor(0.1),
    method="triangle",
    alpha=0.3,
)


def build(seed: int = 0) -> SequentialState:
    """The untrained network; one call takes one step [B, 20] to two membrane potentials [B, 2]."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = SequentialState(LSNNRecurrentCell(INPUTS, NEURONS, PARAMETERS), LILinearCell(NEURONS, 2))
    with torch.no_grad():
        model[0].input_weights.mul_(INPUT_GAIN)
        model[0].recurrent_weights.mul_(FEEDBACK_GAIN)
    return model


def unrolled(model: SequentialState, raster: Tensor) -> tuple[Tensor, Tensor]:
    """The readout [T, B, 2] and the spikes [T, B, N] on a raster [T, B, 20]."""
    spikes: list[Tensor] = []
    hook = model[0].register_forward_hook(lambda _cell, _inputs, result: spikes.append(result[0]))
    try:
        return unroll(model, raster), torch.stack(spikes)
    finally:
        hook.remove()


def loss_of(model: SequentialState, lesson: Sequences) -> Tensor:
    """The right answer in the period of RECALL, and not too many spikes."""
    outputs, spikes = unrolled(model, lesson.raster)
    answer = nn.functional.cross_entropy(recalled(outputs, lesson.recall) * SHARPNESS, lesson.bits)
    busy = (spikes.mean((0, 1)) - MOST_SPIKES).clamp(min=0)
    return answer + (busy**2).sum()


def train(model: SequentialState, lessons: dict[int, int], *, seed: int = 0, batch: int = 128) -> list[float]:
    """Train the model in place, on longer and longer sequences; the loss of each step."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    steps = sum(lessons.values())
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1.0, max(0.02, 2 * (1 - step / steps))))
    losses = []
    for periods, count in lessons.items():
        training = sequences(TRAINING_SEQUENCES, seed=TRAINING_SEED, periods=periods)
        for _ in range(count):
            chosen = torch.randperm(len(training.bits), generator=generator)[:batch]
            loss = loss_of(model, training.of(chosen))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"{periods} periods: loss {losses[-count]:.3f} at first, {losses[-1]:.3f} in the end", flush=True)
    return losses


def accuracy(outputs: Tensor, held_out: Sequences) -> float:
    """The share of bits that the readout [T, B, 2] recalls."""
    return (recalled(outputs, held_out.recall).argmax(1) == held_out.bits).double().mean().item()


def main(arguments: list[str] | None = None) -> None:
    """Train, evaluate, and write the model, and beside it test.npz: sequences that it was not trained on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, help="take so many steps of training in each lesson only")
    parser.add_argument("--seed", type=int, default=0, help="of the initial weights and the training")
    parser.add_argument("--out", type=Path, default=HERE / "model.pt", help="where the model goes")
    parser.add_argument("--force", action="store_true", help="replace a model that is there")
    args = parser.parse_args(arguments)
    if args.out.exists() and not args.force:
        parser.error(f"{args.out} exists; give --force to replace it, or another --out")
    torch.set_num_threads(1)  # float sums depend on how they are split over threads
    torch.use_deterministic_algorithms(True)

    held_out = sequences(TEST_SEQUENCES, seed=TEST_SEED)
    model = build(args.seed)
    start = time.perf_counter()
    train(model, LESSONS if args.steps is None else dict.fromkeys(LESSONS, args.steps), seed=args.seed)
    print(f"trained in {time.perf_counter() - start:.0f} s")
    with torch.no_grad():
        outputs, spikes = unrolled(model, held_out.raster)
    print(f"recalled in {TEST_SEQUENCES} held-out sequences: {accuracy(outputs, held_out):.1%}")
    print(f"{int(spikes.sum())} spikes, {spikes.mean().item():.1%} of {spikes.numel()}")

    np.savez_compressed(args.out.with_name("test.npz"), input=held_out.raster.numpy().astype(bool))
    norse_export.save(model, args.out, held_out.raster[:, :EXAMPLE_SEQUENCES], force=args.force)


if __name__ == "__main__":
    main()
