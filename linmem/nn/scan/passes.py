"""Forward and backward pass of the fused scan over one chunk of steps; equations in :mod:`linmem.nn.scan.fused`.

Blocks are those of :mod:`linmem.nn.scan.chunks`.

Symbols: v the value before σ, δ a gradient, A the joined matrix; f (f') units of the first (last) functional layer,
p memory units.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from linmem.nn.scan import loops
from linmem.nn.scan.activations import activation
from linmem.nn.scan.batch import Weights
from linmem.nn.scan.chunks import StepRange
from linmem.nn.scan.gradient_sums import GradientSums
from linmem.nn.scan.libraries import Libraries
from linmem.nn.scan.packing import kept_rows


class Forward:
    """The forward pass, chunk by chunk; the backward pass repeats it where states were not stored."""

    def __init__(
        self, weights: Weights, nonlinearity: str, libraries: Libraries, batch: int, matrix: Tensor | None = None
    ) -> None:
        self.weights, self.nonlinearity, self.libraries, self.batch = weights, nonlinearity, libraries, batch
        if matrix is None:
            to_memory = torch.cat([weights.mm, weights.hm], 1)
            matrix = torch.cat([to_memory, libraries.product.product(weights.mh, to_memory)])
        self.matrix = matrix  # A, (p + f, p + f')

    @cached_property
    def joined(self) -> loops.Linear:
        """[m_{t-1}, h_t] to [m_t, v_{t+1} - x̂_{t+1}]."""
        weights = self.weights
        bias = None if weights.bias_m is None else torch.cat([weights.bias_m, weights.mh @ weights.bias_m])
        return self.libraries.loop.linear(self.matrix, bias, self.batch)

    @cached_property
    def deep(self) -> list[loops.Linear]:
        """The further functional layers, before σ."""
        return [self.libraries.loop.linear(w, b, self.batch) for w, b in self.weights.deep]

    def start(self, m: Tensor) -> Tensor:
        """[m_{t-1}, v_t - x̂_t] from m_{t-1}, (·, p + f)."""
        return torch.cat([m, m @ self.weights.mh.t()], 1)

    def run(self, chunk: StepRange, x: Tensor, after: Tensor, memory: Tensor, layers: list[Tensor]) -> None:
        """Fill m (length, p) and h of each functional layer from x.

        `after` is the result of `start` on entry, and that for the next chunk on exit.
        """
        weights, engine = self.weights, self.libraries.loop
        p, last, n = weights.mh.shape[1], weights.hm.shape[1], chunk.sizes[0]
        projected = self.libraries.product.product(x, weights.xh.t())
        if weights.bias_h is not None:
            projected += weights.bias_h
        blocks = x.new_empty(n + chunk.length, p + last)
        if weights.deep:
            layers[0].copy_(projected)
            first, *others = (engine.split(h, chunk.sizes) for h in layers)
            pieces = engine.split(blocks, (n, *chunk.sizes))
            deep = [loops.Deep(linear, None, steps) for linear, steps in zip(self.deep, others, strict=True)]
            blocks[:n, :p] = after[:n, :p]
            state = engine.array(after)
            loops.forward_deep(engine, self.nonlinearity, first, pieces, state, self.joined, deep, p)
        else:
            blocks[:n] = after[:n]
            engine.forward(self.nonlinearity, chunk.sizes, projected, blocks, self.joined, p)
            layers[0].copy_(chunk.kept(blocks)[:, p:])
            after[: chunk.sizes[-1]] = blocks[blocks.shape[0] - chunk.sizes[-1] :]
        memory.copy_(blocks[n:, :p])


class Backward:
    """The backward pass, chunk by chunk from the last; sums of the weight gradients.

    With the joined matrix they would be Σ [δm_t; δv_{t+1}] [m_{t-1}; h_t]ᵀ and three products of weights. With the
    whole gradient of m_t, D_t = δm_t + W_mhᵀ δv_{t+1}, they have the same size and need no products of weights, which
    are half of the work at (250, 500) and 200 rows.
    """

    def __init__(self, weights: Weights, nonlinearity: str, libraries: Libraries, matrix: Tensor, batch: int) -> None:
        self.weights, self.slope, self.libraries = weights, activation(nonlinearity).slope, libraries
        (f, p), last, new = weights.mh.shape, weights.hm.shape[1], matrix.new_empty
        self.joined = libraries.loop.linear(matrix.t(), None, batch)
        self.deep = [libraries.loop.linear(w.t(), None, batch) for w, _ in weights.deep]
        self.space = new(batch, p + last)
        self.spaces = [new(batch, w.shape[1]) for w, _ in weights.deep]
        self.first = new(0, p + f)  # the first block [δm_{t-1}, δv_t] of the next chunk
        self.memory_grad, self.sums = new(p, p + last).zero_(), GradientSums(weights, libraries)

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
        engine, product = self.libraries.loop, self.libraries.product.product
        (f, p), n = self.weights.mh.shape, chunk.sizes[0]
        blocks = x.new_empty(n + chunk.length, p + f)
        blocks[:n, :p] = 0.0
        blocks[n:, :p] = 0.0 if grad_memory is None else grad_memory
        end = blocks[blocks.shape[0] - chunk.sizes[-1] :]
        end[:, p:] = 0.0
        end[: self.first.shape[0]] += self.first
        if chunk.even:
            blocks[: chunk.length, p:] = self.slope(layers[0])
        else:
            blocks[: blocks.shape[0] - chunk.sizes[-1], p:] = 0.0
            blocks[kept_rows(chunk.sizes).to(x.device), p:] = self.slope(layers[0])
        deltas = [self.slope(h) for h in layers[1:]]
        deep = [
            loops.Deep(linear, engine.array(space), engine.split(delta, chunk.sizes))
            for linear, space, delta in zip(self.deep, self.spaces, deltas, strict=True)
        ]
        engine.backward(chunk.sizes, blocks, grad_hidden, self.joined, self.space, deep, p)
        self.first = blocks[:n]
        dv, m_before = chunk.kept(blocks)[:, p:].contiguous(), chunk.memory_before(before, memory)
        dm = product(blocks[n:, p:], self.weights.mh).add_(blocks[n:, :p])
        # of [W_mm, W_hm]: one product instead of two, because a product copies its operands
        self.memory_grad += product(dm.t(), torch.cat([m_before, layers[-1]], 1))
        self.sums.add(dm, [dv, *deltas], x, m_before, layers)
        return dv

    def finish(self) -> tuple[Tensor, Weights]:
        """Gradients of m_0 and of all weights."""
        f, p = self.weights.mh.shape
        first_m, first_v = self.first.split([p, f], 1)
        weights = self.sums.finish(self.memory_grad[:, p:], self.memory_grad[:, :p])
        return torch.addmm(first_m, first_v, self.weights.mh), weights
