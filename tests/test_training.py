"""Training: padding has no effect, a resumed run is the uninterrupted run, early stopping, divergence, bad input."""

import copy
import time
from dataclasses import asdict, replace

import pytest
import torch

from linmem.data import Splits
from linmem.nn.limited_parameters import fixed_limits
from linmem.nn.registry import ModelOptions, build_model
from linmem.storage import tensor_file
from linmem.training.batching import chunks
from linmem.training.loop import (
    DivergenceError,
    _outputs_and_targets,
    count,
    evaluate,
    train,
)
from linmem.training.options import TrainingOptions
from linmem.training.tasks import NextFrame

LENGTHS = (7, 2, 12, 5, 9)


def rolls(seed=0, lengths=LENGTHS, notes=6):
    generator = torch.Generator().manual_seed(seed)
    return [(torch.rand(length, notes, generator=generator) < 0.3).float() for length in lengths]


def splits(dtype=torch.float32):
    parts = ([roll.to(dtype) for roll in rolls(seed)] for seed in range(3))
    return Splits("random", *parts, kind="piano_roll")


def model(name="lmn-b", **options):
    dropout = {} if name == "unfolded" else {"input_dropout": 0.2, "readout_dropout": 0.2}
    return build_model(ModelOptions(name, 5, 7, **dropout, **options), 6, 6, seed=3)


OPTIONS = TrainingOptions(batch_size=2, max_epochs=6, learning_rate=1e-2, weight_decay=1e-3)


