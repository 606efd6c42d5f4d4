"""Tasks turn sequences into questions and answers; which one a data set sets follows from its kind."""

import pytest
import torch

from linmem.data import LabelledSplits, PairedSplits, Splits
from linmem.nn.registry import ModelOptions, build_model
from linmem.training.loop import TrainingOptions, count, train
from linmem.training.tasks import Classes, GivenFrames, GivenValues, NextFrame, NextValue, Recall, task_of


def rolls(kind="piano_roll", lengths=(5, 3), notes=2):
    generator = torch.Generator().manual_seed(0)
    pieces = [(torch.rand(length, notes, generator=generator) < 0.5).float() for length in lengths]
    return Splits("pieces", pieces, pieces, pieces, kind=kind)


def paired(targets):
    x = [torch.randn(4, 2), torch.randn(6, 2)]
    return PairedSplits("pairs", x, x, x, targets=dict.fromkeys(("train", "valid", "test"), targets))


def test_the_next_frame_is_what_was_shifted():
    splits = rolls()
    inputs, targets = NextFrame().examples(splits, "train")
    for x, before, after in zip(splits.train, inputs, targets, strict=True):
        assert torch.equal(torch.cat([before[:1], after]), x)


def test_recall_asks_for_the_sequence_backwards_after_it_was_heard():
    splits = rolls()
    inputs, targets = Recall().examples(splits, "train")
    for x, heard, wanted in zip(splits.train, inputs, targets, strict=True):
        assert heard.shape == (2 * len(x), 3)
        assert torch.equal(heard[: len(x), :2], x)
        assert not heard[len(x) :, :2].any()
        assert heard[:, 2].tolist() == [0.0] * len(x) + [1.0] * len(x)
        assert torch.equal(wanted.flip(0), x)


def test_recall_is_learned_and_scored_on_its_second_half_alone():
    splits = rolls(lengths=(4, 4, 4), notes=2)
    model = build_model(ModelOptions("lmn-b", 16, 16), 3, 2)
    history = train(model, splits, Recall(), TrainingOptions(max_epochs=80, learning_rate=2e-2, batch_size=3))
    assert history.best.valid_loss < 0.1 * history.epochs[0].valid_loss
    assert count(model, Recall().examples(splits, "valid"), Recall()).frames == 12


@pytest.mark.parametrize(
    ("splits", "task"),
    [
        (rolls(), NextFrame),
        (rolls("series"), NextValue),
        (LabelledSplits("x", [torch.ones(3, 1)], [], [], labels={"train": torch.tensor([2])}), Classes),
        (paired([torch.eye(3)[[0, 1, 1, 2]], torch.eye(3)[[0, 1, 1, 2, 0, 0]]]), Classes),
        (paired([torch.randn(4, 3), torch.randn(6, 3)]), GivenValues),
        (paired([torch.randn(3), torch.randn(3)]), GivenValues),
    ],
)
def test_a_data_set_sets_its_task(splits, task):
    assert type(task_of(splits)) is task


def test_one_answer_is_asked_for_in_the_last_step():
    inputs, targets = GivenValues().examples(paired([torch.tensor([1.0]), torch.tensor([2.0])]), "train")
    assert [tuple(y.shape) for y in targets] == [(1, 1), (1, 1)]
    assert [len(x) for x in inputs] == [4, 6]


def test_answers_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match="sequence 1 has 6 steps but 3 targets"):
        GivenFrames().examples(paired([torch.ones(4, 1), torch.ones(3, 1)]), "train")
    with pytest.raises(ValueError, match="2 sequences came with 1 targets"):
        GivenFrames().examples(paired([torch.ones(4, 1)]), "train")


@pytest.mark.parametrize(
    ("task", "targets", "outputs", "seen"),
    [
        (NextFrame(), (torch.rand(400, 5, generator=torch.Generator().manual_seed(0)) < 0.1).float(), 5, 0.5),
        (Classes(), torch.tensor([0, 0, 0, 2, 2, 1] * 50), 3, 0.5),
        (NextValue(), torch.randn(300, 4, generator=torch.Generator().manual_seed(1)), 4, 0.0),
    ],
    ids=["notes", "classes", "numbers"],
)
def test_the_constant_answer_is_the_one_with_the_least_loss(task, targets, outputs, seen):
    constant = task.constant(targets, outputs).requires_grad_()
    (gradient,) = torch.autograd.grad(task.loss(constant.expand(len(targets), -1), targets), constant)
    assert gradient.abs().max() <= 2 * seen + 1e-4  # nothing but the half an answer that was added to those seen
    for index in range(outputs):
        for step in (-0.2, 0.2):
            other = constant.detach().clone()
            other[index] += step
            assert task.loss(other.expand(len(targets), -1), targets) > task.loss(
                constant.detach().expand(len(targets), -1), targets
            )


def test_what_was_never_seen_is_not_impossible():
    assert NextFrame().constant(torch.zeros(10, 2), 2).isfinite().all()
    assert Classes().constant(torch.zeros(10, dtype=torch.long), 3).isfinite().all()
