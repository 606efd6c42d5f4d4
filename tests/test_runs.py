"""Run directories: a killed run resumes with the same bits, directories are locked, damaged files are refused."""

import json
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

import linmem
from linmem import data
from linmem.nn.baselines import Persistence
from linmem.nn.registry import ModelOptions
from linmem.nn.sequence_model import SequenceModel
from linmem.runs import predict as predictions
from linmem.runs import runner
from linmem.runs.directory import load_run
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.training import loop
from linmem.training.checkpoint import read_history
from linmem.training.options import TrainingOptions
from linmem.training.tasks import NextFrame


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
def test_a_run_killed_in_pretraining_or_training_resumes_with_the_same_bits(pieces, tmp_path, fatal, times):
    runner.run(options(pieces), tmp_path / "whole")
    arguments = [sys.executable, "-c", COMMAND, str(pieces), str(tmp_path / "cut"), f"{fatal}.safetensors", str(times)]
    killed = subprocess.run(arguments, cwd=os.path.dirname(os.path.dirname(__file__)), check=False)
    assert killed.returncode == -signal.SIGKILL
    runner.run(options(pieces), tmp_path / "cut", resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))
    assert len((tmp_path / "cut" / "history.jsonl").read_text().splitlines()) == 6
    took = json.loads((tmp_path / "cut" / "pretraining.json").read_text())
    epochs = read_history(tmp_path / "cut" / "unfolded.safetensors")
    assert took["cpu_seconds"] > sum(row.cpu_seconds for row in epochs)  # those before the kill included
    assert took["seconds"] > sum(row.seconds for row in epochs)


@pytest.mark.parametrize(("pretrain", "model"), [("none", "lstm"), ("inputs", "lmn-b"), ("inputs", "rnn")])
def test_every_initialization_ends_in_scores(pieces, tmp_path, pretrain, model):
    summary = runner.run(options(pieces, pretrain, model), tmp_path / "run")
    kept = json.loads((tmp_path / "run" / "scores.json").read_text())
    assert kept["scores"]["nll"] == summary.scores.nll
    assert (summary.pretraining_seconds > 0) == (pretrain != "none")
    scores = runner.evaluate_run(tmp_path / "run", "valid")
    assert next(iter(scores)) == "persistence"
    assert vars(list(scores.values())[1]) == pytest.approx(vars(summary.scores), rel=1e-5)  # another batch size


def test_only_force_replaces_a_run(pieces, tmp_path):
    runner.run(options(pieces, "none"), tmp_path)
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(FileExistsError, match="out must not hold a run"):
        runner.run(options(pieces, "none"), tmp_path)
    before = weights(tmp_path)
    runner.run(options(pieces, "none", seed=1), tmp_path, force=True)
    assert not same(before, weights(tmp_path))
    assert (tmp_path / "mine.txt").read_text() == "keep"


def test_persistence_on_the_chorales_is_the_copy_of_the_last_frame():
    splits = data.load("chorales")
    before, after = (torch.cat(part) > 0 for part in zip(*((x[:-1], x[1:]) for x in splits.test), strict=True))
    expected = int((before & after).sum()) / int((before | after).sum())
    name, scores = runner.baseline_scores(splits, "test")
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
    _, scores = runner.baseline_scores(data.load(name), "test")
    assert 100 * scores.accuracy == pytest.approx(accuracy, abs=0.005)


def test_the_output_bias_starts_at_the_note_rates_unless_default(pieces, tmp_path):
    base = options(pieces, "none", max_epochs=1, learning_rate=1e-9)
    for start in ("marginal", "default"):
        runner.run(replace(base, pretraining=PretrainingOptions(output_bias_init=start)), tmp_path / start)
    frames = torch.cat([roll[1:] for roll in data.load(str(pieces)).train])
    rates = (frames.double().sum(0) + 0.5) / (len(frames) + 1)
    marginal, default = (load_run(tmp_path / start)[1].readout.bias for start in ("marginal", "default"))
    torch.testing.assert_close(marginal.double(), torch.logit(rates), rtol=1e-6, atol=1e-6)  # one Adam step of 1e-9
    assert default.abs().max() < 1


