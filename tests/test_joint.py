"""The gradient of the reconstruction error against autograd on the dense matrix, and what refinement promises."""

import numpy as np
import pytest
import torch

from linmem.autoencoder.decoders import least_squares, refine_decoder
from linmem.autoencoder.decoders.descent import Scale, descend
from linmem.autoencoder.decoders.filters import Packed, gram_sums
from linmem.autoencoder.decoders.least_squares import Decoder
from linmem.autoencoder.decoders.refine_decoder import lag_sum
from linmem.autoencoder.decoders.refine_joint import Autoencoder, error_and_gradients, towards_principal
from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.autoencoder.history.in_memory import InMemoryHistory

LENGTHS = {"ragged": [7, 3, 12, 1, 7, 2], "equal": [6, 6, 6], "one": [9], "one step": [1, 1]}


def sequences(lengths, features=3, seed=0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(length, features, generator=generator, dtype=torch.float64) for length in lengths]


def matrices(features=3, units=4, seed=1) -> Autoencoder:
    generator = torch.Generator().manual_seed(seed)
    shapes = [(units, features), (units, units), (features, units), (units, units)]
    return Autoencoder(*(0.4 * torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes))


def dense_error(history: InMemoryHistory, given: Autoencoder) -> torch.Tensor:
    """‖Ξ − Y Ωᵀ‖² / ‖Ξ‖² written down."""
    A, B, C_x, C_y = given
    matrix = history.dense()
    encoder = torch.cat([A.T @ torch.linalg.matrix_power(B.T, lag) for lag in range(history.lags)])
    decoder = torch.cat([C_x @ torch.linalg.matrix_power(C_y, lag) for lag in range(history.lags)])
    return (matrix - matrix @ encoder @ decoder.T).square().sum() / matrix.square().sum()


@pytest.mark.parametrize("lengths", LENGTHS.values(), ids=list(LENGTHS))
@pytest.mark.parametrize("how", ["recurrences", "gram"])
def test_error_and_gradients_are_those_of_the_dense_matrix(lengths, how):
    history, given = InMemoryHistory(sequences(lengths)), matrices()
    packed = Packed(history.sequences(), torch.float64)

    def sums_of(now, weight):
        if how == "gram":
            return gram_sums(history, now.A, now.B, now.decoder, weight)
        return packed.sums(now.A, now.B, now.decoder, weight)

    expected_given = [matrix.clone().requires_grad_() for matrix in given]
    expected = dense_error(history, Autoencoder(*expected_given))
    expected.backward()
    value, gradients = error_and_gradients(sums_of, given, history.lags, history.energy)
    assert value == pytest.approx(expected.item())
    for found, leaf in zip(gradients, expected_given, strict=True):
        torch.testing.assert_close(found, torch.zeros_like(found) if leaf.grad is None else leaf.grad)


@pytest.mark.parametrize("lags", [1, 2, 3, 5, 8, 13])
def test_lag_sum_is_the_sum(lags):
    given = matrices()
    step, start = given.B, given.C_x.T @ given.C_x
    powers = [torch.linalg.matrix_power(step, lag) for lag in range(lags)]
    torch.testing.assert_close(lag_sum(start, step, lags), sum(power.T @ start @ power for power in powers))


@pytest.mark.parametrize("lags", [1, 2, 3, 5, 8, 13])
def test_powers_and_error_of_a_decoder(lags):
    given = matrices()
    blocks = least_squares.powers(given.C_x, given.C_y, lags)
    for lag in range(lags):
        torch.testing.assert_close(blocks[lag], given.C_x @ torch.linalg.matrix_power(given.C_y, lag))
    history = InMemoryHistory(sequences([lags, 1, lags]))
    known = least_squares.moments(history, given.A, given.B)
    leaves = [matrix.clone().requires_grad_() for matrix in given.decoder]
    expected = dense_error(history, Autoencoder(given.A, given.B, *leaves))
    expected.backward()
    assert least_squares.error(known, blocks) == pytest.approx(expected.item())
    value, gradients = refine_decoder.error_and_gradients(known, given.decoder)
    assert value == pytest.approx(expected.item())
    for found, leaf in zip(gradients, leaves, strict=True):
        torch.testing.assert_close(found, torch.zeros_like(found) if leaf.grad is None else leaf.grad)


