"""Forward and backward pass of the fused scan with a diagonal memory, over one chunk of steps.

A step takes two products, v_t = x̂_t + W_mh m_{t-1} and m_t = W_mm m_{t-1} + W_hm h_t + b_m, instead of the one larger
product of a dense memory: 2 f p multiplications instead of (p + f)². The classes have the methods of
:mod:`linmem.nn.scan.passes`. With δm_t the whole gradient of m_t and δv_t that of v_t:

    δv_t = (W_hmᵀ δm_t) σ'(v_t),   δm_{t-1} += W_mmᵀ δm_t + W_mhᵀ δv_t,
    ∂W_hm = Σ δm_t h_tᵀ; all others as in :mod:`linmem.nn.scan.gradient_sums`.

Symbols: v the value before σ, δ a gradient; f (f') units of the first (last) functional layer, p memory units.
"""

from __future__ import annotations

import torch
from torch import Tensor

from linmem.nn.scan.activations import activation
from linmem.nn.scan.batch import Weights
from linmem.nn.scan.chunks import StepRange
from linmem.nn.scan.gradient_sums import GradientSums
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
        linear, (own, other) = libraries.loop.linear, weights.mm.contiguous().chunk(2)
        deep = [linear(w, b, batch) for w, b in weights.deep]
        to_hidden, to_memory = linear(weights.mh, None, batch), linear(weights.hm, weights.bias_m, batch)
        self.step = DiagonalStep(to_hidden, to_memory, own, other, deep)

    def start(self, m: Tensor) -> Tensor:
        """The memory before the first step, as a new tensor."""
        return m.clone(memory_format=torch.contiguous_format)

    def run(self, chunk: StepRange, x: Tensor, after: Tensor, memory: Tensor, layers: list[Tensor]) -> None:
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
        linear, (own, other) = libraries.loop.linear, weights.mm.detach().contiguous().chunk(2)
        deep = [linear(w.t(), None, batch) for w, _ in weights.deep]
        transposed = linear(weights.hm.t(), None, batch), linear(weights.mh.t(), None, batch)
        self.step = DiagonalStep(*transposed, own, swap_pairs(other), deep)
        (p, last), zeros = weights.hm.shape, weights.xh.new_zeros
        self.next_delta = zeros(0, p)  # the gradient of the memory before the next chunk
        self.hm_grad, self.own_grad, self.other_grad = zeros(p, last), zeros(p), zeros(p)
        self.sums = GradientSums(weights, libraries)

    def run(
        self,
        chunk: StepRange,
        x: Tensor,
        before: Tensor,
        memory: Tensor,
        layers: list[Tensor],
        grad_memory: Tensor | None,
        grad_hidden: Tensor | None,
    ) -> Tensor:
        """Add this chunk to all sums, from its states and the gradients of its outputs; returns δv (length, f)."""
        dm = (
            torch.zeros_like(memory)
            if grad_memory is None
            else grad_memory.clone(memory_format=torch.contiguous_format)
        )
        dm[dm.shape[0] - chunk.sizes[-1] :][: self.next_delta.shape[0]] += self.next_delta
        deltas, delta_before = [self.slope(h) for h in layers], torch.zeros_like(memory[: chunk.sizes[0]])
        self.libraries.loop.backward_diagonal(chunk.sizes, delta_before, dm, deltas, grad_hidden, self.step)
        self.next_delta = delta_before
        m_before = chunk.memory_before(before, memory)
        self.hm_grad += self.libraries.product.product(dm.t(), layers[-1])
        self.own_grad += (dm * m_before).sum(0)
        self.other_grad += (dm * swap_pairs(m_before)).sum(0)
        self.sums.add(dm, deltas, x, m_before, layers)
        return deltas[0]

    def finish(self) -> tuple[Tensor, Weights]:
        """Gradients of m_0 and of all weights."""
        return self.next_delta, self.sums.finish(self.hm_grad, torch.cat([self.own_grad, self.other_grad]))
