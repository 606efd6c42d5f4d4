"""Memory features, classifier and regressor: scikit-learn's contract on ragged series, and the readout's identities."""

import doctest
import io
from importlib import import_module
from itertools import pairwise

import joblib
import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from linmem.estimators import block_ridge, landmarks, predictor
from linmem.estimators.classifier import MemoryClassifier
from linmem.estimators.features import MemoryFeatures
from linmem.estimators.forecaster import MemoryForecaster
from linmem.estimators.memory_filters import lag_gram, lag_rows, memory_filters
from linmem.estimators.pooling import pooled_features
from linmem.estimators.projections import draw_projections
from linmem.estimators.regressor import MemoryRegressor
from linmem.estimators.series import LayoutWarning, read_series
from linmem.estimators.views import fit_views


def waves(count=40, seed=0, features=1):
    """Ragged noisy sines of two frequencies at any phase."""
    rng = np.random.default_rng(seed)
    labels = np.array(["slow", "fast"])[rng.integers(2, size=count)]
    series = []
    for label in labels:
        t = np.arange(rng.integers(25, 50)) + rng.uniform(0, 20)
        x = np.sin((0.3 if label == "slow" else 0.5) * t)[:, None] * np.ones(features)
        series.append(x + 0.1 * rng.standard_normal(x.shape))
    return series, labels


def small(kind=MemoryClassifier, **parameters):
    return kind(n_projections=300, **parameters)


def unseen(count=12, features=1):
    """Series that the estimators are not fitted to."""
    return waves(count, seed=5, features=features)[0]


def relative(left, right):
    return np.abs(left - right).max() / np.abs(right).max()


# identities


def test_the_order_of_series_does_not_matter_to_their_features():
    series = unseen(features=2)
    features = small(MemoryFeatures).fit(waves(features=2)[0])
    order = np.random.default_rng(1).permutation(len(series))
    found = features.transform([series[i] for i in order])
    assert relative(found, features.transform(series)[order]) < 1e-5


def test_pieces_and_single_series_give_the_features_of_the_whole_batch():
    series, features = unseen(), small(MemoryFeatures).fit(waves()[0])
    encoder = features.encoders_[0]
    views = [features.views_.apply(x, "scaled") for x in series]
    whole = np.concatenate(pooled_features(views, encoder, share=True, size=10_000), 1)
    assert relative(np.concatenate(pooled_features(views, encoder, share=True, size=7), 1), whole) < 1e-5
    single = np.concatenate([features.transform([x]) for x in series])
    assert relative(single, features.transform(series)) < 1e-5


def test_equal_series_have_equal_features_and_predictions():
    series, labels = waves()
    classifier = small().fit(series, labels)
    values = classifier.decision_function([series[0], series[3], series[0]])
    assert values[0] == pytest.approx(values[2], rel=1e-5)
    assert values[0] != pytest.approx(values[1], rel=1e-5)


@pytest.mark.parametrize("kind", ["lists", "torch", "channels first", "float32"])
def test_kinds_of_input_agree(kind):
    (series, labels), new = waves(features=2), unseen(features=2)
    expected = small().fit(series, labels).decision_function(new)
    layout = "ct" if kind == "channels first" else "tc"
    convert = {
        "lists": lambda x: x.tolist(),
        "torch": torch.from_numpy,
        "channels first": np.transpose,
        "float32": np.float32,
    }[kind]
    # float32 rounds nearly equal eigenvalues apart, which turns their directions: fitted to the same numbers
    train = series if kind == "float32" else [convert(x) for x in series]
    found = small(layout=layout).fit(train, labels).decision_function([convert(x) for x in new])
    assert relative(found, expected) < (1e-3 if kind == "float32" else 1e-6)


def test_an_array_of_three_dimensions_is_a_list_of_its_series():
    series, labels = waves()
    array = np.stack([x[:25] for x in series])
    expected = small().fit(list(array), labels).decision_function(list(array))
    assert (small().fit(array, labels).decision_function(array) == expected).all()
    channels_first = small(layout="ct").fit(array.transpose(0, 2, 1), labels)
    assert (channels_first.decision_function(array.transpose(0, 2, 1)) == expected).all()


