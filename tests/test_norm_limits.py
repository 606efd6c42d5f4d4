"""Norm limits: the power method against the SVD, limits that hold after steps of Adam, and weights left alone."""

import copy
import gc
import math
import pickle
import weakref

import pytest
import torch
from torch import nn

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.baselines import keep_orthogonal_, orthogonal_, uniform_
from linmem.nn.initialize import from_autoencoder_, from_unfolded_
from linmem.nn.lmn import LMN
from linmem.nn.norm_limits import ROOM, RecurrentWeights, limits_of, measure_norms, scale_down_
from linmem.nn.scan.memory import as_matrix, diagonal_blocks
from linmem.nn.spectral_norm import spectral_norm
from linmem.nn.unfolded import UnfoldedNetwork


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


def sine_losses(layers, steps=12, **options):
    """Losses of stacked LMNs and a linear head that predict the next value of a sine, by Adam at 1e-2."""
    head = nn.Linear(layers[-1].output_size, 1)
    parameters = dict.fromkeys(one for module in (*layers, head) for one in module.parameters() if one.requires_grad)
    optimizer, losses = torch.optim.Adam(parameters, lr=1e-2, **options), []
    series = torch.sin(torch.arange(252) / 5)[:, None, None]
    for _ in range(steps):
        y = series[:-1]
        for layer in layers:
            y = layer(y)[0]
        loss = (head(y) - series[1:]).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("options", [{}, {"foreach": True}, {"fused": True}])
def test_every_implementation_of_an_optimizer_is_limited(options):
    torch.manual_seed(0)
    assert max(sine_losses([LMN(1, 50, 100)], **options)) < 10


def test_an_optimizer_that_changes_weights_through_data_is_limited():
    class Growth(torch.optim.Optimizer):
        def step(self):
            for parameter in self.param_groups[0]["params"]:
                parameter.data.mul_(2)

    lmn = LMN(3, 8, 16)
    optimizer = Growth(lmn.parameters(), {})
    for _ in range(3):
        optimizer.step()
    assert exact_norms(lmn)[0] < 1.1


def test_a_compiled_layer_is_limited():
    torch.manual_seed(0)
    lmn = LMN(1, 50, 100)
    losses = sine_losses([CompiledLayer(lmn)], 6)
    assert exact_norms(lmn)[0] < 1.1
    assert max(losses) < 10


class CompiledLayer(nn.Module):
    def __init__(self, lmn):
        super().__init__()
        self.output_size, self.compiled = lmn.output_size, torch.compile(lmn, backend="eager")

    def forward(self, x):
        return self.compiled(x)


def test_weights_after_a_step_are_those_of_the_next_forward_pass():
    """What is saved or copied after a step is the model in memory."""
    limited, free = LMN(3, 8, 16), LMN(3, 8, 16, limit_norms=False)
    take_steps(free, 2)
    take_steps(limited, 2)
    assert exact_norms(free)[0] > 1.1 > exact_norms(limited)[0]
    loaded, x = LMN(3, 8, 16), torch.ones(6, 2, 3)
    loaded.load_state_dict(limited.state_dict())
    before = copy.deepcopy(limited.state_dict())
    (y, _), (streamed, _) = limited(x), limited.step(x[0])
    for other in (loaded, copy.deepcopy(limited), pickle.loads(pickle.dumps(limited))):
        assert torch.equal(other.eval()(x)[0], y)
    assert all(torch.equal(before[name], value) for name, value in limited.state_dict().items())
    torch.testing.assert_close(streamed, y[0])


