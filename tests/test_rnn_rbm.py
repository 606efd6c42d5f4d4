"""RNN-RBM: its machine against enumeration, its sampler against the distribution, its surrogate against likelihood."""

import itertools

import pytest
import torch
from torch import nn

from linmem.nn.baselines import RNNRBM
from linmem.nn.baselines.rbm import (
    RBM,
    annealed_log_partition,
    contrastive_divergence,
    free_energy,
    gibbs,
    log_partition,
)
from linmem.nn.lmn import LMN

KIND = {"dtype": torch.float64}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def machines(rows=3, visible=4, hidden=3, scale=1.0, seed=0):
    generator = seeded(seed)
    shapes = (hidden, visible), (rows, visible), (rows, hidden)
    return RBM(*(scale * torch.randn(shape, generator=generator, **KIND) for shape in shapes))


def all_states(units):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=units)), **KIND)


def of_row(rbm, row, count):
    """The machine of one row, as often as there are states to ask it about."""
    return RBM(rbm.weight, rbm.visible_bias[row].expand(count, -1), rbm.hidden_bias[row].expand(count, -1))


def log_likelihood(rbm, visible):
    return -free_energy(rbm, visible) - log_partition(rbm)


def test_the_free_energy_is_the_sum_over_hidden_states():
    rbm, hidden = machines(), all_states(3)
    for v in all_states(4):
        joint = v @ rbm.visible_bias.T + hidden @ rbm.hidden_bias.T + (hidden @ rbm.weight @ v)[:, None]
        torch.testing.assert_close(-free_energy(rbm, v.expand(3, -1)), torch.logsumexp(joint, 0))


@pytest.mark.parametrize(("visible", "hidden"), [(4, 3), (3, 5), (1, 1), (6, 6)])
def test_the_partition_function_makes_probabilities(visible, hidden):
    rbm, states = machines(visible=visible, hidden=hidden), all_states(visible)
    for row, log_z in enumerate(log_partition(rbm)):
        total = (-free_energy(of_row(rbm, row, len(states)), states) - log_z).exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("units", [(12, 12), (5, 12), (12, 4)])
def test_annealed_importance_sampling_finds_the_partition_function(units):
    rbm = machines(4, *units, scale=0.8)
    found, exact = annealed_log_partition(rbm, chains=200, temperatures=200, generator=seeded()), log_partition(rbm)
    assert (found.error < 0.05).all()
    assert ((found.value - exact).abs() < 4 * found.error).all()


def test_the_standard_error_is_the_spread_of_repeated_estimates():
    rbm = machines(1, 8, 8, scale=1.5)
    runs = [annealed_log_partition(rbm, chains=30, temperatures=10, generator=seeded(seed)) for seed in range(200)]
    spread = torch.stack([run.value for run in runs]).std()
    assert float(torch.stack([run.error for run in runs]).mean() / spread) == pytest.approx(1, abs=0.25)


def test_without_weights_one_temperature_is_exact():
    rbm = machines()._replace(weight=torch.zeros(3, 4, **KIND), hidden_bias=torch.zeros(3, 3, **KIND))
    found = annealed_log_partition(rbm, chains=2, temperatures=1, generator=seeded())
    torch.testing.assert_close(found.value, log_partition(rbm))
    torch.testing.assert_close(found.error, torch.zeros(3, **KIND))


def test_gibbs_sampling_draws_from_the_machine():
    rbm, states, chains = machines(1, 3, 2), all_states(3), 20_000
    drawn = gibbs(of_row(rbm, 0, chains), torch.zeros(chains, 3, **KIND), 30, seeded())
    codes = (drawn @ torch.tensor([4.0, 2, 1], **KIND)).long()
    found = codes.bincount(minlength=8) / chains
    expected = log_likelihood(of_row(rbm, 0, 8), states).exp()
    assert (found - expected).abs().max() < 4 * (0.25 / chains) ** 0.5


@pytest.mark.parametrize("steps", [1, 5])
def test_the_surrogates_gradient_is_that_of_finite_differences(steps):
    rbm, visible = machines(), all_states(4)[[3, 8, 14]]
    arguments = [part.requires_grad_() for part in rbm]
    assert torch.autograd.gradcheck(
        lambda *parts: contrastive_divergence(RBM(*parts), visible, steps, seeded()), arguments
    )


