"""Norm limits: the power method against the SVD, limits that hold after steps of Adam, and weights left alone."""

import copy
import math

import pytest
import torch
from torch import nn

from linmem.nn.lmn import LMN
from linmem.nn.norm_limits import RecurrentWeights, limits_of, measure_norms, spectral_norm


def weights_of(lmn):
    return RecurrentWeights(lmn.weight_mh_l0, lmn.weight_hm_l0, lmn.weight_mm_l0)


def exact_norms(lmn):
    mh, hm, mm = (weight.detach().double() for weight in weights_of(lmn)[:3])
    norm = [float(torch.linalg.matrix_norm(matrix, 2)) for matrix in (mm, hm, mm + hm @ mh, mh)]
    return norm[0], norm[1], norm[2], norm[1] * norm[3]


def take_steps(lmn, steps, lr=0.1):
    """Increase the memory's energy by steps of Adam."""
    optimizer = torch.optim.Adam(lmn.parameters(), lr=lr)
    x = torch.randn(6, 4, lmn.input_size, generator=torch.Generator().manual_seed(1)).to(lmn.weight_xh_l0)
    for _ in range(steps):
        optimizer.zero_grad()
        (-lmn(x)[0].square().sum()).backward()
        optimizer.step()


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (40, 10)])
@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e25])
def test_the_power_method_approaches_the_largest_singular_value_from_below(shape, scale):
    matrix = scale * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    exact = float(torch.linalg.matrix_norm(matrix.double(), 2))
    few, many = (float(spectral_norm(matrix, iterations)) for iterations in (8, 200))
    assert 0.9 * exact < few <= exact * (1 + 1e-5)
    assert many == pytest.approx(exact, rel=1e-5)
    assert float(spectral_norm(torch.zeros(3, 2))) == 0


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "selu"])
def test_limits_hold_after_every_step_and_fail_without(nonlinearity):
    torch.manual_seed(0)
    limited = LMN(3, 8, 16, nonlinearity=nonlinearity, dtype=torch.float64)
    free = copy.deepcopy(limited)
    free.limit_norms = False
    limits = limits_of(measure_norms(weights_of(limited)), nonlinearity)
    for lmn in (limited, free):
        take_steps(lmn, 5)
        lmn.apply_norm_limits()
    # The power method is low by a few per cent where several singular values are close.
    assert all(norm <= 1.1 * limit for norm, limit in zip(exact_norms(limited), limits, strict=True))
    assert exact_norms(free)[0] > 1.5


def test_weights_within_the_limits_do_not_change():
    lmn = LMN(3, 8, 16)
    before = copy.deepcopy(lmn.state_dict())
    take_steps(lmn, 1, lr=0.0)
    lmn(torch.ones(6, 2, 3))
    assert all(torch.equal(before[name], value) for name, value in lmn.state_dict().items())


def test_evaluation_after_a_step_uses_limited_weights():
    lmn = LMN(3, 8, 16)
    take_steps(lmn, 2)
    assert exact_norms(lmn)[0] > 1.1
    with torch.no_grad():
        lmn.eval()(torch.ones(6, 2, 3))
    assert exact_norms(lmn)[0] < 1.1


def test_a_layer_that_is_not_trained_keeps_its_weights():
    lmn = LMN(3, 8, 16)
    lmn.eval()(torch.ones(6, 2, 3))
    with torch.no_grad():
        lmn.weight_mm_l0.mul_(3)
    before = lmn.weight_mm_l0.detach().clone()
    lmn(torch.ones(6, 2, 3))
    assert torch.equal(before, lmn.weight_mm_l0)


def test_weights_that_start_above_the_limits_keep_their_norms():
    """A solved LMN may have W_hm W_mh of any norm: the first training step must not scale it down."""
    lmn = LMN(3, 8, 16, nonlinearity="relu")
    with torch.no_grad():
        lmn.weight_mh_l0.mul_(100)
    start = measure_norms(weights_of(lmn))
    take_steps(lmn, 1, lr=1e-9)
    lmn(torch.ones(6, 2, 3))
    assert tuple(measure_norms(weights_of(lmn))) == pytest.approx(tuple(start), rel=1e-3)
    assert limits_of(start, "relu").loop >= start.loop * (1 - 1e-3)


def test_limits_are_fixed_anew_when_weights_are_loaded():
    lmn, other = LMN(3, 8, 16), LMN(3, 8, 16)
    take_steps(lmn, 1)
    with torch.no_grad():
        other.weight_mm_l0.mul_(3)
    lmn.load_state_dict(other.state_dict())
    lmn(torch.ones(6, 2, 3))
    assert torch.equal(lmn.weight_mm_l0, other.weight_mm_l0)


def test_frozen_and_parametrized_weights_stay_as_they_are():
    frozen, parametrized = LMN(3, 8, 8), LMN(3, 8, 8)
    frozen.weight_mm_l0.requires_grad_(False).mul_(2)
    nn.utils.parametrizations.orthogonal(parametrized, "weight_mm_l0")
    for lmn in (frozen, parametrized):
        before = lmn.weight_hm_l0.detach().clone()
        take_steps(lmn, 1)
        after = lmn.weight_hm_l0.detach().clone()
        lmn(torch.ones(6, 2, 3))
        assert torch.equal(lmn.weight_hm_l0, after)
        assert not torch.equal(before, after)


def test_two_forward_passes_before_one_backward_pass():
    """The weights that a forward pass saved are not scaled before its backward pass."""
    lmn = LMN(3, 8, 16)
    take_steps(lmn, 2)
    x = torch.ones(6, 2, 3)
    (lmn(x)[0].sum() + lmn(x)[0].sum()).backward()
    assert math.isfinite(float(lmn.weight_mm_l0.grad.norm()))
