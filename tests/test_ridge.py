"""Ridge regression: the minimum of its objective, an independent solver, an exact line, constant features."""

import pytest
import torch
from sklearn.linear_model import Ridge

from linmem.ridge import ridge_regression

PENALTIES = (1.0, 1e-2, 1e-6)


def draws(*shapes):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(*shape, generator=generator, dtype=torch.float64) for shape in shapes]


@pytest.mark.parametrize("penalty", PENALTIES)
def test_the_gradient_of_the_objective_is_zero(penalty):
    S, Y = draws((50, 4), (50, 2))
    (found,) = ridge_regression(S, Y, [penalty])
    W, b = found.W.requires_grad_(), found.b.requires_grad_()
    energy = (S - S.mean(0)).square().sum(0).mean()
    objective = (S @ W + b - Y).square().sum() + penalty * energy * W.square().sum()
    for gradient in torch.autograd.grad(objective, (W, b)):
        torch.testing.assert_close(gradient, torch.zeros_like(gradient), rtol=0, atol=1e-11)


def test_solutions_are_those_of_scikit_learn():
    S, Y = draws((50, 4), (50, 2))
    energy = float((S - S.mean(0)).square().sum(0).mean())
    for penalty, found in zip(PENALTIES, ridge_regression(S.float(), Y, PENALTIES), strict=True):
        oracle = Ridge(alpha=penalty * energy, tol=1e-12).fit(S.float().double().numpy(), Y.numpy())
        torch.testing.assert_close(found.W.T, torch.from_numpy(oracle.coef_), rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(found.b, torch.from_numpy(oracle.intercept_), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("scale", [1e-100, 1e-10, 1e-6, 1e6, 1e100])
def test_a_penalty_means_the_same_for_features_of_any_scale(scale):
    S, Y = draws((50, 3), (50, 2))
    (expected,), (found,) = ridge_regression(S, Y, [1e-3]), ridge_regression(scale * S, Y, [1e-3])
    assert torch.allclose(found(scale * S), expected(S), rtol=1e-9)


@pytest.mark.parametrize("value", [1.0, 21.3, 1e9 / 3])
def test_constant_features_predict_the_mean_target(value):
    (Y,) = draws((6, 2))
    constant = torch.full((6, 3), value, dtype=torch.float64)
    (found,) = ridge_regression(constant, Y, [1e-3])
    torch.testing.assert_close(found(1.1 * constant)[0], Y.mean(0))


@pytest.mark.parametrize("dependent", ["zero", "constant", "equal"])
def test_without_a_penalty_dependent_features_have_the_solution_of_least_norm(dependent):
    S, Y = draws((50, 4), (50, 2))
    S[:, 1] = S[:, 0] if dependent == "equal" else float(dependent == "constant")
    (found,) = ridge_regression(S, Y, [0.0])
    oracle = torch.linalg.pinv(S - S.mean(0), rtol=1e-10) @ (Y - Y.mean(0))
    torch.testing.assert_close(found.W, oracle, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found(S).mean(0), Y.mean(0))
