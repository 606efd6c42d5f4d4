"""The diagonal complex memory: its scan is its loop, and it can neither explode nor fade at the start."""

import pytest
import torch

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.baselines.lru import LRU, diagonal_loop, diagonal_scan


def numbers(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("steps", [1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 100])
def test_the_scan_is_the_loop_and_so_are_its_gradients(steps):
    decay, start = numbers(4) / 2, numbers(2, 4, seed=1)
    values, found = numbers(steps, 2, 4, seed=2), []
    arguments = [tensor.requires_grad_() for tensor in (decay, values, start)]
    for run in (diagonal_loop, diagonal_scan):
        states = run(*arguments)
        loss = (states * numbers(steps, 2, 4, seed=3)).abs().sum()
        found.append([states, *torch.autograd.grad(loss, arguments)])
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other)


def test_outputs_match_the_equations_written_out():
    torch.manual_seed(0)
    layer = LRU(3, 5, 2, nonlinearity="tanh", dtype=torch.float64)
    x = torch.randn(8, 3, dtype=torch.float64)
    decay = torch.exp(torch.complex(-layer.log_decay.exp(), layer.log_phase.exp()))
    into, out = (torch.complex(*weight) for weight in (layer.weight_xs, layer.weight_sy))
    s, expected = torch.zeros(5, dtype=torch.complex128), []
    for x_t in x:
        s = decay * s + torch.sqrt(1 - decay.abs() ** 2) * (into @ x_t.to(into.dtype))
        expected.append(torch.tanh((out @ s).real + layer.weight_xy @ x_t + layer.bias_y))
    torch.testing.assert_close(layer(x)[0], torch.stack(expected))


def test_the_state_is_bounded_for_every_weight():
    layer = LRU(3, 6, dtype=torch.float64)
    with torch.no_grad():
        layer.log_decay.copy_(torch.tensor([-30.0, -5.0, 0.0, 1.0, 3.0, 6.0]))
    assert layer.decay().abs().max() <= 1
    y, _ = layer(torch.ones(2000, 1, 3, dtype=torch.float64))
    y.square().mean().backward()
    assert all(torch.isfinite(p.grad).all() for p in layer.parameters())


def test_initial_eigenvalues_lie_in_the_ring_and_keep_the_variance_of_the_input():
    torch.manual_seed(0)
    layer = LRU(1, 400, smallest=0.5, largest=0.9, largest_phase=1.0, dtype=torch.float64)
    decay = layer.decay()
    assert 0.5 <= decay.abs().min() < 0.52
    assert 0.88 < decay.abs().max() <= 0.9
    assert 0.95 < decay.angle().max() <= 1
    assert decay.angle().min() >= 0
    with torch.no_grad():
        layer.weight_xs[0].fill_(1)
        layer.weight_xs[1].zero_()
    x = torch.randn(2000, 1, 1, dtype=torch.float64)
    states = diagonal_loop(decay, ((1 - decay.abs() ** 2).sqrt() * x).to(decay.dtype), numbers(1, 400) * 0)
    assert states[100:].abs().square().mean().item() == pytest.approx(1, abs=0.1)
    torch.testing.assert_close(layer(x)[1][0], states[-1])


def sequences(dtype=torch.float64):
    draw = torch.Generator().manual_seed(0)
    return [torch.randn(40, 3, generator=draw, dtype=dtype).cumsum(0) for _ in range(4)]


@pytest.mark.parametrize("decay", [1.0, 0.8])
def test_a_layer_from_an_autoencoder_computes_its_states(decay):
    autoencoder = LinearAutoencoder(9, lag_decay=decay).fit(sequences())
    layer = LRU.from_autoencoder(autoencoder)
    assert (layer.output_size, layer.input_size) == (9, 3)
    assert layer.state_size < 9  # one unit per pair of conjugate eigenvalues
    for x, expected in zip(sequences(), autoencoder.encode(sequences()), strict=True):
        states = layer(x)[0]
        assert (states - expected).norm() <= 1e-8 * expected.norm()
    assert layer.decay().abs().max() < 1


def test_a_defective_matrix_warns_in_float32_and_a_centered_autoencoder_is_refused():
    short = [torch.randn(4, 1, generator=torch.Generator().manual_seed(0))]
    nilpotent = LinearAutoencoder(4, refine=None, decoder="tied").fit(short)  # full rank: a shift register
    with pytest.warns(UserWarning, match="condition number of the eigenvectors should be at most 10000"):
        layer = LRU.from_autoencoder(nilpotent)
    expected = nilpotent.encode(short)[0]
    assert (layer(short[0])[0] - expected).norm() <= 0.01 * expected.norm()  # of a matrix near the shift register
    with pytest.raises(ValueError, match="autoencoder must have center=False for an LRU, got center=True"):
        LRU.from_autoencoder(LinearAutoencoder(4, center=True).fit(sequences()))
    with pytest.raises(TypeError, match="autoencoder must be a fitted LinearAutoencoder, got a LSTM"):
        LRU.from_autoencoder(torch.nn.LSTM(1, 2))
