"""Build Ξ and take its full singular value decomposition: small problems, and the oracle of the tests.

No Gram matrix, so singular values down to 1e-14 of the largest one are resolved. O(N L a min(N, L a)).
"""

import torch

from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.solvers.spectrum import Spectrum, fix_signs


def exact(history: HistoryOperator, size: int, generator: torch.Generator | None = None) -> Spectrum:
    """Return all directions of Ξ, by the dense decomposition; `size` and `generator` have no effect."""
    matrix = history.dense()
    if matrix.shape[0] > 2 * matrix.shape[1]:
        matrix = torch.linalg.qr(matrix, mode="r").R
    _, values, right = torch.linalg.svd(matrix, full_matrices=False)
    floor = values[:1] * max(history.rows, matrix.shape[1]) * torch.finfo(torch.float64).eps
    rank = int((values > floor).sum())
    vectors = right[:rank].T.reshape(history.lags, history.features, rank)
    return Spectrum(values[:rank], fix_signs(vectors), 0.0, True, True)
