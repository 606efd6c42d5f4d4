"""Every model by its name: built, trained on a task it suits, kept, read back, and named in the help."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from linmem import cli
from linmem.data import load
from linmem.nn.registry import MODELS, ModelOptions, build_model, parameter_count
from linmem.runs import runner
from linmem.runs.directory import (
    PretrainingOptions,
    RunOptions,
    load_run,
)
from linmem.storage.atomic import read_lines
from linmem.training.loop import TrainingOptions

OPTIONS = ModelOptions(hidden_size=8, memory_size=16, lags=3, scales=2, window=8)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Piano rolls of eight repeated chords, so that every model has something to learn."""
    folder, random = tmp_path_factory.mktemp("pieces"), np.random.default_rng(0)
    chords = random.random((8, 88)) < 0.05
    for index in range(9):
        np.save(folder / f"{index}.npy", chords[(np.arange(24) + index) % 8].astype(np.float32))
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns_and_is_read_back(name, pieces, tmp_path):
    training = TrainingOptions(max_epochs=12, batch_size=2, learning_rate=1e-2)
    options = RunOptions(str(pieces), replace(OPTIONS, model=name), training)
    summary = runner.run(options, tmp_path / "run")
    losses = [row["valid_loss"] for row in read_lines(tmp_path / "run" / "history.jsonl")]
    assert min(losses) < 0.9 * max(losses)
    _, model = load_run(tmp_path / "run")
    assert parameter_count(model) == summary.parameters
    scores = list(runner.evaluate_run(tmp_path / "run", "valid").values())[1]
    assert scores.nll == pytest.approx(summary.scores.nll, rel=1e-5)


@pytest.mark.parametrize("name", MODELS)
def test_the_seed_makes_the_weights_and_nothing_else_does(name):
    first, again, other = (build_model(replace(OPTIONS, model=name), 3, 3, seed) for seed in (0, 0, 1))
    pairs = zip(first.state_dict().values(), again.state_dict().values(), other.state_dict().values(), strict=True)
    same, different = zip(*((torch.equal(a, b), torch.equal(a, c)) for a, b, c in pairs), strict=True)
    assert all(same)
    assert not all(different)


@pytest.mark.parametrize(
    ("data", "simplest", "truncate"),
    [
        ("digits", "most frequent", 0),
        ("copy", "most frequent", 0),
        ("adding", "mean", 0),
        ("mackey_glass_17", "persistence", 50),
    ],
)
def test_every_kind_of_task_is_learned_and_has_a_simplest_model(data, simplest, truncate, tmp_path):
    training = TrainingOptions(max_epochs=3, batch_size=32, learning_rate=1e-3, truncate=truncate)
    summary = runner.run(RunOptions(data, ModelOptions("lmn-b", 24, 24), training), tmp_path / "run")
    assert summary.simplest_name == simplest
    losses = [row["train_loss"] for row in read_lines(tmp_path / "run" / "history.jsonl")]
    assert losses[-1] < losses[0]
    assert list(runner.evaluate_run(tmp_path / "run", "valid")) == [simplest, "lmn-b"]


@pytest.mark.parametrize("scheme", ["inputs", "unfolded"])
@pytest.mark.parametrize("data", ["digits", "adding", "mackey_glass_17"])
def test_pretraining_answers_the_question_that_is_asked(data, scheme, tmp_path):
    """Before any fine-tuning it is nearer to the answers than the untrained network."""
    training = TrainingOptions(max_epochs=1, batch_size=32, learning_rate=1e-9)
    network = ModelOptions("lmn-b", 8, 8 if scheme == "inputs" else 40, lags=2)
    begin = PretrainingOptions(scheme, pretrain_epochs=4, pretrain_learning_rate=1e-2, unfolded_nonlinearity="tanh")
    plain, pretrained = (
        runner.run(RunOptions(data, network, training, how), tmp_path / str(i))
        for i, how in enumerate((PretrainingOptions(), begin))
    )
    assert pretrained.scores.loss < plain.scores.loss


OWN_NONLINEARITY = {"lstm", "gru", "unfolded", "explicit", "rnn-linear", "rnn-linear-orthogonal"}
NO_DROPOUT = {"rnn-rbm", "unfolded", "explicit"}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("option", "value", "without"),
    [
        ("nonlinearity", "relu", OWN_NONLINEARITY),
        ("input_dropout", 0.5, NO_DROPOUT),
        ("readout_dropout", 0.5, NO_DROPOUT),
    ],
)
def test_an_option_changes_a_model_or_is_refused(name, option, value, without):
    if name in without:
        with pytest.raises(ValueError, match=f"{option} is {value!r}, but {name} has .*: leave it out for this model"):
            replace(OPTIONS, model=name, **{option: value})
        return
    outputs = []
    for options in (replace(OPTIONS, model=name), replace(OPTIONS, model=name, **{option: value})):
        model = build_model(options, 3, 3).train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            outputs.append(model(torch.ones(2, 40, 3))[0])
    assert not torch.equal(*outputs)


def test_the_simplest_models_are_what_their_names_say():
    digits = load("digits")
    counts = torch.bincount(digits.labels["train"])
    _, scores = runner.simplest_scores(digits, "valid")
    assert scores.accuracy == pytest.approx(float((digits.labels["valid"] == counts.argmax()).float().mean()))
    series = load("mackey_glass_17")
    _, scores = runner.simplest_scores(series, "valid")
    steps = torch.cat([(x[1:] - x[:-1]).double() for x in series.valid])
    assert scores.mse == pytest.approx(float(steps.square().mean()), rel=1e-6)
    adding = load("adding")
    _, scores = runner.simplest_scores(adding, "valid")
    answers, mean = torch.cat(adding.targets["valid"]), torch.cat(adding.targets["train"]).mean()
    assert scores.mse == pytest.approx(float((answers - mean).square().mean()), rel=1e-5)


def test_help_lists_every_model_with_its_source(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for name, (_, line) in MODELS.items():
        assert [name, *line.split()] in lines
