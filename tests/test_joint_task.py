"""A NADE readout trained and evaluated like every other model: the exact loss, estimated marginals, command line."""

import pytest
import torch
from torch import nn

from linmem.data import Splits
from linmem.nn.initialize import set_output_bias_
from linmem.nn.nade import NADE
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.sequence_model import SequenceModel
from linmem.runs import runner
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.training.joint_task import JointNextFrame
from linmem.training.loop import (
    evaluate,
    train,
)
from linmem.training.options import TrainingOptions
from linmem.training.stored_scores import scores_from_dict

LAYERS = ["lmn-a", "lmn-b", "lstm", "gru", "rnn"]


def rolls(count, seed=0):
    """Two chords, of notes 0-2 and 3-5, in random alternation."""
    random = torch.Generator().manual_seed(seed)
    songs = []
    for _ in range(count):
        first = (torch.rand(14, 1, generator=random) < 0.5).float()
        songs.append(torch.cat([first.expand(-1, 3), 1 - first.expand(-1, 3)], 1))
    return songs


def model_of(name="lmn-b", **options):
    return build_model(ModelOptions(name, 5, 6, readout="nade", nade_size=8, **options), 6, 6)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_the_loss_is_that_of_the_module_on_the_layers_output(name, order):
    model = model_of(name, note_order=order)
    x = torch.stack(rolls(3))
    features, _ = model.recurrent(x[:, :-1])
    outputs, _ = model(x[:, :-1])
    mask = torch.rand(outputs.nll(x[:, 1:]).shape) < 0.5
    loss = JointNextFrame().loss(outputs[mask], x[:, 1:][mask])
    torch.testing.assert_close(loss, model.readout(features, x[:, 1:])[mask].sum())


def test_steps_give_the_same_distributions_as_the_sequence():
    model = model_of(skip_connection=True)
    nn.init.normal_(model.skip.weight)
    x = rolls(1)[0]
    whole, _ = model(x[None])
    state, parts = None, []
    for frame in x:
        outputs, state = model(frame[None, None], state)
        parts.append(outputs.note_bias[0])
    torch.testing.assert_close(torch.cat(parts), whole.note_bias[0])


def test_counts_are_exact_for_the_likelihood_and_repeat():
    model, x = model_of(), torch.cat(rolls(20))
    outputs = model(x[None])[0][0]
    counts, again = (JointNextFrame(n_samples=20).count(outputs[:], x) for _ in range(2))
    assert counts.nll == pytest.approx(outputs.nll(x).detach().double().sum().item())
    assert vars(counts).keys() == vars(again).keys()
    assert all(torch.equal(torch.as_tensor(vars(counts)[k]), torch.as_tensor(vars(again)[k])) for k in vars(counts))
    assert 0 < counts.expected_true_positive < 840 < counts.expected_union < 280 * 6  # 840 notes sound
    assert 0 < counts.marginal_error / counts.frames < 0.1
    summed = counts + again
    assert summed.scores(summed.choice()).nll == pytest.approx(counts.nll / 280)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_descent_finds_what_independent_notes_cannot(ema_decay):
    splits, model = Splits("made", rolls(40), rolls(10, 1), rolls(10, 2)), model_of("lstm")
    task = JointNextFrame(n_samples=10)
    before = evaluate(model, splits, task)
    options = TrainingOptions(max_epochs=40, batch_size=10, learning_rate=2e-2, ema_decay=ema_decay)
    history = train(model, splits, task, options)
    after = evaluate(model, splits, task)
    assert before.nll > 3.5
    assert after.nll < 0.9  # two chords: log 2 = 0.69
    assert after.factorised_nll > 3.9  # six notes by themselves: 6 log 2 = 4.16
    assert after.expected_accuracy == pytest.approx(1 / 3, abs=0.06)  # half of the chords are right: 1.5 notes of 4.5
    assert history.best.valid_loss < history.epochs[0].valid_loss


def test_marginal_bias_starts_at_the_notes_rates():
    model = model_of()
    set_output_bias_(model, torch.arange(6.0))
    assert model.readout.biases.bias[8:].tolist() == [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize("pretrain", ["none", "unfolded", "inputs"])
def test_a_run_shows_factorised_and_joint_nll_in_different_columns(tmp_path, pretrain):
    model = ModelOptions("lmn-b", 8, 8, readout="nade", nade_size=6)
    training = TrainingOptions(max_epochs=1, ema_decay=0.5)
    pretraining = PretrainingOptions(pretrain, pretrain_epochs=1)
    summary = runner.run(RunOptions("chorales:8:2:2", model, training, pretraining), tmp_path / "run")
    assert scores_from_dict(vars(summary.scores)) == summary.scores
    assert summary.scores.loss == summary.scores.nll
    table = runner.scores_table(runner.evaluate_run(tmp_path / "run", "valid"))
    head, _, baseline, row = (line.split("|") for line in table.splitlines())
    columns = [column.strip() for column in head]
    joint, factorised = columns.index("joint NLL"), columns.index("NLL")
    assert baseline[joint].strip() == "–"
    assert float(row[joint]) == pytest.approx(summary.scores.nll, abs=1e-3)
    assert float(row[factorised]) == pytest.approx(summary.scores.factorised_nll, abs=1e-3)


def test_pretraining_sets_the_map_to_the_notes_biases():
    nade = NADE(4, 6, 3)
    weight, bias, before = torch.randn(6, 4), torch.randn(6), nade.biases.weight[:3].clone()
    nade.set_note_biases_(weight, bias)
    b = nade.biases(torch.ones(1, 4))[:, 3:]
    torch.testing.assert_close(b, weight.sum(1)[None] + bias)
    assert torch.equal(nade.biases.weight[:3], before)
    assert torch.equal(nade.note_bias, bias)


@pytest.mark.parametrize(("columns", "harmonizes"), [(88, True), (176, False)])
def test_the_default_order_harmonizes_unless_frames_have_onsets(columns, harmonizes):
    model = build_model(ModelOptions("lstm", 4, readout="nade", nade_size=3), columns, columns)
    assert model.readout.harmonizes is harmonizes


@pytest.mark.parametrize("name", ["rnn-rbm", "unfolded", "explicit"])
def test_models_without_a_readout_of_their_own_refuse_it(name):
    with pytest.raises(ValueError, match=f"readout must be 'auto' for {name}, got 'nade'"):
        ModelOptions(name, readout="nade")


def test_unknown_readouts_orders_and_sizes_are_refused():
    with pytest.raises(ValueError, match="readout must be one of auto, linear, nade"):
        ModelOptions(readout="rbm")
    with pytest.raises(ValueError, match="note_order must be one of auto, ascending, descending"):
        ModelOptions(note_order="up")
    with pytest.raises(ValueError, match="nade_size must be greater than 0"):
        ModelOptions(nade_size=0)


@pytest.mark.parametrize(
    ("model", "words"),
    [(ModelOptions("lstm", 4, readout="nade"), "readout must not be nade"), (ModelOptions("rnn-rbm", 4), "model must")],
)
def test_it_is_refused_for_data_that_are_not_piano_rolls(model, words, tmp_path):
    options = RunOptions("digits", model, TrainingOptions(max_epochs=1))
    with pytest.raises(ValueError, match=f"{words}.* unless the data set has piano rolls"):
        runner.run(options, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_linear_readout_is_not_joint():
    assert not SequenceModel(nn.LSTM(3, 4, batch_first=True), nn.Linear(4, 2)).is_joint
