"""The oracle: build Ξ and take its full singular value decomposition.

No Gram matrix, so singular values down to 1e-14 of the largest one are told apart. O(N L a min(N, L a)).
"""

import torch

from linmem.autoencoder.history.in_memory import Gram
from linmem.autoencoder.solvers.spectrum import Spectrum, fix_signs


def exact(history: Gram, size: int, generator: torch.Generator | None = None) -> Spectrum:
    """Return all directions of Ξ, by the dense decomposition; `size` and `generator` do not matter here."""
    dense = getattr(history, "dense", None)
    if dense is None:
        raise ValueError("solver='exact' builds the history matrix and needs all sequences in memory: use 'randomized'")
    matrix = dense()
    if matrix.shape[0] > 2 * matrix.shape[1]:
        matrix = torch.linalg.qr(matrix, mode="r").R
    _, values, right = torch.linalg.svd(matrix, full_matrices=False)
    floor = values[:1] * max(history.rows, matrix.shape[1]) * torch.finfo(torch.float64).eps
    rank = int((values > floor).sum())
    vectors = right[:rank].T.reshape(history.lags, history.features, rank)
    return Spectrum(values[:rank], fix_signs(vectors), 0.0, True, True)
