"""The papers' approximate solution: column blocks of Ξ from the oldest lag to the newest.

After each block of lags, the singular value decomposition of [block, V S] is cut to p + spare directions and only V S
is kept, so that at most N × (w·a + p + spare) numbers are held. Every component is kept, the product that is
decomposed is accumulated in float64, and the right vectors come at the end from one product Ξᵀ V with Rayleigh–Ritz
on what it spans. JSB, p = 100: the energy then lacks 7e-4 of the bound, with 32 spare directions 3e-4.

O(N (w·a + p)²) per block, L / w blocks. Symbols: N steps, a features, L lags, w lags per slice. [P14], sec. 3.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from linmem.autoencoder.history.operator import HistoryOperator
from linmem.autoencoder.solvers.spectrum import Spectrum, fix_signs


@dataclass(frozen=True)
class Slices:
    """Slice solver.

    Parameters
    ----------
    lags : int
        w, lags in one column block.
    spare : int
        Directions carried beyond the requested ones.
    """

    lags: int = 10
    spare: int = 32

    def __call__(self, history: HistoryOperator, size: int, generator: torch.Generator | None = None) -> Spectrum:
        """Return up to `size` directions; `residual` is the energy cut off on the way, a bound on what is missing."""
        if history.decay != 1:
            raise ValueError(
                f"lag_decay must be 1 for solver='slices', got {history.decay}. Use solver='auto' for lag decay."
            )
        states = torch.zeros(history.rows, 0, dtype=torch.float64, device=history.device)  # V S
        cut = 0.0
        for stop in range(history.lags, 0, -self.lags):
            states, lost = compress(history.columns(max(0, stop - self.lags), stop), states, size + self.spare)
            cut += lost
        return self._finish(history, states, size, cut)

    def _finish(self, history: HistoryOperator, states: Tensor, size: int, cut: float) -> Spectrum:
        block = history.rematvec(states)
        basis = torch.linalg.qr(block.flatten(0, 1)).Q
        image = history.matvec(basis.view(history.lags, history.features, -1))
        _, values, rotation = torch.linalg.svd(image, full_matrices=False)
        floor = values[:1] * max(basis.shape) * torch.finfo(torch.float64).eps
        kept = min(int((values > floor).sum()), size)
        vectors = (basis @ rotation[:kept].T).view(history.lags, history.features, kept)
        missing = cut / history.energy if history.energy > 0 else 0.0
        return Spectrum(values[:kept], fix_signs(vectors), missing, True, kept < size)


def compress(columns: Tensor, states: Tensor, size: int) -> tuple[Tensor, float]:
    """Return V S of [columns, V S], at most `size` columns of it, and the energy cut off."""
    together = torch.cat([columns, states], 1)
    values, rotation = torch.linalg.eigh(together.T @ together)
    kept = min(size, len(values))
    return together @ rotation[:, -kept:], float(values[:-kept].clamp_min(0).sum()) if kept < len(values) else 0.0
