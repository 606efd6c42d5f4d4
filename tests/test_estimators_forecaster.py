"""The forecaster: differences and their inverse, the recursion against its equations, known series, intervals."""

import doctest
import warnings

import numpy as np
import pytest
import torch
from sklearn.base import clone

from linmem.data import Splits
from linmem.estimators import forecaster, mean_squares, step_size
from linmem.estimators.dynamics import fit_dynamics
from linmem.estimators.forecaster import MemoryForecaster
from linmem.estimators.intervals import conformal_widths
from linmem.estimators.rolling_origin import rolling_forecasts
from linmem.estimators.seasonality import difference, find_seasons, integrate
from linmem.runs import fitted_estimator

QUICK = {"lag_decays": (0.9,), "penalties": (1e-4,)}


def seasonal(steps=200, seed=0, noise=0.1):
    t = np.arange(steps)
    return 10 + 0.05 * t + np.sin(2 * np.pi * t / 12) + noise * np.random.default_rng(seed).standard_normal(steps)


@pytest.mark.parametrize("lags", [(), (1,), (7,), (7, 1), (2, 3)])
def test_integrate_undoes_difference(lags):
    x = np.random.default_rng(0).standard_normal((40, 2))
    z = difference(x, lags)
    origins, steps = np.array([20, 24, 29]), 10
    future = np.stack([z[origin + 1 - sum(lags) : origin + 1 + steps - sum(lags)] for origin in origins])
    found = integrate(future, x, origins, lags)
    expected = np.stack([x[origin + 1 : origin + 1 + steps] for origin in origins])
    assert found == pytest.approx(expected, abs=1e-10)


def test_forecasts_are_the_two_equations_iterated():
    series = np.random.default_rng(0).standard_normal((60, 2)).cumsum(0)
    (m,) = fit_dynamics([series], 5, 0.9, [1e-3])
    found = m.forecast(m.states(series)[[30, 59]], 4)
    for row, origin in enumerate([30, 59]):
        y = np.zeros(5)
        for x in series[: origin + 1]:
            y = m.A @ x + m.B @ y
        for h in range(4):
            x = m.W @ y + m.b
            assert found[row, h] == pytest.approx(x, rel=1e-8)
            y = m.A @ x + m.B @ y


def test_forecasts_from_an_origin_do_not_depend_on_later_steps():
    model = MemoryForecaster(season=12, **QUICK).fit(seasonal()).model_
    x, origins = seasonal()[:, None], np.array([100, 150])
    changed = x.copy()
    changed[151:] = 1.0
    assert model.forecast(changed, origins, 5) == pytest.approx(model.forecast(x, origins, 5), rel=1e-10)


def test_validation_compares_forecasts_with_the_steps_after_each_origin():
    x = seasonal()[:, None]
    model = MemoryForecaster(season=12, log=False, **QUICK).fit(x).model_
    rolling = rolling_forecasts(model, x, 12)
    origins = np.arange(119, 199)
    assert rolling.forecasts == pytest.approx(model.forecast(x, origins, 12))
    assert rolling.targets[0] == pytest.approx(x[120:132])
    assert rolling.targets[-1, 0] == pytest.approx(x[199])
    assert np.isnan(rolling.targets[-1, 1:]).all()


def test_scale_of_the_data_does_not_matter():
    expected = MemoryForecaster(season=12, **QUICK).fit(seasonal()).predict(12)
    assert MemoryForecaster(season=12, **QUICK).fit(1000 * seasonal()).predict(12) == pytest.approx(1000 * expected)


@pytest.mark.parametrize("kind", ["trend", "constant", "season", "sine"])
def test_regular_series_are_continued(kind):
    t = np.arange(150)
    series = {
        "trend": 3.0 + 0.5 * t,
        "constant": np.full(150, 4.0),
        "season": np.tile([1.0, 5.0, 2.0, 2.5, 0.5], 30),
        "sine": np.sin(0.7 * t),
    }[kind]
    forecast = MemoryForecaster(season=5 if kind == "season" else None).fit(series[:130]).predict(20)
    assert np.abs(forecast - series[130:]).max() < 0.05


@pytest.mark.parametrize("level", [0.0, 21.3])
def test_a_blip_of_a_constant_channel_leaves_the_other_forecasts_alone(level):
    series = np.stack([np.sin(0.3 * np.arange(300)), np.full(300, level)], 1)
    model = MemoryForecaster(season=None, **QUICK).fit(series)
    expected, blip = model.predict(3), series.copy()
    blip[200, 1] += 0.1
    assert model.predict(3, series=blip) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("season", [4, 7, 12])