def same_weights(first, second):
    return all(
        torch.equal(a, b) for a, b in zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("name", ["lmn-a", "lmn-b", "lstm", "gru", "rnn", "unfolded"])
def test_metrics_ignore_the_padding(name):
    network, task, examples = model(name).double(), NextFrame(), NextFrame().examples(splits(), "train")
    examples = type(examples)(*([tensor.double() for tensor in part] for part in examples))
    alone, together = (count(network, examples, task, batch_size) for batch_size in (1, len(LENGTHS)))
    assert together.frames == sum(length - 1 for length in LENGTHS)
    assert together.nll == pytest.approx(alone.nll, rel=1e-12)
    assert torch.equal(together.true_positive, alone.true_positive)


@pytest.mark.parametrize("name", ["lmn-a", "lmn-b", "lstm", "unfolded"])
def test_gradients_ignore_the_padding(name):
    network, examples = model(name).double().eval(), NextFrame().examples(splits(torch.float64), "train")

    def gradients(batches):
        network.zero_grad()
        for batch in batches:
            for chunk in chunks(examples, batch):
                NextFrame().loss(*_outputs_and_targets(network, chunk)).backward()
        return [parameter.grad.clone() for parameter in network.parameters()]

    together = gradients([list(range(len(LENGTHS)))])
    alone = gradients([[i] for i in range(len(LENGTHS))])
    for one, other in zip(together, alone, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
@pytest.mark.parametrize("cut_after", [1, 3])
def test_a_resumed_run_ends_with_the_same_bits(tmp_path, cut_after, ema_decay):
    whole, options = model(), replace(OPTIONS, ema_decay=ema_decay)
    history = train(whole, splits(), NextFrame(), options)

    class Killed(Exception):
        pass

    def kill(state):
        if state.epoch == cut_after:
            raise Killed

    with pytest.raises(Killed):
        train(model(), splits(), NextFrame(), options, checkpoint=tmp_path / "state", after_epoch=kill)
    resumed = build_model(ModelOptions("lmn-b", 5, 7, input_dropout=0.2, readout_dropout=0.2), 6, 6, seed=99)
    again = train(resumed, splits(), NextFrame(), options, checkpoint=tmp_path / "state")
    assert same_weights(whole, resumed)
    first, second = ([replace(row, seconds=0, cpu_seconds=0) for row in one.epochs] for one in (again, history))
    assert first == second


def large_model(seed=3):
    """A dense tanh LMN whose weights start above the constants of the limits and shrink in training."""
    network = build_model(ModelOptions("lmn-b", 5, 7, limit_norms=True), 6, 6, seed=seed)
    with torch.no_grad():
        for name, weight in network.recurrent.named_parameters():
            if "weight" in name:
                weight.mul_(4)
    return network


def test_a_resumed_run_keeps_the_limits_on_norms(tmp_path):
    options, path = (
        replace(OPTIONS, weight_decay=0.3, max_epochs=30, patience=99, memory_lr_scale=1.0),
        tmp_path / "state",
    )
    whole, seen = large_model(), []
    train(whole, splits(), NextFrame(), options, after_epoch=lambda state: seen.append(fixed_limits(state.model)))
    train(large_model(), splits(), NextFrame(), replace(options, max_epochs=20), checkpoint=path)
    recomputed = build_model(ModelOptions("lmn-b", 5, 7, limit_norms=True), 6, 6)
    tensors, description = tensor_file.read(path)
    recomputed.load_state_dict({k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")})
    recomputed(torch.zeros(2, 1, 6))
    assert fixed_limits(recomputed) != seen[0]  # the case is one where it matters
    resumed = large_model(seed=99)
    train(
        resumed,
        splits(),
        NextFrame(),
        options,
        checkpoint=path,
        after_epoch=lambda s: seen.append(fixed_limits(s.model)),
    )
    assert same_weights(whole, resumed)
    assert all(limits == seen[0] for limits in seen)
    del description["norm_limits"]  # a file of a version that did not write them
    tensor_file.write(path, tensors, description)
    train(large_model(), splits(), NextFrame(), replace(options, max_epochs=31), checkpoint=path)


def test_the_same_seed_gives_the_same_run_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, second = model(), model()
    train(first, splits(), NextFrame(), OPTIONS)
    train(second, splits(), NextFrame(), OPTIONS)
    assert same_weights(first, second)
    assert torch.equal(before, torch.get_rng_state())
    other = model()
    train(other, splits(), NextFrame(), replace(OPTIONS, seed=1))
    assert not same_weights(first, other)


def test_training_learns_a_rule_and_keeps_the_best_epoch():
    alternating = [torch.eye(2)[torch.arange(length) % 2] for length in (8, 11, 15)]
    data = Splits("alternating", alternating, alternating, alternating)
    network = build_model(ModelOptions("lmn-b", 8, 8), 2, 2)
    history = train(network, data, NextFrame(), TrainingOptions(learning_rate=3e-2, batch_size=3, max_epochs=60))
    scores = evaluate(network, data, NextFrame())
    assert scores.accuracy_at_half == 1.0
    assert scores.nll == pytest.approx(history.best.valid_loss, rel=1e-6)
    assert history.best.valid_loss == min(row.valid_loss for row in history.epochs)


def test_the_moving_average_is_validated_and_saved():
    seen = []

    def look(state):
        seen.append([copy.deepcopy(part.state_dict()) for part in (state.model, state.evaluated_model)])

    network, options = model(), replace(OPTIONS, ema_decay=0.75, max_epochs=2, batch_size=len(LENGTHS))
    history = train(network, splits(), NextFrame(), options, after_epoch=look)  # one step an epoch
    for name, average in seen[1][1].items():
        torch.testing.assert_close(average, 0.75 * seen[0][0][name] + 0.25 * seen[1][0][name])
        assert torch.equal(network.state_dict()[name], seen[history.best_epoch - 1][1][name])
    assert evaluate(network, splits(), NextFrame(), "valid").nll == history.best.valid_loss


def test_the_penalty_makes_the_memory_more_orthogonal():
    def distance(weight):
        return float((weight.T @ weight - torch.eye(len(weight))).square().sum())

    free, drawn = model(), model()
    train(free, splits(), NextFrame(), replace(OPTIONS, memory_lr_scale=1.0))
    train(drawn, splits(), NextFrame(), replace(OPTIONS, memory_lr_scale=1.0, orthogonality=1.0))
    assert distance(drawn.recurrent.weight_mm_l0.detach()) < distance(free.recurrent.weight_mm_l0.detach())


def test_the_penalty_of_a_parametrized_memory_is_that_of_its_matrix():
    """Of an orthogonal W_mm the penalty is zero and changes nothing."""
    runs = []
    for orthogonality in (0.0, 1.0):
        network = build_model(ModelOptions("lmn-orthogonal", 5, 7), 6, 6, seed=3)
        runs.append(train(network, splits(), NextFrame(), replace(OPTIONS, orthogonality=orthogonality)))
    free, penalized = ([epoch.train_loss for epoch in run.epochs] for run in runs)
    assert penalized == pytest.approx(free, rel=1e-3)


@pytest.mark.parametrize("name", ["lstm", "lmn-diagonal"])
def test_a_penalty_without_a_memory_matrix_is_refused(name):
    network = build_model(ModelOptions(name, 5, 8), 6, 6)
    with pytest.raises(ValueError, match="orthogonality must be 0 for a model without a matrix W_mm, got 1.0"):
        train(network, splits(), NextFrame(), replace(OPTIONS, orthogonality=1.0))


def test_a_cosine_schedule_is_not_resumed_with_another_length(tmp_path):
    short = replace(OPTIONS, max_epochs=2, schedule="cosine")
    train(model(), splits(), NextFrame(), short, checkpoint=tmp_path / "state")
    with pytest.raises(ValueError, match="max_epochs must be 2 as in"):
        train(model(), splits(), NextFrame(), replace(short, max_epochs=4), checkpoint=tmp_path / "state")


def test_an_epoch_records_its_cpu_time():
    started = time.process_time()
    history = train(model(), splits(), NextFrame(), OPTIONS)
    spent = time.process_time() - started
    assert all(row.cpu_seconds > 0 for row in history.epochs)
    assert sum(row.cpu_seconds for row in history.epochs) < spent  # validation is not counted


class Tied(torch.nn.Module):
    """A recurrent model whose readout is the transpose of its input map: one parameter with two names."""

    def __init__(self):
        super().__init__()
        self.inner, self.into, self.out = torch.nn.RNN(6, 6, batch_first=True), *(torch.nn.Linear(6, 6),) * 2

    def forward(self, x, state=None):
        y, state = self.inner(self.into(x), state)
        return self.out(y), state


def test_shared_weights_are_written_and_resumed(tmp_path):
    torch.manual_seed(0)
    whole, network = Tied(), Tied()
    network.load_state_dict(whole.state_dict())
    train(whole, splits(), NextFrame(), OPTIONS)
    for epochs in (2, OPTIONS.max_epochs):  # the checkpoint is a str
        train(network, splits(), NextFrame(), replace(OPTIONS, max_epochs=epochs), checkpoint=str(tmp_path / "state"))
    assert network.into.weight is network.out.weight
    assert same_weights(whole, network)


@pytest.mark.parametrize(
    ("result", "found"),
    [
        (lambda y, state: y, "one Tensor"),
        (lambda y, state: (y,), "a tuple of 1"),
        (lambda y, state: (y, state, None), "a tuple of 3"),
    ],
)
def test_a_model_must_return_outputs_and_state(result, found):
    class Wrong(Tied):
        def forward(self, x):
            return result(*super().forward(x))

    with pytest.raises(TypeError, match=rf"model must return a pair \(outputs, state\).*got {found}"):
        train(Wrong(), splits(), NextFrame(), OPTIONS)
    with pytest.raises(TypeError, match="model must return a pair"):
        evaluate(Wrong(), splits(), NextFrame())


def test_the_checkpoint_is_a_path():
    with pytest.raises(TypeError, match="checkpoint must be a str or a path, got int"):
        train(model(), splits(), NextFrame(), OPTIONS, checkpoint=3)


def test_early_stopping_after_patience_epochs_without_improvement():
    history = train(model(), splits(), NextFrame(), replace(OPTIONS, max_epochs=200, patience=4))
    assert len(history.epochs) == history.best_epoch + 4


def test_bad_input_raises_a_clear_error(tmp_path):
    good = splits()
    with pytest.raises(ValueError, match="sequence 1"):
        train(model(), replace(good, train=rolls(lengths=(4, 1))), NextFrame(), OPTIONS)
    with pytest.raises(ValueError, match="sequence 0 must have entries 0 and 1"):
        train(model(), replace(good, valid=[torch.full((3, 6), 0.5)]), NextFrame(), OPTIONS)
    with pytest.raises(ValueError, match="learning_rate must be above 0, got -1"):
        TrainingOptions(learning_rate=-1)
    for name, value in (("batch_size", 2.5), ("max_epochs", "many"), ("truncate", 1.5), ("clip", None)):
        with pytest.raises(ValueError, match=rf"{name} must be an? (integer|finite number), got {value!r}"):
            TrainingOptions(**{name: value})
    train(model(), good, NextFrame(), OPTIONS, checkpoint=tmp_path / "state")
    with pytest.raises(ValueError, match=r"learning_rate must be 0.01 as in .*, got 0.5"):
        train(model(), good, NextFrame(), replace(OPTIONS, learning_rate=0.5), checkpoint=tmp_path / "state")
    with pytest.raises(ValueError, match="must hold weights of this model"):
        train(model("lstm"), good, NextFrame(), OPTIONS, checkpoint=tmp_path / "state")


def test_a_diverged_run_raises_and_restores_its_best_weights():
    network = model()

    def poison(state):
        if state.epoch == 2:
            next(state.model.parameters()).data.fill_(torch.nan)

    with pytest.raises(DivergenceError, match="must be finite, got nan in epoch 3. Lower learning_rate"):
        train(network, splits(), NextFrame(), OPTIONS, after_epoch=poison)
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


def test_a_run_can_be_made_longer(tmp_path):
    short = replace(OPTIONS, max_epochs=2)
    train(model(), splits(), NextFrame(), short, checkpoint=tmp_path / "state")
    network, whole = model(), model()
    longer = train(network, splits(), NextFrame(), OPTIONS, checkpoint=tmp_path / "state")
    train(whole, splits(), NextFrame(), OPTIONS)
    assert len(longer.epochs) == asdict(OPTIONS)["max_epochs"]
    assert same_weights(network, whole)
