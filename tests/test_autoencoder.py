"""LinearAutoencoder: the identities of the closed form, a dense oracle for its error, and what its user expects."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.history.distributed import Shard
from linmem.autoencoder.solvers import Randomized, Remembered, exact
from linmem.storage import tensor_file

RAGGED = [9, 4, 12, 1, 7, 12]


def smooth(lengths=RAGGED, features=3, seed=0, dtype=np.float64) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal((length, features)).cumsum(0).astype(dtype) for length in lengths]


def history_matrix(sequences, lags=None):
    lags = lags or max(map(len, sequences))
    rows = [
        np.concatenate([sequence[step::-1], np.zeros((lags - step - 1, sequence.shape[1]))]).ravel()
        for sequence in sequences
        for step in range(len(sequence))
    ]
    return np.array(rows)


@pytest.fixture
def ragged() -> list[np.ndarray]:
    return smooth()


def rank(sequences) -> int:
    return int(np.linalg.matrix_rank(history_matrix(sequences)))


CODECS = [("tied", None), ("refit", None), ("refit", "decoder"), ("refit", "joint"), ("optimal", None)]


@pytest.mark.parametrize("solver", ["exact", "slices", "randomized"])
@pytest.mark.parametrize(("decoder", "refine"), CODECS)
def test_full_rank_loses_nothing(ragged, solver, decoder, refine):
    ae = LinearAutoencoder(rank(ragged), solver, decoder=decoder, refine=refine).fit(ragged)
    assert ae.reconstruction_error(ragged) < 1e-9
    assert ae.optimal_error_ < 1e-9
    for sequence, states in zip(ragged, ae.encode(ragged), strict=True):
        remembered = ae.decode(states[-1:], len(sequence))[0]
        np.testing.assert_allclose(remembered, sequence, atol=1e-5 if solver == "randomized" else 1e-7)


def test_full_rank_algebra(ragged):
    """AAᵀ + BBᵀ = I and B nilpotent."""
    ae = LinearAutoencoder(rank(ragged), "exact", decoder="tied").fit(ragged)
    np.testing.assert_allclose(ae.A_ @ ae.A_.T + ae.B_ @ ae.B_.T, np.eye(rank(ragged)), atol=1e-10)
    assert np.abs(np.linalg.matrix_power(ae.B_, ae.lags_)).max() < 1e-10


def test_states_are_rows_of_v_sigma(ragged):
    ae = LinearAutoencoder(rank(ragged), "exact").fit(ragged)
    right = ae.right_vectors_.reshape(-1, ae.memory_size_)
    np.testing.assert_allclose(np.concatenate(ae.encode(ragged)), history_matrix(ragged) @ right, atol=1e-9)


@pytest.mark.parametrize("memory_size", [1, 2, 5, 11])
def test_below_the_rank_the_encoder_is_stable_and_the_bound_holds(ragged, memory_size):
    errors = {}
    for codec in CODECS:
        ae = LinearAutoencoder(memory_size, decoder=codec[0], refine=codec[1]).fit(ragged)
        assert np.linalg.norm(ae.B_, 2) <= 1 + 1e-12 or codec[1] == "joint"
        assert np.abs(np.linalg.eigvals(ae.B_)).max() <= 1 + 1e-12
        errors[codec] = ae.reconstruction_error(ragged)
        assert errors[codec] >= ae.optimal_error_ - 1e-12
        assert errors[codec] == pytest.approx(ae.training_error_, abs=1e-12)
    *falling, optimal = errors.values()
    assert falling == sorted(falling, reverse=True)  # tied, refitted, decoder refined, both refined
    assert optimal <= errors["refit", "decoder"]  # one matrix a lag, for the same states
    values = np.linalg.svd(history_matrix(ragged), compute_uv=False)
    bound = (values[memory_size:] ** 2).sum() / (values**2).sum()
    assert ae.optimal_error_ == pytest.approx(bound, abs=1e-9)
    np.testing.assert_allclose(ae.singular_values_, values[:memory_size], rtol=1e-7)


@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("decoder", ["tied", "refit", "optimal"])
def test_error_is_that_of_decoding_every_state(ragged, center, decoder):
    """The slow oracle: decode each step's state and compare with the past, zeros before the start included."""
    ae = LinearAutoencoder(4, center=center, decoder=decoder).fit(ragged)
    other = smooth([5, 15, 2], seed=4)
    for sequences in (ragged, other):
        lags = max(map(len, sequences))
        matrix = history_matrix([sequence - ae.mean_ for sequence in sequences])
        decoded = ae.decode(np.concatenate(ae.encode(sequences)), lags) - ae.mean_
        difference = (matrix - decoded[:, ::-1].reshape(len(matrix), -1)) ** 2
        assert ae.reconstruction_error(sequences) == pytest.approx(difference.sum() / (matrix**2).sum())
        by_lag = difference.reshape(-1, lags, 3).sum((0, 2)) / (matrix**2).reshape(-1, lags, 3).sum((0, 2))
        np.testing.assert_allclose(ae.reconstruction_error(sequences, per_lag=True), by_lag)


