"""A layer with diagonal memory takes over the function of a dense one."""

import pytest
import torch
from torch import nn

from linmem.autoencoder.estimator import LinearAutoencoder
from linmem.nn.approximate_eigenvectors import diagonalizable
from linmem.nn.diagonalize import diagonalize_, eigenbasis
from linmem.nn.initialize import from_autoencoder_
from linmem.nn.lmn import LMN
from linmem.nn.scan.memory import as_matrix, diagonal_blocks


def draw(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def with_eigenvalues(values, pairs=(), seed=0):
    """A matrix with real eigenvalues `values` and conjugate pairs a ± bi of `pairs`."""
    blocks = [torch.tensor([[v]]) for v in values] + [torch.tensor([[a, -b], [b, a]]) for a, b in pairs]
    block = torch.block_diag(*blocks).double()
    basis = draw(len(block), len(block), seed=seed) + 3 * torch.eye(len(block))
    return basis @ block @ torch.linalg.inv(basis)


@pytest.mark.parametrize(
    ("values", "pairs"),
    [
        ([0.5], []),
        ([-0.5], []),
        ([0.9, -0.8], []),
        ([0.9, 0.3], []),
        ([-0.9, -0.3], []),
        ([], [(0.3, 0.6)]),
        ([0.7, -0.2, 0.4], [(0.3, 0.6), (-0.5, 0.1)]),
        ([-0.7, 0.2, -0.4, -0.1], [(0.0, 0.9)]),
        ([0.7, 0.2, -0.4, -0.1], []),
        ([0.0, 0.6], [(0.3, 0.6)]),
    ],
    ids=str,
)
def test_every_kind_of_eigenvalue_is_represented(values, pairs):
    matrix = with_eigenvalues(values, pairs)
    found = eigenbasis(matrix)
    blocks = as_matrix(diagonal_blocks(found.log_decay, found.phase))
    torch.testing.assert_close(found.basis @ blocks @ torch.linalg.inv(found.basis), matrix, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("p", [5, 6])
@pytest.mark.parametrize("bias", [True, False])
def test_both_layers_compute_the_same_function(p, bias):
    torch.manual_seed(0)
    options = {"bias": bias, "dtype": torch.float64}
    dense, layer = (LMN(3, 4, p, memory=memory, **options) for memory in ("dense", "diagonal"))
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
        dense.weight_mm_l0.mul_(0.9 / max(dense.spectral_radii().values()))
    readout, x = nn.Linear(p, 2, dtype=torch.float64), draw(30, 4, 3)
    expected = readout(dense(x)[0])
    found = diagonalize_(layer, dense, readout)
    torch.testing.assert_close(layer(x)[0] @ found.basis.T, dense(x)[0])
    torch.testing.assert_close(readout(layer(x)[0]), expected)


@pytest.mark.parametrize("decay", [1.0, 0.8])
def test_a_memory_solved_by_an_autoencoder(decay):
    sequences = [draw(40, 3, seed=seed).cumsum(0) for seed in range(4)]
    autoencoder = LinearAutoencoder(8, lag_decay=decay).fit(sequences)
    dense, layer = (
        LMN(3, 8, 8, memory=memory, nonlinearity="identity", dtype=torch.float64) for memory in ("dense", "diagonal")
    )
    from_autoencoder_(dense, autoencoder)
    found = diagonalize_(layer, dense)
    states = layer(sequences[0])[0] @ found.basis.T
    expected = torch.as_tensor(autoencoder.encode(sequences[:1])[0])
    assert (states - expected).norm() <= 1e-13 * found.condition * expected.norm() * len(sequences[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("p", [2, 5, 50])
def test_a_delay_line_without_eigenvectors_is_approximated(p, dtype):
    """All eigenvalues of a delay line are 0; its entries are still there p steps later."""
    dense = LMN(p, p, p, nonlinearity="identity", dtype=torch.float64)
    layer = LMN(p, p, p, nonlinearity="identity", memory="diagonal", dtype=dtype)
    with torch.no_grad():
        for parameter in dense.parameters():
            parameter.zero_()
        dense.weight_xh_l0.copy_(torch.eye(p))
        dense.weight_hm_l0.copy_(torch.eye(p))
        dense.weight_mm_l0.copy_(torch.diag(torch.ones(p - 1), -1))
    with pytest.warns(UserWarning, match="condition number of the eigenvectors should be at most"):
        found = diagonalize_(layer, dense)
    x = draw(3 * p, 2, p)
    error = (layer(x.to(dtype))[0] @ found.basis.T.to(dtype) - dense(x)[0]).norm() / dense(x)[0].norm()
    rounding = torch.finfo(dtype).eps * found.condition
    assert error <= 4 * found.distance + rounding
    assert 0 < found.distance <= 0.01
    assert found.condition * found.distance < 1e3  # of order 1 / distance; infinite without the approximation


def test_the_distance_is_that_of_the_matrix_that_is_used_after_its_scaling_too():
    matrix = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)  # defective, on the unit circle
    with pytest.warns(UserWarning, match="relative distance"):
        found = diagonalizable(matrix, torch.float32)
    norm = torch.linalg.matrix_norm(matrix, 2)
    assert torch.linalg.eigvals(found.matrix).abs().max() <= 1 + 1e-12
    assert found.distance == pytest.approx(float(torch.linalg.matrix_norm(found.matrix - matrix, 2) / norm), rel=1e-6)


def test_well_conditioned_eigenvectors_are_used_as_they_are():
    matrix = with_eigenvalues([0.7, -0.2], [(0.3, 0.6)])
    assert eigenbasis(matrix, torch.float32).distance == 0
    assert torch.equal(eigenbasis(matrix, torch.float32).basis, eigenbasis(matrix).basis)


def test_an_ill_conditioned_basis_warns_in_float32():
    dense, layer = LMN(3, 4, 2), LMN(3, 4, 2, memory="diagonal")
    with torch.no_grad():
        dense.weight_mm_l0.copy_(torch.tensor([[0.5, 1.0], [0.0, 0.500001]]))
    with pytest.warns(
        UserWarning, match="should be at most 10000 in torch.float32, got 1\\.97e\\+06.* relative distance"
    ):
        diagonalize_(layer, dense)


def test_layers_that_do_not_match_are_rejected():
    dense, layer = LMN(3, 4, 5), LMN(3, 4, 5, memory="diagonal")
    with pytest.raises(ValueError, match="memory of this LMN must be 'diagonal'"):
        diagonalize_(dense, dense)
    with pytest.raises(ValueError, match=r"memory_size must be that of dense \(5\), got 6"):
        diagonalize_(LMN(3, 4, 6, memory="diagonal"), dense)
    with pytest.raises(ValueError, match="one layer, one direction"):
        diagonalize_(LMN(3, 4, 5, 2, memory="diagonal"), dense)
    with pytest.raises(ValueError, match="readout.in_features must be memory_size=5, got 4"):
        diagonalize_(layer, dense, nn.Linear(4, 2))
    with torch.no_grad():
        dense.weight_mm_l0.mul_(2)
    with pytest.raises(ValueError, match="spectral radius of matrix must be at most 1, got 1.98"):
        diagonalize_(layer, dense)
