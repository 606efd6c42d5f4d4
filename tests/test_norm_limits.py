"""Norm limits: the power method against the SVD, limits that hold after steps of Adam, and weights left alone."""

import copy
import math

import pytest
import torch
from torch import nn

from linmem.nn.lmn import LMN
from linmem.nn.norm_limits import RecurrentWeights, limits_of, measure_norms, scale_down_
from linmem.nn.scan.memory import as_matrix, diagonal_blocks
from linmem.nn.spectral_norm import spectral_norm


def weights_of(lmn):
    if lmn.memory == "diagonal":
        blocks = diagonal_blocks(lmn.log_decay_mm_l0, lmn.phase_mm_l0)
        return RecurrentWeights(lmn.weight_mh_l0, lmn.weight_hm_l0, blocks, (), lmn.log_decay_mm_l0)
    return RecurrentWeights(lmn.weight_mh_l0, lmn.weight_hm_l0, lmn.weight_mm_l0)


def exact_norms(lmn):
    mh, hm, mm = (weight.detach().double() for weight in weights_of(lmn)[:3])
    mm = as_matrix(mm)
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
    few, many = (spectral_norm(matrix, iterations=iterations) for iterations in (8, 200))
    assert 0.9 * exact < few <= exact * (1 + 1e-5)
    assert many == pytest.approx(exact, rel=1e-5)
    assert spectral_norm(torch.zeros(3, 2)) == 0


@pytest.mark.parametrize("p", [1, 2, 7, 8])
def test_a_sum_of_products_and_blocks_is_measured_without_forming_it(p):
    draw = torch.Generator().manual_seed(0)
    dense, first, second = (torch.randn(p, p, generator=draw, dtype=torch.float64) for _ in range(3))
    blocks = torch.randn(2 * p, generator=draw, dtype=torch.float64)
    if p % 2:
        blocks[-1] = 0  # the last unit has no partner
    for terms, oracle in [
        (((first, second),), first @ second),
        ((dense, (first, second)), dense + first @ second),
        ((blocks,), as_matrix(blocks)),
        ((blocks, (first, second)), as_matrix(blocks) + first @ second),
    ]:
        exact = float(torch.linalg.matrix_norm(oracle, 2))
        assert spectral_norm(*terms, iterations=1000) == pytest.approx(exact, rel=1e-6)


@pytest.mark.parametrize("memory", ["dense", "diagonal"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu", "selu"])
def test_limits_hold_after_every_step_and_fail_without(nonlinearity, memory):
    torch.manual_seed(0)
    limited = LMN(3, 8, 16, nonlinearity=nonlinearity, memory=memory, dtype=torch.float64)
    free = copy.deepcopy(limited)
    free.limit_norms = False
    limits = limits_of(measure_norms(weights_of(limited)), nonlinearity)
    for lmn in (limited, free):
        take_steps(lmn, 5)
        lmn.apply_norm_limits()
    # The power method is low by a few per cent where several singular values are close.
    assert all(norm <= 1.1 * limit for norm, limit in zip(exact_norms(limited), limits[:4], strict=True))
    if memory == "diagonal":
        gains = limited.weight_hm_l0.norm(dim=1) / (1 - (-limited.log_decay_mm_l0.exp()).exp())
        assert nonlinearity == "tanh" or gains.max() <= limits.gain * (1 + 1e-9)
    assert exact_norms(free)[0 if memory == "dense" else 2] > 1.5


@pytest.mark.parametrize("nonlinearity", ["relu", "selu"])
def test_a_new_diagonal_memory_is_a_weighted_mean_of_what_is_written(nonlinearity):
    lmn = LMN(3, 8, 16, nonlinearity=nonlinearity, memory="diagonal")
    constant = torch.ones(8)
    m = torch.zeros(16)
    for _ in range(3000):
        m = lmn.memory_matrix() @ m + lmn.weight_hm_l0 @ constant
    assert m.abs().max() <= constant.norm() + 1e-3
    assert measure_norms(weights_of(lmn)).gain <= 1


def test_a_scaled_diagonal_memory_is_the_matrix_times_a_number():
    lmn = LMN(3, 8, 7, memory="diagonal", dtype=torch.float64)
    with torch.no_grad():
        lmn.phase_mm_l0.uniform_(-3, 3)
        lmn.weight_mh_l0.mul_(1e-12)
    before, limits = lmn.memory_matrix(), measure_norms(weights_of(lmn))
    scale_down_(weights_of(lmn), limits._replace(loop=limits.loop / 4))
    torch.testing.assert_close(lmn.memory_matrix(), before / 4)


@pytest.mark.parametrize("output", ["memory", "functional"])
def test_a_relu_layer_with_a_diagonal_memory_stays_finite_where_it_diverges_without_limits(output):
    """Without limits ‖W_hm W_mh‖ grows by each step of Adam, and a ReLU does not bound the loop m → h → m."""

    def highest_loss(limit_norms):
        torch.manual_seed(0)
        layer = LMN(1, 20, 40, nonlinearity="relu", output=output, memory="diagonal", limit_norms=limit_norms)
        head = nn.Linear(layer.output_size, 3)
        parameters = [*layer.parameters(), *head.parameters()]
        optimizer, losses = torch.optim.Adam(parameters, lr=1e-2), []
        y = torch.arange(12) % 3
        x = torch.sin(0.1 * (1 + y) * torch.arange(200)[:, None]).unsqueeze(-1)
        for _ in range(40):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(head(layer(x)[0][-1]), y)
            losses.append(loss.item())
            loss.backward()
            nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        return max(losses, key=lambda value: math.inf if math.isnan(value) else value)

    assert highest_loss(True) < 10
    assert output == "functional" or not highest_loss(False) < 100


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


@pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("memory", ["dense", "diagonal"])
def test_weights_that_are_not_finite_get_constant_limits(value, memory):
    lmn = LMN(3, 8, 16, nonlinearity="relu", memory=memory)
    with torch.no_grad():
        lmn.weight_hm_l0.fill_(value)
    assert not lmn(torch.ones(6, 2, 3))[0].isfinite().all()
    assert lmn.norm_limits.fixed["_l0"] == (1.0, 3.0, 1.0, 0.5, 1.0)


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
