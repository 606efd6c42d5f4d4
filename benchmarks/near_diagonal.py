"""States of a diagonal memory in float32 against those of the dense matrix in float64: ill-conditioned eigenvectors.

For each matrix: the condition of its eigenvectors, the distance of the matrix that `linmem.nn.diagonalize.eigenbasis`
uses instead, its condition, and the relative error of the states m_t = W m_{t-1} + x_t over 100 steps of noise: of the
eigenvectors as they are, of the near matrix, and of the diagonal blocks of a real Schur form (couplings dropped).

    python benchmarks/near_diagonal.py
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import numpy as np
import scipy.linalg
import torch
from torch import Tensor

from linmem.nn.diagonalize import EigenBasis, eigenbasis
from linmem.nn.scan.memory import diagonal_blocks, multiply
from linmem.reporting import tables

STEPS, SIZES = 100, (10, 50, 100, 250)


def draw(*shape: int) -> Tensor:
    """Gaussian numbers from a fixed seed."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def matrices() -> Iterator[tuple[str, Tensor]]:
    """Matrices by name, with a spectral radius of at most 1."""
    for p in SIZES:
        shift = torch.diag(torch.ones(p - 1, dtype=torch.float64), -1)
        random, triangular = draw(p, p), draw(p, p).triu()
        yield f"delay line, {p}", shift
        yield f"0.9 I + 0.1 shift, {p}", 0.9 * torch.eye(p, dtype=torch.float64) + 0.1 * shift
        yield f"random, {p}", 0.99 * random / torch.linalg.eigvals(random).abs().max()
        yield f"random triangular, {p}", 0.99 * triangular / triangular.diagonal().abs().max()


def states(matrix: Tensor, x: Tensor) -> Tensor:
    """m_t of the dense matrix, (T, p)."""
    m, found = torch.zeros_like(x[0]), []
    for x_t in x:
        m = matrix @ m + x_t
        found.append(m)
    return torch.stack(found)


def diagonal_states(found: EigenBasis, x: Tensor) -> Tensor:
    """m_t of the diagonal memory in float32, in the basis of the dense one."""
    blocks = diagonal_blocks(found.log_decay, found.phase).float()
    written = torch.linalg.lstsq(found.basis, x.T).solution.T.float()
    m, kept = torch.zeros_like(written[0]), []
    for x_t in written:
        m = multiply(m, blocks) + x_t
        kept.append(m)
    return torch.stack(kept) @ found.basis.T.float()


def schur_states(matrix: Tensor, x: Tensor) -> Tensor:
    """m_t of the diagonal blocks of a real Schur form."""
    form, basis = scipy.linalg.schur(matrix.numpy(), output="real")
    blocks = np.diag(np.diag(form))
    for i in np.flatnonzero(np.diag(form, -1)):
        blocks[i : i + 2, i : i + 2] = form[i : i + 2, i : i + 2]
    return states(torch.from_numpy(basis @ blocks @ basis.T), x)


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    rows = []
    for name, matrix in matrices():
        x = draw(STEPS, len(matrix))
        expected = states(matrix, x)
        near = eigenbasis(matrix, torch.float32)

        def error(found: Tensor, expected: Tensor = expected) -> str:
            ratio = float((found - expected).norm() / expected.norm())
            return f"{ratio:.1e}" if np.isfinite(ratio) else "not finite"

        vectors = torch.linalg.eig(matrix)[1]
        singular = torch.linalg.svdvals(vectors)
        rows.append(
            {
                "matrix": name,
                "condition": f"{float(singular[0] / singular[-1]):.1e}" if singular[-1] > 0 else "infinite",
                "distance": f"{near.distance:.0e}",
                "its condition": f"{near.condition:.1e}",
                "error": error(diagonal_states(near, x)),
                "error, Schur": error(schur_states(matrix, x)),
            }
        )
    print(f"torch {torch.__version__}, T = {STEPS}\n")
    print(tables.markdown(rows, {}))


if __name__ == "__main__":
    main()