def count_calls(monkeypatch, owner, name, log):
    original = getattr(owner, name)

    def counted(*arguments, **named):
        log.append((name, *(one for one in arguments if isinstance(one, str))))
        return original(*arguments, **named)

    monkeypatch.setattr(owner, name, counted)


@pytest.mark.parametrize("pretrain", ["none", "unfolded", "inputs"])
def test_a_run_builds_task_and_examples_once_and_validates_each_epoch_once(pieces, tmp_path, monkeypatch, pretrain):
    calls, counted = [], []
    count_calls(monkeypatch, runner, "task_of", calls)
    count_calls(monkeypatch, NextFrame, "examples", calls)
    count_calls(monkeypatch, data, "load", calls)
    original = loop.count
    monkeypatch.setattr(loop, "count", lambda model, *more: (counted.append(type(model)), original(model, *more))[1])
    runner.run(options(pieces, pretrain, "lmn-b", max_epochs=2), tmp_path / "run")
    assert sorted(calls) == [("examples", "train"), ("examples", "valid"), ("load", str(pieces)), ("task_of",)]
    assert counted.count(SequenceModel) == 2  # once per epoch; the scores are those of the best epoch
    assert counted.count(Persistence) == 2  # the baseline's likelihood, and the copy's accuracy


RUN = """
import sys
from pathlib import Path
from linmem.runs import runner
from tests.test_runs import options
runner.run(options(sys.argv[1], "none", seed=int(sys.argv[3])), Path(sys.argv[2]), resume="--resume" in sys.argv)
"""


@pytest.mark.parametrize("how", [{}, {"resume": True}, {"force": True}])
def test_a_second_process_cannot_use_the_folder_of_a_live_run(pieces, tmp_path, how):
    seen = []

    def intrude(path, rows):
        if not seen:
            seen.append(path)
            before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
            with pytest.raises(FileExistsError, match="out must not"):
                runner.run(options(pieces, "none", seed=1), tmp_path / "run", **({} if how else {"resume": False}))
            with pytest.raises(
                FileExistsError, match=r"out must not be in use, got .*run, where another process writes"
            ):
                runner.run(options(pieces, "none"), tmp_path / "run", **({"resume": True} | how))
            assert {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()} == before
        return write_lines(path, rows)

    write_lines = runner.write_lines
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runner, "write_lines", intrude)
        runner.run(options(pieces, "none"), tmp_path / "run")
    assert seen
    runner.run(options(pieces, "none"), tmp_path / "run", resume=True)  # the lock is free again


def test_of_two_processes_in_one_folder_one_trains_and_the_other_is_refused(pieces, tmp_path):
    command = [sys.executable, "-c", RUN, str(pieces), str(tmp_path / "run")]
    home = os.path.dirname(os.path.dirname(__file__))
    processes = [subprocess.Popen([*command, seed], cwd=home, stderr=subprocess.PIPE, text=True) for seed in ("0", "1")]
    errors = [process.communicate(timeout=300)[1] for process in processes]
    assert sorted(process.returncode for process in processes) == [0, 1]
    winner = next(seed for seed, process in enumerate(processes) if process.returncode == 0)
    assert "FileExistsError: out must not" in errors[1 - winner]
    runner.run(options(pieces, "none", seed=winner), tmp_path / "alone")
    assert same(weights(tmp_path / "run"), weights(tmp_path / "alone"))
    assert json.loads((tmp_path / "run" / "config.json").read_text())["training"]["seed"] == winner


