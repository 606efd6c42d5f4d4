"""The closed form's identities over all that sequences can be: ragged, tiny, huge, constant, of low rank."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.history.in_memory import InMemoryHistory

KINDS = ["noise", "walk", "constant", "one direction", "impulse", "switches"]


@some.composite
def sequence_sets(draw):
    features = draw(some.integers(1, 3))
    lengths = draw(some.lists(some.integers(1, 10), min_size=1, max_size=5))
    kind, seed = draw(some.sampled_from(KINDS)), draw(some.integers(0, 2**16))
    scale = 10.0 ** draw(some.integers(-6, 6))
    random = np.random.default_rng(seed)

    def one(length):
        if kind == "constant":
            return np.ones((length, features))
        if kind == "one direction":
            return np.outer(random.standard_normal(length), np.arange(1, features + 1))
        if kind == "impulse":
            return np.eye(length, features)
        if kind == "switches":
            values = (random.random((length, features)) < 0.4).astype(float)
            values[0, 0] = 1.0
            return values
        noise = random.standard_normal((length, features))
        return noise.cumsum(0) if kind == "walk" else noise

    return [scale * one(length) for length in lengths]


def rank_of(sequences) -> int:
    values = torch.linalg.svdvals(InMemoryHistory([torch.from_numpy(one) for one in sequences]).dense())
    return int((values > 1e-10 * values[0]).sum())


def clear(sequences) -> bool:
    """Whether the rank can be told: no singular value between rounding and 1e-4 of the largest."""
    values = torch.linalg.svdvals(InMemoryHistory([torch.from_numpy(one) for one in sequences]).dense())
    return not bool(((values > 1e-13 * values[0]) & (values < 1e-4 * values[0])).any())


@settings(max_examples=40, deadline=None)
@given(sequence_sets(), some.sampled_from(["exact", "randomized"]))
def test_full_rank_is_lossless(sequences, solver):
    if not clear(sequences):
        return
    for decoder in ("tied", "refit"):
        ae = LinearAutoencoder(rank_of(sequences), solver, decoder=decoder).fit(sequences)
        assert ae.training_error_ < 1e-8
        assert ae.optimal_error_ < 1e-8
    largest = max(np.abs(one).max() for one in sequences)
    for one, states in zip(sequences, ae.encode(sequences), strict=True):
        np.testing.assert_allclose(ae.decode(states[-1:], len(one))[0], one, atol=1e-4 * largest)


@settings(max_examples=40, deadline=None)
@given(sequence_sets(), some.booleans())
def test_below_the_rank(sequences, center):
    if center and all(np.ptp(one, axis=0).max() == 0 for one in sequences):
        return
    top = min(rank_of([one - np.concatenate(sequences).mean(0) for one in sequences] if center else sequences), 6)
    bounds = []
    for size in range(1, top):
        tied, ours = (
            LinearAutoencoder(size, center=center, decoder=decoder).fit(sequences) for decoder in ("tied", "refit")
        )
        assert np.linalg.norm(tied.B_, 2) <= 1 + 1e-9
        assert tied.optimal_error_ - 1e-9 <= ours.training_error_ <= tied.training_error_ + 1e-9
        bounds.append(tied.optimal_error_)
    assert bounds == sorted(bounds, reverse=True)


@settings(max_examples=25, deadline=None)
@given(sequence_sets(), some.booleans())
def test_scale_changes_nothing_but_the_singular_values(sequences, center):
    base = [one / max(np.abs(one).max() for one in sequences) for one in sequences]
    if center and np.ptp(np.concatenate(base), axis=0).max() < 1e-3:
        return
    small = LinearAutoencoder(0.7, center=center).fit(base)
    large = LinearAutoencoder(0.7, center=center).fit([1e6 * one for one in base])
    assert small.memory_size_ == large.memory_size_
    np.testing.assert_allclose(1e6 * small.singular_values_, large.singular_values_, rtol=1e-6)
    more = LinearAutoencoder(0.999, center=center, refine=None).fit(base).singular_values_
    size = small.memory_size_
    if len(more) > size and more[size] < 0.99 * more[size - 1]:  # equal ones leave open which directions are kept
        assert small.training_error_ == pytest.approx(large.training_error_, abs=1e-3)  # where a search ends


@settings(max_examples=25, deadline=None)
@given(sequence_sets(), some.integers(1, 3))
def test_chunks_and_seeds(sequences, cut):
    size = min(2, rank_of(sequences))
    whole, again = (LinearAutoencoder(size, "randomized").fit(sequences) for _ in range(2))
    assert np.array_equal(whole.A_, again.A_)
    ae = LinearAutoencoder(size)
    for start in range(0, len(sequences), cut):
        ae.partial_fit(sequences[start : start + cut])
    np.testing.assert_allclose(ae.singular_values_, whole.singular_values_, rtol=1e-6)
    assert ae.optimal_error_ == pytest.approx(whole.optimal_error_, abs=1e-9)


def test_number_of_threads_changes_nothing_above_a_millionth():
    random = np.random.default_rng(0)
    sequences = [random.standard_normal((60, 4)).cumsum(0) for _ in range(30)]
    before = torch.get_num_threads()
    try:
        fits = []
        for threads in (1, 2):
            torch.set_num_threads(threads)
            fits.append(LinearAutoencoder(10, "randomized").fit(sequences))
    finally:
        torch.set_num_threads(before)
    one, two = fits
    np.testing.assert_allclose(one.singular_values_, two.singular_values_, rtol=1e-6)
    np.testing.assert_allclose(one.A_, two.A_, atol=1e-6)
    np.testing.assert_allclose(one.B_, two.B_, atol=1e-6)
    assert one.training_error_ == pytest.approx(two.training_error_, rel=1e-6)
