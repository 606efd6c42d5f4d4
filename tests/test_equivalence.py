"""A feed-forward network whose units see one step each is a recurrent network of N_H + ρ units."""

import pytest
import torch
from torch import nn

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.nn.equivalence import recurrent_from_feedforward, recurrent_from_unfolded
from linmem.nn.initialize import from_unfolded_
from linmem.nn.lmn import LMN
from linmem.nn.unfolded import ExplicitMemoryNetwork, UnfoldedNetwork

KIND = {"dtype": torch.float64}
A, STEPS, OUTPUTS = 3, 5, 2  # inputs, steps of the window, outputs


def sequences(lengths, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, A, generator=generator, **KIND) for length in lengths]


def feedforward(lags, bias=True, seed=0):
    """One hidden layer over windows; unit j sees the step at lag lags[j] alone."""
    torch.manual_seed(seed)
    hidden, output = nn.Linear(STEPS * A, len(lags), bias, **KIND), nn.Linear(len(lags), OUTPUTS, bias, **KIND)
    mask = torch.zeros(len(lags), STEPS, A)
    mask[torch.arange(len(lags)), lags] = 1
    with torch.no_grad():
        hidden.weight.mul_(5 * mask.flatten(1))
    return hidden, output


SIGMA = {"tanh": torch.tanh, "relu": torch.relu, "selu": torch.selu, "identity": lambda v: v}
LAGS = [0, 0, 1, 2, 2, 2, 4]
REGISTER = sum(LAGS)  # a unit read at lag d has to be remembered for d steps
DIRECTIONS = 3 + 3 + 1 + 1  # linear units: 5 of them at lag 1, 4 at lag 2, of 3 inputs; then one


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("nonlinearity", SIGMA)
@pytest.mark.parametrize("lengths", [(9, 1, 4), (60, 33, 2)], ids=["few rows", "many rows"])
def test_outputs_are_those_of_the_feedforward_network(lengths, nonlinearity, bias):
    hidden, output = feedforward(LAGS, bias)
    data = sequences(lengths)
    found = recurrent_from_feedforward(hidden, output, data, nonlinearity=nonlinearity)
    for x in data:
        expected = output(SIGMA[nonlinearity](hidden(InMemoryHistory([x]).columns(0, STEPS))))
        torch.testing.assert_close(found.network(x)[0], expected, rtol=0, atol=1e-8)
    assert found.functional_units == len(LAGS)
    assert found.register_units == REGISTER
    pasts = sum(length - 1 for length in lengths)
    assert found.memory_units == found.network.cell.memory_size
    assert found.memory_units == min(pasts, DIRECTIONS if nonlinearity == "identity" else REGISTER)


def test_with_the_memory_of_a_shift_register_the_functions_are_equal():
    hidden, output = feedforward(LAGS)
    found = recurrent_from_feedforward(hidden, output, sequences((60, 33)))
    assert found.memory_units == found.register_units
    for x in sequences((100, 3), seed=7):
        expected = output(torch.tanh(hidden(InMemoryHistory([x]).columns(0, STEPS))))
        torch.testing.assert_close(found.network(x)[0], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("lengths", [(4, 3, 6), (30, 25)], ids=["few rows", "many rows"])
def test_the_memory_has_the_rank_of_h_without_its_first_columns(lengths):
    """All units are read at all lags here, so that H is the whole history matrix of the hidden states."""
    torch.manual_seed(0)
    unfolded = UnfoldedNetwork(A, 4, OUTPUTS, lags=6, **KIND)
    data = sequences(lengths)
    found = recurrent_from_unfolded(unfolded, data)
    H = torch.cat([InMemoryHistory([unfolded(x)[1].detach()]).columns(0, 7) for x in data])
    assert found.memory_units == int(torch.linalg.matrix_rank(H[:, 4:]))
    assert found.register_units == 24
    assert (found.memory_units < 24) == (sum(lengths) < 24)


@pytest.mark.parametrize("nonlinearity", ["tanh", "selu"])
def test_unfolded_explicit_compressed_and_lmn_are_one_function(nonlinearity):
    torch.manual_seed(0)
    unfolded = UnfoldedNetwork(A, 4, OUTPUTS, lags=3, nonlinearity=nonlinearity, **KIND)
    with torch.no_grad():
        unfolded.bias_h.normal_()
    explicit = ExplicitMemoryNetwork(A, 4, OUTPUTS, lags=3, nonlinearity=nonlinearity, **KIND)
    explicit.load_state_dict(unfolded.state_dict())
    data = sequences((5, 7, 1, 4))
    compressed = recurrent_from_unfolded(unfolded, data).network
    hidden = [unfolded(x)[1].detach() for x in data]
    rank = int(torch.linalg.matrix_rank(InMemoryHistory(hidden).dense()))
    lmn, readout = LMN(A, 4, rank, nonlinearity=nonlinearity, **KIND), nn.Linear(rank, OUTPUTS, **KIND)
    from_unfolded_(lmn, readout, unfolded, LinearAutoencoder(rank, solver="exact", decoder="tied").fit(hidden))
    assert compressed.cell.memory_size <= 12
    for x in data:
        expected = unfolded(x)[0]
        torch.testing.assert_close(explicit(x)[0], expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(compressed(x)[0], expected, rtol=0, atol=1e-8)
        torch.testing.assert_close(readout(lmn(x)[0]), expected, rtol=0, atol=1e-6)


def test_the_network_has_the_signature_of_a_layer():
    found = recurrent_from_feedforward(*feedforward(LAGS), sequences((40,)))
    x = torch.stack(sequences((12, 12)))
    y, last = found.network(x)
    first, state = found.network(x[:, :5])
    second, state = found.network(x[:, 5:], state)
    torch.testing.assert_close(torch.cat([first, second], 1), y)
    torch.testing.assert_close(state, last)
    assert y.shape == (2, 12, OUTPUTS)


def test_a_unit_that_reads_two_steps_raises():
    hidden, output = feedforward(LAGS)
    with torch.no_grad():
        hidden.weight[3, 0] = 1.0
    with pytest.raises(ValueError, match="weights for one step only, got lags 0, 2 for unit 3"):
        recurrent_from_feedforward(hidden, output, sequences((9,)))


@pytest.mark.parametrize(
    ("hidden", "output", "lengths", "message"),
    [
        (nn.Linear(7, 4), nn.Linear(4, 2), (9,), "hidden.in_features must be a multiple of 3 .*got hidden 7 -> 4"),
        (nn.Linear(6, 4), nn.Linear(5, 2), (9,), "output 5 -> 2"),
        (nn.Linear(3, 4), nn.Linear(4, 2), (9,), "the window must have at least 2 steps, got 1"),
        (*feedforward([0, 0]), (9,), "must read from past steps of these sequences, got none"),
        (*feedforward([0, 1]), (1, 1), "must read from past steps of these sequences, got none"),
    ],
)
def test_wrong_sizes_and_memoryless_networks_raise(hidden, output, lengths, message):
    with pytest.raises(ValueError, match=message):
        recurrent_from_feedforward(hidden, output, sequences(lengths))
