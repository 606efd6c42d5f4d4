"""An RNN-RBM trained and judged like every other model of music."""

import pytest
import torch
from torch import nn

from linmem.data import Splits
from linmem.nn.baselines import RNNRBM
from linmem.nn.baselines.rbm import free_energy, log_partition
from linmem.training.loop import (
    evaluate,
    train,
)
from linmem.training.options import TrainingOptions
from linmem.training.rbm_task import NextFrameRBM


def rolls(count, seed=0):
    """Two chords, of notes 0-2 and 3-5, that take turns at random."""
    random = torch.Generator().manual_seed(seed)
    songs = []
    for _ in range(count):
        first = (torch.rand(14, 1, generator=random) < 0.5).float()
        songs.append(torch.cat([first.expand(-1, 3), 1 - first.expand(-1, 3)], 1))
    return songs


def model_of(seed=0):
    torch.manual_seed(seed)
    return RNNRBM(nn.RNN(6, 5, batch_first=True), 5, 6, 5)


def test_the_reported_likelihood_is_exact_and_samples_are_scored():
    model = model_of()
    frames = torch.cat(rolls(20))
    outputs = model(frames)[0].detach()
    rbm = model.machines(outputs)
    exact = float((free_energy(rbm, frames) + log_partition(rbm)).detach().sum())
    enumerated = NextFrameRBM(model, chains=0).count(outputs, frames)
    annealed = NextFrameRBM(model, chains=50, temperatures=50).count(outputs, frames)
    assert enumerated.nll == pytest.approx(exact, rel=1e-5)
    assert annealed.nll == pytest.approx(exact, rel=0.01)
    assert enumerated.squared_ais_error == 0
    assert enumerated.scores(0).ais_error == 0
    outcome = annealed.scores(0)
    assert outcome.row()["AIS error"] == outcome.ais_error == pytest.approx((annealed.squared_ais_error / 280) ** 0.5)
    assert abs(annealed.nll - exact) < 5 * annealed.squared_ais_error**0.5 + 280 * outcome.ais_error**2
    assert enumerated.frames == 280
    for counts in (enumerated, annealed):
        assert 0 < counts.expected_true_positive < 840 < counts.expected_union < 280 * 6  # 840 notes sound
    again = NextFrameRBM(model, chains=50, temperatures=50).count(outputs, frames)
    assert again.nll == annealed.nll
    assert again.expected_true_positive == annealed.expected_true_positive


def test_marginals_are_the_mean_of_the_machine():
    model = model_of()
    with torch.no_grad():
        model.weight.mul_(3)
    outputs = model(torch.zeros(1, 6))[0].detach().expand(4000, -1)
    drawn = torch.stack([model.sample(outputs, 40, torch.Generator().manual_seed(seed)) for seed in range(3)])
    found = model.marginals(outputs, 40, torch.Generator().manual_seed(9))
    assert (found.mean(0) - drawn.mean((0, 1))).abs().max() < 0.03


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_the_training_loop_trains_and_evaluates_it(ema_decay):
    splits, model = Splits("made", rolls(40), rolls(10, 1), rolls(10, 2)), model_of()
    task = NextFrameRBM(model, steps=5, chains=0)
    before = evaluate(model, splits, task)
    options = TrainingOptions(max_epochs=30, batch_size=10, learning_rate=2e-2, ema_decay=ema_decay)
    history = train(model, splits, task, options)
    after = evaluate(model, splits, task)
    assert before.nll > 3.5
    assert after.nll < 1.5  # two chords: log 2 = 0.69; notes by themselves: 4.16
    assert after.expected_accuracy == pytest.approx(1 / 3, abs=0.06)  # half the chords are right: 1.5 notes of 4.5
    assert history.best.valid_loss < history.epochs[0].valid_loss
    assert history.best.valid_loss == pytest.approx(evaluate(model, splits, task, "valid").nll)  # averaged weights