@pytest.mark.parametrize("copied", ["layer", "layer and optimizer"])
@pytest.mark.parametrize("copy_of", [copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_copies_are_limited(copy_of, copied):
    lmn, x = LMN(3, 8, 16), torch.ones(6, 2, 3)
    optimizer = torch.optim.Adam(lmn.parameters(), lr=0.1)
    if copied == "layer":
        lmn = copy_of(lmn)
        optimizer = torch.optim.Adam(lmn.parameters(), lr=0.1)
    else:
        lmn, optimizer = copy_of((lmn, optimizer))
    for _ in range(3):
        (-lmn(x)[0].square().sum()).backward()
        optimizer.step()
    assert exact_norms(lmn)[0] < 1.1


def test_two_layers_share_a_memory():
    torch.manual_seed(0)
    first, second = LMN(1, 50, 100), LMN(100, 50, 100)
    second.weight_mm_l0 = first.weight_mm_l0
    second(first(torch.zeros(2, 1, 1))[0])
    limits = [layer.norm_limits.fixed for layer in (first, second)]
    assert all(map(math.isfinite, sine_losses([first, second])))
    assert limits == [layer.norm_limits.fixed for layer in (first, second)]
    assert exact_norms(first)[0] < 1.1


def test_weights_written_after_training_are_kept_by_the_next_step():
    """Weights of a norm above the limits, written by hand, lose nothing in a forward pass or a step."""
    lmn, other, x = LMN(3, 8, 16), LMN(3, 8, 16), torch.ones(6, 2, 3)
    take_steps(lmn, 2)
    with torch.no_grad():
        other.weight_mm_l0.mul_(1.5)
        for parameter, value in zip(lmn.parameters(), other.parameters(), strict=True):
            parameter.copy_(value)
    assert torch.equal(lmn(x)[0], other(x)[0])
    take_steps(lmn, 1, lr=0.0)
    assert all(torch.equal(*pair) for pair in zip(lmn.parameters(), other.parameters(), strict=True))
    assert lmn.norm_limits.fixed["_l0"].memory > 1


def test_weights_that_only_move_within_the_limits_do_not_raise_them():
    lmn = LMN(3, 8, 16)
    take_steps(lmn, 3)
    limits = lmn.norm_limits.fixed
    with torch.no_grad():
        lmn.weight_mm_l0.copy_(lmn.weight_mm_l0.clone())
    take_steps(lmn, 1)
    assert lmn.norm_limits.fixed == limits


@pytest.mark.parametrize(
    "write",
    [
        LMN.reset_parameters,
        lambda lmn: from_autoencoder_(lmn, LinearAutoencoder(8).fit([torch.randn(30, 3, dtype=torch.float64)])),
        uniform_,
        orthogonal_,
        keep_orthogonal_,
    ],
)
def test_the_limits_start_anew_when_linmem_writes_weights(write):
    lmn = LMN(3, 8, 8)
    take_steps(lmn, 1)
    write(lmn)
    assert not lmn.norm_limits.fixed


def test_a_layer_that_could_not_be_built_does_not_disturb_optimizers():
    with pytest.raises(ValueError) as error:  # whose traceback holds the layer
        LMN(2, 3, 4, nonlinearity="step")
    other = torch.nn.Linear(2, 1)
    other(torch.ones(2)).backward()
    torch.optim.SGD(other.parameters()).step()
    assert "nonlinearity" in str(error.value)


def test_only_optimizers_that_hold_a_layer_scale_it_and_layers_are_released():
    lmn, other = LMN(3, 8, 16), nn.Linear(3, 2)
    lmn(torch.ones(6, 2, 3))
    with torch.no_grad():
        lmn.weight_mm_l0.mul_(3)
    before, other.weight.grad = lmn.weight_mm_l0.detach().clone(), torch.ones(2, 3)
    torch.optim.SGD(other.parameters(), lr=0.1).step()
    assert torch.equal(before, lmn.weight_mm_l0)
    reference = weakref.ref(lmn)
    del lmn
    gc.collect()
    assert reference() is None


def test_two_optimizers_a_schedule_and_a_gradient_scaler():
    lmn, x = LMN(3, 8, 16), torch.ones(6, 2, 3)
    memory = torch.optim.SGD([lmn.weight_mm_l0], lr=0.1)
    rest = torch.optim.AdamW([{"params": [lmn.weight_mh_l0]}, {"params": [lmn.weight_hm_l0], "lr": 0.2}], lr=0.1)
    schedule, scaler = torch.optim.lr_scheduler.StepLR(rest, 2), torch.amp.GradScaler("cpu")
    for _ in range(4):
        scaler.scale(-lmn(x)[0].square().sum()).backward()
        for optimizer in (memory, rest):
            scaler.step(optimizer)
        scaler.update()
        schedule.step()
    assert all(norm <= 1.1 * limit for norm, limit in zip(exact_norms(lmn), lmn.norm_limits.fixed["_l0"], strict=False))


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


@pytest.mark.parametrize("memory", ["dense", "diagonal"])
@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("frozen", ["weight_mh", "weight_hm", "weight_mm"])
def test_the_other_weights_are_limited_beside_a_frozen_one(frozen, nonlinearity, memory):
    lmn = LMN(3, 8, 16, memory=memory, nonlinearity=nonlinearity, dtype=torch.float64)
    name = "log_decay_mm_l0" if (frozen, memory) == ("weight_mm", "diagonal") else f"{frozen}_l0"
    before = lmn.get_parameter(name).requires_grad_(False).clone()
    take_steps(lmn, 5)
    limits = lmn.norm_limits.fixed["_l0"]
    room = max(limits.loop, spectral_norm(as_matrix(weights_of(lmn).mm)) + ROOM)
    if frozen == "weight_mh":
        room = max(limits.loop, spectral_norm((lmn.weight_hm_l0, lmn.weight_mh_l0)) + ROOM)
    if frozen == "weight_hm":
        room = limits.loop
    largest = limits._replace(loop=room)[:4]
    # The power method is low by a few per cent where several singular values are close.
    assert all(norm <= 1.1 * limit for norm, limit in zip(exact_norms(lmn), largest, strict=True))
    assert torch.equal(before, lmn.get_parameter(name))


@pytest.mark.parametrize("frozen", ["weight_mh_l0", "weight_hm_l0"])
def test_a_layer_with_a_frozen_weight_stays_finite_where_it_diverges_without_limits(frozen):
    def highest_loss(limit_norms):
        torch.manual_seed(0)
        lmn = LMN(1, 50, 100, limit_norms=limit_norms)
        lmn.get_parameter(frozen).requires_grad_(False)
        return max(sine_losses([lmn], 30), key=lambda loss: loss if math.isfinite(loss) else math.inf)

    assert highest_loss(True) < 10
    assert not highest_loss(False) < 100


def test_the_term_beside_a_frozen_one_is_scaled_to_the_chord():
    """‖W_mm + c W_hm W_mh‖ is convex in c: scaling to the chord respects the limit in one step."""
    draw = torch.Generator().manual_seed(0)
    mh, hm = (nn.Parameter(torch.randn(8, 8, generator=draw, dtype=torch.float64)) for _ in range(2))
    mm = nn.Parameter(torch.eye(8, dtype=torch.float64).flip(0), requires_grad=False)
    weights = RecurrentWeights(mh, hm, mm)
    scale_down_(weights, limits_of(measure_norms(weights), "tanh")._replace(write=1e9, loop=1.2))
    loop = torch.linalg.matrix_norm(mm + hm @ mh, 2).item()
    assert 1.0 < loop <= (1 + ROOM) * 1.05
    before = mh.detach().clone()
    scale_down_(weights, limits_of(measure_norms(weights), "tanh")._replace(write=1e9, loop=1.2))
    assert torch.equal(before, mh)


def test_a_solved_layer_keeps_its_function_after_a_forward_pass_in_training_mode():
    torch.manual_seed(0)
    unfolded, x = UnfoldedNetwork(3, 8, 2, lags=4, nonlinearity="tanh"), [torch.randn(12, 3) for _ in range(12)]
    with torch.no_grad():
        unfolded.weight_hh.mul_(6)
    hidden = [unfolded(one)[1].detach().double() for one in x]
    autoencoder = LinearAutoencoder(96, decoder="tied").fit(hidden)
    lmn, readout = LMN(3, 8, 96), nn.Linear(96, 2)
    lmn(x[0])
    from_unfolded_(lmn, readout, unfolded, autoencoder)
    solved = lmn.weight_mh_l0.detach().clone()
    torch.testing.assert_close(readout(lmn(x[0])[0]), unfolded(x[0])[0], atol=1e-3, rtol=0)
    take_steps(lmn, 1, lr=0.0)
    assert torch.equal(solved, lmn.weight_mh_l0)


def test_two_forward_passes_before_one_backward_pass():
    """The weights that a forward pass saved are not scaled before its backward pass."""
    lmn = LMN(3, 8, 16)
    take_steps(lmn, 2)
    x = torch.ones(6, 2, 3)
    (lmn(x)[0].sum() + lmn(x)[0].sum()).backward()
    assert math.isfinite(float(lmn.weight_mm_l0.grad.norm()))