def test_seasons_are_found(season):
    t = np.arange(240)
    noise = 0.1 * np.random.default_rng(0).standard_normal(240)
    assert find_seasons((np.sin(2 * np.pi * t / season) + noise)[:, None], 60)[0] == season
    assert find_seasons(np.random.default_rng(0).standard_normal((240, 1)).cumsum(0), 60) == ()
    assert find_seasons(np.ones((240, 1)), 60) == ()
    rising = np.concatenate([np.zeros(200), np.arange(40.0)])[:, None]
    assert find_seasons(rising, 60) == ()


def weeks(count, seed=0):
    """Days of 8 steps, the last two of every seven half as strong."""
    t, noise = np.arange(56 * count), np.random.default_rng(seed).standard_normal(56 * count)
    return np.where(t % 56 < 40, 1.0, 0.5) * np.sin(2 * np.pi * t / 8) + 0.02 * noise


def test_a_longer_season_than_the_highest_peak_is_found_and_chosen_by_validation():
    series = weeks(14)
    assert find_seasons(series[:, None], len(series) // 4) == (8, 56)
    model = MemoryForecaster(memory_size=4, **QUICK).fit(series[:-56])
    assert (model.season_, model.horizon_) == (56, 56)
    assert model.choice_.lags[0] == 56
    daily = MemoryForecaster(season=8, horizon=56, memory_size=4, **QUICK).fit(series[:-56])
    error, other = (np.abs(one.predict(56) - series[-56:]).mean() for one in (model, daily))
    assert error < 0.5 * other
    assert MemoryForecaster(horizon=20, memory_size=4, **QUICK).fit(series).horizon_ == 20


def test_the_choice_of_the_season_has_the_least_validation_error():
    series = weeks(8)
    chosen = MemoryForecaster(horizon=8, **QUICK).fit(series)
    for season in (None, *find_seasons(series[:, None], len(series) // 4)):
        other = MemoryForecaster(horizon=8, season=season, **QUICK).fit(series)
        assert chosen.validation_error_ <= other.validation_error_


def test_forecasts_beyond_the_validated_horizon_warn():
    model = MemoryForecaster(season=12, **QUICK).fit(seasonal())
    with pytest.warns(UserWarning, match=r"13 steps are more than the validated horizon \(12\).*horizon=13"):
        model.predict(13)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.predict(12)


def test_intervals_hold_most_of_the_future_of_stationary_noise():
    """Independent noise of known law: 90 % intervals of 25 series hold 80 to 98 % of 300 steps (4 standard errors)."""
    inside = []
    for seed in range(25):
        x = np.random.default_rng(seed).standard_normal(212)
        lower, upper = MemoryForecaster(horizon=12, season=None, **QUICK).fit(x[:200]).predict_interval(12)
        inside.append((lower <= x[200:]) & (x[200:] <= upper))
    assert 0.8 < np.mean(inside) < 0.98


def test_wider_coverage_gives_wider_intervals_around_the_forecast():
    model = MemoryForecaster(season=12, **QUICK).fit(seasonal())
    narrow, wide = model.predict_interval(6, 0.5), model.predict_interval(6, 0.95)
    assert (wide.lower <= narrow.lower).all()
    assert (narrow.upper <= wide.upper).all()
    assert ((narrow.lower <= model.predict(6)) & (model.predict(6) <= narrow.upper)).all()


def autoregression(steps, seed):
    noise, x = np.random.default_rng(seed).standard_normal(steps), np.zeros(steps)
    for t in range(1, steps):
        x[t] = 0.8 * x[t - 1] + noise[t]
    return x


WHITE = {"horizon": 10, "season": None, "memory_size": 10, "log": False, **QUICK}


@pytest.mark.parametrize("log", [False, True])
def test_the_scale_of_each_of_several_series_does_not_matter(log):
    series, scales = [seasonal(seed=seed) for seed in range(3)], (1.0, 1e-3, 1e6)
    settings = {"season": 12, "log": log, **QUICK}
    plain = MemoryForecaster(**settings).fit(series)
    model = MemoryForecaster(**settings).fit([scale * x for scale, x in zip(scales, series, strict=True)])
    for steps in (6, 20):  # within the horizon and beyond
        expected, found = plain.predict_interval(steps), model.predict_interval(steps)
        for i, scale in enumerate(scales):
            assert model.predict(steps)[i] == pytest.approx(scale * plain.predict(steps)[i], rel=1e-6)
            assert found.lower[i] == pytest.approx(scale * expected.lower[i], rel=1e-6)
            assert found.upper[i] == pytest.approx(scale * expected.upper[i], rel=1e-6)


def test_intervals_of_several_series_have_the_scale_of_each():
    """Of two series of equal law and scales 1 and 1000, 90 % intervals of either hold 75 to 99 % of 200 steps."""
    inside = np.zeros((2, 20, 10), bool)
    for seed in range(20):
        series = [scale * autoregression(310, 2 * seed + i) for i, scale in enumerate((1.0, 1000.0))]
        lower, upper = MemoryForecaster(**WHITE).fit([x[:300] for x in series]).predict_interval(10)
        for i, x in enumerate(series):
            inside[i, seed] = (lower[i] <= x[300:]) & (x[300:] <= upper[i])
    shares = inside.mean((1, 2))
    assert (shares > 0.75).all()
    assert (shares < 0.99).all()


@pytest.mark.parametrize("log", [False, True])
def test_intervals_of_one_series_are_the_quantiles_of_its_errors(log):
    model = MemoryForecaster(season=12, log=log, **QUICK).fit(seasonal())
    width = conformal_widths(model.residuals_[:, :6], 0.9)[:, 0]
    lower, upper = (model.model_.transform(x) for x in model.predict_interval(6))
    assert (upper - lower) / 2 == pytest.approx(width, rel=1e-9)


def test_a_series_of_unknown_scale_has_the_typical_one():
    """Too short, or constant."""
    model = MemoryForecaster(**WHITE).fit([autoregression(100, 0), 50 * autoregression(100, 1)])
    assert model.typical_step_size_ == pytest.approx(
        np.mean([np.sqrt(np.mean(np.diff(x, axis=0) ** 2)) for x in model.series_])
    )
    for series in (autoregression(8, 2), np.full(50, 2.0)):
        lower, upper = model.predict_interval(5, series=series)
        width = conformal_widths(model.residuals_[:, :5], 0.9)[:, 0]
        assert (upper - lower) / 2 == pytest.approx(width * model.typical_step_size_, rel=1e-9)


def test_forecasts_have_the_shape_of_the_input():
    x = seasonal()
    model = MemoryForecaster(season=12, **QUICK)
    flat = model.fit(x).predict(5)
    assert flat.shape == (5,)
    assert model.fit(x[:, None]).predict(5) == pytest.approx(flat[:, None])
    assert model.fit(x.tolist()).predict(5) == pytest.approx(flat)
    assert clone(model).set_params(layout="ct").fit(x[None]).predict(5) == pytest.approx(flat[None])
    both = model.fit([x, seasonal(150, 1)])
    assert [one.shape for one in both.predict(5)] == [(5,), (5,)]
    assert len(both.predict_interval(5).lower) == 2


def test_a_saved_forecaster_goes_on(tmp_path):
    model = MemoryForecaster(season=12, **QUICK).fit(seasonal())
    model.save(tmp_path / "model")
    copy = MemoryForecaster.load(tmp_path / "model")
    assert (copy.predict(7) == model.predict(7)).all()
    assert (copy.predict_interval(7).upper == model.predict_interval(7).upper).all()
    assert copy.choice_ == model.choice_
    assert not any(doctest.testmod(module).failed for module in (forecaster, step_size, mean_squares))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"horizon": 0}, "horizon must be at least 1"),
        ({"season": "year"}, "season must be"),
        ({"log": "yes"}, "log must be"),
        ({"penalties": ()}, "must hold at least one number"),
        ({"lag_decays": 0.9}, "lag_decays must hold at least one number, got 0.9"),
        ({"horizon": 2.5}, "horizon must be an integer, got 2.5"),
        ({"season": True}, "season must be an integer of at least 1"),
        ({"memory_size": 0}, "memory_size must be at least 1"),
        ({"memory_size": "auto"}, "memory_size must be an integer"),
    ],
)
def test_bad_parameters_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        MemoryForecaster(**parameters).fit(seasonal())


