"""Several workers give the result of one, chunks carry their state, bfloat16 is close to float32."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from linmem.data import Splits
from linmem.nn.registry import ModelOptions, build_model
from linmem.runs.directory import (
    load_run,
)
from linmem.training.batching import chunks
from linmem.training.loop import (
    train,
)
from linmem.training.options import TrainingOptions
from linmem.training.tasks import Examples, NextFrame

LENGTHS = (7, 2, 12, 5, 9)


def rolls(seed=0, lengths=LENGTHS):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.rand(length, 6, generator=generator) < 0.3).float() for length in lengths]


def splits():
    return Splits("random", rolls(0), rolls(1), rolls(2))


def trained(name="lmn-b", **options):
    model = build_model(ModelOptions(name, 5, 7), 6, 6, seed=3)
    history = train(model, splits(), NextFrame(), replace(TrainingOptions(batch_size=3, max_epochs=3), **options))
    return model, history


@pytest.mark.parametrize("steps", [0, 1, 4, 50])
@pytest.mark.parametrize("workers", [1, 2, 3, 7])
def test_chunks_of_all_workers_are_the_batch(steps, workers):
    examples = Examples(rolls(), rolls(1))
    bucket = [3, 0, 2, 4, 1]
    parts = [list(chunks(examples, bucket, steps, worker, workers)) for worker in range(workers)]
    assert len({len(part) for part in parts}) == 1
    for together in zip(*parts, strict=True):
        assert sum(len(chunk.targets) for chunk in together) == together[0].num_targets
        assert all(int(chunk.target_mask.sum()) == len(chunk.targets) for chunk in together)
    for side, tensors in (("inputs", examples.inputs), ("targets", examples.targets)):
        seen = [
            chunk.values[chunk.target_mask] if side == "inputs" else chunk.targets for part in parts for chunk in part
        ]
        expected = torch.cat(tensors)
        assert sum(map(len, seen)) == len(expected)
        assert torch.equal(torch.cat(seen).sum(0), expected.sum(0))  # sums of zeros and ones are exact


@pytest.mark.parametrize("name", ["lmn-a", "lmn-b", "lstm", "gru", "rnn"])
def test_truncation_carries_the_state(name):
    """At a learning rate of next to nothing, chunks give the loss of the whole."""
    _, whole = trained(name, learning_rate=1e-12)
    _, cut = trained(name, learning_rate=1e-12, truncate=3)
    assert [e.train_loss for e in cut.epochs] == pytest.approx([e.train_loss for e in whole.epochs], rel=1e-5)


def test_a_chunk_that_holds_everything_changes_no_bit():
    first, second = trained()[0].state_dict(), trained(truncate=50)[0].state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    third = trained(truncate=3)[0].state_dict()
    assert not all(torch.equal(first[name], third[name]) for name in first)


@pytest.mark.parametrize("name", ["lmn-b", "lstm"])
def test_bfloat16_keeps_float32_weights_and_comes_close(name):
    try:
        model, history = trained(name, precision="bfloat16")
    except RuntimeError as error:
        if "could not create a primitive descriptor" not in str(error):
            raise
        pytest.skip("oneDNN has no LSTM in bfloat16 for this processor")
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())
    _, exact = trained(name)
    losses = [e.train_loss for e in exact.epochs]
    assert [e.train_loss for e in history.epochs] == pytest.approx(losses, rel=2e-2)
    assert [e.train_loss for e in history.epochs] != losses


def torchrun(workers, arguments):
    """Run `linmem` under torchrun, which starts the workers again if they do not connect within the time limit."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={workers}"]
    done = subprocess.run(
        [*launch, "--max-restarts=3", "-m", "linmem", *arguments, "--resume"],
        env=os.environ | {"LINMEM_CONNECT_TIMEOUT": "60"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def frames(random):
    return (random.random((12, 88)) < 0.05).astype(np.float32)


def values(random):
    return (random.standard_normal((12, 2)) + [0, 50]).astype(np.float32)  # R² is about the mean of each column


@pytest.mark.parametrize(
    ("piece", "options"),
    [
        (frames, ["--truncate=4"]),
        (frames, ["--ema_decay=0.9", "--pretrain=unfolded", "--pretrain_epochs=1"]),
        (values, []),
    ],
)
def test_two_workers_end_where_one_does(tmp_path, piece, options):
    random = np.random.default_rng(0)
    (tmp_path / "pieces").mkdir()
    for index in range(7):  # an odd number: one worker has a sequence more, and at times none
        np.save(tmp_path / "pieces" / f"{index}.npy", piece(random))
    common = ["train", str(tmp_path / "pieces"), "--hidden_size=6", "--memory_size=8", "--batch_size=4", "--lags=2"]
    for workers in (1, 2):
        torchrun(workers, [*common, *options, "--out", str(tmp_path / str(workers)), "--max_epochs=3"])
    one, two = (load_run(tmp_path / str(workers))[1].state_dict() for workers in (1, 2))
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-5, atol=1e-5)
    alone, both = (json.loads((tmp_path / str(workers) / "scores.json").read_text())["scores"] for workers in (1, 2))
    assert both == pytest.approx(alone, rel=1e-5)


def test_bad_input_raises_a_clear_error():
    with pytest.raises(ValueError, match="precision must be one of float32, bfloat16, got 'half'"):
        TrainingOptions(precision="half")
    with pytest.raises(ValueError, match="truncate must be at least 0, got -1"):
        TrainingOptions(truncate=-1)
    with pytest.raises(ValueError, match="truncate must be 0 for UnfoldedNetwork"):
        trained("unfolded", truncate=3)
