"""Sums of the weight gradients over chunks, for dense and for diagonal memories.

    ∂W_xh = Σ δv_t x_tᵀ,   ∂W_mh = Σ δv_t m_{t-1}ᵀ,   ∂b_h = Σ δv_t,   ∂b_m = Σ δm_t

Symbols: v the value before σ, δ a gradient; a inputs, f units of the first functional layer, p memory units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from linmem.nn.scan.batch import Weights
from linmem.nn.scan.libraries import Libraries


class GradientSums:
    """Gradients of all weights except W_hm and W_mm, which depend on the kind of memory."""

    def __init__(self, weights: Weights, libraries: Libraries) -> None:
        (f, p), zeros = weights.mh.shape, weights.xh.new_zeros
        self.weights, self.product = weights, libraries.product.product
        self.first = zeros(f, p + weights.xh.shape[1])  # of [W_mh, W_xh]: one product instead of two
        self.bias_m, self.bias_h = zeros(p), zeros(f)
        self.deep = [(torch.zeros_like(w), w.new_zeros(w.shape[0])) for w, _ in weights.deep]

    def add(self, dm: Tensor, deltas: list[Tensor], x: Tensor, m_before: Tensor, layers: list[Tensor]) -> None:
        """Add a chunk: δm (length, p), δ before σ of each functional layer, and what the layers read."""
        self.first += self.product(deltas[0].t(), torch.cat([m_before, x], 1))
        self.bias_m += dm.sum(0)
        self.bias_h += deltas[0].sum(0)
        for (weight, bias), delta, below in zip(self.deep, deltas[1:], layers[:-1], strict=True):
            weight += self.product(delta.t(), below)
            bias += delta.sum(0)

    def finish(self, hm: Tensor, mm: Tensor) -> Weights:
        """Gradients of all weights, with those of W_hm and W_mm; None for a bias that the layer does not have."""
        weights, p = self.weights, self.weights.mh.shape[1]
        deep = tuple(
            (gradient, None if bias is None else of_bias)
            for (gradient, of_bias), (_, bias) in zip(self.deep, weights.deep, strict=True)
        )
        return Weights(
            xh=self.first[:, p:],
            mh=self.first[:, :p],
            hm=hm,
            mm=mm,
            bias_h=None if weights.bias_h is None else self.bias_h,
            bias_m=None if weights.bias_m is None else self.bias_m,
            deep=deep,
        )