def test_encode_is_the_recurrence_and_transform_its_end(ragged):
    ae = LinearAutoencoder(4, center=True).fit(ragged)
    for sequence, states, last in zip(ragged, ae.encode(ragged), ae.transform(ragged), strict=True):
        state = np.zeros(4)
        for step, values in enumerate(sequence):
            state = ae.A_ @ (values - ae.mean_) + ae.B_ @ state
            np.testing.assert_allclose(states[step], state)
        np.testing.assert_allclose(last, state)


def test_decode_is_powers_of_the_decoder_oldest_first(ragged):
    ae = LinearAutoencoder(4, center=True).fit(ragged)
    C_x, C_y = ae.C_[:3], ae.C_[3:]
    state = ae.transform(ragged)[0]
    expected = [C_x @ np.linalg.matrix_power(C_y, lag) @ state + ae.mean_ for lag in (2, 1, 0)]
    np.testing.assert_allclose(ae.decode(state[None], 3)[0], expected, atol=1e-12)
    assert ae.inverse_transform(state[None]).shape == (1, 12, 3)


def test_refinement_helps_where_truncation_hurts():
    sequences = smooth([40] * 20, features=5, seed=2)
    refit, refined, best = (
        LinearAutoencoder(12, decoder=decoder, refine=refine).fit(sequences).training_error_
        for decoder, refine in (("refit", None), ("refit", "decoder"), ("optimal", None))
    )
    assert best < refined < 0.98 * refit


@pytest.mark.parametrize("center", [False, True])
def test_chunks_do_not_matter(ragged, center):
    whole = LinearAutoencoder(5, center=center).fit(ragged)
    for cuts in ([3], [1, 2, 5], [1, 2, 3, 4, 5]):
        ae = LinearAutoencoder(5, center=center)
        for start, stop in zip([0, *cuts], [*cuts, None], strict=True):
            ae.partial_fit(ragged[start:stop])
        np.testing.assert_allclose(ae.singular_values_, whole.singular_values_, rtol=1e-9)
        np.testing.assert_allclose(ae.mean_, whole.mean_, atol=1e-12)
        np.testing.assert_allclose(ae.A_, whole.A_, atol=1e-7)
        np.testing.assert_allclose(ae.B_, whole.B_, atol=1e-7)
        assert ae.training_error_ == pytest.approx(whole.training_error_, rel=1e-5)


@pytest.mark.parametrize("center", [False, True])
def test_chunks_with_many_columns_lose_only_what_spare_directions_cannot_hold(monkeypatch, center):
    monkeypatch.setattr("linmem.autoencoder.partial_fit.DENSE_COLUMNS", 10)
    sequences = smooth([40, 17, 40, 25, 3, 33], features=4)
    whole = LinearAutoencoder(5, center=center).fit(sequences)
    ae = LinearAutoencoder(5, center=center)
    for start in (0, 2, 4):
        ae.partial_fit(sequences[start : start + 2])
    np.testing.assert_allclose(ae.singular_values_, whole.singular_values_, rtol=1e-4)
    assert ae.optimal_error_ == pytest.approx(whole.optimal_error_, abs=1e-5)
    assert ae.reconstruction_error(sequences) == pytest.approx(whole.training_error_, abs=1e-4)