@pytest.mark.parametrize("layout", ["tc", "ct"])
def test_integers_keep_their_precision(layout):
    """Above 2²⁴ float32 has no odd numbers."""
    axes = (0, 1, 2) if layout == "tc" else (0, 2, 1)
    array = (2**31 + np.arange(24)).reshape(2, 6, 2).transpose(axes)
    tensor = torch.from_numpy(np.ascontiguousarray(array))
    expected = array.transpose(axes).astype(np.float64)
    for kind in (array, list(array), array.tolist(), array.astype(object), tensor, list(tensor), np.longdouble(array)):
        assert (np.stack(read_series(kind, layout)) == expected).all()


@pytest.mark.parametrize("views", [["scaled"], ["scaled differences", "scaled"]])
def test_a_stream_has_the_features_and_outputs_of_the_steps_so_far(views):
    series, labels = waves(20, features=2)
    classifier = small(views=views).fit(series, labels)
    regressor = small(MemoryRegressor, views=views).fit(series, np.arange(20.0))
    features = classifier.features_
    for one in unseen(2, features=2):
        features.reset()
        streamed = [features.update(x) for x in one]
        for steps in (1, 2, len(one)):
            expected = features.transform([one[:steps]])[0]
            assert np.abs(streamed[steps - 1] - expected).max() < 1e-4 * np.abs(expected).max()
        classifier.reset()
        regressor.reset()
        outputs = [classifier.update(x)[1] for x in one]
        numbers = [regressor.update(x) for x in one]
        assert outputs[-1] == pytest.approx(classifier.decision_function([one])[0], rel=1e-3, abs=1e-4)
        assert numbers[-1] == pytest.approx(regressor.predict([one])[0], rel=1e-3)


