"""Forward and backward pass of the fused scan with a diagonal memory, over one chunk of steps.

A step takes two products, v_t = x̂_t + W_mh m_{t-1} and m_t = W_mm m_{t-1} + W_hm h_t + b_m, instead of the one larger
product of a dense memory: 2 f p multiplications instead of (p + f)². The classes have the methods of
:mod:`linmem.nn.scan.passes`. With δm_t the whole gradient of m_t and δv_t that of v_t:

    δv_t = (W_hmᵀ δm_t) σ'(v_t),   δm_{t-1} += W_mmᵀ δm_t + W_mhᵀ δv_t,
    ∂W_hm = Σ δm_t h_tᵀ,   ∂W_mh = Σ δv_t m_{t-1}ᵀ,   ∂W_xh = Σ δv_t x_tᵀ.

Symbols: v the value before σ, δ a gradient; f (f') units of the first (last) functional layer, p memory units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from linmem.nn.scan.activations import activation
from linmem.nn.scan.batch import Weights
from linmem.nn.scan.chunks import Chunk
from linmem.nn.scan.libraries import Libraries
from linmem.nn.scan.loops import DiagonalStep
from linmem.nn.scan.memory import swap_pairs


class DiagonalForward:
    """The forward pass, chunk by chunk; the backward pass repeats it where states were not stored."""

    def __init__(
        self, weights: Weights, nonlinearity: str, libraries: Libraries, batch: int, matrix: Tensor | None = None
    ) -> None:
        self.weights, self.nonlinearity, self.libraries = weights, nonlinearity, libraries
        self.matrix = weights.mm  # stored for the backward pass, like the joined matrix of a dense memory
        linear, (own, other) = libraries.loop.linear, weights.mm.chunk(2)
        deep = [linear(w, b, batch) for w, b in weights.deep]
        to_hidden, to_memory = linear(weights.mh, None, batch), linear(weights.hm, weights.bias_m, batch)
        self.step = DiagonalStep(to_hidden, to_memory, own, other, deep)

    def start(self, m: Tensor) -> Tensor:
        """The memory before the first step, as a new tensor."""
        return m.clone(memory_format=torch.contiguous_format)

    def run(self, chunk: Chunk, x: Tensor, after: Tensor, memory: Tensor, layers: list[Tensor]) -> None:
        """Fill m (length, p) and h of each functional layer from x.

        `after` is the memory before the chunk on entry, and that before the next chunk on exit.
        """
        weights = self.weights
        layers[0].copy_(self.libraries.product.product(x, weights.xh.t()))
        if weights.bias_h is not None:
            layers[0].add_(weights.bias_h)
        before = after[: chunk.sizes[0]]
        self.libraries.loop.forward_diagonal(self.nonlinearity, chunk.sizes, before, memory, layers, self.step)
        after[: chunk.sizes[-1]] = memory[memory.shape[0] - chunk.sizes[-1] :]


class DiagonalBackward:
    """The backward pass, chunk by chunk from the last; sums of the weight gradients."""

    def __init__(self, weights: Weights, nonlinearity: str, libraries: Libraries, matrix: Tensor, batch: int) -> None:
        self.weights, self.slope, self.libraries = weights, activation(nonlinearity).slope, libraries
        linear, (own, other) = libraries.loop.linear, weights.mm.detach().chunk(2)
        deep = [linear(w.t(), None, batch) for w, _ in weights.deep]
        transposed = linear(weights.hm.t(), None, batch), linear(weights.mh.t(), None, batch)
        self.step = DiagonalStep(*transposed, own, swap_pairs(other), deep)
        (f, p), last, zeros = weights.mh.shape, weights.hm.shape[1], weights.xh.new_zeros
        self.next_delta = zeros(0, p)  # the gradient of the memory before the next chunk
        self.hm_grad, self.first_grad = zeros(p, last), zeros(f, p + weights.xh.shape[1])
        self.own_grad, self.other_grad, self.bias_m_grad, self.bias_h_grad = zeros(p), zeros(p), zeros(p), zeros(f)
        self.deep_grads = [(torch.zeros_like(w), w.new_zeros(w.shape[0])) for w, _ in weights.deep]

    def run(
        self,
        chunk: Chunk,
        x: Tensor,
        before: Tensor,
        memory: Tensor,
        layers: list[Tensor],
        grad_memory: Tensor | None,
        grad_hidden: Tensor | None,
    ) -> Tensor:
        """Add this chunk to all sums, from its states and the gradients of its outputs; returns δv (length, f)."""
        dm = torch.zeros_like(memory) if grad_memory is None else grad_memory.clone()
        dm[dm.shape[0] - chunk.sizes[-1] :][: self.next_delta.shape[0]] += self.next_delta
        deltas, delta_before = [self.slope(h) for h in layers], torch.zeros_like(memory[: chunk.sizes[0]])
        self.libraries.loop.backward_diagonal(chunk.sizes, delta_before, dm, deltas, grad_hidden, self.step)
        self.next_delta = delta_before
        product, m_before, dv = self.libraries.product.product, chunk.memory_before(before, memory), deltas[0]
        self.hm_grad += product(dm.t(), layers[-1])
        self.first_grad += product(dv.t(), torch.cat([m_before, x], 1))
        self.own_grad += (dm * m_before).sum(0)
        self.other_grad += (dm * swap_pairs(m_before)).sum(0)
        self.bias_m_grad += dm.sum(0)
        self.bias_h_grad += dv.sum(0)
        for (weight_grad, bias_grad), delta, below in zip(self.deep_grads, deltas[1:], layers[:-1], strict=True):
            weight_grad += product(delta.t(), below)
            bias_grad += delta.sum(0)
        return dv

    def finish(self) -> tuple[Tensor, Weights]:
        """Gradients of m_0 and of all weights."""
        weights, p = self.weights, self.weights.mh.shape[1]
        deep = tuple(
            (weight, None if bias is None else bias_grad)
            for (weight, bias_grad), (_, bias) in zip(self.deep_grads, weights.deep, strict=True)
        )
        return self.next_delta, Weights(
            xh=self.first_grad[:, p:],
            mh=self.first_grad[:, :p],
            hm=self.hm_grad,
            mm=torch.cat([self.own_grad, self.other_grad]),
            bias_h=None if weights.bias_h is None else self.bias_h_grad,
            bias_m=None if weights.bias_m is None else self.bias_m_grad,
            deep=deep,
        )