def test_the_scale_of_chunks_with_many_columns_does_not_matter(monkeypatch):
    monkeypatch.setattr("linmem.autoencoder.partial_fit.DENSE_COLUMNS", 10)
    values = []
    for scale in (1.0, 2.0**20):
        ae = LinearAutoencoder(5, center=True)
        for sequence in smooth([60] * 6, features=4):
            ae.partial_fit([scale * sequence])
        values.append(ae.singular_values_ / scale)
    np.testing.assert_allclose(values[1], values[0], rtol=1e-9)


def test_data_is_never_changed_and_results_are_repeatable(ragged):
    before = [sequence.copy() for sequence in ragged]
    results = []
    for _ in range(2):
        ae = LinearAutoencoder(5, solver="randomized", center=True).fit(ragged)
        ae.reconstruction_error(ragged)
        results.append((ae.A_, ae.B_, ae.C_, ae.transform(ragged)))
        ae.partial_fit(ragged)
        assert all(np.array_equal(one, other) for one, other in zip(ragged, before, strict=True))
    for first, second in zip(*results, strict=True):
        assert np.array_equal(first, second)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("as_torch", [False, True])
def test_gives_back_what_it_was_given(dtype, as_torch):
    sequences = smooth(dtype=dtype)
    sequences = [torch.from_numpy(sequence) for sequence in sequences] if as_torch else sequences
    ae = LinearAutoencoder(4).fit(sequences)
    states = ae.transform(sequences)
    for result in (states, ae.encode(sequences)[1], ae.decode(states, 3), ae.A_, ae.B_, ae.C_, ae.mean_):
        assert isinstance(result, torch.Tensor) == as_torch
        assert result.dtype == (getattr(torch, np.dtype(dtype).name) if as_torch else dtype)
    assert isinstance(ae.reconstruction_error(sequences), float)
    assert ae.right_vectors_.shape == (12, 3, 4)


@pytest.mark.parametrize("dtypes", [(np.float64, np.int64), (np.float64, np.float32), (np.float32, np.float64)])
def test_sequences_of_several_dtypes_get_states_of_the_first(dtypes):
    sequences = [(10 * x).astype(dtype) for x, dtype in zip(smooth([20, 10]), dtypes, strict=True)]
    ae = LinearAutoencoder(5).fit(sequences)
    for states, expected in zip(ae.encode(sequences), ae.encode([x.astype(dtypes[0]) for x in sequences]), strict=True):
        assert states.dtype == dtypes[0]
        np.testing.assert_allclose(states, expected, rtol=1e-5, atol=1e-5)


def test_one_array_is_a_list_of_sequences():
    block = np.stack(smooth([8, 8, 8]))
    np.testing.assert_array_equal(LinearAutoencoder(4).fit(block).A_, LinearAutoencoder(4).fit(list(block)).A_)


def test_silent_features_change_nothing(ragged):
    wide = [np.insert(sequence, 1, 0.0, axis=1) for sequence in ragged]
    for decoder in ("refit", "optimal"):
        narrow_fit, wide_fit = (LinearAutoencoder(4, decoder=decoder).fit(given) for given in (ragged, wide))
        np.testing.assert_allclose(np.delete(wide_fit.A_, 1, axis=1), narrow_fit.A_, atol=1e-12)
        np.testing.assert_allclose(np.delete(wide_fit.C_, 1, axis=0), narrow_fit.C_, atol=1e-10)
        states = wide_fit.transform(wide)
        np.testing.assert_allclose(
            np.delete(wide_fit.decode(states, 4), 1, axis=2), narrow_fit.decode(states, 4), atol=1e-10
        )
        assert wide_fit.reconstruction_error(wide) == pytest.approx(narrow_fit.training_error_)
        heard = smooth(features=4, seed=5)  # the silent feature sounds now: measured, not overlooked
        errors = [wide_fit.reconstruction_error(heard), 1 - wide_fit.score(heard)]
        decoded = wide_fit.decode(np.concatenate(wide_fit.encode(heard)), 12)[:, ::-1].reshape(-1, 48)
        matrix = history_matrix(heard)
        assert errors == pytest.approx([((matrix - decoded) ** 2).sum() / (matrix**2).sum()] * 2)