def test_change_of_basis_changes_no_error_and_finds_the_basis_back():
    history, given = InMemoryHistory(sequences([12, 9, 12])), matrices()
    known = least_squares.moments(history, given.A, given.B)
    turn = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(5))
    back = torch.linalg.inv(turn)
    turned = Autoencoder(turn @ given.A, turn @ given.B @ back, given.C_x @ back, turn @ given.C_y @ back)
    found = least_squares.moments(history, turned.A, turned.B)
    again, moments = towards_principal(turned, found, known)
    for one, other in zip(again, given, strict=True):
        torch.testing.assert_close(one, other)
    torch.testing.assert_close(moments.cross, known.cross)
    torch.testing.assert_close(moments.states, known.states)


def test_descent_finds_the_minimum_of_a_stretched_bowl_at_once_when_scaled():
    left, right = torch.diag(torch.tensor([1e4, 1.0]).double()), torch.diag(torch.tensor([1.0, 1e-4, 1e2]).double())
    goal = torch.arange(6, dtype=torch.float64).view(2, 3)
    left = left / (left @ goal @ right * goal).sum()  # 1 at the start
    calls = []

    def objective(given):
        calls.append(1)
        rest = given[0] - goal
        return float((left @ rest @ right * rest).sum()), [2 * left @ rest @ right]

    found = descend(objective, [torch.zeros(2, 3, dtype=torch.float64)], [Scale.of(left, right)], 50, 1e-15)
    torch.testing.assert_close(found[0], goal, rtol=1e-5, atol=1e-5)
    assert len(calls) < 10


def walks(count=20, length=40, features=5, seed=2) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.standard_normal((length, features)).cumsum(0) for _ in range(count)]


@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_joint_is_better_than_decoder_alone_and_above_the_bound(how):
    given = walks()
    alone = LinearAutoencoder(12).fit(given)
    joint = LinearAutoencoder(12, refine="joint")
    getattr(joint, how)(given)
    assert joint.optimal_error_ < joint.training_error_ < 0.99 * alone.training_error_
    assert joint.training_error_ == pytest.approx(joint.reconstruction_error(given), rel=1e-9)
    assert np.abs(np.linalg.eigvals(joint.B_)).max() <= 1


def test_joint_is_repeatable_and_loses_nothing_at_full_rank():
    given = walks(3, 8, 2)
    rank = np.linalg.matrix_rank(InMemoryHistory([torch.from_numpy(one) for one in given]).dense().numpy())
    assert LinearAutoencoder(int(rank), refine="joint").fit(given).training_error_ < 1e-9
    first, second = (LinearAutoencoder(5, refine="joint").fit(given).B_ for _ in range(2))
    assert np.array_equal(first, second)


def test_decoder_is_shaped_by_its_own_parts():
    given = matrices()
    assert isinstance(given.decoder, Decoder)
    assert given.decoder.blocks(5).shape == (5, 3, 4)


def test_first_step_of_a_descent_is_small_in_any_units():
    """A first trial step of length 1 in coordinates of order 1 once threw the recurrence out of its stable region."""
    goal = torch.ones(3, 2, dtype=torch.float64)
    for unit in (1e-6, 1.0, 1e6):
        seen = []

        def objective(given, unit=unit, seen=seen):
            rest = given[0] - goal / unit
            seen.append(float((rest * unit).square().sum()))
            return seen[-1], [2 * rest * unit**2]

        eye = torch.eye(3, dtype=torch.float64)
        scale = Scale.of(eye * unit**2, torch.eye(2, dtype=torch.float64))
        start = torch.zeros(3, 2, dtype=torch.float64)
        found = descend(objective, [start], [scale], 30, 1e-15)
        torch.testing.assert_close(found[0] * unit, goal)
        assert abs(seen[1] - seen[0]) < 0.1
