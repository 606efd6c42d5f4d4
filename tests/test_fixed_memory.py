"""Memories that are set: the delay line recalls exactly, the orthogonal one keeps norms, Elman's is torch's RNN."""

import pytest
import torch
from torch import nn

from linmem.nn.baselines import (
    delay_line_,
    echo_state_,
    elman_,
    keep_orthogonal_,
    linear_,
    orthogonal_,
    orthogonality_penalty,
)
from linmem.nn.lmn import LMN

KIND = {"dtype": torch.float64}


def input_of(*shape, seed=1):
    return torch.randn(*shape, **KIND, generator=torch.Generator().manual_seed(seed))


def layer_of(f, p, seed=0, **arguments):
    torch.manual_seed(seed)
    return LMN(3, f, p, **KIND, **arguments)


def is_orthogonal(W):
    torch.testing.assert_close(W @ W.T, torch.eye(len(W), **KIND), rtol=0, atol=1e-12)
    return True


def fit(layer, steps=20):
    """A few steps of Adam towards something out of reach; what was trained, before and after."""
    x, before = input_of(9, 2, 3), {name: p.clone() for name, p in layer.named_parameters()}
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(steps):
        optimizer.zero_grad()
        (layer(x)[0] - 1).square().sum().backward()
        optimizer.step()
    return {name for name, p in layer.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize("p", [4, 12, 10, 3])
def test_a_delay_line_holds_the_last_functional_states(p):
    layer, x = delay_line_(layer_of(4, p)), input_of(9, 2, 3)
    memory, _ = layer(x)
    functional = layer_of(4, p, output="functional")
    functional.load_state_dict(layer.state_dict())
    h, _ = functional(x)
    padded = torch.cat([torch.zeros(3, 2, 4, **KIND), h])
    register = torch.cat([padded[3 - lag : 12 - lag] for lag in range(4)], -1)  # [h_t, h_{t-1}, h_{t-2}, h_{t-3}]
    assert torch.equal(memory, register[..., :p])
    assert fit(layer) == {"weight_xh_l0", "weight_mh_l0", "bias_h_l0"}


def silent(layer):
    """The memory alone: nothing is read from it, nothing written into it."""
    with torch.no_grad():
        for name in ("weight_mh_l0", "bias_h_l0", "bias_m_l0"):
            getattr(layer, name).zero_()
    return layer


@pytest.mark.parametrize("fill", [orthogonal_, keep_orthogonal_])
def test_an_orthogonal_memory_keeps_norms(fill):
    layer, m_0 = silent(fill(layer_of(4, 6))), input_of(1, 2, 6)
    memory, _ = layer(torch.zeros(500, 2, 3, **KIND), m_0)
    assert not torch.allclose(memory[-1], memory[-2])
    torch.testing.assert_close(memory.norm(dim=-1), m_0.norm(dim=-1).expand(500, 2), rtol=1e-12, atol=0)


def test_a_fixed_orthogonal_memory_is_constant_and_a_constrained_one_is_trained():
    fixed, kept = orthogonal_(layer_of(4, 6)), keep_orthogonal_(layer_of(4, 6))
    start = kept.weight_mm_l0.detach().clone()
    torch.testing.assert_close(start, fixed.weight_mm_l0.detach())
    assert fit(fixed) == {"weight_xh_l0", "weight_mh_l0", "weight_hm_l0", "bias_h_l0", "bias_m_l0"}
    fit(kept)
    assert (kept.weight_mm_l0 - start).abs().max() > 0.01
    assert is_orthogonal(fixed.weight_mm_l0)
    assert is_orthogonal(kept.weight_mm_l0)


def test_random_orthogonal_matrices_depend_on_the_seed_and_have_both_determinants():
    drawn = [orthogonal_(layer_of(4, 5), seed=seed).weight_mm_l0 for seed in range(20)]
    assert torch.equal(drawn[3], orthogonal_(layer_of(4, 5, seed=9), seed=3).weight_mm_l0)
    assert {round(float(torch.linalg.det(W))) for W in drawn} == {-1, 1}
    assert all(is_orthogonal(W) for W in drawn)


def test_the_penalty_is_the_squared_distance_of_the_gram_matrix_from_the_identity():
    W = input_of(4, 3)
    expected = sum((float(W[:, i] @ W[:, j]) - (i == j)) ** 2 for i in range(3) for j in range(3))
    assert float(orthogonality_penalty(W)) == pytest.approx(expected)
    assert float(orthogonality_penalty(2 * torch.eye(5))) == 45
    assert float(orthogonality_penalty(torch.linalg.qr(input_of(6, 6))[0])) < 1e-25
    assert torch.autograd.gradcheck(orthogonality_penalty, (W.requires_grad_(),))


def test_the_penalty_makes_a_trained_memory_orthogonal():
    layer = layer_of(4, 6)
    with torch.no_grad():
        layer.weight_mm_l0.copy_(0.5 * input_of(6, 6))
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
    for _ in range(300):
        optimizer.zero_grad()
        orthogonality_penalty(layer.weight_mm_l0).backward()
        optimizer.step()
    assert orthogonality_penalty(layer.weight_mm_l0) < 1e-6


@pytest.mark.parametrize("output", ["memory", "functional"])
def test_the_elman_form_is_torchs_rnn(output):
    layer, rnn, x = elman_(layer_of(5, 5, output=output)), nn.RNN(3, 5, **KIND), input_of(9, 2, 3)
    with torch.no_grad():
        layer.weight_xh_l0.copy_(rnn.weight_ih_l0)
        layer.weight_mh_l0.copy_(rnn.weight_hh_l0)
        layer.bias_h_l0.copy_(rnn.bias_ih_l0 + rnn.bias_hh_l0)
    for one, other in zip(layer(x), rnn(x), strict=True):
        torch.testing.assert_close(one, other)
    assert fit(layer) == {"weight_xh_l0", "weight_mh_l0", "bias_h_l0"}


def test_an_orthogonal_elman_network_stays_orthogonal():
    layer = keep_orthogonal_(elman_(layer_of(5, 5)), weight="weight_mh")
    fit(layer)
    assert is_orthogonal(layer.weight_mh_l0)


def test_the_linear_form_is_a_sum_of_powers():
    layer, x = linear_(layer_of(4, 5, nonlinearity="identity", bias=False)), input_of(7, 3)
    W_mm, W = layer.weight_mm_l0, layer.weight_hm_l0 @ layer.weight_xh_l0
    expected = sum(torch.linalg.matrix_power(W_mm, 6 - t) @ W @ x[t] for t in range(7))
    torch.testing.assert_close(layer(x)[0][-1], expected)


def test_an_echo_state_network_has_its_radius_and_forgets_its_initial_state():
    layer = echo_state_(layer_of(50, 50), radius=0.9, sparsity=0.8, seed=2)
    W = layer.weight_mh_l0
    assert float(torch.linalg.eigvals(W).abs().max()) == pytest.approx(0.9)
    assert 0.7 < float((W == 0).double().mean()) < 0.9
    x = input_of(300, 1, 3)
    one, other = (layer(x, m_0)[0] for m_0 in (None, input_of(1, 1, 50)))
    assert (one - other)[0].abs().max() > 0.1
    assert (one - other)[-1].abs().max() < 1e-6
    assert not any(p.requires_grad for p in layer.parameters())


@pytest.mark.parametrize(
    ("fill", "message"),
    [
        (lambda: delay_line_(layer_of(4, 5, num_layers=2)), "layer must have one layer"),
        (lambda: orthogonal_(layer_of((4, 4), 5)), "layer must have one layer"),
        (lambda: keep_orthogonal_(layer_of(4, 5, bidirectional=True)), "layer must have one layer"),
        (lambda: elman_(layer_of(4, 5)), "memory_size must be equal to hidden_size \\(4\\) in an Elman network, got 5"),
        (lambda: linear_(layer_of(4, 5)), "nonlinearity must be 'identity' in a linear network, got 'tanh'"),
        (lambda: orthogonal_(layer_of(4, 5), weight="weight_mh"), "weight_mh must be square, got 4 by 5"),
        (lambda: orthogonal_(layer_of(4, 5), weight="weight_xh"), "must be one of 'weight_mm', 'weight_mh'"),
        (lambda: delay_line_(layer_of(4, 5, memory="diagonal")), "layer must have memory='dense', got memory='diag"),
        (lambda: orthogonal_(layer_of(4, 5, memory="diagonal")), "layer must have memory='dense'"),
        (lambda: keep_orthogonal_(layer_of(4, 5, memory="diagonal")), "layer must have memory='dense'"),
        (lambda: elman_(layer_of(4, 4, memory="diagonal")), "layer must have memory='dense'"),
        (lambda: echo_state_(layer_of(4, 4), sparsity=1.0), "sparsity must leave a cycle among the 4 units, got 1.0"),
    ],
)
def test_wrong_arguments_raise(fill, message):
    with pytest.raises(ValueError, match=message):
        fill()
