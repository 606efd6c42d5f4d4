"""Lag decay: the identities of the weighted closed form, a dense oracle, and sources that must not matter."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from sklearn.metrics import roc_auc_score

from linmem.autoencoder import coding
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.autoencoder.history.survey import LagWeights
from linmem.autoencoder.solvers import Slices

CODECS = [("tied", None), ("refit", None), ("refit", "decoder"), ("refit", "joint"), ("optimal", None)]
DECAYS = [0.3, 0.5, 0.9]


def walks(lengths=(40, 3, 25, 60, 12, 1, 33), features=3, seed=0) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal((length, features)).cumsum(0) for length in lengths]


class Reread:
    """A source that yields its sequences anew each time, and counts how often."""

    def __init__(self, sequences):
        self.sequences, self.passes = sequences, 0

    def __iter__(self):
        self.passes += 1
        return iter(self.sequences)


def history_matrix(sequences, decay, lags=None) -> np.ndarray:
    lags = lags or LagWeights.of(decay).count(max(map(len, sequences)))
    return InMemoryHistory([torch.as_tensor(one) for one in sequences], lags=lags, decay=decay).dense().numpy()


@some.composite
def problems(draw):
    features, decay = draw(some.integers(1, 3)), draw(some.sampled_from([*DECAYS, 0.97, 1.0]))
    lengths = draw(some.lists(some.integers(1, 30), min_size=1, max_size=4))
    return walks(lengths, features, draw(some.integers(0, 2**16))), decay


@settings(max_examples=30, deadline=None)
@given(problems(), some.sampled_from(["exact", "correlated", "randomized", "auto"]), some.booleans())
def test_identities(problem, solver, center):
    """Bound, singular values and ‖B‖₂ ≤ γ, for every solver."""
    sequences, decay = problem
    mean = np.concatenate(sequences).mean(0) if center else 0.0
    values = np.linalg.svd(history_matrix([one - mean for one in sequences], decay), compute_uv=False)
    rank = int((values > 1e-5 * values[0]).sum()) if values[0] > 1e-9 else 0
    if rank == 0:
        return
    size = max(1, rank // 2)
    ae = LinearAutoencoder(size, solver, center=center, decoder="tied", lag_decay=decay).fit(sequences)
    np.testing.assert_allclose(ae.singular_values_, values[:size], rtol=1e-3, atol=1e-6 * values[0])
    assert ae.optimal_error_ == pytest.approx((values[size:] ** 2).sum() / (values**2).sum(), abs=1e-6)
    assert ae.training_error_ >= ae.optimal_error_ - 1e-9
    assert np.linalg.norm(ae.B_, 2) <= decay * (1 + 1e-9)


@settings(max_examples=20, deadline=None)
@given(problems(), some.sampled_from(CODECS))
def test_full_rank_is_lossless(problem, codec):
    sequences, decay = problem
    values = np.linalg.svd(history_matrix(sequences, decay), compute_uv=False)
    rank = int((values > 1e-10 * values[0]).sum())
    ae = LinearAutoencoder(rank, "exact", decoder=codec[0], refine=codec[1], lag_decay=decay).fit(sequences)
    assert ae.training_error_ < 1e-8
    assert ae.optimal_error_ < 1e-8
    largest = max(np.abs(one).max() for one in sequences)
    for one, states in zip(sequences, ae.encode(sequences), strict=True):
        lags = min(5, ae.lags_, len(one))
        np.testing.assert_allclose(ae.decode(states[-1:], lags)[0], one[-lags:], atol=1e-3 * largest)


@pytest.mark.parametrize("decay", DECAYS)
def test_full_rank_states_are_rows_of_v_sigma(decay):
    """y_t = Uᵀ ξ_t, and Σ_i σ_i² / N is their second moment."""
    sequences = walks([9, 4, 12, 7])
    matrix = history_matrix(sequences, decay)
    ae = LinearAutoencoder(int(np.linalg.matrix_rank(matrix)), "exact", lag_decay=decay).fit(sequences)
    right = ae.right_vectors_.reshape(-1, ae.memory_size_)
    np.testing.assert_allclose(np.concatenate(ae.encode(sequences)), matrix @ right, atol=1e-8)


def test_encoder_is_that_of_the_right_vectors():
    """A = U_0ᵀ and B = γ Σ_i U_{i+1}ᵀ U_i; the tied decoder is C = [Aᵀ; Bᵀ / γ²]."""
    ae = LinearAutoencoder(6, lag_decay=0.8, decoder="tied").fit(walks())
    U = ae.right_vectors_
    np.testing.assert_allclose(ae.A_, U[0].T)
    np.testing.assert_allclose(ae.B_, 0.8 * np.einsum("iap,iaq->pq", U[1:], U[:-1]), atol=1e-12)
    np.testing.assert_allclose(ae.C_, np.vstack([ae.A_.T, ae.B_.T / 0.8**2]), atol=1e-12)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("codec", CODECS)
def test_errors_equal_those_of_decoding_every_state(decay, center, codec):
    """The slow oracle, weighted, unweighted and per lag; scores of steps are its rows."""
    fitted, other = walks(), walks([50, 2, 90], seed=4)
    ae = LinearAutoencoder(5, center=center, decoder=codec[0], refine=codec[1], lag_decay=decay).fit(fitted)
    for sequences in (fitted, other):
        centred = [one - ae.mean_ for one in sequences]
        lags = ae.lags_
        weights = decay ** np.arange(lags)
        matrix = history_matrix(centred, decay, lags).reshape(-1, lags, 3) / weights[:, None]
        decoded = (ae.decode(np.concatenate(ae.encode(sequences)), lags) - ae.mean_)[:, ::-1]
        difference, energy = ((matrix - decoded) ** 2).sum(2), (matrix**2).sum(2)
        squares = weights**2
        assert ae.reconstruction_error(sequences) == pytest.approx(
            (difference @ squares).sum() / (energy @ squares).sum()
        )
        assert ae.reconstruction_error(sequences, weighted=False) == pytest.approx(difference.sum() / energy.sum())
        for weighted in (True, False):
            curve = ae.reconstruction_error(sequences, per_lag=True, weighted=weighted)
            np.testing.assert_allclose(curve, difference.sum(0) / energy.sum(0), rtol=1e-6)
        if codec[0] != "optimal":
            scale = (energy @ squares).max()
            np.testing.assert_allclose(
                np.concatenate(ae.score_samples(sequences)), difference @ squares, atol=1e-10 * scale, rtol=1e-6
            )
    assert ae.training_error_ == pytest.approx(ae.reconstruction_error(fitted), rel=1e-4)
    assert ae.unweighted_error_ == pytest.approx(ae.reconstruction_error(fitted, weighted=False), rel=1e-3)
    assert ae.unweighted_optimal_error_ <= ae.unweighted_error_


def test_unweighted_bound_is_that_of_the_same_lags():
    sequences = walks()
    for solver in ("exact", "correlated", "randomized"):
        ae = LinearAutoencoder(5, solver, lag_decay=0.5).fit(sequences)
        matrix = history_matrix(sequences, 0.5).reshape(-1, ae.lags_, 3) / (0.5 ** np.arange(ae.lags_))[:, None]
        values = np.linalg.svd(matrix.reshape(len(matrix), -1), compute_uv=False)
        assert ae.unweighted_optimal_error_ == pytest.approx((values[5:] ** 2).sum() / (values**2).sum(), rel=1e-4)


def test_more_decay_remembers_the_recent_past_better_and_the_far_past_worse():
    sequences = walks([200] * 6)
    curves = {
        decay: LinearAutoencoder(8, lag_decay=decay).fit(sequences).reconstruction_error(sequences, per_lag=True)
        for decay in (1.0, 0.9, 0.5)
    }
    assert curves[0.5][0] < curves[0.9][0] < curves[1.0][0]
    assert curves[1.0][11] < curves[0.5][11]


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("decay", DECAYS)
def test_where_the_sequences_are_does_not_matter(decay, center):
    sequences = walks()
    expected = LinearAutoencoder(6, center=center, lag_decay=decay).fit(sequences)
    for cuts in ([3], [1, 2, 5], [1, 2, 3, 4, 5, 6]):
        chunked = LinearAutoencoder(6, center=center, lag_decay=decay)
        for start, stop in zip([0, *cuts], [*cuts, None], strict=True):
            chunked.partial_fit(sequences[start:stop])
        same(chunked, expected)
    same(LinearAutoencoder(6, center=center, lag_decay=decay).fit(one for one in sequences), expected)
    source = Reread(sequences)
    same(LinearAutoencoder(6, center=center, lag_decay=decay).fit(source), expected)
    assert source.passes <= 3  # input type, survey, and one for the Gram matrix


def same(found, expected):
    np.testing.assert_allclose(found.singular_values_, expected.singular_values_, rtol=1e-9)
    np.testing.assert_allclose(found.mean_, expected.mean_, atol=1e-12)
    np.testing.assert_allclose(found.A_, expected.A_, atol=1e-7)
    np.testing.assert_allclose(found.B_, expected.B_, atol=1e-7)
    assert found.optimal_error_ == pytest.approx(expected.optimal_error_, abs=1e-11)
    assert found.training_error_ == pytest.approx(expected.training_error_, rel=1e-3)  # where a search ends
    assert found.unweighted_optimal_error_ == pytest.approx(expected.unweighted_optimal_error_, rel=1e-6)


@pytest.mark.parametrize("limit", ["GRAM_COLUMNS", "CORRELATED_COLUMNS"])
def test_many_columns_are_solved_by_block_krylov(monkeypatch, limit):
    """On the Gram matrix, or on the operator of K lags where the Gram matrix is too large."""
    sequences = walks([300] * 4)
    expected = LinearAutoencoder(6, "exact", lag_decay=0.9).fit(sequences)
    for name in {limit, "CORRELATED_COLUMNS"}:
        monkeypatch.setattr(f"linmem.autoencoder.solvers.select.{name}", 10)
    monkeypatch.setattr("linmem.autoencoder.solvers.select.DENSE_SIDE", 10)
    for source in (sequences, Reread(sequences)):
        found = LinearAutoencoder(6, lag_decay=0.9).fit(source)
        assert found.solver_ == "randomized"
        assert found.optimal_error_ == pytest.approx(expected.optimal_error_, rel=1e-5)
        assert found.training_error_ == pytest.approx(expected.training_error_, rel=1e-3)


def test_memory_of_partial_fit_does_not_grow_with_the_length():
    ae = LinearAutoencoder(2, lag_decay=0.5)
    for length in (5, 50, 5000):
        ae.partial_fit(walks([length]))
    assert ae._chunks.gram.shape == (36, 36)


def sines(length, seed=0):
    """Two sines of random phase with noise, power 1."""
    random, time = np.random.default_rng(seed), np.arange(length)
    first, second = random.uniform(0, 2 * np.pi, 2)
    wave = (np.sin(0.2 * time + first) + np.sin(0.3 * time + second)) / np.sqrt(2)
    return (wave + 0.05 * random.standard_normal(length))[:, None]


@pytest.mark.parametrize("memory_size", [4, 10, 30])
def test_states_mean_the_same_at_ten_times_the_fitted_length(memory_size):
    """The plain autoencoder fails beyond the longest sequence, with one warning; lag decay does not."""
    fitted, long = [sines(100, seed) for seed in range(100)], [sines(1000, 1000 + seed) for seed in range(300)]
    ratios = {}
    for decay in (1.0, 0.9):
        ae = LinearAutoencoder(memory_size, lag_decay=decay).fit(fitted)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            scores = np.mean(ae.score_samples(long), 0)
            ae.encode(long)
        messages = [str(one.message) for one in caught]
        assert len(messages) == (decay == 1)
        assert all("at most the 100 steps of the longest in fit" in message for message in messages)
        ratios[decay] = scores[980:].mean() / scores[80:100].mean()
    assert ratios[1.0] > 3
    assert ratios[0.9] == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("as_torch", [False, True])
@pytest.mark.parametrize("center", [False, True])
def test_steps_give_the_numbers_of_encode(as_torch, center):
    sequences = walks([20, 20])
    ae = LinearAutoencoder(5, center=center, lag_decay=0.9).fit(sequences)
    both = np.stack(sequences, 1)
    both = torch.from_numpy(both) if as_torch else both
    state, alone = None, None
    for t in range(20):
        state, alone = ae.step(both[t], state), ae.step(both[t, 0], alone)
        assert isinstance(state, torch.Tensor) == as_torch
    np.testing.assert_allclose(state, ae.transform(sequences), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(alone, ae.transform(sequences)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("decay", [0.9, 1.0])
@pytest.mark.parametrize("center", [False, True])
def test_scores_of_single_steps_are_those_of_whole_sequences(decay, center):
    sequences = walks([30, 30])
    ae = LinearAutoencoder(5, center=center, lag_decay=decay).fit(sequences)
    whole = np.stack(ae.score_samples(sequences), 1)
    state, found = None, []
    for both in np.stack(sequences, 1):
        scores, state = ae.score_step(both, state)
        found.append(scores)
    np.testing.assert_allclose(found, whole, rtol=1e-9, atol=1e-9 * whole.max())


@pytest.mark.parametrize("decay", [0.9, 1.0])
def test_scores_do_not_depend_on_how_a_stream_is_cut_or_branched(decay):
    """Beyond the window, from states that were used before."""
    ae = LinearAutoencoder(5, lag_decay=decay).fit(walks([30, 30]))
    stream = walks([400], seed=8)[0]
    expected = ae.score_samples([stream])[0]
    state = None
    for t, x_t in enumerate(stream):
        if t % 7 == 0:
            ae.score_step(1e3 + x_t, state)  # a branch that is not followed
        score, state = ae.score_step(x_t, state)
        assert score == pytest.approx(expected[t], rel=1e-7, abs=1e-9 * expected[: t + 1].max())
        if t % 11 == 0:
            ae.score_step(1e3 - x_t, state)


def test_scores_are_those_of_the_window_alone_after_a_large_value():
    """Rounding of 1e7² in a running sum was 0.02 of every later score."""
    random = np.random.default_rng(0)
    ae = LinearAutoencoder(4, refine=None, decoder="tied").fit([random.standard_normal((50, 2)) for _ in range(20)])
    stream = random.standard_normal((400, 2))
    spiked = stream.copy()
    spiked[20] = 1e7
    scorer, state = ae._scorer(), None
    for t, x_t in enumerate(spiked):
        _, state = ae.score_step(x_t, state)
        window = spiked[max(0, t - scorer.lags + 1) : t + 1]
        _, energy, _ = state.recent.extend(torch.zeros(1, 1, 2, dtype=torch.float64))
        assert float(energy) == pytest.approx((window[-scorer.lags + 1 :] ** 2).sum(), rel=1e-12)


def test_the_scorer_is_built_once_for_each_solution(monkeypatch):
    sequences, built = walks([30, 30]), []
    ae = LinearAutoencoder(5, lag_decay=0.9).fit(sequences)
    build = coding.Scorer.__init__
    monkeypatch.setattr(coding.Scorer, "__init__", lambda self, *rest: (built.append(1), build(self, *rest))[1])
    state = None
    for x_t in sequences[0]:
        _, state = ae.score_step(x_t, state)
    ae.score_samples(sequences)
    assert len(built) == 1
    assert "_kept_scorer" in ae.__dict__
    assert "_kept_scorer" not in pickle.loads(pickle.dumps(ae)).__dict__
    expected = ae.score_samples(sequences)[0]
    ae.fit([2 * one for one in sequences])
    assert ae.score_samples([2 * sequences[0]])[0] == pytest.approx(4 * expected, rel=1e-6, abs=1e-6)
    ae.partial_fit(sequences).score_samples(sequences)
    assert len(built) == 3


@pytest.mark.parametrize("seed", range(5))
def test_an_anomaly_in_a_periodic_stream_is_found(seed):
    """Four units hold two sines; with many more the memory would hold the anomaly as well."""
    ae = LinearAutoencoder(4, lag_decay=0.9).fit([sines(1000, seed)])
    stream, labels = sines(2000, seed), np.zeros(2000, dtype=bool)
    stream[1234] += 1.0
    labels[1234] = True
    assert roc_auc_score(labels, ae.score_samples([stream])[0]) >= 0.99


@pytest.mark.parametrize("decay", [0, -0.5, 1.5, np.nan, np.inf, "0.9", None, True])
def test_lag_decay_outside_its_range_is_refused(decay):
    with pytest.raises(ValueError, match="lag_decay must be a number above 0 and at most 1, got"):
        LinearAutoencoder(2, lag_decay=decay).fit(walks())


@pytest.mark.parametrize("solver", ["slices", Slices()])
def test_slices_refuse_lag_decay(solver):
    with pytest.raises(ValueError, match="lag_decay must be 1 for solver='slices', got 0.9. Use solver='auto'"):
        LinearAutoencoder(2, solver, lag_decay=0.9).fit(walks())


def test_wrong_states_and_values_are_refused():
    ae = LinearAutoencoder(4, lag_decay=0.9).fit(walks())
    with pytest.raises(ValueError, match=r"y must have shape \(4,\), got \(5,\)"):
        ae.step(np.zeros(3), np.zeros(5))
    with pytest.raises(ValueError, match=r"x_t must have shape \(3,\) or \(n, 3\), got \(2,\)"):
        ae.step(np.zeros(2))
    with pytest.raises(ValueError, match="y must be finite, got NaN or infinity. Begin a new sequence with y=None."):
        ae.step(np.zeros(3), np.full(4, np.nan))
    with pytest.raises(ValueError, match="x_t must be finite"):
        ae.score_step(np.full(3, np.nan))
    with pytest.raises(ValueError, match="state must be a ScoreState, got ndarray. Pass what score_step returned."):
        ae.score_step(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match=r"state.y must have shape \(2, 4\), got \(1, 4\)"):
        ae.score_step(np.zeros((2, 3)), ae.score_step(np.zeros(3))[1])
    with pytest.raises(ValueError, match="sequence 0 must be finite, got nan at step 0"):
        LinearAutoencoder(2, lag_decay=0.9).fit([np.full((5, 2), np.nan)])
