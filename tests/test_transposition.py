"""Transposition: every note moves by the same shift, runs with it resume, and only piano rolls are accepted."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.registry import ModelOptions, build_model
from linmem.runs import runner
from linmem.runs.directory import load_run
from linmem.runs.options import PretrainingOptions, RunOptions
from linmem.training.loop import train
from linmem.training.options import TrainingOptions
from linmem.training.pretraining import pretrain, pretrain_on_inputs
from linmem.training.solved import solve_memory_
from linmem.training.tasks import Examples, NextFrame
from linmem.training.transposition import (
    all_transpositions,
    for_fits,
    possible_shifts,
    randomly_transposed,
    transpose,
)


def piece(lowest, highest, steps=12, notes=20, seed=0):
    """A roll that sounds from its lowest to its highest note."""
    roll = torch.zeros(steps, notes)
    random = np.random.default_rng(seed)
    roll[:, lowest : highest + 1] = torch.from_numpy(random.random((steps, highest + 1 - lowest)) < 0.4).float()
    roll[0, [lowest, highest]] = 1
    return roll


@pytest.mark.parametrize(("held", "onset", "expected"), [(86, 40, (-5, 1)), (40, 86, (-5, 1)), (2, 40, (-2, 5))])
def test_held_notes_and_onsets_stay_in_their_halves(held, onset, expected):
    """As where a piece is cut after the onset of a held note."""
    roll = torch.zeros(3, 176)
    roll[0, held], roll[0, 88 + onset] = 1, 1
    assert possible_shifts([roll], 5) == expected
    moved = transpose(roll, expected[1])
    assert moved.nonzero()[:, 1].tolist() == [held + expected[1], 88 + onset + expected[1]]
    with pytest.raises(ValueError, match="shift must be from"):
        transpose(roll, 87 - max(held, onset) + 1)


def examples(*rolls):
    return Examples([x[:-1] for x in rolls], [x[1:] for x in rolls])


@pytest.mark.parametrize("shift", [-3, 0, 5])
def test_a_shift_moves_every_note_and_shifting_back_restores_the_piece(shift):
    roll = piece(3, 14)
    moved = transpose(roll, shift)
    oracle = torch.zeros_like(roll)
    for t, note in roll.nonzero().tolist():
        oracle[t, note + shift] = 1
    assert torch.equal(moved, oracle)
    assert torch.equal(transpose(moved, -shift), roll)


@pytest.mark.parametrize(
    ("lowest", "highest", "semitones", "expected"),
    [(3, 14, 5, (-3, 5)), (3, 14, 2, (-2, 2)), (0, 19, 5, (0, 0)), (0, 10, 0, (0, 0)), (10, 10, 99, (-10, 9))],
)
def test_shifts_keep_all_notes_in_the_range(lowest, highest, semitones, expected):
    roll = piece(lowest, highest)
    assert possible_shifts([roll], semitones) == expected
    copies = all_transpositions(examples(roll), semitones)
    assert len(copies.inputs) == expected[1] - expected[0] + 1
    assert all(int(x.sum()) == int(roll[:-1].sum()) for x in copies.inputs)
    assert len({x.numpy().tobytes() for x in copies.inputs}) == len(copies.inputs)


def test_a_silent_piece_stays_as_it_is():
    assert possible_shifts([torch.zeros(4, 20)], 5) == (0, 0)


def test_the_last_frame_limits_the_shifts_too():
    roll = piece(5, 10)
    roll[-1, 19] = 1  # a note that only the targets hold
    assert possible_shifts([roll[:-1], roll[1:]], 5).highest == 0


def test_inputs_and_targets_move_together_and_depend_on_the_seed_alone():
    given = examples(*(piece(4, 12, seed=i) for i in range(30)))

    def drawn(seed):
        return randomly_transposed(given, 3, np.random.default_rng(seed))

    first, again, other = drawn(0), drawn(0), drawn(1)
    assert all(torch.equal(x, y) for x, y in zip(first.inputs, again.inputs, strict=True))
    assert not all(torch.equal(x, y) for x, y in zip(first.inputs, other.inputs, strict=True))
    assert all(torch.equal(x[1:], y[:-1]) for x, y in zip(*first, strict=True))
    lowest = [int(x.any(0).nonzero()[0]) for x in first.inputs]
    before = [int(x.any(0).nonzero()[0]) for x in given.inputs]
    assert {a - b for a, b in zip(lowest, before, strict=True)} == set(range(-3, 4))


def test_a_transposed_run_is_reproducible_and_differs_from_a_plain_one():
    from linmem.data.splits import Splits

    rolls = [piece(4, 12, seed=i) for i in range(8)]
    splits = Splits("rolls", rolls[:6], rolls[6:], [], kind="piano_roll")

    def trained(transpose):
        model = build_model(ModelOptions("lmn-b", 6, 8), 20, 20)
        options = TrainingOptions(max_epochs=2, batch_size=2, transpose=transpose)
        history = train(model, splits, NextFrame(), options)
        return [row.train_loss for row in history.epochs]

    assert trained(3) == trained(3) != trained(0)
    assert trained(0) != trained(1)


def test_the_solved_memory_is_that_of_all_transpositions():
    given = examples(*(piece(4, 12, seed=i) for i in range(6)))
    model = build_model(ModelOptions("solved", 6, 10, lag_decay=(0.8,)), 20, 20)
    solve_memory_(model, given, (0.8,), transpose=2)
    copies = [transpose(x, s) for s in range(-2, 3) for x in given.inputs]
    oracle = LinearAutoencoder(10, lag_decay=0.8, decoder="tied", refine=None).fit(copies)
    # the same space up to rounding; signs and order are fixed
    torch.testing.assert_close(model.recurrent.A[0].T @ model.recurrent.A[0], oracle.A_.T @ oracle.A_)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rolls")
    for i in range(10):
        roll = np.zeros((20, 88), np.float32)
        roll[:, 30:50] = np.random.default_rng(i).random((20, 20)) < 0.2
        np.save(folder / f"{i}.npy", roll)
    return folder


@pytest.mark.parametrize(("model", "readout"), [("lstm", "linear"), ("solved", "mlp"), ("solved", "ridge")])
def test_a_resumed_transposed_run_ends_with_the_same_bits(folder, tmp_path, model, readout):
    network = ModelOptions(model, 8, 8, readout=readout)
    options = RunOptions(str(folder), network, TrainingOptions(max_epochs=4, batch_size=4, transpose=4))
    whole = runner.run(options, tmp_path / "whole")
    runner.run(replace(options, training=replace(options.training, max_epochs=2)), tmp_path / "cut")
    resumed = runner.run(options, tmp_path / "cut", resume=True)
    assert resumed.scores == whole.scores
    first, second = (load_run(tmp_path / name)[1].state_dict() for name in ("whole", "cut"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_other_data_are_refused_in_one_line():
    series = Examples([torch.randn(5, 3)], [torch.randn(5, 3)])
    labels = Examples([torch.zeros(5, 3)], [torch.zeros(1, dtype=torch.long)])
    wider = Examples([torch.zeros(5, 4)], [torch.zeros(5, 3)])
    for wrong in (series, labels, wider):
        with pytest.raises(ValueError, match=r"^transpose must be 0 for data that are not piano rolls, got 2\. .*$"):
            all_transpositions(wrong, 2)
    with pytest.raises(ValueError, match="shift must be from -3 to 5 to keep all notes in the roll, got 6"):
        transpose(piece(3, 14), 6)


def test_the_skip_connection_starts_as_the_logistic_regression_on_the_last_frame(folder, tmp_path):
    network = ModelOptions("lstm", 4, skip_connection=True)
    training = TrainingOptions(max_epochs=1, learning_rate=1e-12)
    start = PretrainingOptions(skip_init="persistence")
    runner.run(RunOptions(str(folder), network, training, start), tmp_path)
    options, model = load_run(tmp_path)
    inputs, targets = (torch.cat(part) for part in NextFrame().examples(options.load_data(), "train"))
    logits = (model.skip(inputs) + model.readout.bias).double()
    for note, now in ((35, 0), (35, 1), (40, 1), (0, 0)):
        rows = inputs[:, note] == now
        rate = (float(targets[rows, note].sum()) + 0.5) / (int(rows.sum()) + 1)  # counted by hand
        torch.testing.assert_close(torch.sigmoid(logits[rows, note]), torch.full((int(rows.sum()),), rate).double())
    assert (model.skip.weight - torch.diag(model.skip.weight.diagonal())).abs().max() < 1e-9  # one step of Adam


def test_a_model_without_skip_connection_has_no_persistence():
    from linmem.nn.initialize import set_persistence_

    model = build_model(ModelOptions("lstm", 4), 20, 20)
    with pytest.raises(ValueError, match="model must have a skip connection from 20 notes to themselves, got none"):
        set_persistence_(model, *examples(piece(3, 14)))


def test_fits_of_pretraining_get_every_piece_and_one_random_shift_of_it():
    """The fit with `transpose` is the fit without it to the augmented pieces."""
    given = examples(*(piece(4, 12, seed=i) for i in range(6)))
    augmented = for_fits(given, 3, 1)
    assert len(augmented.inputs) == 12
    assert all(torch.equal(x, y) for x, y in zip(given.inputs, augmented.inputs[:6], strict=True))
    assert any(not torch.equal(x, y) for x, y in zip(given.inputs, augmented.inputs[6:], strict=True))
    fitted = []
    for source, semitones in ((given, 3), (augmented, 0)):
        rnn, readout = torch.nn.RNN(20, 8), torch.nn.Linear(8, 20)
        pretrain_on_inputs(rnn, readout, *source, seed=1, transpose=semitones)
        fitted.append([*rnn.parameters(), *readout.parameters()])
    assert all(torch.equal(one, other) for one, other in zip(*fitted, strict=True))


def test_the_autoencoder_of_hidden_states_is_fitted_to_transposed_pieces_too():
    given, steps = examples(*(piece(4, 12, seed=i) for i in range(6))), []

    class Counting(LinearAutoencoder):
        def fit(self, sequences, y=None):
            steps.append(sum(map(len, sequences)))
            return super().fit(sequences, y)

    for semitones in (0, 3):
        torch.manual_seed(0)
        model = build_model(ModelOptions("lmn-b", 6, 8), 20, 20, 0)
        options = TrainingOptions(max_epochs=1, transpose=semitones)
        pretrain(model.recurrent, model.readout, *given, lags=2, options=options, autoencoder=Counting(8))
    assert steps[1] == 2 * steps[0]


def test_pretraining_on_series_that_are_not_rolls_refuses_transposition():
    series = [torch.randn(10, 3) for _ in range(4)]
    with pytest.raises(ValueError, match="transpose must be 0 for data that are not piano rolls, got 2"):
        pretrain_on_inputs(torch.nn.RNN(3, 2), torch.nn.Linear(2, 3), series, series, transpose=2)
