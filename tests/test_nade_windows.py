"""Pitch windows and mixtures of two orders: loops over notes, enumeration, gradients, sampling, state, failure."""

import math

import pytest
import torch

from linmem.nn.nade import NADE, Voices
from linmem.nn.nade.reference import enumerate_frames
from linmem.nn.recent_frames import recent_frames
from linmem.nn.registry import ModelOptions, build_model
from linmem.nn.solved_memory import SolvedMemory, SolvedMemoryModel, features_as_inputs
from linmem.training.joint_task import JointNextFrame

D = 6
EXACT = {"rtol": 1e-12, "atol": 1e-12}
CASES = [
    (order, orders, kind) for order in ("ascending", "descending") for orders in (1, 2) for kind in ("plain", "windows")
]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def nade_of(order="ascending", orders=1, kind="windows", notes=D, seed=0):
    """A NADE with random weights everywhere, and no dropout."""
    torch.manual_seed(seed)
    nade = NADE(3, notes, 4, order, orders, kind, dtype=torch.float64).eval()
    with torch.no_grad():
        for parameter in nade.parameters():
            parameter.normal_(std=0.5)
        for windows in nade.windows:
            windows.gain.div_(5)
            windows.pitch_gain.div_(5)
    return nade


def distribution_of(nade, count=1, seed=1):
    features = torch.randn(1, 3, generator=generator(seed), dtype=torch.float64)
    recent = (torch.rand(1, 4, nade.notes, generator=generator(seed + 1)) < 0.5).double()
    outputs = nade.distribution(nade.biases(features), recent)
    return outputs[[0] * count], recent[0]


def loop_nll(nade, index, chain, frame, recent):
    """-log p(frame) under one chain, note by note, straight from the equations."""
    positions = list(range(nade.notes))
    if (nade.order == "descending") != (index == 1):
        positions.reverse()
    total, state, passed = 0.0, chain.hidden_bias[0].clone(), []
    for i in positions:
        logit = chain.note_bias[0, i] + chain.weight_out[i] @ torch.relu(state)
        if nade.windows:
            windows = nade.windows[index]
            z = chain.channel_bias[0] + windows.pitch_bias[:, i]
            for lag in range(4):
                for d in range(-12, 13):
                    if 0 <= i + d < nade.notes:
                        z = z + windows.recent_weight[:, lag, d + 12] * recent[lag, i + d]
            for distance, note in enumerate(reversed(passed), 1):
                z = z + windows.passed_weight[:, distance - 1] * frame[note]
            logit = logit + (windows.gain[:, 0] + windows.pitch_gain[:, i]) @ torch.relu(z)
        total -= torch.nn.functional.logsigmoid(logit if frame[i] else -logit)
        if frame[i]:
            state = state + chain.weight_in[i]
        passed.append(i)
    return total


@pytest.mark.parametrize(("order", "orders", "kind"), CASES)
def test_the_nll_is_that_of_a_loop_over_the_notes_averaged_over_orders(order, orders, kind):
    nade = nade_of(order, orders, kind)
    x = enumerate_frames(D)[::7]
    outputs, recent = distribution_of(nade, len(x))
    with torch.no_grad():
        each = torch.stack(
            [
                torch.stack([loop_nll(nade, index, chain, frame, recent) for frame in x])
                for index, chain in enumerate(outputs.chains)
            ]
        )
        torch.testing.assert_close(outputs.nll(x), -(torch.exp(-each).mean(0)).log(), **EXACT)
        torch.testing.assert_close(outputs.training_loss(x), each.mean(0), **EXACT)


@pytest.mark.parametrize(("order", "orders", "kind"), CASES)
def test_probabilities_of_all_frames_sum_to_one(order, orders, kind):
    x = enumerate_frames(10)
    outputs, _ = distribution_of(nade_of(order, orders, kind, 10), len(x))
    assert abs(torch.exp(-outputs.nll(x)).sum() - 1) < 1e-12


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_gradcheck(order):
    nade = nade_of(order, 2)
    _, recent = distribution_of(nade, 5)
    x = (torch.rand(5, D, generator=generator(3)) < 0.4).double()
    biases = torch.randn(5, nade.biases.out_features, generator=generator(4), dtype=torch.float64).requires_grad_()
    names = [name for name, _ in nade.named_parameters() if not name.startswith("biases")]
    values = [dict(nade.named_parameters())[name].detach().clone().requires_grad_() for name in names]

    def nll(biases, *values):
        module, named = _Nll(nade, recent.expand(5, -1, -1)), dict(zip(names, values, strict=True))
        return torch.func.functional_call(module, {f"nade.{name}": value for name, value in named.items()}, (biases, x))

    assert torch.autograd.gradcheck(nll, (biases, *values), fast_mode=True)  # 7,000 weights: a random direction of each


