"""VUS-PR: the average precision of anomaly scores per step, with labels that fade around each anomaly.

For a buffer ℓ, steps up to ℓ/2 outside an anomaly count as anomalous in part, y_t = √(1 − d_t/ℓ), d_t the distance to
it. At a threshold with the predicted steps S: TP = Σ_S y, precision TP/|S|, and recall min(TP / P, 1) · (share of the
buffered anomalies with a predicted step), P the mean of the numbers of anomalous steps without and with the buffer. The
area under this curve is averaged over ℓ = 0 … L. J. Paparrizos et al., Volume Under the Surface, VLDB 2022.
"""

from __future__ import annotations

import numpy as np


def buffered(labels: np.ndarray, buffer: int) -> np.ndarray:
    """The labels (T,) of a buffer ℓ, between 0 and 1."""
    result = labels.astype(float)
    for start, stop in segments(labels):
        for distance in range(1, buffer // 2 + 1):
            for step in (start - distance, stop - 1 + distance):
                if 0 <= step < len(labels):
                    result[step] += np.sqrt(1 - distance / buffer)
    return np.minimum(result, 1)


def segments(labels: np.ndarray) -> np.ndarray:
    """First and last + 1 step (n, 2) of every stretch of labels above 0."""
    edges = np.diff(np.concatenate([[0], (labels > 0).astype(int), [0]]))
    return np.stack([np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)], 1)


def range_average_precision(labels: np.ndarray, scores: np.ndarray, buffer: int) -> float:
    """Area under the curve of precision over recall of one buffer, at all thresholds."""
    soft, order = buffered(labels, buffer), np.argsort(-scores, kind="stable")
    descending = scores[order]
    last = np.append(descending[1:] != descending[:-1], True)  # of equal scores
    hits, predicted = np.cumsum(soft[order])[last], np.flatnonzero(last) + 1
    highest = np.sort([scores[start:stop].max() for start, stop in segments(soft)])
    found = len(highest) - np.searchsorted(highest, descending[last])
    recall = np.minimum(hits / ((labels.sum() + soft.sum()) / 2), 1) * found / len(highest)
    return float((np.diff(recall, prepend=0) * hits / predicted).sum())


def vus_pr(labels: np.ndarray, scores: np.ndarray, longest: int) -> float:
    """The mean of `range_average_precision` over buffers of 0 to `longest` steps."""
    return float(np.mean([range_average_precision(labels, scores, buffer) for buffer in range(longest + 1)]))
