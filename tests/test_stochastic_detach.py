"""Stochastic detach: the same function; its gradient goes the nonlinear way with the probability it was given."""

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


@pytest.mark.parametrize("output", ["memory", "functional"])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_outputs_are_the_lmns(output, batch_first, probability):
    lmn, x = lmn_of(output=output, batch_first=batch_first), input_of(7, 2, 3)
    for mode in (True, False):
        detached = StochasticDetach(lmn, probability).train(mode)
        for one, other in zip(detached(x), lmn(x), strict=True):
            torch.testing.assert_close(one, other)


def test_at_zero_and_in_evaluation_gradients_are_the_lmns():
    lmn, x = lmn_of(), input_of(7, 2, 3)
    for detached in (StochasticDetach(lmn, 0.0), StochasticDetach(lmn, 1.0).eval()):
        for one, other in zip(gradients(detached, x), gradients(lmn, x), strict=True):
            torch.testing.assert_close(one, other)


def test_at_one_the_gradient_flows_through_the_linear_path_alone():
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


def test_an_elman_network_that_is_cut_learns_nothing_of_the_past():
    torch.manual_seed(0)
    x = input_of(6, 1, 3).requires_grad_()
    y, _ = StochasticDetach(elman_(LMN(3, 5, 5, **KIND)), 1.0)(x)
    reached = torch.autograd.grad(y[-1].sum(), x)[0].abs().sum((1, 2)) > 0
    assert reached.tolist() == [False] * 5 + [True]


def test_on_average_the_way_is_open_as_often_as_it_should_be():
    """Of two steps the gradient is linear in the cut, so its mean over many sequences mixes both extremes."""
    lmn, x, copies = lmn_of(), input_of(2, 1, 3), 20_000
    torch.manual_seed(3)
    found = gradients(StochasticDetach(lmn, 0.25), x.expand(-1, copies, -1))
    whole, cut = (gradients(StochasticDetach(lmn, probability), x) for probability in (0.0, 1.0))
    for one, open_, closed in zip(found, whole, cut, strict=True):
        torch.testing.assert_close(one / copies, 0.75 * open_ + 0.25 * closed, rtol=0, atol=0.02)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: StochasticDetach(lmn_of(num_layers=2), 0.5), "got num_layers=2"),
        (lambda: StochasticDetach(lmn_of(), 1.5), r"probability is 1.5, but it must lie in \[0, 1\]"),
    ],
)
def test_what_does_not_fit_is_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