class _Nll(torch.nn.Module):
    """NLL of frames given biases, as a module whose parameters `functional_call` replaces."""

    def __init__(self, nade, recent):
        super().__init__()
        self.nade, self.recent = nade, recent

    def forward(self, biases, frames):
        return self.nade.distribution(biases, self.recent).nll(frames)


@pytest.mark.parametrize("order", ["ascending", "descending"])
def test_a_logit_depends_only_on_earlier_notes(order):
    outputs, _ = distribution_of(nade_of(order), 2)
    x = (torch.rand(2, D, generator=generator(5)) < 0.5).double()
    changed = x.clone()
    changed[:, 3] = 1 - changed[:, 3]
    a, b = (outputs.chains[0].logits(frames) for frames in (x, changed))
    earlier = slice(None, 4) if order == "ascending" else slice(3, None)
    later = slice(4, None) if order == "ascending" else slice(None, 3)
    torch.testing.assert_close(a[:, earlier], b[:, earlier], **EXACT)
    assert (a[:, later] - b[:, later]).abs().min() > 1e-6


def chi_square(samples, x, p):
    """Chi-square statistic of the samples, in standard deviations from its mean."""
    code = 2 ** torch.arange(x.shape[1] - 1, -1, -1, dtype=torch.float64)
    counts, expected = torch.bincount((samples @ code).long(), minlength=len(x)).double(), p * len(samples)
    return float(((counts - expected) ** 2 / expected).sum() - (len(x) - 1)) / math.sqrt(2 * (len(x) - 1))


@pytest.mark.parametrize(("order", "orders", "kind"), [case for case in CASES if case[1:] != (1, "plain")])
def test_samples_and_marginals_follow_the_enumerated_distribution(order, orders, kind):
    x = enumerate_frames(D)
    outputs, _ = distribution_of(nade_of(order, orders, kind), len(x))
    with torch.no_grad():
        p = torch.exp(-outputs.nll(x))
    many = outputs[[0] * 4_000]
    assert abs(chi_square(many.sample(generator=generator()), x, p)) < 4
    estimate = outputs[[0] * 4].marginals(100, generator())
    error = estimate.standard_error.square().sum(0).sqrt() / 4
    rare = 4 / 400  # a context of this probability may be missing in 400 samples
    assert ((estimate.probability.mean(0) - p @ x).abs() < 5 * error + rare).all()


def test_given_first_notes_are_conditioned_on_exactly_by_the_chain_that_visits_them_first():
    x = enumerate_frames(D)
    outputs = distribution_of(nade_of("ascending", 2), len(x))[0].only(descending=True)
    given = torch.tensor([torch.nan] * 4 + [1.0, 0.0], dtype=torch.float64)
    keep = (x[:, 4] == 1) & (x[:, 5] == 0)
    with torch.no_grad():
        p = torch.exp(-outputs.nll(x))[keep]
    samples = outputs[[0] * 4_000].sample(given.expand(4_000, -1), generator=generator())
    assert (samples[:, 4:] == torch.tensor([1.0, 0.0])).all()
    assert abs(chi_square(samples[:, :4], x[keep][:, :4], p / p.sum())) < 4


@pytest.mark.parametrize("orders", [1, 2])
def test_a_fixed_number_of_voices_is_kept_and_seeds_repeat(orders):
    outputs, _ = distribution_of(nade_of("descending", orders), 300)
    first, again, other = (
        outputs.sample(voices=Voices(minimum=3, maximum=3), generator=generator(seed)) for seed in (1, 1, 2)
    )
    assert (first.sum(1) == 3).all()
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("name", ["lmn-b", "lstm", "gru", "solved"])
@pytest.mark.parametrize("orders", [1, 2])
def test_chunks_and_single_steps_give_the_distributions_of_the_sequence(name, orders):
    model = joint_model(name, orders)
    x = (torch.rand(2, 9, D, generator=generator()) < 0.4).float()
    with torch.no_grad():
        whole = model(x[:, :-1])[0].nll(x[:, 1:])
        state, parts = None, []
        for start, stop in ((0, 1), (1, 4), (4, 5), (5, 8)):
            outputs, state = model(x[:, start:stop], state)
            parts.append(outputs.nll(x[:, start + 1 : stop + 1]))
        single, _ = model(x[0, :-1])
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    torch.testing.assert_close(single.nll(x[0, 1:]), whole[0])


