"""Solvers against the dense decomposition of Ξ, all through one table: a new solver is one row."""

import numpy as np
import pytest
import torch

from linmem.autoencoder.history.in_memory import InMemoryHistory
from linmem.autoencoder.history.out_of_core import StreamedHistory
from linmem.autoencoder.history.survey import Survey
from linmem.autoencoder.solvers import (
    SOLVERS,
    Randomized,
    Remembered,
    Slices,
    choose_solver,
    correlated,
    exact,
    fix_signs,
)
from linmem.autoencoder.solvers.memory_size import knee, leading

SOLVER_CASES = {
    "exact": exact,
    "slices": Slices(lags=4, spare=120),
    "randomized": Randomized(),
    "randomized, restarted": Randomized(basis_limit=40, block=4),
    "randomized, block of one": Randomized(block=1),
    "correlated": correlated,
}
CPU = torch.device("cpu")
LENGTHS = [40, 3, 25, 1, 40, 12]


def histories() -> dict[str, InMemoryHistory]:
    generator = torch.Generator().manual_seed(3)

    def draw(length, features=3):
        return torch.randn(length, features, generator=generator, dtype=torch.float64)

    waves = [torch.sin(torch.arange(60, dtype=torch.float64)[:, None] * speed) for speed in (0.1, 0.3)]
    return {
        "noise": InMemoryHistory([draw(length) for length in LENGTHS]),
        "smooth": InMemoryHistory([draw(length).cumsum(0) for length in LENGTHS]),
        "tiny": InMemoryHistory([draw(length).cumsum(0) * 1e-6 for length in LENGTHS]),
        "huge": InMemoryHistory([draw(length).cumsum(0) * 1e6 for length in LENGTHS]),
        "waves of low rank": InMemoryHistory(waves),
        "impulses, all singular values equal": InMemoryHistory([torch.eye(20, 1, dtype=torch.float64)]),
        "a = 1": InMemoryHistory([draw(length, 1) for length in LENGTHS]),
        "lag decay": InMemoryHistory([draw(length) for length in LENGTHS], lags=9, decay=0.6),
        "one step": InMemoryHistory([draw(1), draw(1)]),
    }


HISTORIES = histories()