def test_integers_of_numpy_are_integers():
    model = MemoryForecaster(season=np.int64(12), horizon=np.int64(6), memory_size=np.int64(9), **QUICK).fit(seasonal())
    expected = MemoryForecaster(season=12, horizon=6, memory_size=9, **QUICK).fit(seasonal())
    assert (model.predict(6) == expected.predict(6)).all()
    assert (model.season_, model.horizon_) == (12, 6)


def test_a_season_too_long_for_the_series_is_pointed_out_and_not_reported():
    """A season of 12 needs 22 steps in the first 60 %, that is 36 steps."""
    with pytest.warns(UserWarning, match="season=12 is not used, because it needs series of at least 36 steps, got 35"):
        model = MemoryForecaster(season=12, **QUICK).fit(seasonal(35))
    assert (model.season_, max(model.choice_.lags, default=1)) == (1, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert MemoryForecaster(season=12, **QUICK).fit(seasonal(36)).season_ == 12


def test_a_refused_fit_leaves_the_forecaster_as_it_was():
    model = MemoryForecaster(season=12, **QUICK).fit(seasonal())
    expected = model.predict(3)
    with pytest.raises(ValueError, match="must be positive for log=True"):
        model.set_params(log=True).fit(-seasonal(100))
    assert (model.predict(3) == expected).all()


def test_a_memory_above_the_rank_has_the_rank():
    """120 differences have at most 120 lags: less than 200 units."""
    model = MemoryForecaster(season=None, memory_size=200, **QUICK).fit(seasonal(120))
    assert len(model.model_.dynamics.A) <= 120
    assert np.isfinite(model.predict(12)).all()


def test_bad_series_and_steps_are_refused():
    with pytest.raises(ValueError, match="at least 20 steps"):
        MemoryForecaster().fit(seasonal(15))
    with pytest.raises(ValueError, match="must be positive for log=True"):
        MemoryForecaster(log=True).fit(seasonal() - 20)
    with pytest.raises(ValueError, match="step 3"):
        MemoryForecaster().fit(np.where(np.arange(200) == 3, np.nan, seasonal()))
    model = MemoryForecaster(season=12, **QUICK).fit(seasonal())
    with pytest.raises(ValueError, match="steps must be at most 80 for intervals, got 81"):
        model.predict_interval(81)
    with pytest.raises(ValueError, match="coverage must be"):
        model.predict_interval(2, 1.0)
    with pytest.raises(ValueError, match="steps must be at least 1"):
        model.predict(0)


@pytest.mark.parametrize("log", [False, True])
def test_updated_forecaster_continues_like_one_that_reads_the_whole_series(log):
    x = seasonal(220)
    model = MemoryForecaster(season=12, log=log, **QUICK).fit(x[:200])
    fitted = model.predict(5)
    for t in range(200, 220):
        following = model.update(x[t])
        expected = model.model_.inverse_transform(model.model_.forecast(x[: t + 1, None], np.array([t]), 1))[0, 0, 0]
        assert following == pytest.approx(expected, rel=1e-9)
    assert model.predict(7) == pytest.approx(model.predict(7, series=x), rel=1e-9)
    assert np.stack(model.predict_interval(7)) == pytest.approx(np.stack(model.predict_interval(7, series=x)), rel=1e-9)
    assert model.reset().predict(5) == pytest.approx(fitted, rel=1e-12)


@pytest.mark.parametrize("season", [None, 12])
def test_a_forecaster_saved_after_updates_continues_its_stream(season, tmp_path):
    x = seasonal(220)
    model = MemoryForecaster(season=season, **QUICK).fit(x[:200])
    for value in x[200:210]:
        model.update(value)
    model.save(tmp_path / "model")
    copy = MemoryForecaster.load(tmp_path / "model")
    assert (copy.predict(5) == model.predict(5)).all()
    assert [copy.update(value) for value in x[210:]] == [model.update(value) for value in x[210:]]
    assert (copy.reset().predict(5) == model.reset().predict(5)).all()


def test_a_list_of_one_series_is_one_stream():
    x = seasonal()
    one = MemoryForecaster(season=None, **QUICK).fit(x[:200])
    listed = MemoryForecaster(season=None, **QUICK).fit([x[:200]])
    assert [listed.update(value) for value in x[200:210]] == [one.update(value) for value in x[200:210]]
    assert (listed.predict(5)[0] == one.predict(5)).all()


def test_steps_of_a_stream_are_checked():
    model = MemoryForecaster(season=None, log=True, **QUICK).fit(seasonal())
    with pytest.raises(ValueError, match="x_t must be positive for a model of log x"):
        model.update(-1.0)
    with pytest.raises(ValueError, match="x_t must be finite"):
        model.update(np.nan)
    several = MemoryForecaster(season=None, **QUICK).fit([seasonal(), seasonal(seed=1)])
    with pytest.raises(ValueError, match="update must have one fitted series, got 2"):
        several.update(1.0)


def test_intervals_beyond_the_horizon_use_the_model_fitted_before_validation():
    x = seasonal(300)
    model = MemoryForecaster(horizon=6, season=12, **QUICK).fit(x)
    assert np.allclose(model._errors(6), model.residuals_, equal_nan=True)
    beyond = model._errors(20)
    assert np.allclose(beyond[:, :6], model.residuals_, equal_nan=True)
    assert beyond.shape[1] == 20
    lower, upper = model.predict_interval(20)
    assert (lower < upper).all()


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("season", [None, 12])
def test_forecasts_of_steps_in_their_own_units_are_those_of_predict(log, season):
    """Of series of different scale, each forecast from the steps before it alone: `linmem evaluate` and `predict`."""
    rng = np.random.default_rng(0)
    series = [
        scale * np.stack([seasonal(80, 2 * i), 3 * seasonal(80, 2 * i + 1)], 1) for i, scale in ((0, 1.0), (1, 1e4))
    ]
    model = MemoryForecaster(season=season, log=log, **QUICK).fit(series)
    x = np.concatenate([np.full((14, 2), 7.0), 7 + rng.uniform(0, 5, (26, 2))])  # constant at first: the typical unit
    splits = Splits("series", train=[], valid=[], test=[torch.from_numpy(x)])
    (found,) = fitted_estimator.outputs(model, splits, "test")
    first = len(x) - len(found)
    assert first == sum(model.model_.lags)
    expected = [model.predict(1, series=x[: t + 1])[0] for t in range(first, len(x))]
    assert found == pytest.approx(np.array(expected), rel=1e-8)


@pytest.mark.parametrize("flag", [True, False])
def test_log_may_be_a_boolean_of_numpy(flag):
    assert MemoryForecaster(log=np.bool_(flag), **QUICK).fit(seasonal(60)).choice_.log is flag


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"log": 1}, "log must be True, False or 'auto', got 1"),
        ({"log": np.array([True, False])}, "log must be True, False or 'auto', got array"),
        ({"season": np.array([3, 4])}, "season must be an integer of at least 1"),
    ],
)
def test_options_that_are_no_choice_are_refused(parameters, message):
    with pytest.raises(ValueError, match=message):
        MemoryForecaster(**parameters).fit(seasonal(60))


