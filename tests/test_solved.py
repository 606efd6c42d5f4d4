"""Solved-memory models: features equal the autoencoders' states, training uses single steps, runs resume and reload."""

import json
import os

import numpy as np
import pytest
import torch
from torch import nn

from linmem import data
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.solved_memory import SolvedMemory, SolvedMemoryModel, features_as_inputs
from linmem.ridge import ridge_regression
from linmem.runs import runner
from linmem.runs.directory import load_run
from linmem.runs.options import RunOptions
from linmem.training.batching import chunks, shuffled_buckets
from linmem.training.loop import count
from linmem.training.options import TrainingOptions
from linmem.training.solved import PENALTIES, solvable_memory_size, solve_memory_
from linmem.training.steps import Steps, steps_of
from linmem.training.tasks import Classes, Examples, NextFrame, NextValue, task_of

DECAYS = (0.5, 0.9)


def random_examples(seed=0, lengths=(9, 4, 12, 7, 15), features=3, outputs=2):
    generator = torch.Generator().manual_seed(seed)
    inputs = [torch.randn(length, features, generator=generator) for length in lengths]
    return Examples(inputs, [torch.randn(length, outputs, generator=generator) for length in lengths])


def solved(examples, p=4, **more):
    model = SolvedMemoryModel(SolvedMemory(3, p, len(DECAYS)), nn.Linear(3 + p * len(DECAYS), 2), **more)
    solve_memory_(model, examples, DECAYS)
    return model


def close(dtype, steps):
    """Tolerances for sums over `steps` steps of numbers of size 1."""
    return {"rtol": steps * torch.finfo(dtype).eps * 10, "atol": steps * torch.finfo(dtype).eps * 10}


def test_features_are_the_input_and_the_scaled_states_of_the_autoencoders():
    examples = random_examples()
    model = solved(examples)
    autoencoders = [LinearAutoencoder(4, lag_decay=decay).fit(examples.inputs) for decay in DECAYS]
    for x in examples.inputs:
        features, state = model.recurrent(x)
        states = torch.cat([ae.encode([x])[0] / scale for ae, scale in zip(autoencoders, model.recurrent.scale)], 1)  # noqa: B905
        torch.testing.assert_close(features, torch.cat([x, states], 1), **close(torch.float32, len(x)))
        assert state.shape == (8,)


def test_scaled_states_have_mean_square_one_on_the_training_set():
    examples = random_examples()
    features = steps_of(solved(examples).recurrent, examples).inputs
    assert features[:, 3:].double().square().mean(0).tolist() == pytest.approx([1.0] * 8, rel=1e-5)


@pytest.mark.parametrize("cut", [1, 5, 11])
def test_a_sequence_in_two_parts_gives_the_outputs_of_the_whole(cut):
    model, x = solved(random_examples(), hidden_size=5).eval(), torch.randn(2, 12, 3)
    whole, end = model(x)
    first, state = model(x[:, :cut])
    second, last = model(x[:, cut:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), whole, **close(torch.float32, 12))
    torch.testing.assert_close(last, end, **close(torch.float32, 12))


def test_an_unbatched_sequence_is_a_batch_of_one():
    model, x = solved(random_examples(), hidden_size=5).eval(), torch.randn(12, 3)
    torch.testing.assert_close(model(x)[0], model(x[None])[0][0], **close(torch.float32, 12))


def test_wrong_inputs_and_states_are_refused():
    memory, x = SolvedMemory(3, 5, memories=2), torch.zeros(2, 4, 3)
    for wrong in (torch.zeros(2, 4, 4), torch.zeros(3), torch.zeros(2, 0, 3)):
        with pytest.raises(ValueError, match=r"input must have shape \(B, T, 3\) or \(T, 3\) with T >= 1, got"):
            memory(wrong)
    with pytest.raises(ValueError, match=r"input must have the dtype of the parameters \(torch.float32\), got"):
        memory(x.double())
    for state in (torch.zeros(2, 9), torch.zeros(3, 10), torch.zeros(10)):
        with pytest.raises(ValueError, match=r"state must have shape \(2, 10\), got"):
            memory(x, state)
    with pytest.raises(ValueError, match=r"state must have shape \(10,\), got \(1, 10\)"):
        memory(x[0], torch.zeros(1, 10))


def test_single_steps_are_counted_like_sequences():
    examples, model = random_examples(), solved(random_examples(), hidden_size=5)
    steps = steps_of(model.recurrent, examples)
    assert len(steps.inputs) == len(steps.targets) == sum(map(len, examples.targets))
    whole = count(model, examples, NextValue())
    with features_as_inputs(model):
        single = count(model, steps, NextValue(), batch_size=6)
    assert single.num_targets == whole.num_targets
    assert single.squared_error == pytest.approx(whole.squared_error, rel=1e-5)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_every_epoch_visits_every_step_once(workers):
    steps = Steps(torch.arange(11.0)[:, None], torch.arange(11.0)[:, None])
    for bucket in (buckets := shuffled_buckets(steps, 4, np.random.default_rng(0))):
        parts = [next(iter(chunks(steps, bucket, 0, worker, workers))) for worker in range(workers)]
        assert sum(int(part.target_mask.sum()) for part in parts) == len(bucket) == parts[0].num_targets
        assert all(torch.equal(part.values[part.target_mask], part.targets) for part in parts)
    assert sorted(index for bucket in buckets for index in bucket) == list(range(11))