def test_with_many_steps_contrastive_divergence_follows_the_likelihood():
    rbm, visible, chains = machines(1, 4, 3), all_states(4)[[11]], 20_000
    parts = [part.requires_grad_() for part in rbm]
    exact = torch.autograd.grad(-log_likelihood(rbm, visible).sum(), parts)
    loss = contrastive_divergence(of_row(rbm, 0, chains), visible.expand(chains, -1), 30, seeded())
    found = torch.autograd.grad(loss / chains, parts)
    for one, other in zip(found, exact, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0.02)


def chords(songs=24, length=10, seed=0):
    """Two chords of three notes that take turns, and single wrong notes here and there: notes that go together."""
    random = seeded(seed)
    first, second = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]], **KIND)
    turns = torch.rand(songs, length, 1, generator=random) < 0.5
    frames = torch.where(turns, first, second)
    return torch.where(torch.rand(frames.shape, generator=random) < 0.02, 1 - frames, frames)


def test_it_learns_which_notes_sound_together():
    """Either chord follows any: notes by themselves are coin flips, 6 log 2 = 4.2 nats; knowing chords, about 1.3."""
    torch.manual_seed(0)
    model = RNNRBM(LMN(6, 8, 8, batch_first=True, **KIND), 8, 6, 6)
    songs, generator = chords(), seeded(1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(150):
        optimizer.zero_grad()
        outputs = model(songs[:, :-1])[0].flatten(0, 1)
        (model.loss(outputs, songs[:, 1:].flatten(0, 1), 5, generator) / len(outputs)).backward()
        optimizer.step()
    unseen = chords(seed=9)
    outputs, targets = model(unseen[:, :-1])[0].flatten(0, 1), unseen[:, 1:].flatten(0, 1)
    exact = model.log_likelihood(outputs, targets, chains=0)
    assert float(-exact.value.mean()) < 2.2
    sampled = model.log_likelihood(outputs, targets, chains=20, temperatures=100, generator=generator)
    assert float((sampled.value - exact.value).mean()) == pytest.approx(0, abs=0.05)
    drawn = model.sample(outputs, generator=generator)
    whole = (drawn[:, :3].sum(1) % 3 == 0) & (drawn[:, 3:].sum(1) % 3 == 0)
    assert float(whole.double().mean()) > 0.7


def test_the_loss_takes_as_many_gibbs_steps_as_the_model_says():
    torch.manual_seed(0)
    model = RNNRBM(nn.GRU(6, 5, batch_first=True, **KIND), 5, 6, 4, cd_steps=3)
    frames = chords(2).flatten(0, 1)
    outputs = model(frames)[0].detach()
    three, five = (model.loss(outputs, frames, steps, seeded()) for steps in (3, 5))
    assert model.loss(outputs, frames, generator=seeded()) == three != five


def test_generation_continues_from_the_seed_and_carries_the_state():
    torch.manual_seed(0)
    model = RNNRBM(nn.GRU(6, 5, batch_first=True, **KIND), 5, 6, 4)
    prompt = chords(1)[0]
    music = model.generate(prompt, 7, seed=3)
    assert music.shape == (7, 6)
    assert ((music == 0) | (music == 1)).all()
    assert torch.equal(model.generate(prompt, 7, seed=3), music)
    assert not torch.equal(model.generate(prompt, 7, seed=4), music)
    assert torch.equal(model.generate(prompt, 3, seed=3), music[:3])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: log_partition(machines(1, 21, 21)), "at most 20 units, got 21 visible and 21 hidden"),
        (
            lambda: annealed_log_partition(machines(), chains=1),
            "chains must be at least 2 and temperatures at least 1, got 1",
        ),
        (
            lambda: RNNRBM(nn.RNN(6, 5), 5, 6, 4).generate(torch.zeros(0, 6), 3),
            "at least 1 frame and length must be at least 1, got 0",
        ),
        (lambda: RNNRBM(nn.RNN(6, 5), 5, 6, 4, cd_steps=0), "cd_steps must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_raise(call, message):
    with pytest.raises(ValueError, match=message):
        call()