@pytest.mark.parametrize("kind", ["values of a dict", "pandas Series"])
def test_several_series_may_come_in_any_collection(kind):
    x = seasonal(60)

    def wrap(x):
        if kind == "values of a dict":
            return {"a": x, "b": x}.values()
        return pytest.importorskip("pandas").Series([x, x], index=[5, 6])

    model = MemoryForecaster(**QUICK).fit(wrap(x))
    assert [one.shape for one in model.predict(3)] == [(3,), (3,)]
    assert model.predict(3, series=wrap(x))[1] == pytest.approx(model.predict(3)[1])


def test_a_step_beyond_the_range_is_refused_and_the_stream_goes_on():
    model = MemoryForecaster(**QUICK).fit(1e-20 * (seasonal(60) - 5))
    expected = model.predict(3)
    with pytest.raises(ValueError, match=r"at most 1e\+30 training deviations from the training mean"):
        model.update(1e300)
    assert model.predict(3) == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match=r"at most 1e\+30 training deviations"):
        model.predict(2, series=[*(1e-20 * seasonal(60)), 1e300])


def test_a_horizon_that_validation_cannot_see_is_refused():
    series = seasonal(60)
    assert MemoryForecaster(horizon=24, season=None, memory_size=4, **QUICK).fit(series).horizon_ == 24
    expected = "horizon must be at most 24, the last 40 % of the series, got 25. Lower horizon, or fit to a longer"
    with pytest.raises(ValueError, match=expected):
        MemoryForecaster(horizon=25, season=None, memory_size=4, **QUICK).fit([series, series[:30]])


def test_parameters_that_are_set_after_a_fit_do_not_change_its_intervals(tmp_path):
    model = MemoryForecaster(horizon=5, season=None, memory_size=20, **QUICK).fit(seasonal())
    with pytest.warns(UserWarning, match="more than the validated horizon"):
        expected = model.predict_interval(16).upper.tolist()
    model.save(tmp_path / "model")
    for one in (model.set_params(memory_size=1), MemoryForecaster.load(tmp_path / "model").set_params(memory_size=2)):
        with pytest.warns(UserWarning, match="more than the validated horizon"):
            assert one.predict_interval(16).upper.tolist() == expected
