"""The anomaly detector: batches and streams agree, scores are those of the dense equations, faults are found."""

import doctest
import warnings

import numpy as np
import pytest
from sklearn.base import clone

from linmem.estimators import anomaly
from linmem.estimators.anomaly import MemoryAnomalyDetector


def signal(steps=600, features=2, seed=0):
    t = np.arange(steps)[:, None] + np.arange(features)
    return np.sin(0.3 * t) + 0.1 * np.random.default_rng(seed).standard_normal((steps, features))


def test_a_stream_has_the_scores_of_the_batch():
    detector, unseen = MemoryAnomalyDetector().fit(signal()), signal(seed=1)
    expected = detector.score_samples(unseen)
    assert [detector.update(x) for x in unseen] == pytest.approx(expected, rel=1e-8)
    assert [detector.reset().update(unseen[0])] == pytest.approx(expected[:1], rel=1e-8)


def test_later_steps_do_not_change_a_score():
    detector, unseen = MemoryAnomalyDetector().fit(signal()), signal(seed=1)
    assert detector.score_samples(unseen[:100]) == pytest.approx(detector.score_samples(unseen)[:100], rel=1e-8)


def test_scale_and_offset_of_the_data_do_not_matter():
    train, unseen = signal(), signal(seed=1)
    expected = MemoryAnomalyDetector().fit(train).score_samples(unseen)
    found = MemoryAnomalyDetector().fit(1000 * train + 5).score_samples(1000 * unseen + 5)
    assert found == pytest.approx(expected, rel=1e-5)


def test_a_list_of_series_is_scored_one_by_one():
    series = [signal(300), signal(200, seed=1)]
    detector = MemoryAnomalyDetector().fit(series)
    for found, x in zip(detector.score_samples(series), series, strict=True):
        assert (found == detector.score_samples(x)).all()
    transposed = MemoryAnomalyDetector(layout="ct").fit([x.T for x in series])
    assert transposed.score_samples(series[0].T) == pytest.approx(detector.score_samples(series[0]))


def test_scores_are_the_two_distances_written_out():
    train = signal(features=1)
    detector = MemoryAnomalyDetector(memory_size=4).fit(train)
    x, m = (train - detector.mean_) / detector.scale_, detector.dynamics_
    y, before = np.zeros(4), []
    states = []
    for step in x:
        before.append(y)
        y = m.A @ step + m.B @ y
        states.append(y)
    error = x - np.array(before) @ m.W.T - m.b
    S = np.array(states)
    C = S.T @ S / len(S)
    inverse = np.linalg.inv(C + 0.1 * np.trace(C) / 4 * np.eye(4))
    distance = np.array([s @ inverse @ s for s in S])
    expected = (error[:, 0] ** 2 / (error**2).mean()) + distance / distance.mean()
    assert detector.score_samples(train) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("fault", ["spike", "frequency", "level"])
def test_faults_have_the_highest_scores(fault):
    unseen = signal(seed=1)
    if fault == "spike":
        unseen[400, 0] += 2
    if fault == "frequency":
        unseen[400:430, 1] = np.sin(0.8 * np.arange(30))
    if fault == "level":
        unseen[400:430] += 1.5
    detector = MemoryAnomalyDetector().fit(signal())
    assert 400 <= detector.score_samples(unseen).argmax() < 430
    assert detector.predict(unseen)[400:430].any()


def test_the_threshold_is_the_quantile_of_the_training_scores():
    detector = MemoryAnomalyDetector(contamination=0.1).fit(signal())
    assert detector.predict(signal()).mean() == pytest.approx(0.1, abs=2 / 600)


def test_contract(tmp_path):
    detector = MemoryAnomalyDetector(memory_size=7)
    assert clone(detector).get_params() == detector.get_params()
    detector.fit(signal()).save(tmp_path / "detector")
    copy = MemoryAnomalyDetector.load(tmp_path / "detector")
    assert (copy.score_samples(signal()) == detector.score_samples(signal())).all()
    assert copy.update([0.0, 1.0]) == detector.update([0.0, 1.0])
    assert doctest.testmod(anomaly).failed == 0