def test_energy_and_knee():
    sequences = smooth([20] * 10, features=4)
    ae = LinearAutoencoder(0.95).fit(sequences)
    assert ae.optimal_error_ <= 0.05
    assert LinearAutoencoder(ae.memory_size_ - 1).fit(sequences).optimal_error_ > 0.05
    assert 1 <= LinearAutoencoder("auto").fit(sequences).memory_size_ <= 40


@pytest.mark.parametrize("decoder", ["refit", "optimal"])
def test_save_and_load(tmp_path, ragged, decoder):
    ae = LinearAutoencoder(4, solver=Randomized(block=2), center=True, decoder=decoder).fit(ragged)
    ae.save(tmp_path / "ae", right_vectors=True)
    loaded = LinearAutoencoder.load(tmp_path / "ae")
    assert repr(loaded) == repr(ae)
    for name in ("A_", "B_", "C_", "mean_", "singular_values_", "right_vectors_", "optimal_error_", "training_error_"):
        assert np.array_equal(getattr(loaded, name), getattr(ae, name))
    assert np.array_equal(loaded.decode(loaded.transform(ragged), 9), ae.decode(ae.transform(ragged), 9))


def test_an_autoencoder_of_one_feature_is_saved(tmp_path):
    """Of one feature A is U's first block as it is: two tensors of a file must not share their numbers."""
    ae = LinearAutoencoder(3, decoder="tied").fit([np.sin(np.arange(20.0))[:, None] + np.eye(20)[:, :1]])
    ae.save(tmp_path / "ae")
    np.testing.assert_array_equal(LinearAutoencoder.load(tmp_path / "ae").A_, ae.A_)


@pytest.mark.parametrize("random_state", [None, np.random.RandomState(0), np.random, np.int64(3)])
def test_documented_parameters_are_saved(tmp_path, ragged, random_state):
    LinearAutoencoder(4, center=np.bool_(True), random_state=random_state).fit(ragged).save(tmp_path / "ae")
    loaded = LinearAutoencoder.load(tmp_path / "ae")
    assert loaded.center is True
    assert loaded.random_state == (3 if isinstance(random_state, np.integer) else None)


def test_load_refuses_what_it_did_not_save(tmp_path, ragged):
    LinearAutoencoder(4).fit(ragged).save(tmp_path / "ae")
    content = (tmp_path / "ae").read_bytes()
    (tmp_path / "cut").write_bytes(content[:-100])
    with pytest.raises(ValueError, match="cut"):
        LinearAutoencoder.load(tmp_path / "cut")
    with pytest.raises(ValueError, match="must be numbers, names or Randomized solvers to be saved, got solver="):
        LinearAutoencoder(4, solver=lambda *given: exact(*given)).fit(ragged).save(tmp_path / "own")


def test_load_names_what_a_file_with_the_right_checksum_lacks(tmp_path, ragged):
    LinearAutoencoder(4, decoder="optimal").fit(ragged).save(tmp_path / "ae")
    tensors, description = tensor_file.read(tmp_path / "ae")
    for key in tensors:
        tensor_file.write(tmp_path / "a", {name: one for name, one in tensors.items() if name != key}, description)
        with pytest.raises(ValueError, match=f"{tmp_path / 'a'} must") as raised:
            LinearAutoencoder.load(tmp_path / "a")
        assert str(raised.value).count("\n") == 0
    for key in description:
        shorter = {name: one for name, one in description.items() if name != key}
        tensor_file.write(tmp_path / "a", tensors, shorter)
        with pytest.raises(ValueError, match=f"{tmp_path / 'a'} must"):
            LinearAutoencoder.load(tmp_path / "a")


