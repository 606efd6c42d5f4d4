"""Frame metrics: identities, `mir_eval` as an oracle, a case worked by hand, and sampling against the expectation."""

import mir_eval
import numpy as np
import pytest
import torch
from sklearn.metrics import r2_score

from linmem.training.metrics import HALF, THRESHOLDS, ValueScores, count_frames, count_values


def random_frames(frames=40, notes=88, seed=0, density=0.05):
    generator = torch.Generator().manual_seed(seed)
    targets = (torch.rand(frames, notes, generator=generator) < density).float()
    targets[3] = 0  # a silent frame
    logits = 2 * torch.randn(frames, notes, generator=generator) + 4 * targets - 3
    return logits, targets


def as_frequencies(frames):
    return [440.0 * 2.0 ** ((np.flatnonzero(frame) + 21 - 69) / 12) for frame in frames.numpy()]


def test_counts_add_up_over_any_cut():
    logits, targets = random_frames()
    whole, parts = count_frames(logits, targets), count_frames(logits[:11], targets[:11])
    parts = parts + count_frames(logits[11:], targets[11:])
    for name, value in vars(whole).items():
        torch.testing.assert_close(torch.as_tensor(vars(parts)[name]), torch.as_tensor(value), msg=name)


@pytest.mark.parametrize("threshold", [0, 24, HALF, 80, 98])
def test_frame_accuracy_is_that_of_mir_eval(threshold):
    logits, targets = random_frames(seed=threshold)
    predicted = (torch.sigmoid(logits.double()) > THRESHOLDS[threshold]).float()
    times = np.arange(len(logits)) * 0.25
    reference, estimate = as_frequencies(targets), as_frequencies(predicted)
    oracle = mir_eval.multipitch.metrics(times, reference, times, estimate)[2]
    assert float(count_frames(logits, targets).accuracy()[threshold]) == pytest.approx(
        oracle, rel=len(logits) * np.finfo(np.float64).eps
    )


def test_expected_accuracy_is_the_limit_of_sampling():
    logits, targets = random_frames(frames=200)
    generator = torch.Generator().manual_seed(1)
    probabilities = torch.sigmoid(logits)
    hits = union = 0.0
    rounds, ratios = 200, []
    for _ in range(rounds):
        drawn = torch.rand(logits.shape, generator=generator) < probabilities
        hits += float((drawn & (targets > 0)).sum())
        union += float((drawn | (targets > 0)).sum())
        ratios.append(float((drawn & (targets > 0)).sum() / (drawn | (targets > 0)).sum()))
    error = 5 * np.std(ratios) / np.sqrt(rounds)  # five standard errors of the mean
    assert count_frames(logits, targets).scores(HALF).expected_accuracy == pytest.approx(hits / union, abs=error)


def test_a_worked_example():
    targets = torch.tensor([[1.0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]])
    probabilities = torch.tensor([[0.9, 0.2, 0.7, 0.1], [0.1, 0.1, 0.1, 0.1], [0.1, 0.1, 0.6, 0.1]])
    scores = count_frames(torch.logit(probabilities), targets).scores(HALF)
    assert scores.accuracy_at_half == pytest.approx(2 / 4)  # TP 1 + 0 + 1, FP 1, FN 1
    assert scores.mean_frame_accuracy == pytest.approx((1 / 3 + 1 + 1) / 3)  # silence, predicted right, is right
    likelihood = torch.where(targets > 0, probabilities, 1 - probabilities)
    assert scores.nll == pytest.approx(float(-likelihood.log().sum()) / 3, rel=1e-6)


def test_a_note_must_exceed_the_threshold():
    counts = count_frames(torch.zeros(1, 1, dtype=torch.float64), torch.ones(1, 1))
    assert counts.true_positive[HALF] == 0
    assert counts.true_positive[HALF - 1] == 1


def test_best_threshold_is_the_best_and_among_equals_the_middle_one():
    logits, targets = random_frames()
    accuracy = count_frames(logits, targets).accuracy()
    assert accuracy[count_frames(logits, targets).choice()] == accuracy.max()
    certain = torch.where(targets > 0, torch.inf, -torch.inf)
    counts = count_frames(certain, targets)
    assert counts.choice() == HALF
    assert counts.scores(HALF).accuracy == 1.0


@pytest.mark.parametrize(("scale", "mean"), [(1.0, 0.0), (1e-7, 0.0), (1.0, 1e6), (1e100, 0.0)])
@pytest.mark.parametrize("outputs", [1, 3])
def test_r2_is_that_of_scikit_learn_over_any_cut(scale, mean, outputs):
    generator = torch.Generator().manual_seed(0)
    targets = torch.randn(50, outputs, generator=generator).double() * torch.arange(1, outputs + 1)
    predicted = targets + 0.5 * torch.randn(50, outputs, generator=generator).double()
    targets, predicted = (mean + scale * x + 100 * scale * torch.arange(outputs).double() for x in (targets, predicted))
    oracle = r2_score(targets, predicted, multioutput="variance_weighted")
    cuts = [
        count_values(predicted[part], targets[part]) for part in (slice(0, 1), slice(1, 1), slice(1, 17), slice(17, 50))
    ]
    whole = count_values(predicted, targets).scores(None)
    assert whole.accuracy == pytest.approx(oracle, rel=1e-6)
    assert whole.mse == pytest.approx(float((predicted - targets).square().mean()))
    assert sum(cuts[1:], cuts[0]).scores(None).accuracy == pytest.approx(whole.accuracy, rel=1e-9)


def test_the_means_of_the_outputs_explain_nothing_and_a_constant_has_no_r2():
    targets = torch.tensor([0.0, 100.0]) + torch.randn(40, 2, generator=torch.Generator().manual_seed(0))
    assert count_values(targets.mean(0).expand(40, 2), targets).scores(None).accuracy == pytest.approx(0, abs=1e-6)
    assert count_values(targets, targets).scores(None).accuracy == 1
    constant = torch.full((40, 2), 21.3)
    assert count_values(constant + 1, constant).scores(None).accuracy == 0
    mixed = torch.stack([constant[:, 0], targets[:, 1]], 1)
    assert count_values(mixed, mixed).scores(None).accuracy == 1
    assert count_values(targets[:0], targets[:0]).scores(None) == ValueScores(0.0, 0.0, 0)