def test_a_stream_refuses_what_transform_refuses_and_goes_on():
    series, _ = waves(20)
    features = MemoryFeatures(views=["scaled", "scaled differences"], random_state=0).fit(series)
    first, second = ([0.5], [-1.0])
    features.update(first)
    for refused in ([1e40], [-1e200]):
        with pytest.raises(ValueError, match=r"values must be at most 1e\+30 training deviations"):
            features.transform([np.array([first, refused])])
        with pytest.raises(ValueError, match=r"values must be at most 1e\+30 training deviations"):
            features.update(refused)
    expected = features.transform([np.array([first, second])])[0]
    np.testing.assert_allclose(features.update(second), expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_views_of_the_whole_series_cannot_stream():
    series, labels = waves()
    with pytest.raises(ValueError, match=r"views must be of .* for streams, got 'standardized'"):
        small().fit(series, labels).update([0.0])


# oracles


@pytest.mark.parametrize("decay", [0.5, 0.9])
def test_filters_are_those_of_the_dense_history_matrix(decay):
    """The eigenvectors of Ξ_γᵀΞ_γ, weighted by lag; and their responses are those of A = U_0ᵀ, B = γ Σ U_{i+1}ᵀ U_i."""
    series = [x.astype(np.float64) for x in waves(6, features=2)[0]]
    lags, size = 12, 5
    history = np.concatenate([lag_rows(x, 0, len(x), lags) for x in series])
    weighted = history * np.repeat(decay ** np.arange(lags), 2)
    used = min(lags, int(np.ceil(np.log(0.01) / np.log(decay)))) * 2
    _, _, right = np.linalg.svd(weighted[:, :used], full_matrices=False)
    states = weighted[:, :used] @ right[:size].T
    states /= np.sqrt((states**2).mean(0))
    gram = lag_gram(series, lags)
    found = history @ memory_filters(gram, decay, lags, size, "solved", np.random.default_rng(0))
    signs = np.sign((found * states).sum(0))
    assert np.abs(found * signs - states).max() < 1e-4 * np.abs(states).max()


@pytest.mark.parametrize("memory", ["solved", "random", "delay"])
def test_states_have_unit_variance(memory):
    series = [x.astype(np.float64) for x in waves(6)[0]]
    gram = lag_gram(series, 8)
    filters = memory_filters(gram, 0.8, 8, 4, memory, np.random.default_rng(0))
    states = np.concatenate([lag_rows(x, 0, len(x), 8) for x in series]) @ filters
    assert (states**2).mean(0) == pytest.approx(np.ones(4), rel=1e-4)


def test_leave_one_out_is_the_ridge_fitted_without_each_row():
    rng = np.random.default_rng(0)
    Z, Y, strength = rng.standard_normal((15, 30)), rng.standard_normal((15, 2)), 0.3
    found = block_ridge.kernel_ridge(block_ridge.center(Z @ Z.T), Y - Y.mean(0), [strength])
    for i in range(15):
        rest = np.delete(np.arange(15), i)
        S, T = Z[rest] - Z[rest].mean(0), Y[rest] - Y[rest].mean(0)
        W = np.linalg.solve(S.T @ S + 15 * strength * np.eye(30), S.T @ T)
        expected = Y[i] - Y[rest].mean(0) - (Z[i] - Z[rest].mean(0)) @ W
        assert found.residuals[i] == pytest.approx(expected, rel=1e-9)


def blocks_and_targets(count, seed=0):
    rng = np.random.default_rng(seed)
    blocks = [rng.standard_normal((count, d)).astype(np.float32) for d in (6, 9)]
    return blocks, blocks[0][:, :2] + 0.3 * rng.standard_normal((count, 2))


def test_with_all_series_as_landmarks_the_ridge_is_the_exact_one():
    blocks, targets = blocks_and_targets(14)
    fit = block_ridge.fit_block_ridge(blocks, targets)
    sums = landmarks.landmark_ridge(fit, blocks, targets)
    sums.update(blocks, targets)
    unseen = fit.standardizer.apply(blocks_and_targets(20, seed=1)[0])
    found, expected = sums.solve([fit.strength]).apply(unseen), fit.map.apply(unseen)
    assert relative(found, expected) < 1e-3


def test_landmarks_give_the_primal_ridge_on_all_series_where_they_span_the_features():
    blocks, targets = blocks_and_targets(60)
    fit = block_ridge.fit_block_ridge([block[:30] for block in blocks], targets[:30])
    sums = landmarks.landmark_ridge(fit, [block[:30] for block in blocks], targets[:30])
    for start, stop in pairwise([0, 7, 33, 60]):
        sums.update([block[start:stop] for block in blocks], targets[start:stop])
    parts = zip(fit.scales, fit.standardizer.apply(blocks), strict=True)
    Z = np.concatenate([np.sqrt(scale) * z for scale, z in parts], 1).astype(np.float64)
    S = Z - Z.mean(0)
    W = np.linalg.solve(S.T @ S + 60 * 0.01 * np.eye(15), S.T @ (targets - targets.mean(0)))
    found = sums.solve([0.01]).apply(fit.standardizer.apply(blocks))
    assert relative(found, targets.mean(0) + S @ W) < 1e-3


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
@pytest.mark.parametrize("offset", [1e6, 1e9])
def test_a_large_mean_of_the_targets_only_shifts_the_outputs_of_landmarks(method, offset):
    """Float64 resolves 1e9 to 1e-7, and the targets, the share of fast series, deviate by 0.5."""
    series, labels = waves()
    y = (labels == "fast").astype(float)
    plain, shifted = (
        getattr(small(MemoryRegressor, n_landmarks=20), method)(series, z).predict(unseen()) for z in (y, y + offset)
    )
    assert shifted - offset == pytest.approx(plain, abs=1e-4)


def test_sums_saved_without_a_shift_go_on():
    """Files of earlier versions hold Σ [φ, 1, y] [φ, 1, y]ᵀ."""
    blocks, targets = blocks_and_targets(40)
    fit = block_ridge.fit_block_ridge([block[:30] for block in blocks], targets[:30])
    new = landmarks.landmark_ridge(fit, [block[:30] for block in blocks], targets[:30])
    old = landmarks.LandmarkRidge(new.standardizer, new.basis, new.moments)
    for sums in (new, old):
        sums.update(blocks, targets)
    standardized = fit.standardizer.apply(blocks)
    assert relative(old.solve([0.01]).apply(standardized), new.solve([0.01]).apply(standardized)) < 1e-5


# known cases


def test_thresholds_lie_midway_between_training_values():
    """One unit of directions ±1: rounding of values that repeat changes no sign."""
    states = np.repeat(np.array([0, 1, 3, 7], np.float32), 10)[:, None]
    drawn = draw_projections(states, 0, 1, 200, np.random.default_rng(0))
    found = np.unique(drawn.thresholds * drawn.directions[0])
    assert found == pytest.approx([-0.5, 0.5, 2, 5, 7.5])  # half a unit above the highest value
    rounded = states * (1 + 1e-6 * np.random.default_rng(1).standard_normal(states.shape).astype(np.float32))
    assert ((drawn.apply(states) > 0) == (drawn.apply(rounded) > 0)).all()


def test_two_frequencies_are_told_apart():
    (series, labels), (unseen, expected) = waves(), waves(seed=1)
    classifier = small().fit(series, labels)
    assert classifier.score(unseen, expected) == 1


@pytest.mark.parametrize("outputs", [1, 2])
def test_frequencies_are_regressed(outputs):
    frequency = np.linspace(0.2, 0.8, 60)
    series = [np.sin(f * np.arange(60)) for f in frequency]
    targets = frequency if outputs == 1 else np.stack([frequency, -frequency], 1)
    regressor = small(MemoryRegressor).fit(series[::2], targets[::2])
    assert regressor.predict(series[1::2]).shape == targets[1::2].shape
    assert regressor.score(series[1::2], targets[1::2]) > 0.99


def test_constant_series_are_no_obstacle():
    series, labels = waves()
    constant = [np.zeros((5, 1))] * 4
    assert np.isfinite(small(MemoryFeatures).fit_transform(constant)).all()
    assert np.isfinite(small().fit(series, labels).decision_function([*constant, np.ones((1, 1))])).all()


@pytest.mark.parametrize("level", [0.0, 21.3])
def test_another_level_of_a_constant_channel_does_not_decide_the_class(level):
    (series, labels), (unseen, expected) = waves(), waves(seed=1)
    with_channel = [np.concatenate([x, np.full_like(x, level)], 1) for x in series]
    shifted = [np.concatenate([x, np.full_like(x, level + 0.01)], 1) for x in unseen]
    assert small(views=["scaled"]).fit(with_channel, labels).score(shifted, expected) == 1


def test_views_that_repeat_another_are_left_out():
    series, _ = waves()
    assert fit_views(series).names[-1] == "padded"
    equal = [x[:25] for x in series]
    standard = [(x - x.mean(0)) / x.std(0) for x in equal]
    assert fit_views(standard).names == ("scaled", "scaled differences")


# many series


def test_many_series_need_chunks_of_constant_size(monkeypatch):
    """Twice the series are twice the chunks; no call sees more series than a chunk or the landmarks."""
    monkeypatch.setattr(predictor, "CHUNK_SERIES", 16)
    sizes, transform = [], MemoryFeatures._blocks_of_checked

    def counted(self, sequences):
        sizes.append(len(sequences))
        return transform(self, sequences)

    monkeypatch.setattr(MemoryFeatures, "_blocks_of_checked", counted)
    totals = []
    for count in (160, 320):
        sizes.clear()
        classifier = small(n_landmarks=24).fit(*waves(count))
        assert max(sizes) <= 24
        totals.append(sum(sizes) - 24)
        assert classifier.sums_.moments.shape[0] <= 24 + 1 + 2
        assert classifier.score(*waves(seed=1)) == 1
    assert totals == [160, 320]


def test_partial_fit_does_not_depend_on_the_batches_after_the_first():
    series, labels = waves(90)

    def fitted(edges):
        classifier = small(n_landmarks=30)
        for start, stop in pairwise(edges):
            classifier.partial_fit(series[start:stop], labels[start:stop])
        return classifier.decision_function(series)

    assert relative(fitted([0, 40, 55, 90]), fitted([0, 40, 90])) < 1e-4


@pytest.mark.parametrize("seed", range(5))
def test_a_small_first_batch_of_one_class_does_not_decide_the_features(seed):
    (series, labels), (unseen, expected) = waves(60, seed=10 + seed), waves(seed=30 + seed)
    order = np.argsort(labels, kind="stable")
    series, labels = [series[i] for i in order], np.asarray(labels)[order]
    classifier = small().partial_fit(series[:5], labels[:5], classes=np.unique(labels))
    for start in range(5, 60, 7):
        classifier.partial_fit(series[start : start + 7], labels[start : start + 7])
    assert classifier.score(unseen, expected) > 0.95
    assert classifier.kept_.fitted >= len(series) / 2


def test_partial_fit_keeps_series_until_the_landmarks_are_complete():
    series, labels = waves(90)
    classifier = small(n_landmarks=30)
    for start in range(0, 90, 10):
        classifier.partial_fit(series[start : start + 10], labels[start : start + 10], classes=np.unique(labels))
        kept = classifier.kept_
        assert (kept is None) == (start + 10 >= 30)
        assert kept is None or (len(kept.series), kept.fitted) == (start + 10, [10, 20][start // 10])
    once = small(n_landmarks=30).partial_fit(series[:30], labels[:30]).partial_fit(series[30:], labels[30:])
    assert relative(classifier.decision_function(series), once.decision_function(series)) < 1e-4


def test_partial_fit_learns_more_and_fit_forgets():
    (series, labels), (unseen, expected) = waves(60), waves(seed=1)
    classifier = small().partial_fit(series[:5], labels[:5], classes=["fast", "slow"])
    classifier.partial_fit(series[5:], labels[5:])
    assert classifier.score(unseen, expected) > 0.95
    assert relative(classifier.fit(series, labels).decision_function(unseen), classifier.decision_function(unseen)) == 0
    assert classifier.sums_ is None
    regressor = small(MemoryRegressor).partial_fit(series[:20], np.arange(20.0)).partial_fit(series[20:], np.arange(40))
    assert regressor.predict(unseen).shape == (40,)


@pytest.mark.parametrize(
    ("method", "added", "n_landmarks", "stop"),
    [("fit", 24, 100, 1), ("fit", 24, 20, 2), ("partial_fit", 24, 100, 2), ("partial_fit", 8, 100, 2)],
)
def test_an_interrupted_fit_leaves_the_estimator_as_it_was(monkeypatch, method, added, n_landmarks, stop):
    series, labels = waves()
    classifier = small(n_landmarks=n_landmarks).partial_fit(series[:16], labels[:16])
    expected, moments = classifier.decision_function(series), classifier.sums_.moments.copy()
    blocks, calls = MemoryFeatures._blocks_of_checked, []

    def interrupted(self, chunk):
        calls.append(chunk)
        if len(calls) == stop:
            raise KeyboardInterrupt
        return blocks(self, chunk)

    new = [3 * x + 1 for x in series[16 : 16 + added]]
    with monkeypatch.context() as patch:
        patch.setattr(predictor, "CHUNK_SERIES", 3)
        patch.setattr(MemoryFeatures, "_blocks_of_checked", interrupted)
        with pytest.raises(KeyboardInterrupt):
            getattr(classifier, method)(new, labels[16 : 16 + added])
    assert (classifier.decision_function(series) == expected).all()
    assert (classifier.sums_.moments == moments).all()
    assert len(classifier.kept_.series) == 16


@pytest.mark.parametrize("method", ["fit", "partial_fit"])
def test_a_refused_fit_leaves_the_estimator_as_it_was(method):
    series, labels = waves()
    classifier, regressor = small().fit(series, labels), small(MemoryRegressor).fit(series, np.arange(40.0))
    bad = [np.full((30, 1), np.nan), *series[1:]]
    for estimator, y in ((classifier, ["u", "v"] * 20), (regressor, np.zeros((40, 2)))):
        expected = estimator.predict(series)
        with pytest.raises(ValueError, match="sequence 0 must be finite"):
            getattr(estimator, method)(bad, y)
        assert (estimator.predict(series) == expected).all()


def test_partial_fit_takes_targets_of_one_shape():
    (series, _), y = waves(), np.arange(40.0)
    single = small(MemoryRegressor).partial_fit(series, y)
    double = small(MemoryRegressor).partial_fit(series, np.stack([y, y], 1))
    for regressor, other, shape in (
        (single, y[:, None], r"\(n,\)"),
        (double, y[:, None], r"\(n, 2\)"),
        (double, y, ""),
    ):
        with pytest.raises(ValueError, match=f"y must have shape {shape}.*as in earlier calls"):
            regressor.partial_fit(series, other)
    assert (single.predict(series).shape, double.predict(series).shape) == ((40,), (40, 2))


# scikit-learn's contract


@pytest.mark.parametrize("kind", [MemoryFeatures, MemoryClassifier, MemoryRegressor])
def test_parameters_are_cloned_and_kept_as_given(kind):
    estimator = small(kind, decays=[0.5, 0.9])
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    assert copy.set_params(memory_size=3).memory_size == 3
    series, labels = waves()
    before = [x.copy() for x in series]
    y = labels if kind is MemoryClassifier else np.arange(40.0)
    assert estimator.fit(series, y) is estimator
    assert estimator.get_params() == copy.set_params(memory_size=20).get_params()
    assert all((x == y).all() for x, y in zip(series, before, strict=True))


def test_pipelines_and_grid_search():
    series, labels = waves()
    pipeline = make_pipeline(MemoryFeatures(n_projections=100), StandardScaler(), RidgeClassifier())
    assert pipeline.fit(series, labels).score(series, labels) > 0.9
    search = GridSearchCV(small(), {"memory_size": [1, 10]}, cv=2).fit(series, labels)
    assert search.best_score_ > 0.9


def test_feature_names_match_the_features_and_set_output_uses_them():
    series, _ = waves(6)
    features = MemoryFeatures(n_projections=50, views=["scaled"]).fit(series)
    names = features.get_feature_names_out()
    assert len(set(names)) == features.transform(series).shape[1]
    pandas = pytest.importorskip("pandas")
    frame = features.set_output(transform="pandas").transform(series)
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame.columns) == list(names)
    features.set_params(decays=(0.5,))  # of the next fit
    assert features.get_feature_names_out().tolist() == names.tolist()


@pytest.mark.parametrize("kind", [MemoryFeatures, MemoryClassifier, MemoryRegressor])
def test_joblib_and_saved_files_give_the_same_results(kind, tmp_path):
    series, labels = waves()
    estimator = small(kind).fit(series, labels if kind is MemoryClassifier else np.arange(40.0))
    use = estimator.transform if kind is MemoryFeatures else estimator.predict
    buffer = io.BytesIO()
    joblib.dump(estimator, buffer)
    buffer.seek(0)
    estimator.save(tmp_path / "estimator")
    for copy in (joblib.load(buffer), kind.load(tmp_path / "estimator")):
        again = copy.transform if kind is MemoryFeatures else copy.predict
        assert (again(series) == use(series)).all()
        assert copy.get_params() == estimator.get_params()


@pytest.mark.filterwarnings("error::linmem.estimators.series.LayoutWarning")
def test_an_estimator_of_many_channels_is_loaded_without_warnings(tmp_path):
    features = small(MemoryFeatures).fit(waves(6, features=20)[0])
    features.save(tmp_path / "features")
    assert MemoryFeatures.load(tmp_path / "features").n_features_in_ == 20


def test_a_saved_partial_fit_goes_on(tmp_path):
    series, labels = waves(60)
    classifier = small().partial_fit(series[:30], labels[:30])
    classifier.save(tmp_path / "classifier")
    copy = MemoryClassifier.load(tmp_path / "classifier")
    for one in (classifier, copy):
        one.partial_fit(series[30:], labels[30:])
    assert (copy.decision_function(series) == classifier.decision_function(series)).all()


def test_seeds_decide_the_projections():
    series, _ = waves(8)
    one, same, other = (small(MemoryFeatures, random_state=seed).fit_transform(series) for seed in (0, 0, 1))
    assert (one == same).all()
    assert (one != other).any()
    assert small(MemoryFeatures, random_state=np.random.RandomState(0)).fit_transform(series).shape == one.shape


@pytest.mark.parametrize("module", ["features", "classifier", "regressor"])
def test_examples_in_docstrings(module):
    assert doctest.testmod(import_module(f"linmem.estimators.{module}")).failed == 0


# failures


def test_bad_values_are_refused_with_their_place():
    series, labels = waves()
    series[3] = series[3].copy()
    series[3][7] = np.nan
    with pytest.raises(ValueError, match=r"sequence 3 .*step 7"):
        small().fit(series, labels)


def test_targets_of_a_tensor_that_requires_gradients_are_numbers():
    series, labels = waves()
    numbers = torch.arange(float(len(series)), requires_grad=True)
    expected = small(MemoryRegressor).fit(series, np.arange(float(len(series)))).predict(series)
    np.testing.assert_array_equal(small(MemoryRegressor).fit(series, numbers).predict(series), expected)
    codes = (labels == labels[0]).astype(int)
    np.testing.assert_array_equal(
        small().fit(series, torch.as_tensor(codes)).predict(series), small().fit(series, codes).predict(series)
    )


def masked(values):
    """A copy whose value 3 is -9999, and masked."""
    copy = np.ma.array(values, copy=True)
    copy.flat[3] = -9999
    return np.ma.masked_equal(copy, -9999)


def test_masked_values_are_refused_and_not_read_as_data():
    series, labels = waves()
    message = "sequence 2 must have no masked values, got 1"
    for layout, moved in (("tc", np.asarray), ("ct", np.transpose)):
        features = small(MemoryFeatures, layout=layout)
        with pytest.raises(ValueError, match=message):
            features.fit([moved(x) for x in series[:2]] + [masked(moved(series[2]))])
    array = np.ma.array(np.stack([x[:25] for x in series]))
    array[2, 7] = np.ma.masked
    with pytest.raises(ValueError, match=message):
        small().fit(array, labels)
    with pytest.raises(ValueError, match="sequence 0 must have no masked values"):
        MemoryForecaster().fit(masked(series[0][:, 0]))
    with pytest.raises(ValueError, match="y must have no masked values, got 1"):
        small(MemoryRegressor).fit(series, masked(np.arange(40.0)))
    with pytest.raises(ValueError, match="x_t must have no masked values"):
        small(MemoryFeatures, views=["scaled"]).fit(series).update(np.ma.masked)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"decays": (0.5, 1.0)}, "decays must be numbers between 0 and 1"),
        ({"memory_size": 0}, "memory_size must be at least 1"),
        ({"memory": "none"}, "memory must be one of"),
        ({"layout": "time"}, "layout must be 'tc' or 'ct'"),
        ({"views": ["raw"]}, "views must be 'auto' or some of"),
        ({"n_landmarks": 1}, "n_landmarks must be at least 2"),
        ({"n_landmarks": 2.5}, "n_landmarks must be an integer, got 2.5"),
        ({"decays": 0.9}, "decays must be numbers between 0 and 1, got 0.9"),
        ({"decays": ("a",)}, "decays must be numbers between 0 and 1"),
        ({"memory_size": 2.5}, "memory_size must be an integer, got 2.5"),
        ({"n_projections": 100.5}, "n_projections must be an integer"),
        ({"max_lags": "all"}, "max_lags must be an integer"),
    ],
)
def test_bad_parameters_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        MemoryClassifier(**({"n_projections": 300} | change)).fit(*waves())


