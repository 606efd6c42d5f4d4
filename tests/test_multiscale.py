"""The modular memory: its modules keep time, slower ones feed faster ones, and a new one changes nothing."""

import pytest
import torch
from torch import nn

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.lmn import LMN
from linmem.nn.multiscale import MultiScaleLMN, grow_, moving, sampled_hidden_states

KIND = {"dtype": torch.float64}


def layer_of(scales=3, seed=0, **arguments):
    """A layer whose every weight is random, links between modules as well."""
    torch.manual_seed(seed)
    layer = MultiScaleLMN(3, 4, 5, scales, **KIND, **arguments)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return layer


def sequences(lengths=(33, 50, 1, 41), seed=1):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, 3, generator=generator, **KIND) for length in lengths]


def encoder(size, center=False):
    return LinearAutoencoder(size, solver="exact", decoder="tied", center=center)


def dense(layer):
    """All modules' weights as whole matrices: W_mh (f, gp), W_hm (gp, f), W_mm (gp, gp), b_m (gp)."""
    g, p = layer.scales, layer.memory_size
    W_mm = torch.zeros(g * p, g * p, **KIND)
    for j in range(g):
        W_mm[: (j + 1) * p, j * p : (j + 1) * p] = getattr(layer, f"weight_mm_{j}")
    of = lambda name, axis: torch.cat([getattr(layer, f"{name}_{i}") for i in range(g)], axis)  # noqa: E731
    return of("weight_mh", 1), of("weight_hm", 0), W_mm, of("bias_m", 0)


def test_with_one_module_it_is_an_lmn():
    layer, lmn = layer_of(scales=1), LMN(3, 4, 5, **KIND)
    lmn.load_state_dict({name.removesuffix("_0") + "_l0": value for name, value in layer.state_dict().items()})
    for x in sequences():
        torch.testing.assert_close(layer(x)[0], lmn(x)[0])


@pytest.mark.parametrize("scales", [1, 2, 3, 4])
def test_states_match_the_equations_written_out(scales):
    layer = layer_of(scales)
    W_mh, W_hm, W_mm, b_m = dense(layer)
    for x in sequences():
        m, expected = torch.zeros(scales * 5, **KIND), []
        for t, x_t in enumerate(x):
            h = torch.tanh(layer.weight_xh @ x_t + W_mh @ m + layer.bias_h)
            ticks = torch.tensor([t % 2**i == 0 for i in range(scales)]).repeat_interleave(5)
            m = torch.where(ticks, W_hm @ h + W_mm @ m + b_m, m)
            expected.append(m)
        torch.testing.assert_close(layer(x)[0], torch.stack(expected))


def test_modules_are_constant_between_their_updates():
    memory = layer_of(4)(sequences()[1])[0].unflatten(-1, (4, 5))
    for i in range(4):
        for t in range(1, len(memory)):
            assert torch.equal(memory[t, i], memory[t - 1, i]) == (t % 2**i != 0)


def test_number_of_modules_updated_at_a_step():
    assert [moving(t, 3) for t in range(9)] == [3, 1, 2, 1, 3, 1, 2, 1, 3]


@pytest.mark.parametrize("output", ["memory", "functional"])
def test_a_new_module_changes_no_output_and_encodes_the_subsampled_states(output):
    layer = layer_of(2, output=output)
    readout = nn.Linear(layer.output_size, 2, **KIND)
    data = sequences()
    before = [layer(x)[0] for x in data]
    said = [readout(y) for y in before]
    hidden = sampled_hidden_states(layer, data)
    assert [len(h) for h in hidden] == [9, 13, 1, 11]
    autoencoder = encoder(5).fit(hidden)
    new = grow_(layer, autoencoder, readout)
    assert layer.scales == 3
    for x, y, outputs, states in zip(data, before, said, autoencoder.encode(hidden), strict=True):
        after = layer(x)[0]
        assert torch.equal(after[:, : y.shape[1]], y)
        torch.testing.assert_close(readout(after), outputs, rtol=1e-12, atol=1e-13)
        torch.testing.assert_close(layer.states(x[:, None], layer.start(x[:, None])).memory[::4, 0, -5:], states)
    loss = sum(readout(layer(x)[0]).square().sum() for x in data)
    gradients = torch.autograd.grad(loss, new)
    assert gradients[0].any()  # W_mh of the new module: training can begin to use it
    assert len(new) == (5 if output == "memory" else 4)


def test_growing_with_wrong_sizes_raises():
    layer, hidden = layer_of(1), sampled_hidden_states(layer_of(1), sequences())
    with pytest.raises(ValueError, match=r"autoencoder.A_ must have shape .* = \(5, 4\), got \(4, 4\)"):
        grow_(layer, encoder(4).fit(hidden))
    with pytest.raises(ValueError, match="Fit it with center=False"):
        grow_(layer, encoder(5, center=True).fit(hidden))
    with pytest.raises(ValueError, match=r"readout.in_features must be 5, got 4"):
        grow_(layer, encoder(5).fit(hidden), nn.Linear(4, 2))
    assert layer.scales == 1