def run(solver, history, size, seed=0):
    return solver(history, size, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("solver", SOLVER_CASES.values(), ids=list(SOLVER_CASES))
@pytest.mark.parametrize("history", HISTORIES.values(), ids=list(HISTORIES))
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_solver_meets_the_dense_decomposition(solver, history, size):
    if isinstance(solver, Slices) and history.decay < 1:
        with pytest.raises(ValueError, match="lag_decay must be 1 for solver='slices', got 0.6"):
            run(solver, history, size)
        return
    expected = torch.linalg.svdvals(history.dense())
    rank = int((expected > 1e-6 * expected[0]).sum())
    found = run(solver, history, size)
    count = min(size, rank)
    assert found.converged
    assert len(found.singular_values) >= count
    energy = float(expected.square().sum())
    missing = expected[:count].square().sum() - found.singular_values[:count].square().sum()
    assert abs(float(missing)) < 1e-6 * energy
    vectors = found.right_vectors[:, :, :count].flatten(0, 1)
    torch.testing.assert_close(vectors.T @ vectors, torch.eye(count, dtype=torch.float64), rtol=0, atol=1e-9)
    kept = (history.dense() @ vectors).square().sum()
    assert float(kept) == pytest.approx(float(expected[:count].square().sum()), abs=1e-6 * energy)


def test_many_short_sequences_are_solved_by_their_correlations():
    sequences = list(torch.zeros(30_000, 30, 1))
    assert choose_solver("auto", InMemoryHistory(sequences))[0] == "correlated"
    assert choose_solver("auto", StreamedHistory(sequences, Survey.of(sequences, 1, CPU)))[0] == "correlated"


def test_rank_is_found():
    history = HISTORIES["impulses, all singular values equal"]
    for solver in SOLVER_CASES.values():
        found = run(solver, history, 100)
        assert len(found.singular_values) == 20
        assert found.complete


def test_converged_values_are_accurate_to_rounding_squared():
    history = HISTORIES["smooth"]
    expected = torch.linalg.svdvals(history.dense())
    found = run(Randomized(), history, 20).singular_values
    torch.testing.assert_close(found, expected[:20], rtol=1e-5, atol=0)


@pytest.mark.parametrize("solver", SOLVER_CASES.values(), ids=list(SOLVER_CASES))
def test_same_seed_same_bits_and_signs_fixed(solver):
    history = HISTORIES["noise"]
    first, second, other = (run(solver, history, 4, seed) for seed in (0, 0, 1))
    assert torch.equal(first.right_vectors, second.right_vectors)
    assert torch.equal(first.singular_values, second.singular_values)
    torch.testing.assert_close(first.singular_values[:4], other.singular_values[:4], rtol=1e-5, atol=0)
    flat = first.right_vectors.flatten(0, 1)
    assert (flat.gather(0, flat.abs().argmax(0, keepdim=True)) > 0).all()


def one_channel_each(series, channels):
    """The same series in each of `channels` sequences, every one in a channel of its own: each σ is repeated."""
    return [series[:, None] * (torch.arange(channels) == channel) for channel in range(channels)]


@pytest.mark.parametrize(
    ("solver", "channels", "size"),
    [(Randomized(), 24, 48), (Randomized(basis_limit=80), 24, 48), (Randomized(block=1), 3, 6), (Randomized(), 40, 60)],
)
def test_singular_values_repeated_more_often_than_a_block_are_all_found(solver, channels, size):
    """A Krylov space of 16 vectors holds 16 copies of each: it looked converged at twice the error."""
    walk = torch.randn(60, generator=torch.Generator().manual_seed(0), dtype=torch.float64).cumsum(0)
    history = InMemoryHistory(one_channel_each(walk, channels))
    single = torch.linalg.svdvals(InMemoryHistory([walk[:, None]]).dense())
    expected = single.repeat_interleave(channels)[:size].square().sum()
    found = run(solver, history, size)
    assert found.converged
    assert float(expected - found.singular_values[:size].square().sum()) < 1e-6 * history.energy


def test_impulses_of_a_few_amplitudes_are_all_found():
    """A singular value repeated four times, of which a block of three directions sees three."""
    history = InMemoryHistory([torch.eye(81, 4, dtype=torch.float64) * amplitude for amplitude in (1, 2, 3)])
    expected = torch.linalg.svdvals(history.dense())[:4].square().sum()
    found = run(Randomized(block=3), history, 4).singular_values.square().sum()
    assert float(expected - found) < 1e-6 * history.energy


def test_fix_signs_turns_whole_columns():
    vectors = torch.tensor([[[1.0, -3.0], [-2.0, 1.0]]])
    assert torch.equal(fix_signs(vectors), torch.tensor([[[-1.0, 3.0], [2.0, -1.0]]]))


def test_unconverged_is_said():
    found = run(Randomized(block=2, products=3, tolerance=0), HISTORIES["noise"], 10)
    assert not found.converged


def test_energy_share_is_the_least_that_suffices():
    history = HISTORIES["smooth"]
    values = torch.linalg.svdvals(history.dense()).square()
    share = (values.cumsum(0) / values.sum()).numpy()
    for energy in (0.5, 0.9, 0.99, 0.99999):
        expected = int(np.searchsorted(share, energy)) + 1
        for solver in (exact, Randomized()):
            _, size = leading(solver, history, energy, torch.Generator().manual_seed(0))
            assert size == expected


def test_knee_of_a_bent_line_is_its_bend():
    values = torch.cat([torch.full((7,), 10.0), torch.full((60,), 1.0)])
    assert knee(values.sqrt(), float(values.sum())) == 7


def test_above_the_rank():
    message = r"memory_size must be at most the rank of the history matrix \(20\), got 400. Lower memory_size."
    for solver in (exact, Randomized()):
        with pytest.raises(ValueError, match=message):
            leading(solver, HISTORIES["impulses, all singular values equal"], 400, torch.Generator())


def test_a_rank_that_was_not_counted_is_not_said_to_be_known():
    history = InMemoryHistory([torch.ones(2100, 1, dtype=torch.float64)])  # refused without a decomposition
    with pytest.raises(ValueError, match=r"the rank of the history matrix \(at most 2100\), got 2101"):
        leading(exact, history, 2101, torch.Generator())


@pytest.mark.parametrize("memory_size", [0, -1, 1.5, "knee", True, -0.5])
def test_bad_memory_size(memory_size):
    with pytest.raises(ValueError, match="must be a positive integer, a share of the energy"):
        leading(exact, HISTORIES["noise"], memory_size, torch.Generator())


def test_unknown_solver_lists_the_known():
    with pytest.raises(ValueError, match="solver must be one of 'auto', 'exact', .* or a solver object, got 'magic'"):
        choose_solver("magic", HISTORIES["noise"])
    assert choose_solver("auto", HISTORIES["noise"])[0] == "exact"
    assert {choose_solver(name, HISTORIES["noise"])[0] for name in SOLVERS} == set(SOLVERS)


def test_a_solver_that_was_given_has_its_own_name():
    for solver, name in ((exact, "exact"), (correlated, "correlated"), (Randomized(block=2), "randomized")):
        assert choose_solver(solver, HISTORIES["noise"]) == (name, solver)


def test_slices_lose_what_they_say_and_spare_directions_win_it_back():
    """The energy cut off at each slice is what the result can lack; every component asked for comes back."""
    history = HISTORIES["smooth"]
    expected = float(torch.linalg.svdvals(history.dense())[:8].square().sum())
    lost = []
    for spare in (0, 2, 8, 32):
        found = run(Slices(lags=3, spare=spare), history, 8)
        assert len(found.singular_values) == 8
        lost.append(expected - float(found.singular_values.square().sum()))
        assert -1e-9 * history.energy < lost[-1] <= found.residual * history.energy + 1e-9 * history.energy
    assert lost == sorted(lost, reverse=True)
    assert lost[-1] < 1e-3 * lost[0]


def test_remembered_solves_once_and_answers_as_its_solver_would(monkeypatch):
    calls = []

    def counted(history, size, generator):
        calls.append(size)
        return exact(history, size, generator)

    solver, history = Remembered(counted), HISTORIES["smooth"]
    for size in (9, 4, 9, 2):
        found = run(solver, history, size)
        assert torch.equal(found.right_vectors[:, :, :size], run(exact, history, size).right_vectors[:, :, :size])
    assert calls == [9]
    run(solver, HISTORIES["noise"], 3)  # another history is another problem
    assert calls == [9, 3]
