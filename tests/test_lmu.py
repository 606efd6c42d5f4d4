"""The Legendre memory: its system is the published one, and its state gives the window back."""

import numpy as np
import pytest
import scipy.special
import torch

from linmem.nn.baselines.lmu import LMU, LinearSystem, legendre_readout, legendre_system, zero_order_hold
from linmem.nn.registry import ModelOptions, build_model


def test_the_state_reconstructs_the_window_by_shifted_legendre_polynomials():
    """A signal held for a step runs half a step ahead of the sampled one; what is left is the staircase."""
    window, steps, places = 200.0, 700, torch.linspace(0, 1, 51, dtype=torch.float64)

    def signal(t):
        return torch.sin(t / 20) + 0.5 * torch.cos(t / 33)

    system = zero_order_hold(legendre_system(12, window))
    m = torch.zeros(12, dtype=torch.float64)
    for t in range(steps + 1):
        m = system.A @ m + system.B * signal(torch.tensor(float(t)).double())
    held = signal(steps + 0.5 - places * window)
    assert (legendre_readout(12, places) @ m - held).abs().max() < 8e-3


def test_the_readout_is_the_legendre_polynomials():
    places = torch.rand(7, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for order in (1, 2, 3, 9):
        expected = [scipy.special.eval_legendre(i, 2 * places.numpy() - 1) for i in range(order)]
        np.testing.assert_allclose(legendre_readout(order, places).numpy(), np.stack(expected, -1), atol=1e-12)


def test_zero_order_hold_is_the_differential_equation_solved_over_one_step():
    continuous = legendre_system(5, 3.0)
    held = zero_order_hold(continuous)
    m = start = torch.randn(5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for _ in range(1000):  # Runge & Kutta, u = 0.7 throughout
        slope = lambda m: continuous.A @ m + 0.7 * continuous.B  # noqa: E731
        a = slope(m)
        b = slope(m + a / 2000)
        c = slope(m + b / 2000)
        d = slope(m + c / 1000)
        m = m + (a + 2 * b + 2 * c + d) / 6000
    torch.testing.assert_close(held.A @ start + 0.7 * held.B, m, rtol=1e-9, atol=1e-9)


def test_the_system_of_order_three_as_printed():
    A, B = legendre_system(3, 2.0)
    assert (2 * A).tolist() == [[-1, -1, -1], [3, -3, -3], [-5, 5, -5]]
    assert (2 * B).tolist() == [1, -3, 5]
    assert torch.linalg.eigvals(A).real.max() < 0
    assert isinstance(zero_order_hold(LinearSystem(A, B)), LinearSystem)


@pytest.mark.parametrize("channels", [1, 3])
def test_hidden_states_match_the_equations_written_out(channels):
    torch.manual_seed(0)
    layer = LMU(2, 4, 5, 7.0, channels, dtype=torch.float64)
    with torch.no_grad():
        layer.weight_mu.normal_()
    w = dict(layer.named_parameters())
    A, B = zero_order_hold(legendre_system(5, 7.0))
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    h, m, expected = torch.zeros(4).double(), torch.zeros(channels, 5).double(), []
    for x_t in x:
        u = w["weight_xu"] @ x_t + w["weight_hu"] @ h + w["weight_mu"] @ m.flatten()
        m = torch.stack([A @ m[c] + B * u[c] for c in range(channels)])
        h = torch.tanh(w["weight_xh"] @ x_t + w["weight_hh"] @ h + w["weight_mh"] @ m.flatten())
        expected.append(h)
    torch.testing.assert_close(layer(x)[0], torch.stack(expected))


@pytest.mark.parametrize(("memory_size", "nearest"), [(10, 8), (3, 4)])
def test_a_memory_that_channels_do_not_divide_is_refused(memory_size, nearest):
    message = rf"memory_size must be a multiple of channels \(4\) for lmu, got {memory_size}. Use {nearest}."
    with pytest.raises(ValueError, match=message):
        build_model(ModelOptions("lmu", 4, memory_size, channels=4), 3, 2)
    layer = build_model(ModelOptions("lmu", 4, nearest, channels=4), 3, 2).recurrent
    assert layer.order * layer.channels == nearest
