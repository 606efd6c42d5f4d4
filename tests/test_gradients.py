"""Gradient norms: they equal finite differences, and an orthogonal linear memory preserves them."""

import pytest
import torch
from torch import nn

from linmem.analysis.gradient_norms import gradient_norms, spectrum, state_gradient_norms
from linmem.nn.baselines import LMU, LRU, ClockworkRNN, StochasticDetach, echo_state_, linear_, orthogonal_
from linmem.nn.lmn import LMN
from linmem.nn.multiscale import MultiScaleLMN

KIND = {"dtype": torch.float64}


def input_of(*shape):
    return torch.randn(*shape, **KIND, generator=torch.Generator().manual_seed(1))


def last(y):
    return y[-1].square().sum()


def test_an_orthogonal_linear_memory_keeps_the_gradient_and_a_leaky_one_loses_it():
    torch.manual_seed(0)
    x = input_of(200, 2, 3)
    layer = linear_(LMN(3, 4, 6, nonlinearity="identity", **KIND))
    with torch.no_grad():
        layer.weight_mm_l0.copy_(0.9 * torch.eye(6))
    leaky = gradient_norms(layer, x, last).memory
    torch.testing.assert_close(leaky[:-1] / leaky[1:], torch.full((199,), 0.9, **KIND))
    orthogonal_(layer)
    kept = gradient_norms(layer, x, last).memory
    torch.testing.assert_close(kept, kept[-1].expand(200))


@pytest.mark.parametrize("output", ["memory", "functional"])
def test_norms_are_those_of_finite_differences(output):
    """A small change of h_t or m_t inside the recurrence changes the loss as the gradients predict."""
    torch.manual_seed(0)
    layer = LMN(3, 4, 5, output=output, **KIND)
    x, e = input_of(6, 1, 3), 1e-6

    def loss(y):
        return y.sin().sum()

    def run(t=None, change_h=0.0, change_m=0.0):
        m, outputs = torch.zeros(1, 5, **KIND), []
        for s, x_t in enumerate(x):
            h = torch.tanh(x_t @ layer.weight_xh_l0.T + m @ layer.weight_mh_l0.T + layer.bias_h_l0)
            h = h + change_h if s == t else h
            m = h @ layer.weight_hm_l0.T + m @ layer.weight_mm_l0.T + layer.bias_m_l0
            m = m + change_m if s == t else m
            outputs.append(m if output == "memory" else h)
        return float(loss(torch.stack(outputs)).detach())

    found = gradient_norms(layer, x, loss)
    for t in range(6):
        by_h = [(run(t, change_h=e * row) - run(t, change_h=-e * row)) / (2 * e) for row in torch.eye(4, **KIND)]
        by_m = [(run(t, change_m=e * row) - run(t, change_m=-e * row)) / (2 * e) for row in torch.eye(5, **KIND)]
        assert float(found.hidden[t]) == pytest.approx(float(torch.tensor(by_h, **KIND).norm()), abs=1e-7)
        assert float(found.memory[t]) == pytest.approx(float(torch.tensor(by_m, **KIND).norm()), abs=1e-7)


def test_through_the_carried_state_it_is_the_gradient_of_the_memory():
    torch.manual_seed(0)
    layer, x = LMN(3, 4, 5, **KIND), input_of(30, 2, 3)
    torch.testing.assert_close(state_gradient_norms(layer, x, last), gradient_norms(layer, x, last).memory[:-1])


def test_detaching_leaves_the_linear_path_unchanged():
    """∂L/∂m_t = (W_mmᵀ)^(T−t) ∂L/∂m_T, as through the layer that detaches."""
    torch.manual_seed(0)
    layer, x = LMN(3, 4, 5, **KIND), input_of(12, 1, 3)
    found = gradient_norms(layer, x, last, detach=1.0).memory
    with torch.no_grad():
        gradient, expected = 2 * layer(x)[0][-1, 0], []
        for _ in x:
            expected.append(gradient.norm())
            gradient = layer.weight_mm_l0.T @ gradient
    torch.testing.assert_close(found, torch.stack(expected[::-1]))
    torch.testing.assert_close(found[:-1], state_gradient_norms(StochasticDetach(layer, 1.0), x, last))
    whole, half = (gradient_norms(layer, x, last, detach=q).memory for q in (0.0, 0.5))
    assert not torch.allclose(found, whole)
    assert not torch.allclose(half, whole)
    torch.testing.assert_close(half, gradient_norms(layer, x, last, detach=0.5).memory)


@pytest.mark.parametrize(
    "build",
    [nn.RNN, nn.GRU, nn.LSTM, LMU, LRU, lambda a, n, **kind: ClockworkRNN(a, n, 2, **kind)]
    + [lambda a, n, **kind: MultiScaleLMN(a, n, 5, 3, **kind), lambda a, n, **kind: echo_state_(LMN(a, n, n, **kind))],
)
def test_every_layer_can_be_measured(build):
    torch.manual_seed(0)
    norms = state_gradient_norms(build(3, 4, **KIND), input_of(20, 2, 3), last)
    assert norms.shape == (19,)
    assert torch.isfinite(norms).all()
    assert (norms > 0).all()


def test_the_spectrum_of_a_triangular_matrix_is_its_diagonal():
    weight = torch.triu(input_of(4, 4))
    torch.testing.assert_close(spectrum(weight), weight.diagonal().abs().sort(descending=True).values)
    torch.testing.assert_close(spectrum(torch.linalg.qr(input_of(5, 5))[0]), torch.ones(5, **KIND))


def test_a_gradient_near_underflow_is_measured():
    """The square of 0.1²⁰⁰ underflows in float64."""
    layer = nn.RNN(1, 1, nonlinearity="relu", **KIND)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.fill_(0.1)
    found = state_gradient_norms(layer, torch.ones(201, 1, 1, **KIND), lambda y: y[-1].sum())
    torch.testing.assert_close(found.log10(), torch.arange(-200.0, 0, **KIND))


def test_a_layer_of_several_recurrences_is_refused():
    with pytest.raises(ValueError, match="one layer, one direction and one functional layer"):
        gradient_norms(LMN(3, 4, 5, num_layers=2, **KIND), input_of(5, 1, 3), last)


@pytest.mark.parametrize("layer", [LMN(3, 4, 5, memory="diagonal", **KIND), nn.LSTM(3, 4, **KIND)])
def test_a_layer_without_a_dense_memory_is_refused(layer):
    with pytest.raises(ValueError, match=f"layer must be an LMN with memory='dense', got {type(layer).__name__}"):
        gradient_norms(layer, input_of(5, 1, 3), last)


def test_the_gradient_through_the_state_needs_two_steps():
    with pytest.raises(ValueError, match="x must have at least 2 steps, got 1"):
        state_gradient_norms(nn.LSTM(3, 4, **KIND), input_of(1, 1, 3), last)