@pytest.fixture(scope="module")
def finished(pieces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    runner.run(options(pieces, max_epochs=1), folder)
    return folder


def edit(path, change):
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["model"].update(hidden_size=9), "must hold weights of the model"),
        (lambda c: c.update(input_size="88"), "input_size in .* must be a positive integer, got '88'"),
        (lambda c: c.pop("output_size"), "output_size in .* must be a positive integer, got None"),
        (lambda c: c.pop("training"), "must hold options of this version, got: no 'training'"),
        (lambda c: c["training"].update(rate=1), "must hold options of this version"),
        (lambda c: c["training"].update(learning_rate=-1), "learning_rate must be above 0, got -1"),
        (lambda c: c.update(model=3), "must hold options of this version"),
    ],
)
def test_a_config_that_does_not_fit_is_refused_with_one_line(finished, tmp_path, change, message):
    shutil.copytree(finished, tmp_path / "run")
    edit(tmp_path / "run" / "config.json", change)
    for use in (runner.evaluate_run, load_run):
        with pytest.raises(ValueError, match=message) as caught:
            use(tmp_path / "run")
        assert len(str(caught.value)) < 300
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("input_size"), "must be a JSON object with 'input_size'"),
        (lambda c: c.pop("description"), "must be a JSON object with 'description'"),
        (lambda c: c.update(description=True), "description in .* must be a dict, got True"),
        (lambda c: c["description"].update(standardization=3), "must be the configuration of a run"),
        (
            lambda c: c["description"].update(standardization={"mean": [0.0], "scale": [1.0]}),
            "statistics of 1 features",
        ),
        (lambda c: c["description"].update(class_names=3), "class_names of type int instead of a list"),
    ],
)
def test_a_description_that_does_not_fit_is_refused_with_one_line(finished, pieces, tmp_path, change, message):
    shutil.copytree(finished, tmp_path / "run")
    predictions.read_described_config(tmp_path / "run")
    edit(tmp_path / "run" / "config.json", change)
    with pytest.raises(ValueError, match=message) as caught:
        predictions.predict(tmp_path / "run", str(pieces))
    assert "\n" not in str(caught.value)


def test_an_option_that_an_older_version_did_not_have_gets_its_default(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    edit(tmp_path / "run" / "config.json", lambda c: c["training"].pop("precision"))
    assert load_run(tmp_path / "run")[0].training.precision == "float32"


@pytest.mark.parametrize("content", ["[]", "{", "[" * 100_000, "\xff"])
def test_a_config_that_is_no_json_object_is_refused(finished, tmp_path, content):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ValueError, match=r"must be( a)? JSON"):
        load_run(tmp_path / "run")


def test_a_pretraining_file_without_seconds_is_refused(finished, pieces, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    (tmp_path / "run" / "pretraining.json").write_text("{}")
    with pytest.raises(ValueError, match=r"pretraining.json must be a JSON object with 'seconds'"):
        runner.run(options(pieces, max_epochs=1), tmp_path / "run", resume=True)


def test_load_gives_the_model_that_evaluate_measures(pieces, tmp_path):
    summary = runner.run(options(pieces, "none"), tmp_path / "run")
    model = linmem.load(str(tmp_path / "run"))
    assert not model.training
    splits = data.load(str(pieces))
    scores = loop.evaluate(model, splits, NextFrame(), "valid")
    assert scores.loss == pytest.approx(summary.scores.loss, rel=1e-5)  # batches of another size
    assert same(model.state_dict(), weights(tmp_path / "run"))
    assert linmem.load(tmp_path / "run", best_by="accuracy", device="meta").readout.weight.is_meta


def test_load_refuses_what_is_no_trained_run(pieces, tmp_path):
    with pytest.raises(FileNotFoundError, match="run must be a folder that `linmem train` wrote"):
        linmem.load(tmp_path)
    runner.run(options(pieces, "none", max_epochs=1), tmp_path / "run")
    with pytest.raises(ValueError, match="best_by must be one of loss, accuracy"):
        linmem.load(tmp_path / "run", best_by="likes")
    (tmp_path / "run" / "state.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match="finished epoch"):
        linmem.load(tmp_path / "run")
