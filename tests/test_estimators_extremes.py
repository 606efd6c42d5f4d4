"""Estimators on values of any size: the scale of the data does not matter, or one error says what to do."""

import numpy as np
import pytest
import torch

from linmem.estimators.anomaly import MemoryAnomalyDetector
from linmem.estimators.features import MemoryFeatures
from linmem.estimators.forecaster import MemoryForecaster
from linmem.estimators.regressor import MemoryRegressor
from linmem.estimators.seasonality import find_seasons
from linmem.runs import fitted_estimator

SCALES = [1e-300, 1e-200, 1e200, 1e297]
QUICK = {"season": None, "memory_size": 5, "lag_decays": (0.9,), "penalties": (1e-4,)}


def walk(seed=0, steps=100):
    """Between about 0.1 and 100, and never constant."""
    return 30 + np.random.default_rng(seed).standard_normal(steps).cumsum()


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("log", [False, True])
def test_forecasts_scale_with_the_series(scale, log):
    for series in ([walk()], [walk(), walk(1)]):
        plain = MemoryForecaster(log=log, **QUICK).fit(series)
        model = MemoryForecaster(log=log, **QUICK).fit([scale * x for x in series])
        assert np.divide(model.predict(3), scale) == pytest.approx(np.array(plain.predict(3)), rel=1e-4)
        for found, expected in zip(model.predict_interval(3), plain.predict_interval(3), strict=True):
            assert np.divide(found, scale) == pytest.approx(np.array(expected), rel=1e-4)


@pytest.mark.filterwarnings("error::RuntimeWarning")
@pytest.mark.parametrize("scale", SCALES)
def test_scores_features_and_seasons_do_not_depend_on_the_scale(scale):
    x, other = walk(), walk(1)
    plain, model = (MemoryAnomalyDetector(memory_size=5).fit(factor * x) for factor in (1.0, scale))
    assert model.score_samples(scale * other) == pytest.approx(plain.score_samples(other), rel=1e-6)
    assert model.update(scale * other[0]) == pytest.approx(plain.update(other[0]), rel=1e-6)
    found, expected = (
        MemoryFeatures(n_projections=50, decays=(0.9,)).fit_transform([factor * x, factor * other])
        for factor in (scale, 1.0)
    )
    assert np.abs(found - expected).max() < 0.05  # near a threshold, rounding may move a step of 100 across
    wave = (np.sin(2 * np.pi * np.arange(100) / 10) + 0.01 * x)[:, None]
    assert find_seasons(scale * wave, 25) == find_seasons(wave, 25)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_a_constant_channel_stays_constant_at_any_scale(scale):
    x = scale * np.stack([walk(), np.full(100, 21.3)], 1)
    assert np.isfinite(MemoryAnomalyDetector(memory_size=5).fit(x).score_samples(x)).all()
    assert MemoryForecaster(**QUICK).fit(x).predict(3)[:, 1] == pytest.approx(21.3 * scale, rel=1e-6)


def test_values_that_leave_the_range_are_refused():
    x = walk()
    detector, features = MemoryAnomalyDetector(memory_size=5).fit(x), MemoryFeatures(n_projections=50).fit([x, x + 1])
    for call in (detector.score_samples, detector.predict, lambda z: features.transform([z])):
        with pytest.raises(ValueError, match="values must be at most 1e\\+30 training deviations.*Leave them out"):
            call(1e200 * x)
    expected = detector.update(x[0])
    with pytest.raises(ValueError, match="values must be at most"):
        detector.update(1e200)
    detector.reset()
    assert detector.update(x[0]) == expected
    for estimator in (MemoryForecaster(**QUICK), detector):
        with pytest.raises(ValueError, match="sequence 0 must have values of at most 1e.300 in size, got .* step 0"):
            estimator.fit(1e305 * x)
    with pytest.raises(ValueError, match="x_t must have values of at most"):
        detector.update(1e305)


@pytest.mark.parametrize("scale", [1e-200, 1e200])
def test_targets_whose_squares_leave_the_range_are_refused(scale):
    with pytest.raises(ValueError, match="the largest of y must be 0 or between 1e-100 and 1e\\+100.*Multiply y"):
        MemoryRegressor(n_projections=50).fit([walk(seed) for seed in range(4)], scale * np.arange(1.0, 5.0))


def test_a_candidate_whose_error_is_nan_is_not_chosen(monkeypatch):
    errors = iter([np.nan, 2.0, np.nan, 1.0])
    monkeypatch.setattr("linmem.estimators.forecaster.mean_absolute_error", lambda *_: next(errors, 3.0))
    assert MemoryForecaster(**QUICK).fit(walk()).validation_error_ == 1.0
    monkeypatch.setattr("linmem.estimators.forecaster.mean_absolute_error", lambda *_: np.nan)
    with pytest.raises(ValueError, match="series must have forecasts that stay finite for 12 steps, got none"):
        MemoryForecaster(**QUICK).fit(walk())


@pytest.mark.parametrize("scale", [1e-15, 1e-100, 1e100])
@pytest.mark.parametrize("log", [False, True])
def test_one_step_forecasts_of_all_steps_scale_with_the_series(scale, log):
    """Also beside a series of another scale, and where the first steps are constant."""
    model = MemoryForecaster(log=log, **QUICK).fit([walk(), scale * walk(1)])
    for x in (scale * walk(2), scale * np.concatenate([np.full(15, 30.0), walk(2)])):
        found = fitted_estimator._next_values(model, x[:, None], np.zeros((0, 1)))[:, 0] / scale
        expected = [model.predict(1, series=x[: t + 1])[0] / scale for t in range(len(x) - len(found), len(x))]
        assert found[20:] == pytest.approx(expected[20:], rel=1e-8)


def test_a_detector_with_a_constant_channel_of_any_size_is_loaded(tmp_path):
    x = np.stack([walk(), np.full(100, 1e35)], 1)
    detector = MemoryAnomalyDetector(memory_size=5).fit(x)
    detector.save(tmp_path / "detector")
    assert (
        MemoryAnomalyDetector.load(tmp_path / "detector").score_samples(x).tolist()
        == detector.score_samples(x).tolist()
    )


@pytest.mark.parametrize(
    "step",
    [np.array([1 + 2j]), torch.tensor([1 + 2j]), np.datetime64("2026-01-01"), np.array([3], "m8[s]")],
    ids=["complex", "complex tensor", "date", "duration"],
)
def test_streams_refuse_what_series_may_not_hold(step):
    estimators = [
        MemoryAnomalyDetector(memory_size=5).fit(walk()),
        MemoryForecaster(**QUICK).fit(walk()),
        MemoryFeatures(n_projections=20, views=["scaled"]).fit([walk(), walk(1)]),
    ]
    for one in estimators:
        with pytest.raises(ValueError, match="x_t must hold real numbers, got"):
            one.update(step)
    detector = estimators[0]
    expected = detector.update(30.5)
    for same in (torch.tensor([30.5], dtype=torch.bfloat16), np.float16(30.5), [30.5]):
        assert detector.reset().update(same) == expected
