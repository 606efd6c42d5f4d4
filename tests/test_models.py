"""Every registered model: construction, training, saving and loading, options, and the help of the command line."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import linmem
from linmem import cli
from linmem.data import load
from linmem.nn.baselines import keep_orthogonal_
from linmem.nn.multiscale import MultiScaleLMN
from linmem.nn.registry import MODELS, ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel, parameter_count, parameter_groups
from linmem.runs import runner
from linmem.runs.directory import (
    load_run,
)
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.storage.atomic import read_lines
from linmem.training.options import TrainingOptions

OPTIONS = ModelOptions(hidden_size=8, memory_size=16, lags=3, scales=2, window=8)


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    """Piano rolls of eight repeated chords, which every model can learn."""
    folder, random = tmp_path_factory.mktemp("pieces"), np.random.default_rng(0)
    chords = random.random((8, 88)) < 0.05
    for index in range(9):
        np.save(folder / f"{index}.npy", chords[(np.arange(24) + index) % 8].astype(np.float32))
    return folder


@pytest.mark.parametrize("name", MODELS)
def test_every_model_learns_and_is_loaded_from_its_run(name, pieces, tmp_path):
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
def test_the_weights_depend_on_the_seed_alone(name):
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
def test_every_kind_of_task_is_learned_and_has_a_baseline(data, simplest, truncate, tmp_path):
    training = TrainingOptions(max_epochs=3, batch_size=32, learning_rate=1e-3, truncate=truncate)
    summary = runner.run(RunOptions(data, ModelOptions("lmn-b", 24, 24), training), tmp_path / "run")
    assert summary.baseline_name == simplest
    losses = [row["train_loss"] for row in read_lines(tmp_path / "run" / "history.jsonl")]
    assert losses[-1] < losses[0]
    assert list(runner.evaluate_run(tmp_path / "run", "valid")) == [simplest, "lmn-b"]


@pytest.mark.parametrize("scheme", ["inputs", "unfolded"])
@pytest.mark.parametrize("data", ["digits", "adding", "mackey_glass_17"])
def test_pretraining_lowers_the_loss_of_every_task(data, scheme, tmp_path):
    """Before any fine-tuning the loss is below that of the untrained network."""
    training = TrainingOptions(max_epochs=1, batch_size=32, learning_rate=1e-9)
    network = ModelOptions("lmn-b", 8, 8 if scheme == "inputs" else 40, lags=2)
    begin = PretrainingOptions(scheme, pretrain_epochs=4, pretrain_learning_rate=1e-2, unfolded_nonlinearity="tanh")
    plain, pretrained = (
        runner.run(RunOptions(data, network, training, how), tmp_path / str(i))
        for i, how in enumerate((PretrainingOptions(), begin))
    )
    assert pretrained.scores.loss < plain.scores.loss


FIXED_NONLINEARITY = {"lstm", "gru", "unfolded", "explicit", "rnn-linear", "rnn-linear-orthogonal", "solved"}
WITHOUT_DROPOUT = {"unfolded", "explicit"}
WITHOUT_SEQUENCE_MODEL = WITHOUT_DROPOUT | {"rnn-rbm"}


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize(
    ("option", "value", "without"),
    [
        ("nonlinearity", "relu", FIXED_NONLINEARITY),
        ("input_dropout", 0.5, WITHOUT_DROPOUT),
        ("readout_dropout", 0.5, WITHOUT_DROPOUT),
    ],
)
def test_an_option_changes_the_model_or_raises(name, option, value, without):
    value = "selu" if (name, option) == ("solved", "nonlinearity") else value  # its readout has ReLUs
    if name in without:
        with pytest.raises(ValueError, match=f"{option} must be .* for {name}, got {value!r}. Omit the option."):
            replace(OPTIONS, model=name, **{option: value})
        return
    outputs = []
    for options in (replace(OPTIONS, model=name), replace(OPTIONS, model=name, **{option: value})):
        model = build_model(options, 3, 3).train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            outputs.append(model(torch.ones(2, 40, 3))[0])
    assert not torch.equal(*outputs)


@pytest.mark.parametrize("name", sorted(MODELS.keys() - WITHOUT_SEQUENCE_MODEL - {"solved"}))
def test_a_skip_connection_starts_at_zero_and_adds_a_linear_map_of_the_input(name):
    plain, skipping = (build_model(replace(OPTIONS, model=name, skip_connection=skip), 3, 4) for skip in (False, True))
    x = torch.randn(2, 9, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before = plain.eval()(x)[0]
        torch.testing.assert_close(skipping.eval()(x)[0], before, rtol=0, atol=0)
        skipping.skip.weight.copy_(torch.arange(12.0).view(4, 3))
        torch.testing.assert_close(skipping(x)[0], before + x @ torch.arange(12.0).view(4, 3).T)
    assert "skip.weight" not in plain.state_dict()
    skipping(x)[0].sum().backward()
    torch.testing.assert_close(skipping.skip.weight.grad, x.sum((0, 1)).expand(4, 3))


def test_a_skip_connection_needs_the_size_of_the_input():
    with pytest.raises(ValueError, match="recurrent must have an attribute input_size .* got a Flatten without one"):
        SequenceModel(torch.nn.Flatten(), torch.nn.Linear(3, 4), skip_connection=True)


def test_parameter_groups_hold_every_parameter_once_and_scale_the_memory():
    model = build_model(OPTIONS, 3, 4)
    other, memory = parameter_groups(model, lr=1e-2, memory_lr_scale=0.1)
    assert [id(p) for p in memory["params"]] == [id(model.recurrent.weight_mm_l0)]
    assert (other["lr"], memory["lr"]) == (1e-2, pytest.approx(1e-3))
    assert {id(p) for p in other["params"] + memory["params"]} == {id(p) for p in model.parameters()}
    before = model.recurrent.weight_mm_l0.detach().clone()
    optimizer = torch.optim.Adam(parameter_groups(model, lr=1e-2, memory_lr_scale=0))
    model(torch.ones(2, 5, 3))[0].sum().backward()
    optimizer.step()
    assert torch.equal(model.recurrent.weight_mm_l0, before)
    assert len(parameter_groups(torch.nn.LSTM(3, 4), 1e-3)) == 1
    with pytest.raises(ValueError, match=r"memory_lr_scale must be at least 0, got -1\."):
        parameter_groups(model, 1e-3, -1)


def test_only_memory_matrices_learn_at_the_rate_of_the_memory():
    class Own(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.proj_mm, self.enc_mmd = torch.nn.Linear(3, 3), torch.nn.LSTM(3, 3)
            self.scale_mm = torch.nn.Parameter(torch.ones(3))
            self.lmn, self.diagonal = linmem.LMN(3, 4, 5, num_layers=2), linmem.LMN(3, 4, 5, memory="diagonal")
            self.cell, self.multiscale = linmem.LMNCell(3, 4, 5), MultiScaleLMN(3, 4, 5, 2)
            self.parametrized = keep_orthogonal_(linmem.LMN(3, 4, 5))

    model = Own()
    _, memory = parameter_groups(model, lr=1.0)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    assert sorted(names[id(parameter)] for parameter in memory["params"]) == [
        "cell.weight_mm",
        "diagonal.log_decay_mm_l0",
        "diagonal.phase_mm_l0",
        "lmn.weight_mm_l0",
        "lmn.weight_mm_l1",
        "multiscale.weight_mm_0",
        "multiscale.weight_mm_1",
        "parametrized.parametrizations.weight_mm_l0.original",
    ]


def test_baseline_scores_are_those_of_independent_formulas():
    digits = load("digits")
    counts = torch.bincount(digits.labels["train"])
    _, scores = runner.baseline_scores(digits, "valid")
    assert scores.accuracy == pytest.approx(float((digits.labels["valid"] == counts.argmax()).float().mean()))
    series = load("mackey_glass_17")
    _, scores = runner.baseline_scores(series, "valid")
    steps = torch.cat([(x[1:] - x[:-1]).double() for x in series.valid])
    assert scores.mse == pytest.approx(float(steps.square().mean()), rel=1e-6)
    adding = load("adding")
    _, scores = runner.baseline_scores(adding, "valid")
    answers, mean = torch.cat(adding.targets["valid"]), torch.cat(adding.targets["train"]).mean()
    assert scores.mse == pytest.approx(float((answers - mean).square().mean()), rel=1e-5)


def test_help_lists_every_model_with_its_source(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for name, (_, line) in MODELS.items():
        assert [name, *line.split()] in lines