def test_bad_input_is_refused():
    detector = MemoryAnomalyDetector().fit(signal())
    with pytest.raises(ValueError, match=r"x_t must have shape \(2,\)"):
        detector.update([1.0])
    with pytest.raises(ValueError, match="x_t must be finite"):
        detector.update([np.nan, 0.0])
    with pytest.raises(ValueError, match="contamination must be"):
        MemoryAnomalyDetector(contamination=0).fit(signal())
    for size, message in ((0, "at least 1"), (-5, "at least 1"), (2.5, "an integer"), ("auto", "an integer")):
        with pytest.raises(ValueError, match=f"memory_size must be {message}"):
            MemoryAnomalyDetector(memory_size=size).fit(signal())
    with pytest.raises(ValueError, match="contamination must be between 0 and 1, got 'auto'"):
        MemoryAnomalyDetector(contamination="auto").fit(signal())
    with pytest.raises(ValueError, match="at least 2 steps"):
        MemoryAnomalyDetector().fit(signal(1))
    bad = signal()
    bad[9, 1] = np.inf
    with pytest.raises(ValueError, match="step 9"):
        detector.score_samples(bad)


def test_few_training_steps_for_the_units_are_pointed_out():
    """At 5 p steps the expected squared errors of new and of training steps, (T + p) / (T − p), are as 1.5 to 1."""
    series = np.random.default_rng(0).standard_normal(60)
    with pytest.warns(UserWarning, match=r"60 training steps are few for 20 memory units.* about 2 times .*to 12 or"):
        MemoryAnomalyDetector(memory_size=20).fit(series)
    with pytest.warns(UserWarning, match="fit to 65 steps"):
        MemoryAnomalyDetector(memory_size=13).fit(series)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        MemoryAnomalyDetector(memory_size=12).fit(series)


def test_scores_of_new_noise_are_near_those_of_training_where_nothing_is_said():
    """White noise at 5 p steps: the mean score of 1,000 new steps is at most 1.5 times that of training, 6 seeds."""
    ratios = []
    for seed in range(6):
        series = np.random.default_rng(seed).standard_normal(1100)
        scores = MemoryAnomalyDetector(memory_size=20).fit(series[:100]).score_samples(series)
        ratios.append(scores[100:].mean() / scores[:100].mean())
    assert 1 < np.mean(ratios) < 1.5


@pytest.mark.parametrize("level", [0.0, 21.3])
def test_one_blip_of_a_constant_channel_is_one_anomaly(level):
    train, unseen = (np.concatenate([signal(300, 1, seed), np.full((300, 1), level)], 1) for seed in (0, 1))
    detector = MemoryAnomalyDetector(memory_size=10).fit(train)
    expected = detector.predict(unseen)
    unseen[100, 1] += 0.1
    expected[100] = True
    assert (detector.predict(unseen) == expected).all()


@pytest.mark.filterwarnings("ignore:.*training steps are few")
def test_a_memory_above_the_rank_has_the_rank():
    detector = MemoryAnomalyDetector(memory_size=150).fit(signal(120, 1))
    assert len(detector.dynamics_.A) <= 120
    assert np.isfinite(detector.score_samples(signal(50, 1))).all()


def test_a_refused_fit_leaves_the_detector_as_it_was():
    detector, unseen = MemoryAnomalyDetector(memory_size=7).fit(signal()), signal(seed=1)
    expected = detector.score_samples(unseen)
    with pytest.raises(ValueError, match="penalty must be"):
        detector.set_params(penalty=-1).fit(5 * signal(features=3))
    assert (detector.score_samples(unseen) == expected).all()


@pytest.mark.parametrize("level", [0.1, 0.3, 1.1, 21.3, 36.6, 1e200 / 3])
@pytest.mark.parametrize("steps", [300, 500])
def test_a_series_that_stays_constant_has_no_anomaly(level, steps):
    detector = MemoryAnomalyDetector(memory_size=10).fit(np.full(steps, level))
    assert not detector.predict(np.full(3000, level)).any()
