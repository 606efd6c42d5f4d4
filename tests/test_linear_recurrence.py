"""Encoding one long sequence with products over many steps equals the loop over steps."""

import pytest
import torch

from linmem.autoencoder.coding import encode
from linmem.autoencoder.linear_recurrence import CHUNK, LEAST_STEPS, encode_long, is_preferred
from linmem.nn.lmn import LMN
from linmem.nn.solved_memory import SolvedMemory
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


@pytest.mark.parametrize("steps", [1, CHUNK - 1, CHUNK, 3 * CHUNK + 7])
def test_states_continue_from_a_state(steps):
    """From the state after 40 steps, the rest equals the whole."""
    x, A, B = problem(40 + steps, 3, 7)
    whole = loop(x, A, B)
    found = encode_long(x[40:], A, B, whole[39])
    assert_equal_but_for_rounding(found, whole[40:], terms=10, steps=CHUNK)


def test_encode_uses_it_for_one_long_sequence_only():
    x, A, B = problem(LEAST_STEPS, 2, 6)
    mean = torch.tensor([0.5, -0.25], dtype=torch.float64)
    assert is_preferred(LEAST_STEPS, 1, A, B)
    assert not is_preferred(LEAST_STEPS, 2, A, B)
    assert not is_preferred(LEAST_STEPS - 1, 1, A, B)
    expected = loop(x - mean, A, B)
    assert_equal_but_for_rounding(encode([x], A, B, mean)[0], expected, terms=8, steps=CHUNK)
    assert_equal_but_for_rounding(encode([x, x], A, B, mean)[1], expected, terms=8, steps=CHUNK)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("output", ["memory", "functional"])
@pytest.mark.parametrize(("sigma", "deep"), [("identity", False), ("tanh", False), ("relu", True)])
def test_an_lmn_that_reads_only_its_input_is_encoded_in_chunks(sigma, deep, output, bias):
    torch.manual_seed(0)
    lmn = LMN(2, (3, 4) if deep else 3, 16, nonlinearity=sigma, output=output, bias=bias, dtype=torch.float64)
    x, m_0 = torch.randn(LEAST_STEPS + 3, 1, 2, dtype=torch.float64), torch.randn(1, 1, 16, dtype=torch.float64)
    with torch.no_grad():
        lmn.weight_mh_l0.zero_()
        lmn.weight_mm_l0.add_(0.002 * torch.randn(16, 16, dtype=torch.float64))
        assert lmn.backend_for(x).backend == "parallel"
        found = lmn(x, m_0)
        lmn.backend = "fused"
        for one, other in zip(found, lmn(x, m_0), strict=True):
            torch.testing.assert_close(one, other)


def test_short_batched_or_trained_sequences_are_not_encoded_in_chunks():
    lmn = LMN(2, 3, 16)
    long, short, two = torch.zeros(LEAST_STEPS, 1, 2), torch.zeros(100, 1, 2), torch.zeros(LEAST_STEPS, 2, 2)
    with torch.no_grad():
        assert lmn.backend_for(long).backend == "fused"  # W_mh is not zero
        lmn.weight_mh_l0.zero_()
        assert lmn.backend_for(long).backend == "parallel"
        assert {lmn.backend_for(x).backend for x in (short, two)} == {"fused"}
        lmn = lmn.bfloat16()
        assert lmn.backend_for(long.bfloat16()).backend != "parallel"  # NumPy has no bfloat16
        assert lmn(long.bfloat16())[0].dtype == torch.bfloat16
    lmn = lmn.float()
    assert lmn.backend_for(long).backend == "fused"  # gradients are needed


@pytest.mark.parametrize("started", [True, False])
def test_solved_memories_encode_a_long_sequence_in_chunks(started):
    memory, draw = SolvedMemory(2, 12, memories=2).double(), torch.Generator().manual_seed(0)
    for index in range(2):
        _, A, B = problem(1, 2, 12)
        memory.set_memory(index, A + index, B * 0.9**index, torch.randn(2, generator=draw, dtype=torch.float64))
    x = torch.randn(1, LEAST_STEPS + 5, 2, generator=draw, dtype=torch.float64)
    state = torch.randn(1, 24, generator=draw, dtype=torch.float64) if started else None
    whole = memory(x, state)
    first, state = memory(x[:, :30], state)
    parts = [first]
    for part in x[:, 30:].split(1000, 1):  # short enough for the loop
        features, state = memory(part, state)
        parts.append(features)
    torch.testing.assert_close(whole[0], torch.cat(parts, 1))
    torch.testing.assert_close(whole[1], state)