def test_transposed_arrays_are_noticed():
    series, labels = waves(features=3)
    with pytest.raises(ValueError, match="Pass layout='ct'"):
        small().fit([x.T for x in series], labels)
    with pytest.warns(UserWarning, match="layout='ct'"):
        small(MemoryFeatures).fit(np.zeros((4, 3, 50)))
    classes, random = [0, 1] * 4, np.random.default_rng(0).standard_normal((8, 3, 50))
    with pytest.warns(LayoutWarning) as caught:
        classifier = small().fit(random, classes)
    assert [one.category for one in caught] == [LayoutWarning]  # once, though features and ridge read the series, too
    with pytest.warns(LayoutWarning) as caught:
        classifier.predict(random)
    assert len(caught) == 1


def test_bad_labels_are_refused():
    series, labels = waves()
    with pytest.raises(ValueError, match="at least 2 classes"):
        small().fit(series, np.zeros(40, int))
    with pytest.raises(ValueError, match="one entry per series"):
        small().fit(series[:5], labels)
    with pytest.raises(ValueError, match="y must hold the classes"):
        small().partial_fit(series, labels).partial_fit(series[:1], ["unknown"])
    with pytest.raises(ValueError, match="got nan for series 1"):
        small(MemoryRegressor).fit(series[:2], [0.0, np.nan])


