"""Handwritten digits as spikes: scikit-learn's images, split by a seed and encoded by Norse's Poisson encoder."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from norse.torch.functional.encode import poisson_encode
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor

STEPS = 32
SPIKE_RATE = 1000.0  # Hz at full brightness: at dt = 1 ms, a pixel's brightness is its chance to spike in a step
TEST_IMAGES = 360  # of 1,797


@dataclass(frozen=True, slots=True)
class Digits:
    """Images [N, 1, 8, 8] with brightness from 0 to 1, and their labels [N]."""

    images: Tensor
    labels: Tensor

    def first(self, count: int | None) -> Digits:
        """The first `count` images; all with None."""
        return Digits(self.images[:count], self.labels[:count])


def split_digits(*, seed: int = 0) -> tuple[Digits, Digits]:
    """The training set and the test set, in which every digit has the same share."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.as_tensor(pixels / 16, dtype=torch.float32).reshape(-1, 1, 8, 8)
    train_images, test_images, train_labels, test_labels = train_test_split(
        images, torch.as_tensor(labels), test_size=TEST_IMAGES, stratify=labels, random_state=seed
    )
    return Digits(train_images, train_labels), Digits(test_images, test_labels)


def encode(images: Tensor, generator: torch.Generator) -> Tensor:
    """A raster [T, B, 1, 8, 8] of zeros and ones, float32: each pixel spikes at a rate given by its brightness."""
    return poisson_encode(images, STEPS, f_max=SPIKE_RATE, dt=1e-3, generator=generator)
