"""The forward and the backward pass of the fused scan over one chunk of steps; equations in :mod:`linmem.scan.fused`.

Blocks are those of :mod:`linmem.scan.chunks`.

Letters: v the value before σ, δ a gradient, A the joined matrix; f (f') units of the first (last) functional layer,
p memory units.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from linmem.scan import loops
from linmem.scan.activations import activation
from linmem.scan.choice import Choice
from linmem.scan.chunks import Chunk
from linmem.scan.packing import kept_rows
from linmem.scan.signature import Weights


class Forward:
    """The forward pass, chunk by chunk; the backward pass runs it again where states were not kept."""

    def __init__(self, weights: Weights, nonlinearity: str, choice: Choice, batch: int) -> None:
        self.weights, self.nonlinearity, self.choice = weights, nonlinearity, choice
        to_memory = torch.cat([weights.mm, weights.hm], 1)
        self.matrix = torch.cat([to_memory, choice.product.product(weights.mh, to_memory)])  # A, (p + f, p + f')
        self.batch = batch

    @cached_property
    def joined(self) -> loops.Linear:
        """[m_{t-1}, h_t] to [m_t, v_{t+1} - x̂_{t+1}]."""
        weights = self.weights
        bias = None if weights.bias_m is None else torch.cat([weights.bias_m, weights.mh @ weights.bias_m])
        return self.choice.loop.linear(self.matrix, bias, self.batch)

    @cached_property
    def deep(self) -> list[loops.Linear]:
        """The further functional layers, before σ."""
        return [self.choice.loop.linear(w, b, self.batch) for w, b in self.weights.deep]

    def start(self, m: Tensor) -> Tensor:
        """[m_{t-1}, v_t - x̂_t] from m_{t-1}, (·, p + f)."""
        return torch.cat([m, m @ self.weights.mh.t()], 1)

    def run(self, chunk: Chunk, x: Tensor, after: Tensor, memory: Tensor, layers: list[Tensor]) -> None:
        """Fill m (length, p) and h of each functional layer from x; `after` is `start`'s, and then the next chunk's."""
        weights, engine = self.weights, self.choice.loop
        p, last, n = weights.mh.shape[1], weights.hm.shape[1], chunk.sizes[0]
        projected = self.choice.product.product(x, weights.xh.t())
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
    """The backward pass, chunk by chunk from the last; sums of the weight gradients."""

    def __init__(self, weights: Weights, nonlinearity: str, choice: Choice, matrix: Tensor, batch: int) -> None:
        self.weights, self.slope, self.choice, self.matrix = weights, activation(nonlinearity).slope, choice, matrix
        (f, p), last, new = weights.mh.shape, weights.hm.shape[1], matrix.new_empty
        self.joined = choice.loop.linear(matrix.t(), None, batch)
        self.deep = [choice.loop.linear(w.t(), None, batch) for w, _ in weights.deep]
        self.space = new(batch, p + last)
        self.spaces = [new(batch, w.shape[1]) for w, _ in weights.deep]
        self.first = new(0, p + f)  # the first block [δm_{t-1}, δv_t] of the chunk after
        self.joined_grad, self.through_joined = torch.zeros_like(matrix), matrix.new_zeros(p + f)
        self.xh_grad, self.bias_h_grad = torch.zeros_like(weights.xh), matrix.new_zeros(f)
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
        """Add this chunk's part to all sums, from its states and the gradients of its outputs; gives δv (length, f)."""
        engine, product = self.choice.loop, self.choice.product.product
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
        dv = chunk.kept(blocks)[:, p:]
        self.first = blocks[:n]
        self.joined_grad += product(blocks[n:].t(), chunk.states(before, memory, layers[-1]))
        self.through_joined += blocks[n:].sum(0)
        self.xh_grad += product(dv.t(), x)
        self.bias_h_grad += dv.sum(0)
        for (weight_grad, bias_grad), delta, below in zip(self.deep_grads, deltas, layers[:-1], strict=True):
            weight_grad += product(delta.t(), below)
            bias_grad += delta.sum(0)
        return dv

    def finish(self, m_0: Tensor) -> tuple[Tensor, Weights]:
        """Gradients of m_0 and of all weights."""
        weights, (f, p) = self.weights, self.weights.mh.shape
        through_m, through_v = self.through_joined.split([p, f])
        first_m, first_v = self.first.split([p, f], 1)
        mh = self.choice.product.product(self.joined_grad[p:], self.matrix[:p].t()).addmm_(first_v.t(), m_0)
        if weights.bias_m is not None:
            mh.addr_(through_v, weights.bias_m)
        memory = self.joined_grad[:p].addmm_(weights.mh.t(), self.joined_grad[p:])
        deep = tuple(
            (weight, None if bias is None else bias_grad)
            for (weight, bias_grad), (_, bias) in zip(self.deep_grads, weights.deep, strict=True)
        )
        return torch.addmm(first_m, first_v, weights.mh), Weights(
            xh=self.xh_grad,
            mh=mh,
            hm=memory[:, p:],
            mm=memory[:, :p],
            bias_h=None if weights.bias_h is None else self.bias_h_grad,
            bias_m=None if weights.bias_m is None else through_m + through_v @ weights.mh,
            deep=deep,
        )