def test_other_numbers_of_features_and_unfitted_estimators_are_refused(tmp_path):
    series, labels = waves()
    with pytest.raises(NotFittedError):
        small().predict(series)
    classifier = small().fit(series, labels)
    with pytest.raises(ValueError, match="features"):
        classifier.predict(waves(features=2)[0])
    classifier.save(tmp_path / "file")
    with pytest.raises(ValueError, match="must hold a MemoryRegressor"):
        MemoryRegressor.load(tmp_path / "file")


@pytest.mark.parametrize("fit", ["fit", "fit with landmarks", "partial_fit"])
def test_the_unit_of_one_target_does_not_change_the_predictions_of_another(fit):
    """Of a regressor; with the errors added up as they are, the target of the largest unit would choose for all."""
    series, _ = waves(60)
    rng = np.random.default_rng(0)
    targets = np.stack([rng.standard_normal(60), [np.abs(x).max() for x in series]], 1)
    landmarks = 2000 if fit == "fit" else 20
    found = []
    for unit in (1.0, 1e6):
        regressor = small(MemoryRegressor, n_landmarks=landmarks)
        getattr(regressor, fit.split()[0])(series, targets * [1.0, unit])
        found.append(regressor.predict(series) / [1.0, unit])
    assert relative(found[1], found[0]) < 1e-6


