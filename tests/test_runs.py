"""Runs kept in folders: killed at any moment they go on, and the baseline of every table is right."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from linmem import data
from linmem.nn.registry import ModelOptions
from linmem.runs import runner
from linmem.runs.directory import (
    PretrainingOptions,
    RunOptions,
    load_run,
)
from linmem.training.checkpoint import epochs_kept
from linmem.training.loop import TrainingOptions


@pytest.fixture(scope="session")
def pieces(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("pieces"), np.random.default_rng(0)
    for index in range(10):
        np.save(folder / f"{index}.npy", (random.random((30, 88)) < 0.05).astype(np.float32))
    return folder


def options(folder, pretrain="unfolded", model="lmn-b", **training):
    how = {"max_epochs": 6, "batch_size": 2, "ema_decay": 0.9} | training
    network = ModelOptions(model, 8, 8, lags=3, input_dropout=0.2, readout_dropout=0.2)
    return RunOptions(str(folder), network, TrainingOptions(**how), PretrainingOptions(pretrain, pretrain_epochs=4))


def weights(folder):
    return load_run(folder)[1].state_dict()


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


COMMAND = """
import os, signal, sys
from pathlib import Path
from linmem.runs import runner
from linmem.storage import tensor_file
from tests.test_runs import options
pieces, folder, fatal, times = sys.argv[1:]
write, written = tensor_file.write, []
def write_and_die(path, *content):
    write(path, *content)
    written.append(Path(path).name)
    if written.count(fatal) == int(times):
        os.kill(os.getpid(), signal.SIGKILL)
tensor_file.write = write_and_die
runner.run(options(pieces), Path(folder), resume=True)
"""


@pytest.mark.parametrize(("fatal", "times"), [("unfolded", 1), ("unfolded", 4), ("state", 1), ("state", 6)])
def test_a_run_killed_after_an_epoch_of_pretraining_or_training_ends_as_if_it_had_not_been(
    pieces, tmp_path, fatal, times
):
    runner.run(options(pieces), tmp_path / "whole")
    arguments = [sys.executable, "-c", COMMAND, str(pieces), str(tmp_path / "cut"), f"{fatal}.safetensors", str(times)]
    killed = subprocess.run(arguments, cwd=os.path.dirname(os.path.dirname(__file__)), check=False)
    assert killed.returncode == -signal.SIGKILL
    runner.run(options(pieces), tmp_path / "cut", resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert len((tmp_path / "cut" / "history.jsonl").read_text().splitlines()) == 6
    took = json.loads((tmp_path / "cut" / "pretraining.json").read_text())
    epochs = epochs_kept(tmp_path / "cut" / "unfolded.safetensors")
    assert took["cpu_seconds"] > sum(row.cpu_seconds for row in epochs)  # those before the kill included
    assert took["seconds"] > sum(row.seconds for row in epochs)


@pytest.mark.parametrize(("pretrain", "model"), [("none", "lstm"), ("inputs", "lmn-b"), ("inputs", "rnn")])
def test_every_way_to_begin_ends_in_scores(pieces, tmp_path, pretrain, model):
    summary = runner.run(options(pieces, pretrain, model), tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert kept["scores"]["nll"] == summary.scores.nll
    assert (summary.pretraining_seconds > 0) == (pretrain != "none")
    scores = runner.evaluate_run(tmp_path / "run", "valid")
    assert next(iter(scores)) == "persistence"
    assert list(scores.values())[1] == summary.scores


def test_a_folder_with_a_run_is_only_replaced_by_force(pieces, tmp_path):
    runner.run(options(pieces, "none"), tmp_path)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="already holds a run"):
        runner.run(options(pieces, "none"), tmp_path)
    before = weights(tmp_path)
    runner.run(options(pieces, "none", seed=1), tmp_path, force=True)
    assert not same(before, weights(tmp_path))
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_persistence_on_the_chorales_is_the_copy_of_the_last_frame():
    splits = data.load("chorales")
    before, after = (torch.cat(part) > 0 for part in zip(*((x[:-1], x[1:]) for x in splits.test), strict=True))
    expected = int((before & after).sum()) / int((before | after).sum())
    name, scores = runner.simplest_scores(splits, "test")
    assert name == "persistence"
    assert scores.accuracy == pytest.approx(expected, rel=1e-12)
    assert scores.accuracy_at_half == scores.accuracy


@pytest.mark.data
@pytest.mark.parametrize(
    ("name", "accuracy"), [("jsb_chorales", 22.20), ("muse_data", 38.21), ("nottingham", 64.89), ("piano_midi", 35.21)]
)
def test_persistence_on_the_four_sets_is_the_published_figure(name, accuracy):
    if not os.environ.get("LINMEM_DATA"):
        pytest.skip("LINMEM_DATA names no folder with the polyphonic sets")
    _, scores = runner.simplest_scores(data.load(name), "test")
    assert 100 * scores.accuracy == pytest.approx(accuracy, abs=0.005)


def test_a_run_starts_at_the_rates_of_the_training_set_unless_its_readout_is_drawn(pieces, tmp_path):
    asked = options(pieces, "none", max_epochs=1, learning_rate=1e-9)
    for start in ("marginal", "default"):
        runner.run(replace(asked, pretraining=PretrainingOptions(output_bias_init=start)), tmp_path / start)
    frames = torch.cat([roll[1:] for roll in data.load(str(pieces)).train])
    rates = (frames.double().sum(0) + 0.5) / (len(frames) + 1)
    started, drawn = (load_run(tmp_path / start)[1].readout.bias for start in ("marginal", "default"))
    torch.testing.assert_close(started.double(), torch.logit(rates), rtol=1e-5, atol=1e-5)
    assert drawn.abs().max() < 1
