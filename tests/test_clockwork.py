"""The clockwork network: groups hold still between their steps, and slower ones feed faster ones alone."""

import torch
from torch import nn

from linmem.nn.baselines import ClockworkRNN


def layer_of(n=8, groups=4):
    torch.manual_seed(0)
    return ClockworkRNN(3, n, groups, dtype=torch.float64)


def input_of(*shape):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_with_one_group_it_is_torchs_rnn():
    layer, rnn, x = layer_of(5, 1), nn.RNN(3, 5, dtype=torch.float64), input_of(9, 2, 3)
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(layer.weight_xh)
        rnn.weight_hh_l0.copy_(layer.weight_hh)
        rnn.bias_ih_l0.copy_(layer.bias_h)
        rnn.bias_hh_l0.zero_()
    torch.testing.assert_close(layer(x)[0], rnn(x)[0])


def test_states_match_the_equations_written_out():
    layer, x = layer_of(6, 3), input_of(11, 3)
    h, expected = torch.zeros(6, dtype=torch.float64), []
    for t, x_t in enumerate(x):
        new = h.clone()
        for i in range(3):
            if t % 2**i == 0:
                rows = slice(2 * i, 2 * i + 2)
                new[rows] = torch.tanh(
                    layer.weight_xh[rows] @ x_t + layer.weight_hh[rows, 2 * i :] @ h[2 * i :] + layer.bias_h[rows]
                )
        h = new
        expected.append(h)
    torch.testing.assert_close(layer(x)[0], torch.stack(expected))


def test_groups_are_constant_between_their_updates():
    h = layer_of()(input_of(33, 3))[0].unflatten(-1, (4, 2))
    for i in range(4):
        for t in range(1, 33):
            assert torch.equal(h[t, i], h[t - 1, i]) == (t % 2**i != 0)


def test_slow_groups_do_not_depend_on_fast_ones():
    layer, x = layer_of(), input_of(17, 1, 3)
    below = ~layer.mask
    assert not layer.weight_hh[below].any()
    layer(x)[0].square().sum().backward()
    assert not layer.weight_hh.grad[below].any()
    assert (layer.weight_hh.grad[layer.mask] != 0).all()
    y = layer(x)[0]
    with torch.no_grad():
        layer.weight_hh[below] = 7.0  # even written from outside
    assert torch.equal(layer(x)[0], y)
