"""VUS-PR of the anomaly benchmark: average precision without a buffer, and the definition step by step with one."""

import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from range_precision import buffered, range_average_precision, vus_pr

RANDOM = np.random.default_rng(0)


def problem(anomalies, ties=False):
    labels, scores = np.zeros(120, bool), RANDOM.standard_normal(120)
    for start, stop in anomalies:
        labels[start:stop] = True
    scores[labels] += 1
    return labels, scores.round(1) if ties else scores


@pytest.mark.parametrize("ties", [False, True])
def test_without_a_buffer_one_anomaly_has_its_average_precision(ties):
    labels, scores = problem([(30, 50)], ties)
    assert range_average_precision(labels, scores, 0) == pytest.approx(average_precision_score(labels, scores))


@pytest.mark.parametrize("buffer", [0, 1, 2, 7, 20])
@pytest.mark.parametrize("ties", [False, True])
def test_the_curve_is_that_of_the_definition(buffer, ties):
    labels, scores = problem([(0, 4), (30, 50), (54, 55), (117, 120)], ties)
    soft = np.zeros(120)
    for t in range(120):
        for start, stop in ((0, 4), (30, 50), (54, 55), (117, 120)):
            distance = max(start - t, t - stop + 1, 0)
            if distance == 0:
                soft[t] += 1
            elif distance <= buffer // 2:
                soft[t] += np.sqrt(1 - distance / buffer)
    soft = np.minimum(soft, 1)
    groups, t = [], 0
    while t < 120:
        if soft[t] > 0:
            start = t
            while t < 120 and soft[t] > 0:
                t += 1
            groups.append(range(start, t))
        t += 1
    area, before = 0.0, 0.0
    for threshold in sorted(set(scores), reverse=True):
        chosen = scores >= threshold
        hits = soft[chosen].sum()
        found = sum(any(chosen[t] for t in group) for group in groups) / len(groups)
        recall = min(hits / ((labels.sum() + soft.sum()) / 2), 1) * found
        area += (recall - before) * hits / chosen.sum()
        before = recall
    assert buffered(labels, buffer) == pytest.approx(soft)
    assert range_average_precision(labels, scores, buffer) == pytest.approx(area)


def test_scores_that_are_the_labels_reach_one_and_late_ones_gain_from_the_buffer():
    labels = problem([(30, 50)])[0]
    assert vus_pr(labels, labels.astype(float), 0) == pytest.approx(1)
    late = np.roll(labels, 5).astype(float) + np.linspace(0, 0.1, 120)
    assert range_average_precision(labels, late, 20) > range_average_precision(labels, late, 0)
