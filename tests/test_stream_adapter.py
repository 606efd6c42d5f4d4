"""river's methods on fitted estimators: the numbers of the batch, and of the steps read so far."""

import doctest

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError

from linmem import (
    LinearAutoencoder,
    MemoryAnomalyDetector,
    MemoryClassifier,
    MemoryFeatures,
    MemoryForecaster,
    MemoryRegressor,
)
from linmem.estimators import stream_adapter
from linmem.estimators.stream_adapter import StreamAdapter

X = np.stack([np.sin(0.3 * np.arange(200)), np.cos(0.2 * np.arange(200))], 1)
X = 5 + X + 0.1 * np.random.default_rng(0).standard_normal(X.shape)
Z = X + 0.1 * np.random.default_rng(1).standard_normal(X.shape)  # steps that the estimators are not fitted to
CAUSAL = {"views": ["scaled", "scaled differences"], "n_projections": 100}


def steps(x=X):
    return [{"b": one[1], "a": one[0]} for one in x]  # order of the keys is not that of the columns


def test_a_pipeline_of_river_gives_the_scores_of_the_batch():
    compose = pytest.importorskip("river.compose", reason="river is not installed")
    detector = MemoryAnomalyDetector(memory_size=8).fit(X)
    pipeline = compose.Select("a", "b") | StreamAdapter(detector, ["a", "b"])
    found = []
    for step in steps():
        found.append(pipeline.score_one(step | {"c": 1.0}))
        pipeline.learn_one(step | {"c": 1.0})
    assert found == pytest.approx(detector.score_samples(X), rel=1e-9)


def test_scores_are_those_of_the_batch_and_scoring_reads_nothing():
    detector = MemoryAnomalyDetector(memory_size=8).fit(X)
    stream, expected = StreamAdapter(detector, ["a", "b"]), detector.score_samples(X)
    for t, x in enumerate(steps()[:30]):
        assert stream.score_one(x) == stream.score_one(x) == pytest.approx(expected[t], rel=1e-9)
        stream.learn_one(x)


@pytest.mark.parametrize("kind", [MemoryClassifier, MemoryRegressor])
def test_predictions_are_those_of_the_steps_read_so_far(kind):
    series, labels = [X[i : i + 40] for i in range(0, 160, 10)], np.arange(16) % 2
    estimator = kind(**CAUSAL).fit(series, labels)
    stream = StreamAdapter(estimator, ["a", "b"])
    for x in steps(Z)[:25]:
        stream.learn_one(x)
    assert stream.predict_one() == pytest.approx(estimator.predict([Z[:25]])[0], rel=1e-4)


def test_features_have_names():
    features = MemoryFeatures(**CAUSAL).fit([X[:100], X[100:]])
    stream = StreamAdapter(features, ["a", "b"])
    for x in steps(Z)[:25]:
        stream = stream.learn_one(x)
    found = stream.transform_one(x)
    assert list(found) == features.get_feature_names_out().tolist()
    assert list(found.values()) == pytest.approx(features.transform([Z[:25]])[0].tolist(), rel=1e-3, abs=1e-4)


def test_forecasts_continue_the_fitted_series():
    one = StreamAdapter(MemoryForecaster(season=None, lag_decays=(0.9,), log=False).fit(X[:150, 0]))
    several = StreamAdapter(MemoryForecaster(season=None, lag_decays=(0.9,), log=False).fit(X[:150]), ["a", "b"])
    for t in range(150, 160):
        assert one.predict_one() == pytest.approx(one.estimator.predict(1)[0])
        assert several.predict_one() == pytest.approx(dict(zip("ab", several.estimator.predict(1)[0], strict=True)))
        one.learn_one({"level": X[t, 0]})
        several.learn_one(steps()[t])
    assert one.predict_one() == pytest.approx(one.estimator.predict(1, series=X[:160, 0])[0], rel=1e-9)
    start = one.reset().predict_one()
    assert start == pytest.approx(one.estimator.predict(1, series=X[:150, 0])[0], rel=1e-9)


@pytest.mark.parametrize("dtype", [object, str])
def test_classes_are_texts_of_python(dtype):
    classifier = MemoryClassifier(**CAUSAL).fit([X[:50], X[50:120]], np.array(["a", "b"], dtype))
    assert StreamAdapter(classifier).learn_one({"a": 1.0, "b": 1.0}).predict_one() in ("a", "b")


def test_a_refused_first_step_does_not_decide_the_channels():
    stream = StreamAdapter(MemoryAnomalyDetector(memory_size=8).fit(X))
    with pytest.raises(ValueError, match="x_t must have shape"):
        stream.learn_one({"a": 1.0, "b": 1.0, "time": 0.0})
    assert stream.learn_one({"a": 1.0, "b": 1.0}).channels == ["a", "b"]


def test_forecasts_need_a_fit_to_one_series():
    with pytest.raises(NotFittedError):
        StreamAdapter(MemoryForecaster()).predict_one()
    several = MemoryForecaster(season=None, lag_decays=(0.9,)).fit([X[:100], X[100:]])
    with pytest.raises(ValueError, match="predict_one must have one fitted series, got 2"):
        StreamAdapter(several).predict_one()


def test_wrong_methods_and_channels_are_refused():
    detector = StreamAdapter(MemoryAnomalyDetector(memory_size=8).fit(X), ["a", "b"])
    with pytest.raises(ValueError, match="x must have the channels a, b, got a"):
        detector.learn_one({"a": 1.0})
    numbered = StreamAdapter(MemoryAnomalyDetector(memory_size=8).fit(X)).learn_one({0: 1.0, 1: 1.0})
    with pytest.raises(ValueError, match="x must have the channels 0, 1, got 0"):
        numbered.learn_one({0: 1.0})
    with pytest.raises(ValueError, match="predict_one needs a predictor, got MemoryAnomalyDetector"):
        detector.predict_one()
    with pytest.raises(ValueError, match="transform_one needs MemoryFeatures"):
        detector.transform_one()
    classifier = StreamAdapter(MemoryClassifier(**CAUSAL).fit([X[:50], X[50:120]], [0, 1]))
    with pytest.raises(ValueError, match="a step must be read first"):
        classifier.predict_one()
    with pytest.raises(ValueError, match="score_one needs a MemoryAnomalyDetector"):
        classifier.score_one({"a": 1.0, "b": 1.0})
    with pytest.raises(ValueError, match="estimator must be one of linmem with `update`, got LinearAutoencoder"):
        StreamAdapter(LinearAutoencoder(3))


def test_examples_run():
    assert doctest.testmod(stream_adapter).failed == 0