def test_partial_fit_starts_a_new_stream_whatever_it_fits_again():
    series, labels = waves(40, features=1)
    classifier = small(views=["scaled"]).partial_fit(series[:8], labels[:8])
    for count in (1, 31):  # the features stay, and are fitted again
        for x_t in series[-1][:5]:
            classifier.update(x_t)
        classifier.partial_fit(series[8 : 8 + count], labels[8 : 8 + count])
        found = [classifier.update(x_t) for x_t in series[-1]][-1]
        assert relative(found[1], classifier.decision_function([series[-1]])[0]) < 1e-4


class Extended(MemoryFeatures):
    pass


def test_an_object_that_could_not_be_loaded_is_not_saved(tmp_path):
    series, _ = waves(10)
    path = tmp_path / "model"
    with pytest.raises(ValueError, match=r"must be of classes of linmem.estimators, got .*Extended"):
        Extended(n_projections=50).fit(series).save(path)
    dates = np.array(["2026-01-01", "2026-01-02"], "M8[D]")[np.arange(10) % 2]
    with pytest.raises(ValueError, match=r"arrays must hold numbers or texts, got datetime64\[D\]"):
        small().fit(series, dates).save(path)
    with pytest.raises(ValueError, match=r"got a range. Pass a list"):
        small(views=["scaled"], decays=(0.5,), random_state=range(3)).fit(series, np.arange(10) % 2).save(path)
    assert not path.exists()