def test_clone_is_unfitted_and_pickle_is_fitted(ragged):
    ae = LinearAutoencoder(4, decoder="tied").fit(ragged)
    assert clone(ae).get_params() == ae.get_params()
    with pytest.raises(NotFittedError, match="Call fit"):
        clone(ae).transform(ragged)
    assert not hasattr(clone(ae), "A_")
    assert np.array_equal(pickle.loads(pickle.dumps(ae)).transform(ragged), ae.transform(ragged))


def with_value(value, sequences):
    sequences = [sequence.copy() for sequence in sequences]
    sequences[2][3, 1] = value
    return sequences


def test_bad_input_gets_one_clear_line(ragged):
    count = rank(ragged)
    of = "must be one of"
    size = "memory_size must be a positive integer, a share of the energy between 0 and 1, 'auto' or None, got 0"
    solvers = f"solver {of} 'auto', 'exact', 'slices', 'randomized', 'correlated' or a solver object, got 'fast'"
    seed = "random_state must be an int of at least 0, a RandomState or None, got -1"
    cases = [
        (LinearAutoencoder(4), [], "sequences must contain at least one (T, a) sequence, got none"),
        (LinearAutoencoder(4), [*ragged, np.zeros((3, 2))], "sequence 6 must have 3 features, got 2"),
        (LinearAutoencoder(4), with_value(np.nan, ragged), "sequence 2 must be finite, got nan at step 3, feature 1"),
        (LinearAutoencoder(4), with_value(np.inf, ragged), "sequence 2 must be finite, got inf at step 3, feature 1"),
        (
            LinearAutoencoder(400),
            ragged,
            f"memory_size must be at most the rank of the history matrix ({count}), got 400. Lower memory_size.",
        ),
        (LinearAutoencoder(1), [np.zeros((3, 2))], "sequences must not be all zero, got a history matrix of rank 0"),
        (LinearAutoencoder(1, center=True), [np.ones((3, 2))], "sequences must not be all equal with center=True, got"),
        (LinearAutoencoder(0), ragged, size),
        (LinearAutoencoder(4, decoder="best"), ragged, "decoder must be one of 'tied', 'refit', 'optimal', got 'best'"),
        (LinearAutoencoder(4, refine="all"), ragged, "refine must be one of None, 'decoder', 'joint', got 'all'"),
        (LinearAutoencoder(4, solver="fast"), ragged, solvers),
        (LinearAutoencoder(4, solver=3), ragged, "or a solver object, got 3"),
        (LinearAutoencoder(4, solver="randomized", random_state=-1), ragged, seed),
        (LinearAutoencoder(4), [np.ones((3, 2), dtype=complex)], "sequence 0 must be real"),
    ]
    for ae, sequences, message in cases:
        with pytest.raises(ValueError) as caught:
            ae.fit(sequences)
        assert message in str(caught.value)


def test_bad_input_after_fit(ragged):
    ae = LinearAutoencoder(4).fit(ragged)
    with pytest.raises(ValueError, match="sequence 0 must have 3 features, got 2"):
        ae.transform([np.zeros((3, 2))])
    with pytest.raises(ValueError, match=r"states must have shape \(n, 4\), got \(2, 5\)"):
        ae.decode(np.zeros((2, 5)), 3)
    with pytest.raises(ValueError, match="length must be at least 1, got 0"):
        ae.decode(np.zeros((2, 4)), 0)
    ae.partial_fit(ragged)
    with pytest.raises(ValueError, match="sequence 0 must have 3 features, got 2"):
        ae.partial_fit([np.zeros((3, 2))])
    for use in (ae.fit, ae.partial_fit, LinearAutoencoder(4).fit(ragged).transform):
        for given, kind in ((None, "NoneType"), (3, "int")):
            with pytest.raises(ValueError, match=f"sequences must be a list of .* got {kind}. Pass a list"):
                use(given)
    for use in (ae.partial_fit, LinearAutoencoder(4).fit(ragged).transform):
        with pytest.raises(ValueError, match="sequences must be a list of .* got Shard. Pass a list"):
            use(Shard(ragged))
    with pytest.raises(ValueError, match="generator with none left: it can be read only once. Collect"):
        LinearAutoencoder(4).fit_transform(sequence for sequence in ragged)


