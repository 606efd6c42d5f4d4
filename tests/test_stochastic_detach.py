"""Stochastic detach: outputs of the LMN; gradients that pass from memory to functional units at the given rate."""

import pytest
import torch

from linmem.nn.baselines import StochasticDetach, elman_
from linmem.nn.lmn import LMN

KIND = {"dtype": torch.float64}


def lmn_of(**arguments):
    torch.manual_seed(0)
    layer = LMN(3, 4, 5, **KIND, **arguments)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return layer


def input_of(*shape):
    return torch.randn(*shape, **KIND, generator=torch.Generator().manual_seed(1))


def gradients(layer, x):
    y, _ = layer(x)
    return torch.autograd.grad(y[-1].square().sum(), layer.parameters())


def equations(lmn, x, detach):
    """Outputs (T, B, ·) of x (T, B, a) by the layer's equations, with m detached before W_mh or not."""
    m, outputs = x.new_zeros(x.shape[1], lmn.memory_size), []
    for x_t in x:
        read = (m.detach() if detach else m) @ lmn.weight_mh_l0.T
        h = torch.tanh(x_t @ lmn.weight_xh_l0.T + read + lmn.bias_h_l0)
        m = h @ lmn.weight_hm_l0.T + m @ lmn.weight_mm_l0.T + lmn.bias_m_l0
        outputs.append(m if lmn.output == "memory" else h)
    return torch.stack(outputs)


@pytest.mark.parametrize("output", ["memory", "functional"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_outputs_match_the_equations_of_the_lmn(output, batch_first, probability):
    lmn, x = lmn_of(output=output, batch_first=batch_first), input_of(7, 2, 3)
    expected = equations(lmn, x, detach=False)
    for mode in (True, False):
        y, _ = StochasticDetach(lmn, probability).train(mode)(x.transpose(0, 1) if batch_first else x)
        torch.testing.assert_close(y.transpose(0, 1) if batch_first else y, expected)


@pytest.mark.parametrize(
    ("probability", "training", "detach"), [(0.0, True, False), (1.0, False, False), (1.0, True, True)]
)
def test_gradients_match_the_equations_with_and_without_detach(probability, training, detach):
    lmn, x = lmn_of(), input_of(7, 2, 3)
    found = gradients(StochasticDetach(lmn, probability).train(training), x)
    loss = equations(lmn, x, detach)[-1].square().sum()
    other = torch.autograd.grad(equations(lmn, x, not detach)[-1].square().sum(), lmn.parameters())
    for one, expected in zip(found, torch.autograd.grad(loss, lmn.parameters()), strict=True):
        torch.testing.assert_close(one, expected)
    assert not torch.allclose(found[0], other[0], rtol=1e-3)  # the two differ, so that the comparison can fail


def test_with_probability_one_the_gradient_flows_through_the_linear_path():
    """∂L/∂x_t = (W_hmᵀ-path at t) of W_mmᵀ^(T−t) ∂L/∂m_T, by hand."""
    lmn, x = lmn_of(), input_of(6, 1, 3).requires_grad_()
    y, _ = StochasticDetach(lmn, 1.0)(x)
    found = torch.autograd.grad(y[-1].square().sum(), x)[0]
    functional = lmn_of(output="functional")
    h = functional(x)[0].detach()
    g = 2 * y[-1].detach()
    for t in reversed(range(6)):
        torch.testing.assert_close(found[t], (g @ lmn.weight_hm_l0 * (1 - h[t] ** 2)) @ lmn.weight_xh_l0)
        g = g @ lmn.weight_mm_l0


def test_a_detached_elman_network_has_no_gradient_from_the_past():
    torch.manual_seed(0)
    x = input_of(6, 1, 3).requires_grad_()
    y, _ = StochasticDetach(elman_(LMN(3, 5, 5, **KIND)), 1.0)(x)
    reached = torch.autograd.grad(y[-1].sum(), x)[0].abs().sum((1, 2)) > 0
    assert reached.tolist() == [False] * 5 + [True]


def test_the_mean_gradient_mixes_both_extremes_at_the_given_probability():
    """Over two steps the gradient is linear in the mask, so that its mean over many sequences is known."""
    lmn, x, copies = lmn_of(), input_of(2, 1, 3), 20_000
    torch.manual_seed(3)
    found = gradients(StochasticDetach(lmn, 0.25), x.expand(-1, copies, -1))
    whole, cut = (gradients(StochasticDetach(lmn, probability), x) for probability in (0.0, 1.0))
    for one, open_, closed in zip(found, whole, cut, strict=True):
        torch.testing.assert_close(one / copies, 0.75 * open_ + 0.25 * closed, rtol=0, atol=0.02)


def test_with_a_diagonal_memory_outputs_are_those_of_the_layer():
    lmn, x = lmn_of(memory="diagonal"), input_of(7, 2, 3)
    layer = StochasticDetach(lmn, 0.3)
    assert layer.training
    torch.testing.assert_close(layer(x), lmn(x))
    for found, expected in zip(gradients(StochasticDetach(lmn, 1e-12), x), gradients(lmn, x), strict=True):
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: StochasticDetach(lmn_of(num_layers=2), 0.5), "got num_layers=2"),
        (lambda: StochasticDetach(lmn_of(), 1.5), r"probability must be in \[0, 1\], got 1.5"),
    ],
)
def test_wrong_arguments_raise(build, message):
    with pytest.raises(ValueError, match=message):
        build()
