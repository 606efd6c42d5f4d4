"""Synthetic sequences: the targets follow from the inputs, and both from the seed alone."""

import math

import pytest
import torch

from linmem import data
from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.data import synthetic
from linmem.data.synthetic_sets import SIZES


@pytest.mark.parametrize("warp", [False, True])
def test_copy_presents_every_symbol_once_and_targets_it_after_the_delimiter(warp):
    inputs, targets = synthetic.warped_copy(20, symbols=3, length=4, blanks=9, seed=2, warp=warp)
    found = set()
    for x, y in zip(inputs, targets, strict=True):
        assert x.shape == (18, 5)
        assert y.shape == (18, 4)
        assert torch.equal(x.sum(1), torch.ones(18))
        assert torch.equal(y.sum(1), torch.ones(18))
        shown, target = x.argmax(1), y.argmax(1)
        places = torch.nonzero(shown < 3)[:, 0]
        assert shown[13] == 4
        assert (shown == 4).sum() == 1
        assert (places < 13).all()
        assert torch.equal(shown[places], target[14:])
        assert (target[:14] == 3).all()
        found.add(tuple(places.tolist()))
    assert found == {(0, 1, 2, 3)} if not warp else len(found) > 10


def test_adding_marks_one_number_in_each_half():
    inputs, targets = synthetic.adding(2000, steps=11)
    for x, y in zip(inputs, targets, strict=True):
        places = torch.nonzero(x[:, 1])[:, 0].tolist()
        assert len(places) == 2
        assert places[0] < 5 <= places[1]
        torch.testing.assert_close(y, x[places, 0].sum(0, keepdim=True))
    assert float((torch.stack(targets) - 1).square().mean()) == pytest.approx(1 / 6, rel=0.1)


def test_a_waveform_has_a_history_of_twice_its_components():
    wave = synthetic.waveform(400, components=3, seed=1).double()
    assert wave.abs().max() <= 1
    full = InMemoryHistory([wave]).columns(0, 20)[20:]
    values = torch.linalg.svdvals(full)
    assert values[5] > 1e-3 * values[0]
    assert values[6] < 1e-6 * values[0]
    (x,), (y,) = synthetic.generation(wave)
    assert not x.any()
    assert x.shape == (400, 1)
    assert y is wave


def test_noise_has_no_structure():
    x = synthetic.noise(20000)[:, 0]
    assert x.abs().max() <= 1
    assert float(x.var()) == pytest.approx(1 / 3, rel=0.05)
    assert max(abs(float((x[lag:] * x[: len(x) - lag]).mean())) for lag in range(1, 20)) < 0.01


def test_mackey_glass_in_the_first_delay_is_the_solution_by_hand():
    """While x(t−τ) is the constant c, dx/dt = f − 0.1 x: x(t) = 10 f + (c − 10 f) e^{−t/10}."""
    x = synthetic.mackey_glass(18, tau=17, washout=0)[:, 0].double()
    feed = 2 * x[0] / (1 + x[0] ** 10)
    time = torch.arange(18, dtype=torch.float64)
    torch.testing.assert_close(x, feed + (x[0] - feed) * torch.exp(-time / 10), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("tau", [17, 30])
def test_mackey_glass_no_longer_depends_on_its_steps(tau):
    coarse, fine = (synthetic.mackey_glass(150, tau=tau, washout=0, parts=parts) for parts in (10, 40))
    assert (coarse - fine).abs().max() < 1e-4


def test_mackey_glass_is_chaotic():
    near = [synthetic.mackey_glass(600, seed=seed, washout=0) for seed in (0, 1)]
    assert (near[0] - near[1])[400:].abs().max() > 0.3
    late = synthetic.mackey_glass(2000)
    assert 0.2 < late.min() < 0.5
    assert 1.2 < late.max() < 1.4


@pytest.mark.parametrize(
    "make",
    [
        lambda seed: synthetic.copy(3, seed=seed).inputs[0],
        lambda seed: synthetic.warped_copy(3, seed=seed).inputs[0],
        lambda seed: synthetic.adding(3, seed=seed).inputs[0],
        lambda seed: synthetic.waveform(seed=seed),
        lambda seed: synthetic.noise(30, seed=seed),
        lambda seed: synthetic.mackey_glass(30, seed=seed, washout=0),
    ],
)
def test_the_seed_decides(make):
    state = torch.random.get_rng_state()
    assert torch.equal(make(3), make(3))
    assert not torch.equal(make(3), make(4))
    assert make(3).dtype == torch.float32
    assert torch.equal(torch.random.get_rng_state(), state)


@pytest.mark.parametrize("name", ["copy", "warped_copy", "adding", "generation"])
def test_tasks_by_name_hold_inputs_and_targets(name):
    splits = data.load(name)
    for split in ("train", "valid", "test"):
        pairs = splits.pairs(split)
        assert len(pairs) == (1 if name == "generation" else SIZES[split])
        for x, y in pairs[:3]:
            assert x.shape[1] == splits.features
            assert y.shape == (1,) if name == "adding" else len(y) == len(x)
    if name != "generation":
        assert not torch.equal(splits.train[0], splits.valid[0])
        assert torch.equal(splits.train[7], data.load(name).train[7])


def test_mackey_glass_by_name():
    splits = data.load("mackey_glass_30")
    assert [len(split) for split in (splits.train, splits.valid, splits.test)] == [16, 4, 4]
    assert all(len(x) == 500 for x in splits.train)
    assert splits.features == 1
    assert all(math.isfinite(float(x.sum())) for x in splits.train)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: synthetic.copy(0), "count must be at least 1, got 0"),
        (lambda: synthetic.copy(1, blanks=0), "blanks must be at least 1, got 0"),
        (lambda: synthetic.adding(1, steps=1), "steps must be at least 2, got 1"),
        (lambda: synthetic.generation(torch.zeros(5)), r"waveform must have shape \(T, o\), T ≥ 1, got \(5,\)"),
        (lambda: synthetic.mackey_glass(5, tau=17.05), r"got tau=17.05, parts=10"),
        (lambda: synthetic.noise(0), "steps must be at least 1, got 0"),
    ],
)
def test_bad_sizes_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
