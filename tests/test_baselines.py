"""What every layer of the comparison has in common: one table, and the truths that each row must meet.

A new layer is one row: how it is built for 3 inputs, and its number of trained weights as the formula gives it.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_sequence

from linmem.nn.base import SequenceLayer
from linmem.nn.baselines import (
    LMU,
    LRU,
    RNNRBM,
    ClockworkRNN,
    StochasticDetach,
    delay_line_,
    echo_state_,
    elman_,
    keep_orthogonal_,
    linear_,
    orthogonal_,
)
from linmem.nn.lmn import LMN
from linmem.nn.multiscale import MultiScaleLMN

A = 3  # input size of every row


class Row(NamedTuple):
    build: Callable[..., nn.Module]
    parameters: int


def lmn(f, p, fill=lambda layer: layer, **arguments):
    return lambda **kind: fill(LMN(A, f, p, **arguments, **kind))


LAYERS = {
    "rnn": Row(lambda **kind: nn.RNN(A, 4, **kind), (A + 4) * 4 + 2 * 4),
    "gru": Row(lambda **kind: nn.GRU(A, 4, **kind), 3 * ((A + 4) * 4 + 2 * 4)),
    "lstm": Row(lambda **kind: nn.LSTM(A, 4, **kind), 4 * ((A + 4) * 4 + 2 * 4)),
    "lmn-a": Row(lmn(4, 5, output="functional"), (A + 5) * 4 + (4 + 5) * 5 + 4 + 5),
    "lmn-b": Row(lmn(4, 5), (A + 5) * 4 + (4 + 5) * 5 + 4 + 5),
    "delay line": Row(lmn(4, 12, delay_line_), (A + 12) * 4 + 4),
    "orthogonal": Row(lmn(4, 5, orthogonal_), (A + 5) * 4 + 4 * 5 + 4 + 5),
    "kept orthogonal": Row(lmn(4, 5, keep_orthogonal_), (A + 5) * 4 + (4 + 5) * 5 + 4 + 5),
    "elman, kept orthogonal": Row(
        lmn(5, 5, lambda layer: keep_orthogonal_(elman_(layer), weight="weight_mh")), (A + 5) * 5 + 5
    ),
    "linear, kept orthogonal": Row(
        lmn(4, 5, lambda layer: keep_orthogonal_(linear_(layer)), nonlinearity="identity"),
        A * 4 + 4 + (4 + 5) * 5 + 5,
    ),
    "echo state": Row(lmn(20, 20, lambda layer: echo_state_(layer, scale=0.3)), 0),
    "multi-scale": Row(
        lambda **kind: MultiScaleLMN(A, 4, 5, 3, **kind), A * 4 + 4 + 3 * (2 * 4 * 5 + 5) + (1 + 2 + 3) * 5 * 5
    ),
    "multi-scale, functional": Row(
        lambda **kind: MultiScaleLMN(A, 4, 5, 2, output="functional", **kind),
        A * 4 + 4 + 2 * (2 * 4 * 5 + 5) + (1 + 2) * 5 * 5,
    ),
    "clockwork": Row(lambda **kind: ClockworkRNN(A, 8, 4, **kind), (A + 8) * 8 + 8),
    "lmu": Row(lambda **kind: LMU(A, 4, 6, 8.0, 2, **kind), (2 + 4) * (A + 4 + 2 * 6)),
    "lru": Row(
        lambda **kind: LRU(A, 6, 4, nonlinearity="tanh", **kind), 2 * 6 + 2 * 6 * A + 2 * 4 * 6 + A * 4 + 4
    ),
    "detached, in evaluation": Row(
        lambda **kind: StochasticDetach(LMN(A, 4, 5, **kind), 0.5).eval(), (A + 5) * 4 + (4 + 5) * 5 + 4 + 5
    ),
    "rnn-rbm": Row(
        lambda **kind: RNNRBM(nn.RNN(A, 5, **kind), 5, A, 4), (A + 5) * 5 + 2 * 5 + (5 + 1) * (A + 4) + 4 * A
    ),
}  # fmt: skip
every_layer = pytest.mark.parametrize("row", LAYERS.values(), ids=LAYERS)
TORCH = ("rnn", "gru", "lstm")
OWN = {name: row for name, row in LAYERS.items() if isinstance(row.build(), SequenceLayer)}
every_own_layer = pytest.mark.parametrize("row", OWN.values(), ids=OWN)


def layer_of(row, seed=0, **kind):
    torch.manual_seed(seed)
    return row.build(**({"dtype": torch.float64} | kind))


def input_of(*shape, seed=1, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def tensors(state):
    """All tensors of a state, in order."""
    return list(state) if isinstance(state, tuple) else [state]


def trained(layer):
    return [parameter for parameter in layer.parameters() if parameter.requires_grad]


@every_layer
def test_chunks_with_carried_state_equal_the_whole(row):
    layer = layer_of(row)
    x, state, chunks = input_of(17, 2, A), None, []
    y, last = layer(x)
    for chunk in x.split([1, 5, 3, 8]):
        part, state = layer(chunk, state)
        chunks.append(part)
    torch.testing.assert_close(torch.cat(chunks), y)
    for one, other in zip(tensors(state), tensors(last), strict=True):
        torch.testing.assert_close(one, other)


@every_layer
def test_layouts_agree(row):
    layer, first = layer_of(row), layer_of(row, batch_first=True)
    x = input_of(9, 2, A)
    y, state = layer(x)
    assert y.shape[:2] == (9, 2)
    assert y.shape[2] == (layer.output_size if hasattr(layer, "output_size") else layer.hidden_size)
    y_first, state_first = first(x.transpose(0, 1))
    torch.testing.assert_close(y_first, y.transpose(0, 1))
    y_one, state_one = layer(x[:, 1])
    torch.testing.assert_close(y_one, y[:, 1])
    for part, part_first, part_one in zip(tensors(state), tensors(state_first), tensors(state_one), strict=True):
        assert part.shape[:2] == (1, 2)
        torch.testing.assert_close(part_first, part)
        torch.testing.assert_close(part_one, part[:, 1])
    torch.testing.assert_close(layer(x[:4, 1], state_one)[0], layer(x[:4], state)[0][:, 1])


@every_layer
def test_padding_at_the_end_changes_nothing_before_it(row):
    layer, x, found = layer_of(row), input_of(6, 2, A), []
    for padding in (0, 4):
        padded = torch.cat([x, torch.full((padding, 2, A), 9.0, dtype=x.dtype)]).requires_grad_()
        y, _ = layer(padded)
        expected = [padded, *trained(layer)]
        x_grad, *gradients = torch.autograd.grad(y[:6].square().sum(), expected, materialize_grads=True)
        assert not x_grad[6:].any()
        found.append([y[:6], x_grad[:6], *gradients])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize(
    "row", [row for name, row in LAYERS.items() if name not in TORCH], ids=[n for n in LAYERS if n not in TORCH]
)
def test_gradients_are_those_of_finite_differences(row):
    layer = layer_of(row)
    x = input_of(4, 1, A).requires_grad_()
    names = [name for name, parameter in layer.named_parameters() if parameter.requires_grad]

    def function(x, *parameters):
        return torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))[0]

    assert torch.autograd.gradcheck(function, (x, *trained(layer)), fast_mode=True)


@every_layer
def test_parameters_are_counted_by_the_formula(row):
    assert sum(parameter.numel() for parameter in trained(row.build())) == row.parameters


@every_layer
def test_seeds_and_state_dicts_determine_the_outputs(row):
    layer, twin, other = layer_of(row), layer_of(row), layer_of(row, seed=5)
    x = input_of(7, 2, A)
    y = layer(x)[0]
    assert torch.equal(twin(x)[0], y)
    if row.parameters:
        assert not torch.equal(other(x)[0], y)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other(x)[0], y)
    assert torch.equal(copy.deepcopy(layer)(x)[0], y)


@every_layer
def test_types_follow_the_input(row):
    layer = layer_of(row, dtype=torch.float32)
    x = input_of(7, 2, A)
    y = layer(x.float())[0]
    assert y.dtype == torch.float32
    torch.testing.assert_close(layer.double()(x)[0].float(), y, rtol=1e-4, atol=1e-4)


@every_own_layer
def test_all_computation_is_on_the_device_of_the_parameters(row):
    layer = layer_of(row, device="meta")
    y, state = layer(torch.zeros(5, 2, A, dtype=torch.float64, device="meta"))
    assert all(tensor.is_meta or tensor.dtype == torch.int64 for tensor in [y, *tensors(state)])  # clocks are not


@every_layer
def test_the_layer_learns_to_recall_the_input_of_two_steps_ago(row):
    """A readout alone must do it for the echo state network; nobody may need more than 300 steps of Adam."""
    layer = layer_of(row, dtype=torch.float32, batch_first=True)
    x = input_of(16, 12, A, dtype=torch.float32)
    expected = x[:, :-2, :1]
    torch.manual_seed(0)
    readout = nn.Linear(layer(x)[0].shape[-1], 1)
    optimizer = torch.optim.Adam([*trained(layer), *readout.parameters()], lr=2e-2)
    for _ in range(300):
        loss = (readout(layer(x)[0][:, 2:]) - expected).square().mean() / expected.var()
        if loss < 0.5:
            return
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    pytest.fail(f"{loss:.2f} of the variance is left")


@every_own_layer
def test_wrong_input_raises(row):
    layer = layer_of(row)
    x = input_of(5, 2, A)
    _, state = layer(x)
    for arguments, message in (
        ((input_of(5, 2, 4),), "input_size=3 features in its last dimension, got 4"),
        ((input_of(5),), r"2 dimensions \(unbatched\) or 3, got shape \(5,\)"),
        ((input_of(0, 2, A),), "at least one step"),
        ((x.float(),), r"input must have the dtype .*float64\), got torch.float32"),
        ((x[:, :1], state), r"state must be .*\(1, 1, .*, got .*\(1, 2, "),
        ((x, "state"), "state must be .*, got str"),
    ):
        with pytest.raises(ValueError, match=message):
            layer(*arguments)


@every_layer
def test_a_state_can_be_detached_like_torchs_own(row):
    """What truncated backpropagation does to the state of an LSTM works for all."""
    layer, x = layer_of(row), input_of(5, 2, A).requires_grad_()
    _, state = layer(x)
    state = tuple(part.detach() for part in state) if isinstance(state, tuple) else state.detach()
    y, _ = layer(x, state)
    torch.testing.assert_close(y[-1], layer(torch.cat([x, x]))[0][-1])
    assert not torch.autograd.grad(layer(x[:1], state)[0].sum(), x, allow_unused=True)[0][1:].any()


@pytest.mark.parametrize("name", ["clockwork", "multi-scale"])
def test_sequences_at_different_steps_cannot_continue_in_one_batch(name):
    layer, x = layer_of(LAYERS[name]), input_of(5, 2, A)
    memory, clock = layer(x)[1]
    with pytest.raises(ValueError, match=r"same number of past steps .*got \[4, 5\]"):
        layer(x, (memory, clock - torch.tensor([[0, 1]])))


@every_own_layer
def test_a_packed_sequence_raises_and_names_the_function_that_pads(row):
    with pytest.raises(TypeError, match="input must be a torch.Tensor, got PackedSequence. Pad"):
        layer_of(row)(pack_sequence([input_of(3, A), input_of(2, A)]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: ClockworkRNN(3, 9, 4), r"hidden_size must be a multiple of groups \(4\), got 9"),
        (lambda: ClockworkRNN(3, 0), "hidden_size must be at least 1, got 0"),
        (lambda: LMU(3, 4, window=0), "window must be greater than 0 steps, got 0"),
        (lambda: LRU(3, 4, largest=1.0), "must satisfy 0 <= smallest < largest < 1, got 0.4 and 1.0"),
        (lambda: LRU(3, 4, largest_phase=7.0), "largest_phase must be an angle"),
        (lambda: MultiScaleLMN(3, 4, 5, scales=0), "scales must be at least 1, got 0"),
        (lambda: MultiScaleLMN(3, 4, 5, output="hidden"), "output must be one of 'memory', 'functional', got 'hidden'"),
        (lambda: LMU(3, 4, nonlinearity="gelu"), "nonlinearity must be one of 'tanh'.*got 'gelu'"),
    ],
)
def test_wrong_arguments_raise(build, message):
    with pytest.raises(ValueError, match=message):
        build()
