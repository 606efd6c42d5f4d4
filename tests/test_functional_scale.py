"""Functional units scaled to the range of their nonlinearity: what is computed stays, what is learned does not."""

import math

import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm
from torch.nn.utils.prune import l1_unstructured

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.functional_scale import scale_functional_
from linmem.nn.initialize import from_autoencoder_
from linmem.nn.lmn import LMN


def sequences(scale=1.0, lengths=(6, 9, 4), seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [scale * torch.randn(length, 3, generator=generator, dtype=torch.float64) for length in lengths]


def layer_of(**options):
    torch.manual_seed(3)
    layer = LMN(3, 5, 4, dtype=torch.float64, **options)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return layer


@torch.no_grad()
def largest_net_input(layer, x):
    """Step by step, with the equation of the layer."""
    m, largest = torch.zeros(layer.memory_size, dtype=torch.float64), 0.0
    for x_t in x:
        z = layer.weight_xh_l0 @ x_t + layer.weight_mh_l0 @ m
        z = z + layer.bias_h_l0 if layer.bias else z
        largest = max(largest, float(z.abs().max()))
        m = layer.step(x_t, m[None])[0]
    return largest


@pytest.mark.parametrize("options", [{}, {"bias": False}, {"batch_first": True}, {"memory": "diagonal"}])
@pytest.mark.parametrize("nonlinearity", ["relu", "identity"])
def test_where_the_nonlinearity_has_no_scale_the_layer_computes_the_same(nonlinearity, options):
    layer, x = layer_of(nonlinearity=nonlinearity, **options), sequences()
    before = [layer(one)[0] for one in x]
    scale = scale_functional_(layer, x, 3.0)
    assert abs(scale - 1) > 0.1
    for one, expected in zip(x, before, strict=True):
        torch.testing.assert_close(layer(one)[0], expected, rtol=1e-10, atol=1e-12)
    assert max(largest_net_input(layer, one) for one in x) == pytest.approx(3.0)


def test_small_inputs_reach_the_range_of_tanh_and_the_memory_changes_little():
    x = sequences(1e-3)
    layer = LMN(3, 5, 5, dtype=torch.float64)
    from_autoencoder_(layer, LinearAutoencoder(5).fit(x))
    before = torch.cat([layer(one)[0] for one in x]).detach()
    scale = scale_functional_(layer, x)
    assert scale > 100
    assert max(largest_net_input(layer, one) for one in x) == pytest.approx(1.0)
    error = torch.cat([layer(one)[0] for one in x]).detach() - before
    assert 1e-4 < float(error.norm() / before.norm()) < 0.2  # 1 − tanh(1) is 0.24
    with torch.no_grad():
        unscaled = LMN(3, 5, 5, dtype=torch.float64)
        from_autoencoder_(unscaled, LinearAutoencoder(5).fit(x))
    torch.testing.assert_close(layer.weight_hm_l0 @ layer.weight_xh_l0, unscaled.weight_hm_l0 @ unscaled.weight_xh_l0)


@pytest.mark.parametrize(("center", "error_before"), [(True, 1.0), (False, 0.2)])
def test_the_mean_of_the_inputs_is_not_bent_by_tanh(center, error_before):
    x = [3.0 + one for one in sequences(0.03, lengths=(60,) * 8)]
    autoencoder = LinearAutoencoder(5, center=center).fit(x)
    layer = LMN(3, 5, 5, dtype=torch.float64)
    from_autoencoder_(layer, autoencoder)
    expected = torch.cat(autoencoder.encode(x))
    unscaled = torch.cat([layer(one)[0] for one in x]).detach()
    scale_functional_(layer, x, 0.5)
    scaled = torch.cat([layer(one)[0] for one in x]).detach()
    assert float((scaled - expected).norm() / expected.norm()) < 0.1
    assert float((unscaled - expected).norm() / expected.norm()) > error_before


def test_without_centering_zero_stays_zero():
    layer, x = LMN(3, 5, 5, dtype=torch.float64), sequences()
    from_autoencoder_(layer, LinearAutoencoder(5).fit([1 + one for one in x]))
    scale_functional_(layer, x, 0.5, center=False)
    assert not layer(torch.zeros(4, 3, dtype=torch.float64))[0].any()
    assert max(largest_net_input(layer, one) for one in x) == pytest.approx(0.5)
    scale_functional_(layer, x, 0.5)
    assert layer.bias_h_l0.any()


def test_limits_on_norms_are_fixed_anew():
    layer, x = layer_of(), sequences(1e-2)
    layer.train()(x[0])
    before = layer.norm_limits.fixed
    assert before
    scale_functional_(layer, x, 1e-3)  # and W_hm is large
    assert not layer.norm_limits.fixed
    layer(x[0])
    assert layer.norm_limits.fixed != before


@pytest.mark.parametrize("seed", range(2))
def test_a_scaled_network_learns_what_an_unscaled_one_misses(seed):
    """The square of the input one step ago, from inputs so small that tanh is linear."""
    x = [one[:, :1] for one in sequences(0.02, lengths=(40,) * 20, seed=seed)]
    y = torch.stack([torch.cat([torch.zeros(1, 1, dtype=torch.float64), one[:-1] ** 2]) for one in x]) / 0.02**2
    batch, losses = torch.stack(x), []
    for scaled in (False, True):
        torch.manual_seed(seed)
        layer = LMN(1, 6, 6, batch_first=True, dtype=torch.float64, limit_norms=False)
        readout = nn.Linear(6, 1, dtype=torch.float64)
        from_autoencoder_(layer, LinearAutoencoder(6).fit(x))
        if scaled:
            scale_functional_(layer, x, 3.0)
        optimizer = torch.optim.Adam([*layer.parameters(), *readout.parameters()], 1e-2)
        for _ in range(400):
            optimizer.zero_grad()
            loss = (readout(layer(batch)[0]) - y).square().mean() / y.var()
            loss.backward()
            optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[1] < 0.3 < 0.7 < losses[0]


@pytest.mark.parametrize("order", [1, -1])
def test_a_memory_that_overflows_is_noticed_wherever_its_sequence_stands(order):
    layer = LMN(1, 2, 2, nonlinearity="identity")
    with torch.no_grad():
        layer.weight_mm_l0.copy_(100 * torch.eye(2))
        layer.weight_hm_l0.fill_(1.0)
        layer.weight_mh_l0.copy_(torch.tensor([[1.0, -1.0], [1.0, -1.0]]))
    with pytest.raises(ValueError, match="finite"):
        scale_functional_(layer, [torch.ones(3, 1), torch.ones(300, 1)][::order])


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (layer_of, (sequences(), 0.0), "largest must be greater than 0"),
        (layer_of, (sequences(), math.nan), "largest must be"),
        (layer_of, (sequences(lengths=()),), "at least one"),
        (layer_of, ([x[:, :2] for x in sequences()],), "features"),
        (lambda: layer_of(bias=False), ([0 * x for x in sequences()],), "must vary"),
        (
            lambda: layer_of(bias=False).float(),
            ([1e-42 * x for x in sequences()],),
            "must vary and stay finite in torch.float32",
        ),
        (lambda: l1_unstructured(layer_of(), "weight_hm_l0", 0.5), (sequences(),), "weight_hm_l0 must be a parameter"),
        (lambda: layer_of(output="functional"), (sequences(),), "output must be 'memory'"),
        (lambda: layer_of(num_layers=2), (sequences(),), "num_layers"),
        (lambda: LMN(3, (5, 6), 4), (sequences(),), "one functional layer"),
        (lambda: weight_norm(layer_of(), "weight_xh_l0"), (sequences(),), "weight_xh_l0 must be a parameter"),
    ],
)
def test_a_layer_that_cannot_be_scaled_is_left_as_it_was(make, arguments, message):
    layer = make()
    before = {name: one.detach().clone() for name, one in layer.named_parameters()}
    with pytest.raises(ValueError, match=message):
        scale_functional_(layer, *arguments)
    for name, one in layer.named_parameters():
        torch.testing.assert_close(one, before[name], rtol=0, atol=0)


def test_another_layer_is_refused():
    with pytest.raises(TypeError, match="must be a linmem.LMN"):
        scale_functional_(nn.LSTM(3, 4), sequences())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rounding_of_constant_net_inputs_is_not_scaled(dtype):
    layer = LMN(5, 8, 8, dtype=dtype)
    with torch.no_grad():
        layer.weight_mh_l0.zero_()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    with pytest.raises(ValueError, match="must vary"):
        scale_functional_(layer, [torch.full((20, 5), 0.37)] * 3)
    assert all(torch.equal(before[name], value) for name, value in layer.state_dict().items())
