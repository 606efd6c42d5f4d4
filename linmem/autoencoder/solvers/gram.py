"""Many short sequences: ΞᵀΞ as a whole, from one product of all sequences, laid end to end, with themselves.

Count each sequence's steps from its last one back, w_e = x_{T−e}, and zero beyond its start. Then lag i of the row that
lies s steps before the end is w_{s+i}, so

    (ΞᵀΞ)_{ij} = Σ_s Σ w_{s+i} w_{s+j}ᵀ = C_{ij} + (ΞᵀΞ)_{i+1,j+1}   with   C = Σ w wᵀ over sequences

and Ξ, T times as large as the data, is never built. One matrix product of n (L·a)² multiplications and one
eigendecomposition of L·a columns, whatever p is. As in the matrix-free solver, the spectrum comes squared: σ below 3e-7
of the largest one is rounding. The history keeps ΞᵀΞ for decoders.

Letters: n sequences, T steps, a features, L lags. Sperduti 2013 for Ξ; the recursion is that of covariance-method
linear prediction.
"""

import torch
from torch import Tensor

from linmem.autoencoder.history.in_memory import Gram, History
from linmem.autoencoder.solvers.block_krylov import NEGLIGIBLE
from linmem.autoencoder.solvers.spectrum import Spectrum, fix_signs

CHUNK_NUMBERS = 4_000_000  # of the sequences laid side by side: 32 MB


def correlated(history: Gram, size: int, generator: torch.Generator | None = None) -> Spectrum:
    """Return all directions of Ξ that can be told from zero; `size` and `generator` do not matter here."""
    if not isinstance(history, History):
        raise ValueError("solver='correlated' needs all sequences in memory: use 'randomized'")
    history.whole = gram(history)
    values, vectors = torch.linalg.eigh(history.whole)
    values, vectors = values.flip(0).clamp_min(0), vectors.flip(1)
    rank = int((values > NEGLIGIBLE * values[:1]).sum())
    right = vectors[:, :rank].reshape(history.lags, history.features, rank)
    return Spectrum(values[:rank].sqrt(), fix_signs(right), 0.0, True, True)


def gram(history: History) -> Tensor:
    """ΞᵀΞ, (L·a, L·a) float64."""
    L, a = history.lags, history.features
    out = torch.zeros(L * a, L * a, dtype=torch.float64, device=history.device)
    count = max(1, CHUNK_NUMBERS // (L * a))
    for start in range(0, len(history.sequences), count):
        chunk = range(start, min(start + count, len(history.sequences)))
        w = out.new_zeros(len(chunk), L, a)
        for row, index in enumerate(chunk):
            w[row, : history.lengths[index]] = history.sequence(index).flip(0)
        out.addmm_(w.flatten(1).T, w.flatten(1))
    for i in range(L - 2, -1, -1):  # from the oldest lag to the newest
        out[i * a : (i + 1) * a, : (L - 1) * a] += out[(i + 1) * a : (i + 2) * a, a:]
    return out
