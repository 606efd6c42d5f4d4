"""Encoding one long sequence with products over many steps equals the loop over steps."""

import pytest
import torch

from linmem.autoencoder.coding import encode
from linmem.autoencoder.linear_recurrence import CHUNK, LEAST_STEPS, encode_long, is_preferred
from tests.rounding import assert_equal_but_for_rounding


def problem(steps, features, p, dtype=torch.float64, norm=0.99):
    generator = torch.Generator().manual_seed(0)
    x, A, B = (
        torch.randn(shape, generator=generator, dtype=dtype) for shape in ((steps, features), (p, features), (p, p))
    )
    return x, A, B * (norm / torch.linalg.matrix_norm(B, 2))


def loop(x, A, B):
    y, states = torch.zeros(len(B), dtype=torch.float64), []
    for x_t in x.double():
        y = A.double() @ x_t + B.double() @ y
        states.append(y)
    return torch.stack(states)


def test_the_identity_matrix_gives_the_running_sum():
    x = problem(4 * CHUNK + 5, 3, 1)[0]
    eye = torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(encode_long(x, eye, eye), x.cumsum(0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("steps", [CHUNK - 1, CHUNK, CHUNK + 1, 5 * CHUNK + 7])
@pytest.mark.parametrize(("features", "p"), [(1, 1), (1, 6), (3, 7), (5, 4)])
def test_states_equal_the_loop(steps, features, p, dtype):
    x, A, B = problem(steps, features, p, dtype)
    assert_equal_but_for_rounding(encode_long(x, A, B), loop(x, A, B), terms=features + p, steps=CHUNK)


def test_encode_uses_it_for_one_long_sequence_only():
    x, A, B = problem(LEAST_STEPS, 2, 6)
    mean = torch.tensor([0.5, -0.25], dtype=torch.float64)
    assert is_preferred(LEAST_STEPS, 1, A, B)
    assert not is_preferred(LEAST_STEPS, 2, A, B)
    assert not is_preferred(LEAST_STEPS - 1, 1, A, B)
    expected = loop(x - mean, A, B)
    assert_equal_but_for_rounding(encode([x], A, B, mean)[0], expected, terms=8, steps=CHUNK)
    assert_equal_but_for_rounding(encode([x, x], A, B, mean)[1], expected, terms=8, steps=CHUNK)