def joint_model(name="lmn-b", orders=2):
    torch.manual_seed(0)
    options = ModelOptions(name, 5, 6, readout="nade", nade_size=4, nade_orders=orders, nade_kind="windows")
    model = build_model(options, D, D).eval()
    with torch.no_grad():
        for windows in model.readout.windows:
            windows.pitch_gain.normal_(std=0.3)
        if name == "solved":
            model.recurrent.A.normal_(std=0.3)
            model.recurrent.B.normal_(std=0.1)
    return model


def test_features_computed_before_give_the_same_distributions():
    model = joint_model("solved")
    x = (torch.rand(2, 9, D, generator=generator()) < 0.4).float()
    with torch.no_grad():
        expected = model(x[:, :-1])[0].nll(x[:, 1:])
        features, _ = model.recurrent(x[:, :-1])
        with features_as_inputs(model):
            torch.testing.assert_close(model(features)[0].nll(x[:, 1:]), expected)


def test_orders_are_trained_by_themselves():
    """The gradient of the loss with two orders is that of each chain alone: no parameter of one moves the other."""
    model = joint_model("solved")
    assert isinstance(model, SolvedMemoryModel)
    x = (torch.rand(4, 9, D, generator=generator()) < 0.4).float()
    JointNextFrame().loss(model(x[:, :-1])[0], x[:, 1:]).backward()
    together = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    outputs, _ = model(x[:, :-1])
    outputs.rows().chains[1].nll(x[:, 1:].reshape(-1, D)).sum().backward()
    assert model.readout.windows[0].pitch_gain.grad is None
    assert not model.hidden_readout.weight.grad[0].any()
    for name in ("readout.windows.1.passed_weight", "readout.windows.1.recent_weight"):
        torch.testing.assert_close(2 * together[name], dict(model.named_parameters())[name].grad)


def test_windows_start_at_the_plain_nade():
    torch.manual_seed(0)
    nade = NADE(3, D, 4, kind="windows", dtype=torch.float64)
    x = enumerate_frames(D)
    outputs, _ = distribution_of(nade, len(x))
    chain = outputs.chains[0]
    plain = type(chain)(chain.hidden_bias, chain.note_bias, chain.weight_in, chain.weight_out)
    torch.testing.assert_close(outputs.nll(x), plain.nll(x), **EXACT)


def test_recent_frames_are_the_shifted_sequence():
    x = torch.randn(2, 7, 3, generator=generator())
    whole = recent_frames(x, 4)
    for lag in range(4):
        assert torch.equal(whole.frames[:, lag:, lag], x[:, : 7 - lag])
        assert not whole.frames[:, :lag, lag].any()
    first = recent_frames(x[:, :2], 4)
    rest = recent_frames(x[:, 2:], 4, first.after)
    assert torch.equal(torch.cat([first.frames, rest.frames], 1), whole.frames)
    assert torch.equal(rest.after, whole.after)


def test_bad_options_are_refused():
    with pytest.raises(ValueError, match="nade_orders must be 1 or 2, got 3"):
        ModelOptions(nade_orders=3)
    with pytest.raises(ValueError, match="nade_kind must be one of plain, windows, got 'conv'"):
        ModelOptions(nade_kind="conv")
    with pytest.raises(ValueError, match="orders must be 1 or 2"):
        NADE(3, 4, 5, orders=0)
    with pytest.raises(ValueError, match="kind must be one of plain, windows"):
        NADE(3, 4, 5, kind="conv")
    with pytest.raises(ValueError, match="nade_kind must be plain unless inputs are frames of 5 notes, got 4 inputs"):
        build_model(ModelOptions("lstm", 4, readout="nade", nade_kind="windows"), 4, 5)
    nade = NADE(3, 4, 5, kind="windows")
    with pytest.raises(ValueError, match="recent must be the last 4 frames"):
        nade.distribution(nade.biases(torch.zeros(1, 3)))
    assert SolvedMemory(3, 5).recent == 0