@pytest.mark.parametrize("dtype", [">i4", ">f8", "<i2"])
def test_labels_of_any_byte_order_are_saved(dtype, tmp_path):
    series, labels = waves(20)
    classifier = small().fit(series, (labels == "fast").astype(dtype))
    classifier.save(tmp_path / "model")
    assert (MemoryClassifier.load(tmp_path / "model").predict(series) == classifier.predict(series)).all()


def test_collections_that_are_no_list_of_series_are_named():
    pandas = pytest.importorskip("pandas")
    series, _ = waves(4)
    for given, name in (({"a": series[0], "b": series[1]}, "dict"), (pandas.DataFrame({"a": [1.0, 2.0]}), "DataFrame")):
        with pytest.raises(ValueError, match=f"must be a list of .*, got (one )?{name}"):
            MemoryFeatures().fit(given)


@pytest.mark.parametrize("views", [None, 3, [], [1], np.array(["raw", "scaled"])])
def test_views_that_do_not_exist_are_refused(views):
    with pytest.raises(ValueError, match="views must be 'auto' or some of"):
        MemoryFeatures(views=views).fit(waves(4)[0])


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.arange(10) * 1j, "y must hold real numbers, got complex128"),
        (np.arange(10).astype("M8[s]"), r"y must hold real numbers, got datetime64\[s\]"),
        (np.zeros((10, 0)), r"y must have shape \(n,\) or \(n, o\), got \(10, 0\)"),
    ],
)
def test_targets_that_are_no_numbers_are_refused(y, message):
    with pytest.raises(ValueError, match=message):
        small(MemoryRegressor).fit(waves(10)[0], y)


