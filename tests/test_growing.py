"""Incremental training: a stage begins where the one before ended, and a slower module helps with what is slow."""

import json
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import nn

from linmem.data import Splits
from linmem.nn.initialize import set_persistence_
from linmem.nn.lmn import LMN
from linmem.nn.multiscale import MultiScaleLMN
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.runs import runner
from linmem.runs.directory import HISTORY, PRETRAINING, load_run
from linmem.runs.initialization import pretrain_model
from linmem.runs.options import PretrainingOptions, RunOptions, check_pretraining
from linmem.storage.atomic import read_lines
from linmem.training import incremental
from linmem.training.incremental import add_modules, train_growing
from linmem.training.loop import evaluate
from linmem.training.options import TrainingOptions
from linmem.training.prepared import PreparedTask
from linmem.training.tasks import NextFrame


def slow_and_fast(count, seed):
    """Three notes: one alternates, one repeats after seven steps, one never sounds."""
    random = torch.Generator().manual_seed(seed)
    songs = []
    for _ in range(count):
        period = (torch.rand(7, generator=random) < 0.5).float()
        t = torch.arange(42)
        songs.append(torch.stack([(t % 2).float(), period[t % 7], torch.zeros(42)], 1))
    return songs


def model_of(scales=1, output="memory"):
    torch.manual_seed(0)
    layer = MultiScaleLMN(3, 8, 6, scales, output=output, batch_first=True)
    return SequenceModel(layer, nn.Linear(layer.output_size, 3))


@pytest.mark.parametrize("output", ["memory", "functional"])
def test_each_stage_starts_from_the_best_weights_of_the_previous_one(output, monkeypatch):
    splits = Splits("made", slow_and_fast(24, 0), slow_and_fast(8, 1), slow_and_fast(8, 2))
    model, seen = model_of(output=output), []

    def train(model, splits, task, options, **_):
        seen.append((model.recurrent.scales, options.max_epochs, evaluate(model, splits, task, "valid").nll))
        result = true_train(model, splits, task, options)
        seen[-1] += (evaluate(model, splits, task, "valid").nll,)
        return result

    true_train = incremental.train
    monkeypatch.setattr(incremental, "train", train)
    options = TrainingOptions(max_epochs=4, batch_size=8, learning_rate=1e-2)
    histories = train_growing(model, splits, NextFrame(), options, scales=3, epochs=3)
    assert [stage[:2] for stage in seen] == [(1, 3), (2, 3), (3, 4)]
    assert [len(history.epochs) for history in histories] == [3, 3, 4]
    for before, after in pairwise(seen):
        assert after[2] == pytest.approx(before[3], rel=1e-5)  # a new module changed nothing
        assert after[3] < after[2]  # and training went on
    assert model.readout.in_features == model.recurrent.output_size


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (lambda: SequenceModel(LMN(3, 4, 5), nn.Linear(5, 3)), {"scales": 2, "epochs": 1}, "must be a MultiScaleLMN"),
        (lambda: model_of(2), {"scales": 2, "epochs": 1}, "scales must be above the layer's 2, got 2"),
        (lambda: model_of(), {"scales": 2, "epochs": 0}, "epochs must be at least 1, got 0"),
        (
            lambda: build_model(ModelOptions("lmn-multiscale", 4, 4, scales=1, readout="nade"), 88, 88),
            {"scales": 2, "epochs": 1},
            "readout must be a torch.nn.Linear, got NADE",
        ),
    ],
)
def test_models_that_cannot_grow_raise(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        train_growing(model(), None, NextFrame(), **arguments)


def test_a_model_that_grew_is_saved_and_restored(tmp_path):
    splits = Splits("made", slow_and_fast(4, 0), slow_and_fast(2, 1), slow_and_fast(2, 2))
    model = build_model(ModelOptions("lmn-multiscale", 8, 6, scales=1), 3, 3)
    train_growing(model, splits, NextFrame(), TrainingOptions(max_epochs=1), scales=2, epochs=1)
    model.eval().save_pretrained(tmp_path)
    loaded, x = SequenceModel.from_pretrained(tmp_path), splits.test[0][None]
    assert loaded.recurrent.scales == 2
    assert torch.equal(loaded(x)[0], model(x)[0])


GROWING = RunOptions(
    "chorales:8:4:4",
    ModelOptions("lmn-multiscale", 6, 5, scales=3),
    TrainingOptions(max_epochs=2),
    PretrainingOptions("incremental", pretrain_epochs=1, pretrain_learning_rate=1e-2),
)


def test_pretraining_of_a_run_gives_the_model_that_grew_module_by_module(tmp_path):
    prepared = PreparedTask(GROWING.load_data(), NextFrame())
    model, expected = (build_model(replace(GROWING.model, scales=g), 88, 88) for g in (3, 1))
    expected.readout.load_state_dict({"weight": expected.readout.weight, "bias": model.readout.bias})
    stage = replace(GROWING.training, max_epochs=1, learning_rate=1e-2)
    add_modules(expected, prepared.splits, NextFrame(), stage, scales=3)
    pretrain_model(model, GROWING, prepared, tmp_path, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), expected.parameters(), strict=True))


def test_pretraining_begins_with_the_skip_connection_of_the_model(tmp_path):
    prepared = PreparedTask(GROWING.load_data(), NextFrame())
    slow = replace(GROWING.pretraining, pretrain_learning_rate=1e-9)
    options = replace(GROWING, model=replace(GROWING.model, skip_connection=True), pretraining=slow)
    model = build_model(options.model, 88, 88)
    training = prepared.examples("train")
    set_persistence_(model, training.inputs, training.targets)
    persistence = model.skip.weight.clone()
    pretrain_model(model, options, prepared, tmp_path, progress=False)
    torch.testing.assert_close(model.skip.weight, persistence, rtol=0, atol=1e-6)


def test_a_run_trains_all_modules_after_its_pretraining(tmp_path):
    runner.run(GROWING, tmp_path / "run")
    assert json.loads((tmp_path / "run" / PRETRAINING).read_text())["epochs"] == 2
    assert len(read_lines(tmp_path / "run" / HISTORY)) == 2
    assert load_run(tmp_path / "run")[1].recurrent.scales == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "lmn-b"}, "model must be one of lmn-multiscale with pretrain=incremental, got 'lmn-b'"),
        ({"scales": 1}, "scales must be at least 2 with pretrain=incremental, got 1"),
        ({"readout": "nade"}, "readout must be linear with pretrain=incremental, got 'nade'"),
    ],
)
def test_runs_that_cannot_grow_raise(changes, message):
    with pytest.raises(ValueError, match=message):
        check_pretraining(replace(GROWING, model=replace(GROWING.model, **changes)))
