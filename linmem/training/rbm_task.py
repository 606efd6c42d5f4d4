"""Next-frame prediction by an RNN-RBM: the same question as `NextFrame`, answered by a joint distribution over notes.

Training follows contrastive divergence. The likelihood is estimated by annealed importance sampling, accuracy at a
threshold from the notes' marginals, and expected accuracy from frames that are drawn whole [B12].

Letters: M frames, v notes.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from linmem.nn.baselines import RNNRBM
from linmem.training.metrics import FrameCounts, count_frames
from linmem.training.tasks import NextFrame


class NextFrameRBM(NextFrame):
    """Predict each frame of a piano roll from all before it, the notes of a frame together.

    Parameters
    ----------
    model : RNNRBM
        The model that is trained: its weight matrix is not in its outputs. So train without a running average.
    steps : int
        k of CD-k.
    gibbs_steps : int
        Gibbs steps for marginals and samples.
    chains, temperatures : int
        Of annealed importance sampling in `count`; `chains=0` enumerates, for at most 20 units on one side.
    seed : int
        Of everything that `count` draws, so that epochs are judged alike.
    """

    def __init__(
        self,
        model: RNNRBM,
        *,
        steps: int = 15,
        gibbs_steps: int = 25,
        chains: int = 10,
        temperatures: int = 100,
        seed: int = 0,
    ) -> None:
        self.model, self.steps, self.gibbs_steps = model, steps, gibbs_steps
        self.chains, self.temperatures, self.seed = chains, temperatures, seed

    @classmethod
    def rough(cls, model: RNNRBM) -> NextFrameRBM:
        """Return the task with estimates that tell one epoch from another: 30 steps of annealing in place of 1,000."""
        return cls(model, gibbs_steps=10, chains=2, temperatures=15)

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """CD-k surrogate, summed over frames; its value is no likelihood."""
        return self.model.loss(outputs, targets, self.steps)

    def count(self, outputs: Tensor, targets: Tensor) -> FrameCounts:
        """Count hits and misses of the marginals and of whole samples, and estimate the likelihood."""
        generator = torch.Generator(outputs.device).manual_seed(self.seed)
        marginals = self.model.marginals(outputs, self.gibbs_steps, generator)
        drawn = self.model.sample(outputs, self.gibbs_steps, generator)
        found = float((drawn * targets).sum())
        likelihood = self.model.log_likelihood(
            outputs, targets, chains=self.chains, temperatures=self.temperatures, generator=generator
        )
        return replace(
            count_frames(torch.logit(marginals.double(), eps=1e-6), targets),
            expected_true_positive=found,
            expected_union=float(drawn.sum() + targets.sum()) - found,
            nll=-float(likelihood.value.sum()),
        )