def test_memory_of_partial_fit_does_not_grow_with_the_chunks(monkeypatch):
    monkeypatch.setattr("linmem.autoencoder.partial_fit.DENSE_COLUMNS", 10)
    ae, sizes = LinearAutoencoder(1), []
    for seed in range(4):
        ae.partial_fit(smooth([60] * 3, features=4, seed=seed))
        sizes.append(ae._chunks.rows.shape)
    assert max(rows for rows, _ in sizes) <= 102 < 4 * 3 * 60
    assert sizes[-1] == sizes[1]


def test_less_usual_mistakes_are_answered_too(tmp_path):
    sequences = [torch.randn(5, 2), torch.randn(4, 2)]
    with pytest.raises(NotFittedError, match="Call fit or partial_fit"):
        _ = LinearAutoencoder(3).A_
    fitted = LinearAutoencoder(3).fit([x.tolist() for x in sequences])  # plain lists are sequences too
    assert fitted.A_.shape == (3, 2)
    with pytest.raises(ValueError, match="length must be an integer, got 2.5"):
        fitted.decode(fitted.transform(sequences), 2.5)
    with pytest.raises(FileNotFoundError, match="must lie in an existing folder"):
        fitted.save(tmp_path / "missing" / "file")
    with pytest.raises(ValueError, match="sequence 0 must be real"):
        LinearAutoencoder(3).fit([x.to(torch.complex64) for x in sequences])


def test_a_remembered_decomposition_is_not_taken_for_another_of_the_same_size():
    generator = torch.Generator().manual_seed(0)
    first = [torch.randint(0, 9, (12, 4), generator=generator).double() for _ in range(3)]
    second = [x.flip(1) for x in first]
    solver = Remembered("exact")
    for sequences in (first, second):
        shared, own = (LinearAutoencoder(5, solver=one).fit(sequences) for one in (solver, "exact"))
        assert shared.training_error_ == pytest.approx(own.training_error_, rel=1e-9)


@pytest.mark.parametrize("solver", ["auto", "exact", "correlated", "randomized"])
def test_a_remembered_solver_decomposes_what_it_decomposes_by_itself(ragged, solver):
    own = LinearAutoencoder(solver=solver, lag_decay=0.75).fit(ragged)
    shared = LinearAutoencoder(solver=Remembered(solver), lag_decay=0.75).fit(ragged)
    np.testing.assert_array_equal(shared.singular_values_, own.singular_values_)


def test_default_memory_is_100_units_or_the_rank(ragged):
    assert LinearAutoencoder().fit(ragged).memory_size_ == rank(ragged)
    assert LinearAutoencoder().fit(smooth([300, 200])).memory_size_ == 100
    chunked = LinearAutoencoder().partial_fit(ragged[:3]).partial_fit(ragged[3:])
    assert chunked.memory_size_ == rank(ragged)


