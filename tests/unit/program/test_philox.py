"""Random numbers by counter: the published vectors, and that no number depends on what is drawn beside it."""

from __future__ import annotations

import numpy as np
import pytest

from norse_export.program.philox import MAX_STREAMS, philox4x32, random_words

# Random123 1.14.0, tests/kat_vectors, lines "philox4x32 10": counter, key, the four words.
VECTORS = {
    "zeros": "00000000 00000000 00000000 00000000 00000000 00000000 6627e8d5 e169c58d bc57ac4c 9b00dbd8",
    "ones": "ffffffff ffffffff ffffffff ffffffff ffffffff ffffffff 408f276d 41c83b0e a20bc7c6 6d5451fd",
    "pi": "243f6a88 85a308d3 13198a2e 03707344 a4093822 299f31d0 d16cfe09 94fdcceb 5001e420 24126ea1",
}


@pytest.mark.parametrize("line", VECTORS.values(), ids=VECTORS)
def test_the_published_vectors(line: str) -> None:
    c0, c1, c2, c3, k0, k1, *expected = (int(word, 16) for word in line.split())
    got = philox4x32((c0, c1, c2, c3), (k0, k1))
    assert [int(word) for word in got] == expected


def test_arrays_of_counters_give_what_each_counter_gives() -> None:
    generator = np.random.default_rng(0)
    counters = generator.integers(0, 2**32, (4, 50))
    together = philox4x32((counters[0], counters[1], counters[2], counters[3]), (7, 2**32 - 1))
    for number in range(50):
        c0, c1, c2, c3 = (int(word) for word in counters[:, number])
        alone = philox4x32((c0, c1, c2, c3), (7, 2**32 - 1))
        assert [int(word[number]) for word in together] == [int(word) for word in alone]


def test_each_argument_has_its_place_in_counter_and_key() -> None:
    seed, node, stream, sample, neuron, step = 0x0123456789ABCDEF, 0xFEDCBA, 255, 11, 13, 17
    expected = philox4x32((neuron, step, sample, 256 * node + stream), (0x89ABCDEF, 0x01234567))[0]
    got = random_words(seed, node=node, stream=stream, sample=sample, neuron=neuron, step=step)
    assert int(got) == int(expected)


def test_a_number_is_that_of_its_sample_neuron_and_step_in_any_batch_and_order() -> None:
    samples, neurons = np.arange(5)[:, None], np.arange(40)[None, :]
    whole = random_words(3, node=2, stream=1, sample=samples, neuron=neurons, step=9)
    assert whole.shape == (5, 40)
    assert whole.dtype == np.int64
    for sample in range(5):
        alone = random_words(3, node=2, stream=1, sample=np.array([[sample]]), neuron=neurons[:, ::-1], step=9)
        np.testing.assert_array_equal(alone[0, ::-1], whole[sample])
    assert int(random_words(3, node=2, stream=1, sample=4, neuron=39, step=9)) == whole[4, 39]


def test_no_two_of_them_are_the_same_numbers() -> None:
    base = {"seed": 5, "node": 1, "stream": 0, "sample": 2, "step": 3}
    other = [{name: value + 1} for name, value in base.items()] + [{"seed": 5 + 2**32}, {"node": 0, "stream": 1}]
    rows = [base, *({**base, **change} for change in other)]
    words = [
        random_words(r["seed"], **{n: v for n, v in r.items() if n != "seed"}, neuron=np.arange(64)).tobytes()  # type: ignore[arg-type]
        for r in rows
    ]
    assert len(set(words)) == len(rows)


def test_the_numbers_are_even() -> None:
    """Mean, and the share of each of the 32 bits, of a quarter million numbers: within 5 standard deviations."""
    words = random_words(1, node=0, stream=0, sample=np.arange(256)[:, None], neuron=np.arange(1024), step=0)
    assert 0 <= words.min() < words.max() < 2**32
    assert abs(words.mean() / 2**32 - 0.5) < 5 / np.sqrt(12 * words.size)
    shares = [((words >> bit) & 1).mean() for bit in range(32)]
    assert max(abs(share - 0.5) for share in shares) < 5 * 0.5 / np.sqrt(words.size)


EDGES = {"seed": (0, 2**64 - 1), "node": (0, 2**24 - 1), "stream": (0, MAX_STREAMS - 1)}


@pytest.mark.parametrize("name", EDGES)
def test_what_the_counter_cannot_hold_is_refused(name: str) -> None:
    plain = {"seed": 0, "node": 0, "stream": 0}
    low, high = EDGES[name]

    def draw(value: int) -> None:
        given = {**plain, name: value}
        random_words(given["seed"], node=given["node"], stream=given["stream"], sample=0, neuron=0, step=0)

    draw(low)
    draw(high)
    for value in (low - 1, high + 1):
        with pytest.raises(ValueError, match=f"{name} {value}"):
            draw(value)