def test_the_memory_has_no_gradient_and_the_readout_has():
    model = solved(random_examples(), hidden_size=5)
    model(torch.randn(2, 6, 3))[0].sum().backward()
    assert {name for name, _ in model.named_parameters()} == {
        "readout.weight",
        "readout.bias",
        "hidden.weight",
        "hidden.bias",
        "hidden_readout.weight",
    }
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    folder, random = tmp_path_factory.mktemp("pieces"), np.random.default_rng(0)
    for index in range(10):
        np.save(folder / f"{index}.npy", (random.random((30, 88)) < 0.05).astype(np.float32))
    return str(folder)


def options(name, readout="auto", **training):
    model = ModelOptions("solved", 8, 6, lag_decay=DECAYS, readout=readout, input_dropout=0.1, readout_dropout=0.2)
    return RunOptions(name, model, TrainingOptions(**({"max_epochs": 4, "batch_size": 4} | training)))


@pytest.mark.parametrize("readout", ["auto", "mlp", "ridge"])
def test_a_run_trains_evaluates_and_reloads(pieces, tmp_path, readout):
    summary = runner.run(options(pieces, readout), tmp_path)
    scores = runner.evaluate_run(tmp_path, "valid")
    assert list(scores) == ["persistence", "solved"]
    assert vars(scores["solved"]) == pytest.approx(
        vars(summary.scores), rel=1e-4, abs=0.05 if readout == "nade" else 1e-9
    )  # NADE: sampled
    read, model = load_run(tmp_path)
    assert read.model.lag_decay == DECAYS
    assert (model.hidden is None) == (readout == "ridge")
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert len(rows) == (len(PENALTIES) if readout == "ridge" else 4)


def test_a_resumed_run_ends_with_the_same_bits(pieces, tmp_path):
    runner.run(options(pieces, ema_decay=0.9), tmp_path / "whole")
    runner.run(options(pieces, ema_decay=0.9, max_epochs=2), tmp_path / "cut")
    runner.run(options(pieces, ema_decay=0.9), tmp_path / "cut", resume=True)
    first, second = (load_run(tmp_path / name)[1].state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_ridge_readout_is_the_ridge_regression_with_the_lowest_validation_loss(pieces, tmp_path):
    runner.run(options(pieces, "ridge"), tmp_path)
    model, splits = load_run(tmp_path)[1], data.load(pieces)
    training, valid = (steps_of(model.recurrent, NextFrame().examples(splits, split)) for split in ("train", "valid"))
    maps = ridge_regression(training.inputs, NextFrame().as_outputs(training.targets, 88), PENALTIES)
    losses = [float(NextFrame().loss(one(valid.inputs.double()), valid.targets.double())) for one in maps]
    best = maps[int(np.argmin(losses))]
    torch.testing.assert_close(model.readout.weight.detach().double(), best.W.T, rtol=1e-6, atol=1e-6)


def test_it_classifies_the_digits_better_than_the_baseline(tmp_path):
    name = "digits:400:100:100"
    run = RunOptions(name, ModelOptions("solved", 64, 16, lag_decay=(0.9, 1.0)), TrainingOptions(max_epochs=30))
    summary = runner.run(run, tmp_path)
    assert type(task_of(data.load(name))) is Classes
    assert summary.scores.accuracy > 0.8


@pytest.mark.data
def test_on_jsb_it_is_ahead_of_persistence(tmp_path):
    if not os.environ.get("LINMEM_DATA"):
        pytest.skip("LINMEM_DATA names no folder with the polyphonic sets")
    run = RunOptions("jsb_chorales", ModelOptions("solved", 50, 50), TrainingOptions(max_epochs=3, learning_rate=3e-3))
    summary = runner.run(run, tmp_path)
    assert summary.scores.nll < summary.baseline.nll


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lag_decay": (0.5, 1.5)}, r"lag_decay must be .*, got \[0.5, 1.5\]"),
        ({"readout": "magic"}, "readout must be one of auto, mlp, ridge, nade, got 'magic'"),
        ({"skip_connection": True}, "skip_connection must be False for solved"),
        ({"nonlinearity": "selu"}, "nonlinearity must be 'relu' for solved"),
    ],
)
def test_wrong_options_raise_a_clear_error(wrong, message):
    with pytest.raises(ValueError, match=message):
        ModelOptions("solved", **wrong)


def test_the_default_memory_size_is_lowered_to_the_rank(tmp_path):
    examples = random_examples()
    assert solvable_memory_size(examples, 4, DECAYS) == 4
    rank = solvable_memory_size(examples, 250, DECAYS)
    solved(examples, rank)
    with pytest.raises(ValueError, match=rf"rank of the history matrix \({rank}\), got {rank + 1}"):
        solved(examples, rank + 1)


def test_a_run_says_when_it_lowers_the_memory_size(tmp_path, capsys):
    data = tmp_path / "data"
    data.mkdir()
    for index in range(6):
        np.save(data / f"{index}.npy", np.random.default_rng(index).normal(size=(12, 1)))
    options = RunOptions(str(data), ModelOptions("solved", readout="ridge", lag_decay=(0.5,)))
    runner.run(options, tmp_path / "run", progress=True)
    size = load_run(tmp_path / "run")[0].model.memory_size
    assert 1 <= size <= 12
    assert (
        f"; memory_size: {size}, the rank of the training inputs, which is below the default\n"
        in capsys.readouterr().out
    )
    runner.run(options, tmp_path / "run", resume=True)  # the same options continue the run


def test_a_memory_above_the_rank_is_refused():
    model = build_model(ModelOptions("solved", 4, 500), 3, 2)
    with pytest.raises(ValueError, match="memory_size must be at most the rank"):
        solve_memory_(model, random_examples(), DECAYS)
