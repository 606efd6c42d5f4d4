"""Logging adapters: every epoch's numbers reach the log; TensorBoard is read back; absent packages are named."""

import sys
import types

import pytest
from torch import nn

import linmem
from linmem import LMN
from linmem.nn.sequence_model import SequenceModel
from linmem.training import log_adapters
from linmem.training.options import TrainingOptions
from linmem.training.tasks import NextValue


def train(log):
    splits = linmem.data.load("mackey_glass_17:2:1:1")
    model = SequenceModel(LMN(1, 4, 5, batch_first=True), nn.Linear(5, 1))
    return linmem.train(
        model, splits, NextValue(), TrainingOptions(max_epochs=2), after_epoch=log_adapters.log_epochs(log)
    )


def test_every_epoch_is_logged():
    logged = []
    history = train(lambda step, values: logged.append((step, values)))
    assert [step for step, _ in logged] == [1, 2]
    for row, (_, values) in zip(history.epochs, logged, strict=True):
        assert values["train loss"] == row.train_loss
        assert values["valid loss"] == row.valid_loss
        assert values["valid mse"] == row.valid["mse"]


def test_mlflow_and_wandb_get_values_and_step(monkeypatch):
    calls = []
    package = types.SimpleNamespace(log_metrics=lambda values, step: calls.append((values, step)))
    monkeypatch.setitem(sys.modules, "mlflow", package)
    log_adapters.mlflow()(3, {"a": 1.0})
    log_adapters.wandb(types.SimpleNamespace(log=lambda values, step: calls.append((values, step))))(4, {"b": 2.0})
    assert calls == [({"a": 1.0}, 3), ({"b": 2.0}, 4)]
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ImportError, match="mlflow must be installed"):
        log_adapters.mlflow()


def test_tensorboard_reads_what_was_logged(tmp_path):
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    history = train(log_adapters.tensorboard(tmp_path))
    found = events.EventAccumulator(str(tmp_path))
    found.Reload()
    assert [one.step for one in found.Scalars("valid/loss")] == [1, 2]
    assert [one.value for one in found.Scalars("train/loss")] == pytest.approx(
        [row.train_loss for row in history.epochs]
    )
