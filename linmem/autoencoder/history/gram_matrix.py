"""ΞᵀΞ as a whole, in one pass: one correlation of the data with themselves, then a recursion over lags.

Without lag weights, (ΞᵀΞ)_{ij} = Σ_t x_{t-i} x_{t-j}ᵀ over all steps t of a sequence, and one lag more on both sides
leaves out only the terms in which the sequence's last steps meet:

    (ΞᵀΞ)_{i+1,j+1} = (ΞᵀΞ)_{ij} − E_{ij},   E_{ij} = Σ w_i w_jᵀ over sequences,   w_e = x_{T-e}.

So the matrix is block Toeplitz up to E. Its first block row R_j = Σ_t x_t x_{t-j}ᵀ costs N a² multiplications by
Fourier transforms of pieces of a few times L steps, for any lengths of the sequences, and E costs n (L·a)². Where
L is the longest length, the recursion runs backward from zero and R is not needed. Lag weights scale the result.

Symbols: n sequences, T steps, a features, L lags. Sperduti 2013 for Ξ; the recursion is that of the covariance method
of linear prediction.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from linmem.autoencoder.history import fourier
from linmem.autoencoder.history.operator import lag_weights

CHUNK_NUMBERS = 4_000_000  # numbers held at once beside the result: 32 MB
PIECE = 8  # a transform of 8 L steps spends one eighth of its length on the overlap of pieces


def gram_matrix(sequences: Sequence[Tensor], lags: int, longest: int) -> Tensor:
    """Return ΞᵀΞ without lag weights, (L·a, L·a) float64, of (T_i, a) float64 sequences."""
    L, a = lags, sequences[0].shape[1]
    out = edge_matrix(sequences, L)
    if longest <= L:
        for i in range(L - 2, -1, -1):  # from the oldest lag to the newest
            out[i * a : (i + 1) * a, : (L - 1) * a] += out[(i + 1) * a : (i + 2) * a, a:]
        return out
    first = lag_correlations(sequences, L).transpose(0, 1).flatten(1)  # (a, L·a): R_0, R_1, …
    edge, out[:a] = out[:a].clone(), first
    for i in range(1, L):
        rows = out[i * a : (i + 1) * a]
        following = rows.clone()
        rows[:, a:] = out[(i - 1) * a : i * a, :-a] - edge[:, :-a]
        rows[:, :a] = first[:, i * a : (i + 1) * a].T
        edge = following
    return out


def edge_matrix(sequences: Sequence[Tensor], lags: int) -> Tensor:
    """E, (L·a, L·a): products of each sequence's last L steps, counted from its end."""
    a = sequences[0].shape[1]
    out = torch.zeros(lags * a, lags * a, dtype=torch.float64, device=sequences[0].device)
    count = max(1, CHUNK_NUMBERS // (lags * a))
    for start in range(0, len(sequences), count):
        chunk = sequences[start : start + count]
        w = out.new_zeros(len(chunk), lags, a)
        for row, values in enumerate(chunk):
            newest = values.flip(0)[:lags]
            w[row, : len(newest)] = newest
        out.addmm_(w.flatten(1).T, w.flatten(1))
    return out


def lag_correlations(sequences: Sequence[Tensor], lags: int) -> Tensor:
    """R, (L, a, a) with R_j = Σ_t x_t x_{t-j}ᵀ, by Fourier transforms of overlapping pieces."""
    a = sequences[0].shape[1]
    size = fourier.fast_length(PIECE * lags, lags)
    total: Tensor | None = None
    for windows in _windows(sequences, lags, size):
        past = fourier.forward(windows, size)
        windows[: lags - 1] = 0
        part = fourier.cross_spectrum(fourier.forward(windows, size), past)
        total = part if total is None else total.add_(part)
    assert total is not None
    return fourier.backward(total, size, lags).view(lags, a, a)


def _windows(sequences: Sequence[Tensor], lags: int, size: int) -> Iterator[Tensor]:
    """Yield batches (n, B, a) of pieces, each with the L − 1 steps before it; L − 1 zeros part the sequences."""
    step, a = size - lags + 1, sequences[0].shape[1]
    count = max(1, CHUNK_NUMBERS // (size * a))
    held: list[Tensor] = [sequences[0].new_zeros(lags - 1, a)]
    length = lags - 1
    for values in sequences:
        held += [values, values.new_zeros(lags - 1, a)]
        length += len(values) + lags - 1
        if length >= count * step + lags - 1:
            stream = torch.cat(held)
            whole = (length - lags + 1) // step
            for start in range(0, whole, count):
                pieces = min(count, whole - start)
                part = stream[start * step : (start + pieces) * step + lags - 1]
                yield part.unfold(0, size, step).permute(2, 0, 1).contiguous()
            held = [stream[whole * step :]]
            length = len(held[0])
    rest = -(-(length - lags + 1) // step)
    if rest:
        held.append(held[0].new_zeros(rest * step + lags - 1 - length, a))
        yield torch.cat(held).unfold(0, size, step).permute(2, 0, 1).contiguous()


def weight_lags_(gram: Tensor, lags: int, decay: float) -> Tensor:
    """Scale block (i, j) by γ^(i+j), in place."""
    if decay != 1:
        weights = lag_weights(lags, decay, gram.device).repeat_interleave(len(gram) // lags)
        gram.mul_(weights).mul_(weights[:, None])
    return gram
