"""The cosine learning rate: its factors, the rates that Adam gets, resumption, and failure."""

from itertools import pairwise

import pytest
import torch

from linmem.data import Splits
from linmem.nn.registry import ModelOptions, build_model
from linmem.training.loop import train
from linmem.training.options import LAST, WARM_UP, TrainingOptions
from linmem.training.tasks import NextFrame


def test_factors_rise_then_fall_to_the_last():
    options = TrainingOptions(schedule="cosine")
    factors = [options.rate_factor(step, 1000) for step in range(1001)]
    assert factors[0] == pytest.approx(1 / WARM_UP, rel=1e-3)
    assert all(a < b for a, b in pairwise(factors[: WARM_UP - 1]))
    assert all(a >= b for a, b in pairwise(factors[WARM_UP:]))
    assert factors[-1] == pytest.approx(LAST)
    assert TrainingOptions().rate_factor(500, 1000) == 1


def splits():
    random = torch.Generator().manual_seed(0)
    rolls = [(torch.rand(6, 4, generator=random) < 0.5).float() for _ in range(8)]
    return Splits("made", rolls[:4], rolls[4:6], rolls[6:])


def options_of(**changes):
    given = {"max_epochs": 4, "batch_size": 2, "patience": 9, "schedule": "cosine", "learning_rate": 0.1}
    return TrainingOptions(**{**given, **changes})


def test_adam_gets_the_rates_of_the_schedule():
    options, rates = options_of(), []
    model = build_model(ModelOptions("lmn-b", 3, 4), 4, 4)

    def record(state):
        rates.append([group["lr"] for group in state.optimizer.param_groups])

    train(model, splits(), NextFrame(), options, after_epoch=record)
    factors = [options.rate_factor(2 * epoch + 1, 8) for epoch in range(4)]  # two batches per epoch
    for (other, memory), factor in zip(rates, factors, strict=True):
        assert other == pytest.approx(0.1 * factor)
        assert memory == pytest.approx(0.1 * options.memory_lr_scale * factor)


def test_an_interrupted_run_ends_with_the_same_weights(tmp_path):
    whole, parts = (build_model(ModelOptions("lstm", 3), 4, 4) for _ in range(2))
    train(whole, splits(), NextFrame(), options_of())

    def stop(state):
        if state.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(parts, splits(), NextFrame(), options_of(), checkpoint=tmp_path / "state", after_epoch=stop)
    again = build_model(ModelOptions("lstm", 3), 4, 4)
    train(again, splits(), NextFrame(), options_of(), checkpoint=tmp_path / "state")
    for a, b in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)


def test_unknown_schedules_are_refused():
    with pytest.raises(ValueError, match="schedule must be one of constant, cosine, got 'linear'"):
        TrainingOptions(schedule="linear")
