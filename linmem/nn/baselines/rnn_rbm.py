"""RNN-RBM: a recurrent layer sets the biases of a restricted Boltzmann machine over the next frame.

    p(x_{t+1} | x_1 … x_t) = RBM(W, b_v + W_v r_t, b_h + W_h r_t),   r_t the layer's output at step t   [B12]

A sigmoid readout gives independent probabilities of the notes; an RBM also models which notes sound together. In the
paper the layer is an Elman network; here it may be any recurrent layer.

Symbols: B sequences, T steps, M frames, v notes (visible units), h hidden units of the RBM, r features of the layer.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from linmem.nn.baselines.rbm import (
    RBM,
    Estimate,
    annealed_log_partition,
    contrastive_divergence,
    free_energy,
    gibbs,
    gibbs_step,
    log_partition,
)


class RNNRBM(nn.Module):
    """Recurrent layer with an RBM over the next frame, called `outputs, state = model(x, state)`.

    The outputs of a step are the biases [b_v, b_h] of the machine over the next frame, (…, v + h). `loss`, `sample`,
    `marginals` and `log_likelihood` take them.

    Parameters
    ----------
    recurrent : Module
        Layer called as `r, state = recurrent(x, state)`; `torch.nn.RNN` in the paper.
    width : int
        r, the features of the layer's output.
    visible_size : int
        v.
    hidden_size : int
        h, the hidden units of the RBM.
    input_dropout, readout_dropout : float
        Probability of zeroing an input feature, and a feature of the layer's output, in training.
    cd_steps : int
        k of CD-k, the Gibbs steps of the training loss.

    Attributes
    ----------
    weight (h, v), biases : Linear r → v + h

    Examples
    --------
    >>> model = RNNRBM(nn.RNN(5, 8, batch_first=True), 8, visible_size=5, hidden_size=3)
    >>> outputs, state = model(torch.zeros(2, 10, 5))
    >>> outputs.shape
    torch.Size([2, 10, 8])
    """

    def __init__(
        self,
        recurrent: nn.Module,
        width: int,
        visible_size: int,
        hidden_size: int,
        input_dropout: float = 0.0,
        readout_dropout: float = 0.0,
        cd_steps: int = 15,
    ) -> None:
        super().__init__()
        if cd_steps < 1:
            raise ValueError(f"cd_steps must be at least 1, got {cd_steps}.")
        self.input_dropout, self.readout_dropout = nn.Dropout(input_dropout), nn.Dropout(readout_dropout)
        self.cd_steps = cd_steps
        like = next(recurrent.parameters())
        self.recurrent, self.visible_size, self.hidden_size = recurrent, visible_size, hidden_size
        self.biases = nn.Linear(width, visible_size + hidden_size, device=like.device, dtype=like.dtype)
        self.weight = nn.Parameter(like.new_empty(hidden_size, visible_size))
        nn.init.normal_(self.weight, std=1 / math.sqrt(visible_size + hidden_size))

    @property
    def output_size(self) -> int:
        """Features of each output step."""
        return self.visible_size + self.hidden_size

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Biases of the machine over the next frame, for every step of x, in the layout of the layer."""
        r, state = self.recurrent(self.input_dropout(x), state)
        return self.biases(self.readout_dropout(r)), state

    def machines(self, outputs: Tensor) -> RBM:
        """Machines of outputs (M, v + h)."""
        visible_bias, hidden_bias = outputs.split([self.visible_size, self.hidden_size], -1)
        return RBM(self.weight, visible_bias, hidden_bias)

    def loss(
        self, outputs: Tensor, targets: Tensor, steps: int | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """CD-k surrogate, summed over M frames, of outputs (M, v + h) and target frames (M, v); k is `cd_steps`."""
        steps = self.cd_steps if steps is None else steps
        return contrastive_divergence(self.machines(outputs), targets, steps, generator)

    @torch.no_grad()
    def sample(
        self, outputs: Tensor, steps: int = 25, generator: torch.Generator | None = None, start: Tensor | None = None
    ) -> Tensor:
        """Sample frames (M, v) for outputs (M, v + h) by Gibbs steps from `start`, zeros by default."""
        rbm = self.machines(outputs)
        return gibbs(rbm, torch.zeros_like(rbm.visible_bias) if start is None else start, steps, generator)

    @torch.no_grad()
    def marginals(self, outputs: Tensor, steps: int = 25, generator: torch.Generator | None = None) -> Tensor:
        """Probability of each note (M, v) for outputs (M, v + h): its mean over the second half of a Gibbs chain."""
        rbm, total = self.machines(outputs), torch.zeros_like(outputs[:, : self.visible_size])
        visible = self.sample(outputs, steps - steps // 2, generator)
        for _ in range(max(steps // 2, 1)):
            visible, probability = gibbs_step(rbm, visible, generator)
            total += probability
        return total / max(steps // 2, 1)

    @torch.no_grad()
    def log_likelihood(
        self,
        outputs: Tensor,
        targets: Tensor,
        *,
        chains: int = 100,
        temperatures: int = 1000,
        generator: torch.Generator | None = None,
    ) -> Estimate:
        """Log-likelihood in nats of frames (M, v) under outputs (M, v + h), by annealed importance sampling.

        `chains=0` computes it exactly by enumeration, for an RBM with at most 20 units on its smaller side.
        """
        rbm = self.machines(outputs)
        if chains == 0:
            exact = log_partition(rbm)
            return Estimate(-free_energy(rbm, targets) - exact, torch.zeros_like(exact))
        log_z = annealed_log_partition(rbm, chains=chains, temperatures=temperatures, generator=generator)
        return Estimate(-free_energy(rbm, targets) - log_z.value, log_z.error)

    @torch.no_grad()
    def generate(self, prompt: Tensor, length: int, *, steps: int = 25, seed: int = 0) -> Tensor:
        """Continue a prompt (T, v), T ≥ 1, by `length` frames, each by `steps` Gibbs steps from the previous one."""
        if len(prompt) == 0 or length < 1:
            raise ValueError(
                f"prompt must have at least 1 frame and length must be at least 1, got {len(prompt)} and {length}."
            )
        generator = torch.Generator(prompt.device).manual_seed(seed)
        outputs, state = self(prompt)
        frames = [prompt[-1:]]
        for _ in range(length):
            frames.append(self.sample(outputs[-1:], steps, generator, frames[-1]))
            outputs, state = self(frames[-1], state)
        return torch.cat(frames[1:])
