"""Tasks: inputs and targets of each kind of data set, baselines and constant outputs."""

import pytest
import torch

from linmem.data import LabelledSplits, PairedSplits, Splits
from linmem.nn.registry import ModelOptions, build_model
from linmem.training.loop import (
    count,
    train,
)
from linmem.training.options import TrainingOptions
from linmem.training.tasks import Classes, GivenFrames, GivenValues, NextFrame, NextValue, Recall, task_of


def rolls(kind="piano_roll", lengths=(5, 3), notes=2):
    generator = torch.Generator().manual_seed(0)
    pieces = [(torch.rand(length, notes, generator=generator) < 0.5).float() for length in lengths]
    return Splits("pieces", pieces, pieces, pieces, kind=kind)


def paired(targets):
    x = [torch.randn(4, 2), torch.randn(6, 2)]
    return PairedSplits("pairs", x, x, x, targets=dict.fromkeys(("train", "valid", "test"), targets))


def test_targets_of_the_next_frame_are_the_inputs_one_step_later():
    splits = rolls()
    inputs, targets = NextFrame().examples(splits, "train")
    for x, before, after in zip(splits.train, inputs, targets, strict=True):
        assert torch.equal(torch.cat([before[:1], after]), x)


def test_targets_of_recall_are_the_sequence_reversed_after_its_end():
    splits = rolls()
    inputs, targets = Recall().examples(splits, "train")
    for x, read, expected in zip(splits.train, inputs, targets, strict=True):
        assert read.shape == (2 * len(x), 3)
        assert torch.equal(read[: len(x), :2], x)
        assert not read[len(x) :, :2].any()
        assert read[:, 2].tolist() == [0.0] * len(x) + [1.0] * len(x)
        assert torch.equal(expected.flip(0), x)


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
def test_the_kind_of_data_set_decides_the_task(splits, task):
    assert type(task_of(splits)) is task


def test_a_single_target_belongs_to_the_last_step():
    inputs, targets = GivenValues().examples(paired([torch.tensor([1.0]), torch.tensor([2.0])]), "train")
    assert [tuple(y.shape) for y in targets] == [(1, 1), (1, 1)]
    assert [len(x) for x in inputs] == [4, 6]


def test_targets_of_a_wrong_length_are_named():
    with pytest.raises(ValueError, match=r"sequence 1 must have 1 target or one per step \(6\), got 3"):
        GivenFrames().examples(paired([torch.ones(4, 1), torch.ones(3, 1)]), "train")
    with pytest.raises(ValueError, match=r"targets must have one entry per sequence \(2\), got 1"):
        GivenFrames().examples(paired([torch.ones(4, 1)]), "train")


@pytest.mark.parametrize(
    ("task", "targets", "outputs", "prior"),
    [
        (NextFrame(), (torch.rand(400, 5, generator=torch.Generator().manual_seed(0)) < 0.1).float(), 5, 0.5),
        (Classes(), torch.tensor([0, 0, 0, 2, 2, 1] * 50), 3, 0.5),
        (NextValue(), torch.randn(300, 4, generator=torch.Generator().manual_seed(1)), 4, 0.0),
    ],
    ids=["notes", "classes", "numbers"],
)
def test_the_constant_output_has_the_lowest_loss(task, targets, outputs, prior):
    constant = task.constant(targets, outputs).requires_grad_()
    (gradient,) = torch.autograd.grad(task.loss(constant.expand(len(targets), -1), targets), constant)
    rounding = len(targets) * torch.finfo(torch.float32).eps * float(targets.abs().max() + 1)
    assert gradient.abs().max() <= 2 * prior + rounding  # only the half target that was added to each count
    for index in range(outputs):
        for step in (-0.2, 0.2):
            other = constant.detach().clone()
            other[index] += step
            assert task.loss(other.expand(len(targets), -1), targets) > task.loss(
                constant.detach().expand(len(targets), -1), targets
            )


def test_constant_outputs_are_finite_for_unseen_notes_and_classes():
    assert NextFrame().constant(torch.zeros(10, 2), 2).isfinite().all()
    assert Classes().constant(torch.zeros(10, dtype=torch.long), 3).isfinite().all()