@pytest.mark.parametrize("decay", [1.0, 0.9])
@pytest.mark.parametrize("center", [False, True])
@pytest.mark.parametrize("scale", [1e-150, 1e150])
@pytest.mark.parametrize("source", ["list", "generator", "iterable", "chunks"])
def test_scale_of_the_inputs_does_not_matter(ragged, scale, center, decay, source):
    expected = LinearAutoencoder(4, center=center, lag_decay=decay).fit(ragged)
    scaled = [one * scale for one in ragged]
    ae = LinearAutoencoder(4, center=center, lag_decay=decay)
    if source == "chunks":
        ae.partial_fit([np.zeros((3, 3))])
        for one in scaled:
            ae.partial_fit([one])
        expected = LinearAutoencoder(4, center=center, lag_decay=decay).fit([np.zeros((3, 3)), *ragged])
    else:
        ae.fit(
            {"list": scaled, "generator": (one for one in scaled), "iterable": dict(enumerate(scaled)).values()}[source]
        )
    assert ae.training_error_ == pytest.approx(expected.training_error_, rel=1e-4)
    assert ae.reconstruction_error(scaled) == pytest.approx(expected.reconstruction_error(ragged), rel=1e-4)
    np.testing.assert_allclose(ae.singular_values_ / scale, expected.singular_values_, rtol=1e-9)
    np.testing.assert_allclose(ae.mean_ / scale, expected.mean_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ae.A_, expected.A_, atol=1e-6)


def test_a_file_holds_right_vectors_only_on_request(tmp_path):
    sequences = smooth([200] * 3, features=8)
    ae = LinearAutoencoder(20).fit(sequences)
    ae.save(tmp_path / "small")
    ae.save(tmp_path / "large", right_vectors=True)
    small, large = (LinearAutoencoder.load(tmp_path / name) for name in ("small", "large"))
    assert (tmp_path / "small").stat().st_size < 20_000 < (tmp_path / "large").stat().st_size
    assert np.array_equal(large.right_vectors_, ae.right_vectors_)
    assert small.lags_ == 200
    np.testing.assert_array_equal(small.transform(sequences), ae.transform(sequences))
    np.testing.assert_array_equal(
        small.inverse_transform(ae.transform(sequences)), ae.inverse_transform(ae.transform(sequences))
    )
    with pytest.raises(AttributeError, match=r"got a file without it. Use save\(path, right_vectors=True\)"):
        _ = small.right_vectors_


def test_fitted_attributes_are_ordinary_attributes(ragged):
    ae = LinearAutoencoder(4).fit(ragged)
    assert {"A_", "B_", "C_", "mean_", "singular_values_", "optimal_error_", "lags_"} <= set(vars(ae))
    with pytest.raises(AttributeError, match="no attribute 'other_'"):
        _ = ae.other_


@pytest.mark.parametrize("steps", [np.arange(12).reshape(6, 2), np.arange(12, dtype=">f8").reshape(6, 2)[::-1]])
def test_steps_and_states_are_read_like_sequences(steps):
    fitted = LinearAutoencoder(3).fit([np.random.default_rng(0).normal(size=(20, 2))])
    expected = fitted.transform([steps])
    state = None
    for x_t in steps:
        state = fitted.step(x_t, state)
    np.testing.assert_allclose(state, expected[0], atol=1e-12)
    np.testing.assert_allclose(fitted.step(steps[0][::-1]), fitted.step(steps[0][::-1].copy().astype(float)))
    states = expected.repeat(2, 0)
    big_endian = states.astype(">f8")[::-1]
    np.testing.assert_array_equal(fitted.decode(big_endian, 4), fitted.decode(states, 4))


def test_large_integers_are_fitted_as_they_are():
    walk = np.random.default_rng(0).integers(-5, 6, (40, 2)).cumsum(0) + 2**25  # even numbers alone in float32
    for solver in ("exact", "randomized"):
        found, expected = (
            LinearAutoencoder(4, center=True, solver=solver).fit([x]) for x in (walk, walk.astype(float))
        )
        np.testing.assert_array_equal(found.A_, expected.A_)
        assert found.mean_.dtype == np.float64
    np.testing.assert_array_equal(found.transform([walk]), expected.transform([walk.astype(float)]))


def test_an_earlier_fit_outlives_sequences_that_are_refused():
    sequences = smooth([20] * 3, features=2)
    fitted = LinearAutoencoder(3).fit(sequences)
    before = fitted.A_
    for bad in ([], [np.full((4, 2), np.nan)], [np.ones(3)]):
        with pytest.raises(ValueError, match="sequence"):
            fitted.fit(bad)
        assert fitted.A_ is before
