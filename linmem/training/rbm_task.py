"""Next-frame prediction by an RNN-RBM: the task `NextFrame` with a joint distribution over the notes of a frame.

Training follows contrastive divergence. The likelihood is estimated by annealed importance sampling, accuracy at a
threshold from the marginals of the notes, and expected accuracy from sampled frames [B12].

Symbols: M frames, v notes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from linmem.nn.baselines import RNNRBM
from linmem.training.joint_metrics import AnnealedFrameCounts
from linmem.training.metrics import count_frames
from linmem.training.tasks import NextFrame


class NextFrameRBM(NextFrame):
    """Predict each frame of a piano roll from all before it, with a joint distribution over its notes.

    Parameters
    ----------
    model : RNNRBM
        The model that is trained. Its outputs are the biases of the RBM; the weight matrix is read from the model.
    steps : int, optional
        k of CD-k; default the model's `cd_steps`.
    gibbs_steps : int
        Gibbs steps for marginals and samples.
    chains, temperatures : int
        Of annealed importance sampling in `count`; `chains=0` enumerates, for at most 20 units on one side.
    seed : int
        Seed of the samples of `count`, the same in every epoch.
    """

    def __init__(
        self,
        model: RNNRBM,
        *,
        steps: int | None = None,
        gibbs_steps: int = 25,
        chains: int = 10,
        temperatures: int = 100,
        seed: int = 0,
    ) -> None:
        self.model, self.steps, self.gibbs_steps = model, steps, gibbs_steps
        self.chains, self.temperatures, self.seed = chains, temperatures, seed

    @classmethod
    def fast(cls, model: RNNRBM) -> NextFrameRBM:
        """Return the task with fast estimates, for comparing epochs: 30 annealing steps instead of 1,000."""
        return cls(model, gibbs_steps=10, chains=2, temperatures=15)

    def with_model(self, model: RNNRBM) -> NextFrameRBM:
        """Return the task for other weights, such as the average of the weights in training."""
        return NextFrameRBM(
            model,
            steps=self.steps,
            gibbs_steps=self.gibbs_steps,
            chains=self.chains,
            temperatures=self.temperatures,
            seed=self.seed,
        )

    def loss(self, outputs: Tensor, targets: Tensor) -> Tensor:
        """CD-k surrogate loss, summed over frames; its value is not a likelihood."""
        return self.model.loss(outputs, targets, self.steps)

    def count(self, outputs: Tensor, targets: Tensor) -> AnnealedFrameCounts:
        """Count hits and misses of the marginals and of samples, and estimate the likelihood."""
        generator = torch.Generator(outputs.device).manual_seed(self.seed)
        marginals = self.model.marginals(outputs, self.gibbs_steps, generator)
        samples = self.model.sample(outputs, self.gibbs_steps, generator)
        hits = float((samples * targets).sum())
        likelihood = self.model.log_likelihood(
            outputs, targets, chains=self.chains, temperatures=self.temperatures, generator=generator
        )
        factorised = count_frames(torch.logit(marginals.double(), eps=1e-6), targets)
        sampled = {
            "expected_true_positive": hits,
            "expected_union": float(samples.sum() + targets.sum()) - hits,
            "nll": -float(likelihood.value.sum()),
        }
        return AnnealedFrameCounts(
            **(vars(factorised) | sampled),
            factorised_nll=factorised.nll,
            squared_ais_error=float(likelihood.error.double().square().sum()),
        )