def test_an_output_that_is_constant_among_the_landmarks_leaves_the_others_independent_of_its_unit():
    rng = np.random.default_rng(1)
    series = [np.sin((0.3 + 0.02 * i) * np.arange(40 + i)) + 0.3 * rng.standard_normal(40 + i) for i in range(60)]
    found, first = [], 0.02 * np.arange(60)
    second = np.where(np.arange(60) < 20, 0, rng.permutation(60))
    for unit in (1.0, 1e-3, 1e3):
        regressor = MemoryRegressor(n_projections=100, n_landmarks=20)
        for start in range(0, 60, 10):
            batch = slice(start, start + 10)
            regressor.partial_fit(series[batch], np.stack([first, unit * second], 1)[batch])
        found.append(regressor.predict(series) / [1, unit])
    assert relative(found[1], found[0]) < 1e-6
    assert relative(found[2], found[0]) < 1e-6


def test_other_classes_than_those_of_the_first_call_are_refused():
    series, labels = [np.sin((0.2 + 0.2 * (i % 2)) * np.arange(40 + i)) for i in range(12)], np.arange(12) % 2
    model = MemoryClassifier(n_projections=60).partial_fit(series, labels)
    with pytest.raises(ValueError, match=r"classes must be those of the first call, \[0, 1\], got \[0, 1, 2\]"):
        model.partial_fit(series, labels, classes=[0, 1, 2])
    assert model.partial_fit(series, labels, classes=[1, 0]).classes_.tolist() == [0, 1]
